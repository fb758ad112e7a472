"""The ledger of connections: what was connected to, and what was refused."""

from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtGui import QFontMetrics, QShowEvent
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QVBoxLayout, QWidget

from localai_app.errors import LocalAIError
from localai_app.governance.attestation import Connections
from localai_app.governance.audit import AuditEvent, Entry, Selection
from localai_app.ui.governance.attestation import AttestationDialog
from localai_app.ui.governance.audit_model import PAGE, AuditModel, Index, Part
from localai_app.ui.governance.rooms import GovernanceRooms
from localai_app.ui.jobs import Jobs
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button
from localai_app.ui.widgets.flow import FlowLayout
from localai_app.ui.widgets.labels import label, restyle, selectable
from localai_app.ui.widgets.padlock import Locks

LANE = "ledger"
_CONNECTIONS = Selection(events=(AuditEvent.NETWORK_CONNECTED, AuditEvent.NETWORK_REFUSED))
_SHOWN = {
    Part.TIME: "2026-12-30 20:00:00",
    Part.EVENT: "Refused or allowed",
    Part.OBJECT: "a-long-name-of-a-host.models.example.com",
}


class LedgerModel(AuditModel):
    """Entries of the audit log about connections, in words."""

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """What a cell shows: whole hosts, and no names of events."""
        if index.isValid() and role == Qt.ItemDataRole.DisplayRole:
            entry = self.entries[index.row()]
            if index.column() == Part.OBJECT:
                return entry.object
            if index.column() == Part.EVENT:
                refused = entry.event == AuditEvent.NETWORK_REFUSED
                return self.tr("Refused") if refused else self.tr("Made")
        return super().data(index, role)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """The columns' names."""
        if orientation is Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            if section == Part.EVENT:
                return self.tr("Connection")
            if section == Part.OBJECT:
                return self.tr("Host")
        return super().headerData(section, orientation, role)


class Ledger(QWidget):
    """Read again whenever it is shown."""

    def __init__(self, theme: Theme, jobs: Jobs, rooms: GovernanceRooms, locks: Locks) -> None:
        super().__init__()
        self._theme, self._jobs, self._rooms, self._locks = theme, jobs, rooms, locks
        self.model = LedgerModel()
        self.model.page_wanted.connect(self._fetch)
        self.summary = selectable(label("…", wrap=True))
        self.check_button = Button(
            theme, self.tr("Check every process…"), icon="shield-check", tint="text", size=16
        )
        self.check_button.clicked.connect(self._check)
        self.table = QTableView()
        self._build_table()
        self._bar = FlowLayout()
        self._bar.addWidget(self.check_button)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.addWidget(self.summary)
        self._column.addLayout(self._bar)
        self._column.addWidget(self.table, 1)
        theme.changed.connect(self._fit)
        self._fit()

    def refresh(self) -> None:
        """Read the newest connections."""
        rooms = self._rooms

        def look() -> tuple[list[Entry], Connections]:
            return rooms.audit.entries(_CONNECTIONS, limit=PAGE), rooms.connections()

        job = self._jobs.run(look, lane=LANE)
        job.returned.connect(self._show)
        job.failed.connect(self._fail)

    def _fetch(self, before: int) -> None:
        audit = self._rooms.audit
        job = self._jobs.run(lambda: audit.entries(_CONNECTIONS, limit=PAGE, before=before), lane=LANE)
        job.returned.connect(self.model.add_page)
        job.failed.connect(self._fail)

    def _show(self, found: tuple[list[Entry], Connections]) -> None:
        entries, since = found
        self.model.show_first(entries)
        self.table.setVisible(bool(entries))
        said = self.tr("Connections since the app was started: {0} made, {1} refused.")
        words = said.format(since.made, since.refused)
        if not entries:
            words += " " + self.tr("The audit log tells of none before, either.")
        if self._rooms.policy.offline_only:
            words += " " + self.tr("No process may ever connect (OfflineOnly).")
        self._say(words, "")

    def _fail(self, error: LocalAIError) -> None:
        self._say(error.line, "bad")

    def _say(self, text: str, look: str) -> None:
        self.summary.setText(text)
        self.summary.setAccessibleName(text)
        restyle(self.summary, look=look)

    def _check(self) -> None:
        dialog = AttestationDialog(self._theme, self.window(), self._jobs, self._rooms, self._locks)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.open()

    def _build_table(self) -> None:
        table = self.table
        table.setModel(self.model)
        table.setProperty("look", "table")
        table.setAccessibleName(self.tr("Connections"))
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.setTabKeyNavigation(False)
        table.setShowGrid(False)
        table.setWordWrap(False)
        table.verticalHeader().hide()
        head = table.horizontalHeader()
        head.setHighlightSections(False)
        head.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        head.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        head.moveSection(Part.OBJECT, Part.ACTOR)
        head.setStretchLastSection(True)
        table.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        for part in (Part.NUMBER, Part.BODY):
            table.setColumnHidden(part, True)
        table.hide()

    def _fit(self) -> None:
        px = self._theme.px
        self._column.setSpacing(px(10))
        self._bar.setSpacing(px(8))
        self.table.setMinimumHeight(px(190))
        self.table.verticalHeader().setDefaultSectionSize(px(30))
        metrics = QFontMetrics(self._theme.font(13))
        for part, sample in _SHOWN.items():
            self.table.setColumnWidth(part, metrics.horizontalAdvance(sample) + px(22))

    def showEvent(self, event: QShowEvent) -> None:
        """Connections may have been made meanwhile."""
        super().showEvent(event)
        self.refresh()
