"""The rows of the audit log, the newest first; older ones are fetched as the list is scrolled."""

import json
from collections.abc import Sequence
from contextlib import suppress
from enum import IntEnum
from typing import Any

import msgspec
from PySide6.QtCore import (
    QAbstractTableModel,
    QCoreApplication,
    QModelIndex,
    QPersistentModelIndex,
    Qt,
    Signal,
)

from localai_app.governance.audit import Entry
from localai_app.governance.audit_words import local_time

Index = QModelIndex | QPersistentModelIndex
_TOP = QModelIndex()
PAGE = 100
"""Entries that are fetched at once."""
_OBJECT_SHOWN = 16


class Part(IntEnum):
    """The columns."""

    NUMBER = 0
    TIME = 1
    EVENT = 2
    ACTOR = 3
    OBJECT = 4
    BODY = 5


class AuditModel(QAbstractTableModel):
    """Asks for a page when the view comes to its end."""

    page_wanted = Signal(int)
    """Fetch entries before the one of this number."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[Entry] = []
        self._more = False

    def show_first(self, entries: Sequence[Entry]) -> None:
        """Begin anew with the newest."""
        self.beginResetModel()
        self.entries = list(entries)
        self._more = len(entries) == PAGE
        self.endResetModel()

    def add_page(self, entries: Sequence[Entry]) -> None:
        """Older ones, as asked for."""
        if entries:
            first = len(self.entries)
            self.beginInsertRows(QModelIndex(), first, first + len(entries) - 1)
            self.entries += entries
            self.endInsertRows()
        self._more = len(entries) == PAGE

    def rowCount(self, parent: Index = _TOP) -> int:
        """Entries that are here."""
        return 0 if parent.isValid() else len(self.entries)

    def columnCount(self, parent: Index = _TOP) -> int:
        """Always the same."""
        return 0 if parent.isValid() else len(Part)

    def canFetchMore(self, parent: Index) -> bool:
        """Whether there may be older ones."""
        return self._more and not parent.isValid()

    def fetchMore(self, parent: Index) -> None:
        """Ask for a page, once."""
        if self.canFetchMore(parent):
            self._more = False
            self.page_wanted.emit(self.entries[-1].seq)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """What a cell shows."""
        if not index.isValid():
            return None
        if role == Qt.ItemDataRole.TextAlignmentRole and index.column() == Part.NUMBER:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        entry = self.entries[index.row()]
        return {
            Part.NUMBER: str(entry.seq),
            Part.TIME: local_time(entry.time),
            Part.EVENT: entry.event,
            Part.ACTOR: entry.actor,
            Part.OBJECT: entry.object[:_OBJECT_SHOWN],
            Part.BODY: "" if entry.body == "{}" else entry.body,
        }[Part(index.column())]

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """The columns' names."""
        if orientation is not Qt.Orientation.Horizontal or role != Qt.ItemDataRole.DisplayRole:
            return None
        return {
            Part.NUMBER: _tr("Entry"),
            Part.TIME: _tr("Time"),
            Part.EVENT: _tr("Event"),
            Part.ACTOR: _tr("User"),
            Part.OBJECT: _tr("About"),
            Part.BODY: _tr("Details"),
        }[Part(section)]


def entry_json(entry: Entry) -> str:
    """The entry whole, for reading."""
    fields: dict[str, Any] = msgspec.to_builtins(entry)
    with suppress(ValueError):  # a body that was changed is shown as it stands
        fields["body"] = json.loads(entry.body)
    return json.dumps(fields, indent=2, ensure_ascii=False)


def _tr(text: str) -> str:
    return QCoreApplication.translate("AuditLog", text)
