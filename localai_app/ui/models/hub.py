"""Models beyond the catalogue: a search at the hub, only when it is asked for."""

from collections.abc import Hashable

from PySide6.QtCore import QLocale, Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QMenu, QProgressBar, QVBoxLayout, QWidget

from localai_app.errors import LocalAIError
from localai_app.models.pull import FoundRepository
from localai_app.ui.jobs import Jobs
from localai_app.ui.models import words
from localai_app.ui.models.downloads import Downloads
from localai_app.ui.models.offer import OfferDialog
from localai_app.ui.models.rooms import ModelRooms
from localai_app.ui.models.rows import Cell, Column, Row, RowsView
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button
from localai_app.ui.widgets.labels import label, restyle


class HubTab(QWidget):
    """Search, look into a repository, choose a quantisation."""

    searching = Signal(bool)
    """The hub is being asked; or not any more."""

    def __init__(self, theme: Theme, jobs: Jobs, rooms: ModelRooms, downloads: Downloads) -> None:
        super().__init__()
        self._theme, self._jobs, self._rooms, self._downloads = theme, jobs, rooms, downloads
        self._asked = 0
        self.found: dict[str, FoundRepository] = {}
        self.search = QLineEdit()
        name = self.tr("Search {0}").format(rooms.host)
        self.search.setPlaceholderText(self.tr("Name of a model, such as “granite 8b”"))
        self.search.setAccessibleName(name)
        self.search.addAction(theme.icon("search"), QLineEdit.ActionPosition.LeadingPosition)
        self.search.returnPressed.connect(self.start)
        self.button = Button(theme, self.tr("Search"), look="primary")
        self.button.clicked.connect(self.start)
        self._waiting = QProgressBar()
        self._waiting.setRange(0, 0)
        self._waiting.setTextVisible(False)
        self._waiting.setAccessibleName(name)
        keep = self._waiting.sizePolicy()
        keep.setRetainSizeWhenHidden(True)
        self._waiting.setSizePolicy(keep)
        self._waiting.hide()
        told = self.tr(
            "Your words are sent to {0}; nothing else is. What is found there is not in the signed "
            "catalogue: read its licence, and expect the checks of every download."
        )
        self.note = label(told.format(rooms.host), "dim", wrap=True)
        self.message = label(self.tr("Nothing is sent before you search."), "dim", wrap=True)
        self.message.setAlignment(Qt.AlignmentFlag.AlignCenter)
        columns = (
            Column(self.tr("Licence"), 150, 0),
            Column(self.tr("Downloads"), 120, 1),
            Column(self.tr("Changed"), 110, 2),
        )
        self.view = RowsView(
            theme, self.tr("What was found"), self.tr("Repository"), columns, 120, self._menu
        )
        self.view.opened.connect(self.open)
        self.view.acted.connect(self.open)
        self.view.hide()
        row = QHBoxLayout()
        row.addWidget(self.search, 1)
        row.addWidget(self.button)
        self._row = row
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.addLayout(row)
        self._column.addWidget(self.note)
        self._column.addWidget(self._waiting)
        self._column.addWidget(self.view, 1)
        self._column.addWidget(self.message, 1)
        theme.changed.connect(self._fit)
        self._fit()

    def start(self) -> None:
        """Ask the hub."""
        text = self.search.text().strip()
        if not text:
            self.search.setFocus()
            return
        self._asked += 1
        number = self._asked
        self._waiting.show()
        self.searching.emit(True)
        job = self._jobs.run(lambda: self._rooms.pulls.search(text), lane="hub")
        job.returned.connect(lambda found: self._show(found) if number == self._asked else None)
        job.failed.connect(lambda error: self._fail(error) if number == self._asked else None)
        job.finished.connect(lambda: self._end() if number == self._asked else None)

    def open(self, key: str) -> None:
        """Ask what the repository ``key`` holds."""
        found = self.found.get(key)
        if found is None:
            return
        dialog = OfferDialog.of_repository(self._theme, self, self._jobs, self._rooms, self._downloads, found)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.open()

    def _end(self) -> None:
        self._waiting.hide()
        self.searching.emit(False)

    def _show(self, found: list[FoundRepository]) -> None:
        self.found = {each.repo: each for each in found}
        self.view.show_rows([self._row_of(each) for each in found])
        self.view.setVisible(bool(found))
        restyle(self.message, look="dim")
        self.message.setText(self.tr("{0} has no GGUF model of that name.").format(self._rooms.host))
        self.message.setVisible(not found)

    def _fail(self, error: LocalAIError) -> None:
        restyle(self.message, look="bad")
        self.message.setText(error.line)
        self.message.show()
        self.view.hide()

    def _row_of(self, found: FoundRepository) -> Row:
        owner, _, name = found.repo.partition("/")
        gated = [self.tr("asks you to accept terms")] if found.gated else []
        return Row(
            found.repo,
            name,
            " · ".join([owner, *gated]),
            (
                Cell(found.licence or self.tr("unknown"), tone="text" if found.licence else "dim"),
                Cell(QLocale().toString(found.downloads)),
                Cell(found.updated[:10], tone="dim"),
            ),
            action=self.tr("Choose…"),
        )

    def _menu(self, key: Hashable) -> QMenu | None:
        menu = QMenu(self)
        menu.addAction(words.tr("Choose…"), lambda: self.open(str(key)))
        return menu

    def _fit(self) -> None:
        px = self._theme.px
        self._column.setSpacing(px(10))
        self._row.setSpacing(px(8))
