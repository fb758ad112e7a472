"""The grid's rows: one document each, made in a pool thread; sorted and filtered where they are kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt

from localai_app.tasks.run import Item, ItemState
from localai_app.tasks.task import Column, Finding, Form, needs_review, shown_value
from localai_app.ui.tasks import words
from localai_app.ui.tasks.words import Tone

Index = QModelIndex | QPersistentModelIndex
FIGURES = (Form.NUMBER, Form.AMOUNT)
"""Stand at the right, in figures of one width."""
MANY = 200
"""Rows from which one signal tells of all changes."""
FEW_COLUMNS = 5
"""With more than these, a document's state stands beside its name: it would be out of sight."""
_LAST = (1, 0.0, "")
"""Where what has no value is sorted to."""
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter


class Filter(Enum):
    """Which documents the grid shows."""

    ALL = 0
    REVIEW = 1
    """Those with findings that wait for a person."""
    FAILED = 2


class Part(Enum):
    """What a column of the grid tells."""

    DOCUMENT = 0
    VALUE = 1
    STATE = 2
    READ = 3


class CellRole(IntEnum):
    """Extra data of a cell."""

    TONE = Qt.ItemDataRole.UserRole + 1
    PART = Qt.ItemDataRole.UserRole + 2
    FIGURES = Qt.ItemDataRole.UserRole + 3


@dataclass(frozen=True)
class Heading:
    """A column of the grid."""

    title: str
    part: Part
    form: Form = Form.TEXT
    key: str = ""
    """`Column.key` of a value."""


@dataclass(frozen=True)
class Cell:
    """What a column says of a document."""

    text: str
    tone: Tone = "text"
    tip: str = ""
    finding: str = ""
    """`Finding.key` of the first that stands here."""
    order: tuple[int, float, str] = _LAST
    """By which it is sorted."""


@dataclass(frozen=True)
class Row:
    """One document."""

    item: Item
    cells: tuple[Cell, ...]

    def within(self, chosen: Filter) -> bool:
        """Whether the filter lets it through."""
        if chosen is Filter.REVIEW:
            return self.item.to_review > 0
        return chosen is Filter.ALL or self.item.state is ItemState.FAILED


def headings(columns: Sequence[Column]) -> tuple[Heading, ...]:
    """The grid's columns for what is found out about each document."""
    document = Heading(words.tr("Document"), Part.DOCUMENT)
    state = Heading(words.tr("State"), Part.STATE)
    read = Heading(words.tr("Read"), Part.READ)
    values = tuple(Heading(each.title, Part.VALUE, each.form, each.key) for each in columns)
    if len(values) > FEW_COLUMNS:
        return (document, state, *values, read)
    return (document, *values, state, read)


def row_of(item: Item, columns: Sequence[Heading]) -> Row:
    """What the grid says of a document."""
    found: dict[str, list[Finding]] = {}
    for finding in item.outcome.findings if item.outcome else ():
        found.setdefault(finding.column, []).append(finding)
    return Row(item, tuple(_cell(item, each, found.get(each.key, ())) for each in columns))


def _cell(item: Item, column: Heading, findings: Sequence[Finding]) -> Cell:
    match column.part:
        case Part.DOCUMENT:
            return Cell(item.document_name, order=_by_text(item.document_name))
        case Part.STATE:
            said, tone = words.item_state(item)
            whys = [one.words for one in words.doubts(item)] or ([item.error] if item.error else [])
            rank = {"bad": 0.0, "warn": 1.0, "text": 2.0, "dim": 3.0, "ok": 4.0}[tone]
            return Cell(said, tone, "\n".join(whys), _first_open(item), (0, rank, said))
        case Part.READ:
            covered = item.coverage
            said, tip = words.item_read(item), words.item_unread(item)
            order = _LAST if covered is None else (0, covered.read / max(1, covered.total), "")
            return Cell(said, "warn" if tip else "dim", tip, order=order)
    return _value(item, column, findings)


def _value(item: Item, column: Heading, findings: Sequence[Finding]) -> Cell:
    shown = [(each, shown_value(each, item.decision(each.key))) for each in findings]
    # An entry of several fields is one thing of the list, whatever it is made of.
    entries = {each.item for each, text in shown if each.part and text}
    plain = [text for each, text in shown if text and not each.part]
    text = words.entries(len(entries)) if entries and not plain else "; ".join(plain)
    open_findings = [each for each in findings if needs_review(each) and item.decision(each.key) is None]
    tip = "\n".join([text, *(one.words for each in open_findings for one in each.doubts)]).strip()
    first = (open_findings or list(findings))[:1]
    return Cell(
        " ".join(text.split()),
        "warn" if open_findings else "text",
        tip,
        first[0].key if first else "",
        _order(column.form, item, findings, text),
    )


def _order(form: Form, item: Item, findings: Sequence[Finding], text: str) -> tuple[int, float, str]:
    if not text or not findings:
        return _LAST
    value = findings[0].value
    if form in FIGURES and item.decision(findings[0].key) is None and isinstance(value, int | float):
        return (0, float(value), "")
    if form in FIGURES:
        try:
            return (0, float(text.replace(",", "").replace(" ", "")), "")
        except ValueError:
            return _by_text(text)
    if form is Form.DATE and isinstance(value, str) and item.decision(findings[0].key) is None:
        return _by_text(value)
    return _by_text(text)


def _by_text(text: str) -> tuple[int, float, str]:
    return (0, 0.0, text.casefold())


def _first_open(item: Item) -> str:
    for finding in item.outcome.findings if item.outcome else ():
        if needs_review(finding) and item.decision(finding.key) is None:
            return finding.key
    return ""


class GridModel(QAbstractTableModel):
    """All rows of a run as they came, and the order in which they are shown."""

    def __init__(self) -> None:
        super().__init__()
        self.columns: tuple[Heading, ...] = ()
        self.rows: list[Row] = []
        self._shown: list[int] = []
        """Which of `rows`, from the top."""
        self._place: dict[int, int] = {}
        """Where in `_shown` each stands."""
        self._sorted: tuple[int, Qt.SortOrder] | None = None
        self.filter = Filter.ALL

    # ------------------------------------------------------------ what is shown

    def show_run(self, columns: tuple[Heading, ...], rows: Sequence[Row]) -> None:
        """Show another run."""
        self.beginResetModel()
        self.columns, self.rows = columns, list(rows)
        if self._sorted is not None and self._sorted[0] >= len(columns):
            self._sorted = None
        self._set_shown(self._wanted())
        self.endResetModel()

    def change(self, changes: Sequence[tuple[int, Row]]) -> None:
        """Show rows that say something else now; those after the last are new."""
        for at, row in changes:
            self.rows[at : at + 1] = [row]
        self._arrange()
        places = sorted(self._place[at] for at, _ in changes if at in self._place)
        last = len(self.columns) - 1
        if len(places) > MANY:
            places = [places[0], places[-1]]
            self.dataChanged.emit(self.index(places[0], 0), self.index(places[-1], last))
        else:
            for place in places:
                self.dataChanged.emit(self.index(place, 0), self.index(place, last))

    def set_filter(self, chosen: Filter) -> None:
        """Show only some."""
        if chosen is not self.filter:
            self.filter = chosen
            self._arrange()

    def row(self, place: int) -> Row:
        """The row that stands at ``place``."""
        return self.rows[self._shown[place]]

    def place_of(self, item_id: int) -> int | None:
        """Where the row of a document stands; None while it is not shown."""
        return next((place for place, at in enumerate(self._shown) if self.rows[at].item.id == item_id), None)

    def cell(self, index: Index) -> Cell:
        """What stands there."""
        return self.row(index.row()).cells[index.column()]

    # ------------------------------------------------------------ the order

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; a negative one: as they came."""
        self._sorted = (column, order) if 0 <= column < len(self.columns) else None
        self._arrange()

    def _wanted(self) -> list[int]:
        shown = [at for at, row in enumerate(self.rows) if row.within(self.filter)]
        if self._sorted is not None:
            column, order = self._sorted
            falling = order == Qt.SortOrder.DescendingOrder
            # What has no value comes last either way; equal ones stay as they came.
            valued = [at for at in shown if self.rows[at].cells[column].order != _LAST]
            valued.sort(key=lambda at: self.rows[at].cells[column].order, reverse=falling)
            shown = valued + [at for at in shown if self.rows[at].cells[column].order == _LAST]
        return shown

    def _arrange(self) -> None:
        """Take away, add and move rows so that they stand as they should; the current one stays current."""
        wanted = self._wanted()
        if wanted == self._shown:
            return
        stays = set(wanted)
        gone = [place for place, at in enumerate(self._shown) if at not in stays]
        there = set(self._shown)
        new = [at for at in wanted if at not in there]
        if len(gone) + len(new) > MANY:
            self.beginResetModel()
            self._set_shown(wanted)
            self.endResetModel()
            return
        for place in reversed(gone):
            self.beginRemoveRows(QModelIndex(), place, place)
            self._set_shown(self._shown[:place] + self._shown[place + 1 :])
            self.endRemoveRows()
        if new:
            first = len(self._shown)
            self.beginInsertRows(QModelIndex(), first, first + len(new) - 1)
            self._set_shown(self._shown + new)
            self.endInsertRows()
        if wanted != self._shown:
            self._move(wanted)

    def _move(self, wanted: list[int]) -> None:
        self.layoutAboutToBeChanged.emit()
        before = self.persistentIndexList()
        held = [(self._shown[index.row()], index.column()) for index in before]
        self._set_shown(wanted)
        after = [self.index(self._place[at], column) for at, column in held]
        self.changePersistentIndexList(before, after)
        self.layoutChanged.emit()

    def _set_shown(self, shown: list[int]) -> None:
        self._shown = shown
        self._place = {at: place for place, at in enumerate(shown)}

    # ------------------------------------------------------------ Qt

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own default
        """Number of documents shown."""
        return 0 if parent.isValid() else len(self._shown)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own default
        """Number of columns."""
        return 0 if parent.isValid() else len(self.columns)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """The columns' titles."""
        if orientation == Qt.Orientation.Vertical or section >= len(self.columns):
            return None
        column = self.columns[section]
        if role == Qt.ItemDataRole.DisplayRole:
            return column.title
        if role == Qt.ItemDataRole.ToolTipRole:
            return column.title
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _RIGHT if column.form in FIGURES else _LEFT
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """What a cell says."""
        if not index.isValid():
            return None
        column, cell = self.columns[index.column()], self.cell(index)
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return cell.text
            case Qt.ItemDataRole.ToolTipRole:
                return cell.tip or cell.text
            case Qt.ItemDataRole.AccessibleTextRole:
                return f"{column.title}: {cell.text}"
            case Qt.ItemDataRole.AccessibleDescriptionRole:
                return cell.tip
            case Qt.ItemDataRole.TextAlignmentRole:
                return _RIGHT if column.form in FIGURES else _LEFT
            case CellRole.TONE:
                return cell.tone
            case CellRole.PART:
                return column.part
            case CellRole.FIGURES:
                return column.form in FIGURES
        return None
