"""The audit log: read, filtered, verified, exported."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from PySide6.QtCore import QModelIndex, Qt
from PySide6.QtGui import QFontMetrics, QResizeEvent, QShowEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QFrame,
    QHeaderView,
    QPlainTextEdit,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from localai_app.errors import LocalAIError
from localai_app.governance.audit import Entry, Selection, VerifyResult
from localai_app.governance.audit_file import Format, Written
from localai_app.governance.audit_words import (
    events_of,
    finding_lines,
    groups,
    local_time,
    problem_lines,
)
from localai_app.ui.governance.audit_model import PAGE, AuditModel, Part, entry_json
from localai_app.ui.governance.rooms import GovernanceRooms
from localai_app.ui.jobs import Jobs
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button, IconButton
from localai_app.ui.widgets.choice import Choice
from localai_app.ui.widgets.flow import FlowLayout
from localai_app.ui.widgets.labels import label, restyle, selectable
from localai_app.ui.widgets.padlock import Lock, Locks
from localai_app.ui.widgets.toast import Toast

LANE, WORK_LANE = "audit", "audit-work"
"""To check or export a long log takes a while: reading goes on meanwhile."""
_DAYS = (1, 7, 30, 365)
_HASH = re.compile(r"\b([0-9a-f]{16})[0-9a-f]{48}\b")
_NOWHERE = QModelIndex()
_SAMPLES = {
    Part.NUMBER: "9,999,999",
    Part.TIME: "2026-12-30 20:00:00",
    Part.EVENT: "conversation.sources_set",
    Part.ACTOR: "firstname.name",
    Part.OBJECT: "0123456789abcdef",
}
_WIDE = {Part.OBJECT: 900, Part.ACTOR: 780, Part.BODY: 560}
"""Design pixels from which there is room for a column; the details below show all."""


class AuditLog(QWidget):
    """A table that is filled as it is scrolled, and the chosen entry below it."""

    def __init__(
        self, theme: Theme, jobs: Jobs, rooms: GovernanceRooms, locks: Locks, toast: Callable[[], Toast]
    ) -> None:
        super().__init__()
        self._theme, self._jobs, self._rooms, self._toast = theme, jobs, rooms, toast
        self._asked = 0
        """Counts the filters: what comes for an earlier one is dropped."""
        self.model = AuditModel()
        self.table = QTableView()
        self._build()
        self.export_lock = locks.hold(self.export_button, Lock.AUDIT_EXPORT)
        self.model.page_wanted.connect(self._fetch)
        self.table.selectionModel().currentRowChanged.connect(lambda *_: self._show_entry())
        for choice in (self.events, self.times):
            choice.activated.connect(lambda _: self.refresh())
        self.refresh_button.clicked.connect(self.refresh)
        self.verify_button.clicked.connect(self.verify)
        self.export_button.clicked.connect(self._choose_file)
        theme.changed.connect(self._fit)
        self._fit()

    # ------------------------------------------------------------ reading

    @property
    def selection(self) -> Selection:
        """What the filters choose."""
        days, event = self.times.currentData(), self.events.currentData()
        since = datetime.now(UTC) - timedelta(days=days) if days else None
        return Selection(since=since, events=tuple(events_of(event)) if event else ())

    def refresh(self) -> None:
        """Read the newest entries that the filters choose."""
        self._asked += 1
        asked, selection, audit = self._asked, self.selection, self._rooms.audit

        def look() -> tuple[list[Entry], Entry | None]:
            return audit.entries(selection, limit=PAGE), audit.last_checkpoint()

        def show(found: tuple[list[Entry], Entry | None]) -> None:
            if asked == self._asked:
                chosen = self._chosen
                self.model.show_first(found[0])
                self._show_checkpoint(found[1])
                rows = [row for row, entry in enumerate(found[0]) if entry == chosen]
                self.table.setCurrentIndex(self.model.index(rows[0], 0) if rows else _NOWHERE)
                self._show_entry()
                self.nothing.setVisible(not found[0])

        job = self._jobs.run(look, lane=LANE)
        job.returned.connect(show)
        job.failed.connect(self._fail)

    def _fetch(self, before: int) -> None:
        asked, selection, audit = self._asked, self.selection, self._rooms.audit

        def show(found: list[Entry]) -> None:
            if asked == self._asked:
                self.model.add_page(found)

        job = self._jobs.run(lambda: audit.entries(selection, limit=PAGE, before=before), lane=LANE)
        job.returned.connect(show)
        job.failed.connect(self._fail)

    @property
    def _chosen(self) -> Entry | None:
        index = self.table.currentIndex()
        return self.model.entries[index.row()] if index.isValid() else None

    def _show_entry(self) -> None:
        entry = self._chosen
        self.details.setVisible(entry is not None)
        if entry is not None:
            self.details.setPlainText(entry_json(entry))

    def _show_checkpoint(self, entry: Entry | None) -> None:
        if entry is None:
            self.checkpoint.setText(self.tr("No checkpoint has been signed yet."))
        else:
            text = self.tr("Last signed checkpoint: entry {0}, {1}, key {2}…")
            self.checkpoint.setText(text.format(entry.seq, local_time(entry.time), entry.object[:16]))
        self.checkpoint.setAccessibleName(self.checkpoint.text())

    # ------------------------------------------------------------ checking and taking out

    def verify(self) -> None:
        """Check the whole log."""
        self.verify_button.setEnabled(False)
        self._say([self.tr("The log is being verified…")], "dim")
        job = self._jobs.run(self._rooms.verify, lane=WORK_LANE)
        job.returned.connect(self._show_result)
        job.failed.connect(self._fail)
        job.finished.connect(lambda: self.verify_button.setEnabled(True))

    def export(self, path: Path, selection: Selection) -> None:
        """Write the entries that ``selection`` chooses to ``path``; CSV by its ending, else JSON Lines."""
        file_format: Format = "csv" if path.suffix.lower() == ".csv" else "jsonl"
        self.export_lock.enable(False)
        job = self._jobs.run(
            # The dialog has asked whether a file may be replaced.
            lambda: self._rooms.archive.export(path, file_format, selection, replace=True),
            lane=WORK_LANE,
        )
        job.returned.connect(self._exported)
        job.failed.connect(self._fail)
        job.finished.connect(lambda: self.export_lock.enable(True))

    def _show_result(self, result: VerifyResult) -> None:
        problems = problem_lines(result)
        lines = [*problems, *finding_lines(result, in_store=True, compared=0)]
        # A whole hash has no place to break; the details of its entry show it.
        self._say([_HASH.sub(r"\1…", line) for line in lines], "bad" if problems else "")
        self.refresh()

    def _exported(self, written: Written) -> None:
        text = self.tr("{0} is written: {1} entries.").format(written.path.name, written.entries)
        self._toast().show_message(text)
        self.refresh()

    def _fail(self, error: LocalAIError) -> None:
        self._say([error.line], "bad")

    def _say(self, lines: list[str], look: str) -> None:
        self.result.setText("\n".join(lines))
        self.result.setAccessibleName(self.result.text())
        restyle(self.result, look=look)
        restyle(self._notice, look="notice-bad" if look == "bad" else "notice")
        self._notice.show()

    def _choose_file(self) -> None:
        selection = self.selection
        folder = self._rooms.archive.folder or Path.home()
        name = f"audit-{datetime.now().astimezone():%Y%m%dT%H%M%S}.jsonl"
        chosen, _ = QFileDialog.getSaveFileName(
            self,
            self.tr("Export the audit log"),
            str(folder / name),
            self.tr("JSON Lines (*.jsonl);;Table (*.csv)"),
        )
        if chosen:
            self.export(Path(chosen), selection)

    # ------------------------------------------------------------ building

    def _build(self) -> None:
        theme = self._theme
        self.events = self._choice(self.tr("Kind of event"))
        self.events.addItem(self.tr("All events"), "")
        for group in groups():
            self.events.insertSeparator(self.events.count())
            self.events.addItem(self.tr("{0}: all").format(group), group)
            for event in events_of(group):
                self.events.addItem(event, event)
        self.times = self._choice(self.tr("Time"))
        self.times.addItem(self.tr("Any time"), 0)
        for days in _DAYS:
            words = self.tr("Last 24 hours") if days == 1 else self.tr("Last {0} days").format(days)
            self.times.addItem(words, days)
        self.refresh_button = IconButton(theme, "refresh-cw", self.tr("Read again"), size=16)
        self.verify_button = Button(theme, self.tr("Verify"), icon="shield-check", tint="text", size=16)
        self.export_button = Button(theme, self.tr("Export…"), icon="download", tint="text", size=16)
        self.export_button.setToolTip(self.tr("Writes the entries that the filters choose to a file"))
        self._bar = FlowLayout()
        bar: tuple[QWidget, ...] = (self.events, self.times, self.refresh_button)
        for widget in (*bar, self.verify_button, self.export_button):
            self._bar.addWidget(widget)
        self._notice = QFrame()
        self._notice.hide()
        self.result = selectable(label("…", "dim", wrap=True))
        self._notice_column = QVBoxLayout(self._notice)
        self._notice_column.addWidget(self.result)
        self.checkpoint = selectable(label("…", "dim", wrap=True))
        self._build_table()
        self.nothing = label(self.tr("There is no such entry."), "dim")
        self.nothing.hide()
        self.details = QPlainTextEdit()
        self.details.setReadOnly(True)
        self.details.setProperty("look", "field")
        self.details.setAccessibleName(self.tr("The chosen entry"))
        self.details.hide()
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.addLayout(self._bar)
        self._column.addWidget(self.checkpoint)
        self._column.addWidget(self._notice)
        self._column.addWidget(self.table, 3)
        self._column.addWidget(self.nothing)
        self._column.addWidget(self.details, 2)

    def _build_table(self) -> None:
        table = self.table
        table.setModel(self.model)
        table.setProperty("look", "table")
        table.setAccessibleName(self.tr("Audit log"))
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
        head.setStretchLastSection(True)
        table.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)

    def _choice(self, name: str) -> Choice:
        made = Choice(self._theme)
        made.setAccessibleName(name)
        made.view().setAccessibleName(name)
        return made

    def _fit(self) -> None:
        px = self._theme.px
        self._column.setSpacing(px(10))
        self._bar.setSpacing(px(8))
        self._notice_column.setContentsMargins(px(14), px(8), px(14), px(8))
        self.table.setMinimumHeight(px(190))
        self.table.verticalHeader().setDefaultSectionSize(px(30))
        self.details.setMinimumHeight(px(130))
        self.details.setFont(self._theme.mono(12.5))
        metrics = QFontMetrics(self._theme.font(13))
        for part, sample in _SAMPLES.items():
            self.table.setColumnWidth(part, metrics.horizontalAdvance(sample) + px(22))
        self._choose_columns()

    def _choose_columns(self) -> None:
        for part, wide in _WIDE.items():
            self.table.setColumnHidden(part, self.width() < self._theme.px(wide))

    # ------------------------------------------------------------ Qt

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Columns for which there is no room are left out."""
        super().resizeEvent(event)
        self._choose_columns()

    def showEvent(self, event: QShowEvent) -> None:
        """What is shown is read again: entries have come meanwhile."""
        super().showEvent(event)
        self.refresh()
