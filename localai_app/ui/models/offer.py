"""One model that could be got: what is known of it, and in which quantisations."""

from collections.abc import Hashable
from dataclasses import dataclass

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QButtonGroup,
    QDialog,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QProgressBar,
    QRadioButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from localai_app.errors import LocalAIError
from localai_app.models.catalogue import CatalogueEntry, CatalogueFile, Licence
from localai_app.models.catalogue_service import Offer
from localai_app.models.pull import Choice, FoundRepository, PullFile, Repository
from localai_app.models.quantisations import explain
from localai_app.ui.jobs import Jobs
from localai_app.ui.models import words
from localai_app.ui.models.downloads import Downloads
from localai_app.ui.models.rooms import ModelRooms
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button
from localai_app.ui.widgets.labels import label, restyle, selectable


@dataclass(frozen=True)
class Way:
    """One quantisation that can be got, and what it would be like here."""

    key: Hashable
    repo: str
    revision: str
    choice: Choice
    offer: Offer | None
    entry: CatalogueEntry | None = None
    """Of the catalogue, where it is from there."""


class OfferDialog(QDialog):
    """Facts, a choice of quantisations, and Download."""

    def __init__(  # noqa: PLR0917 - what it stands on
        self,
        theme: Theme,
        parent: QWidget,
        jobs: Jobs,
        rooms: ModelRooms,
        downloads: Downloads,
        name: str,
    ) -> None:
        super().__init__(parent)
        self._theme, self._jobs, self._rooms, self._downloads = theme, jobs, rooms, downloads
        self._pinned: list[Way] = []
        self.ways: list[Way] = []
        self.buttons: list[QRadioButton] = []
        self._group = QButtonGroup(self)
        px = theme.px
        self.setWindowTitle(name)
        self._facts = QGridLayout()
        self._facts.setHorizontalSpacing(px(20))
        self._facts.setVerticalSpacing(px(6))
        self._facts.setColumnStretch(1, 1)
        self._waiting = QProgressBar()
        self._waiting.setRange(0, 0)
        self._waiting.setTextVisible(False)
        self._waiting.hide()
        self.message = label("", "dim", wrap=True)
        self.message.hide()
        self.more = Button(theme, self.tr("Other quantisations…"), look="link")
        self.more.hide()
        self._list = QVBoxLayout()
        self._list.setSpacing(px(4))
        inside = QWidget()
        inside.setProperty("look", "plain")
        column = QVBoxLayout(inside)
        column.setContentsMargins(0, 0, px(10), 0)
        column.setSpacing(px(10))
        column.addLayout(self._facts)
        column.addWidget(label(self.tr("QUANTISATION"), "section"))
        column.addWidget(self._waiting)
        column.addWidget(self.message)
        column.addLayout(self._list)
        column.addWidget(self.more, 0, Qt.AlignmentFlag.AlignLeft)
        column.addStretch(1)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setAccessibleName(self.tr("Facts and quantisations"))
        area.setWidget(inside)
        self.download = Button(
            theme, self.tr("Download"), look="primary", icon="download", tint="on_accent", size=16
        )
        self.download.setEnabled(False)
        self.download.setDefault(True)
        self.download.clicked.connect(self._get)
        close = Button(theme, self.tr("Close"))
        close.clicked.connect(self.reject)
        foot = QHBoxLayout()
        foot.addStretch(1)
        foot.addWidget(close)
        foot.addWidget(self.download)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(px(20), px(18), px(20), px(16))
        outer.setSpacing(px(12))
        title = label(name, "title", wrap=True)
        outer.addWidget(title)
        outer.addWidget(area, 1)
        outer.addLayout(foot)
        available = self.screen().availableGeometry()
        self.resize(min(px(620), available.width() - 40), min(px(560), available.height() - 60))
        self.download.setVisible(rooms.may_connect)

    @classmethod
    def of_entry(  # noqa: PLR0917 - what it stands on
        cls,
        theme: Theme,
        parent: QWidget,
        jobs: Jobs,
        rooms: ModelRooms,
        downloads: Downloads,
        offer: Offer,
    ) -> "OfferDialog":
        """Of a model of the catalogue."""
        entry = offer.entry
        made = cls(theme, parent, jobs, rooms, downloads, entry.name)
        licence = entry.licence
        number = made.locale().toString
        pinned = made.tr("revision and SHA-256 are in the signed catalogue")
        loose = made.tr("the catalogue knows no hash: the hub’s own counts, and is pinned at the download")
        made.add_facts(
            (made.tr("Licence"), f"{licence.name} · {words.commercial(licence.commercial)}"),
            ("", licence.note),
            ("", licence.url or ""),
            (made.tr("Parameters"), _parameters(entry)),
            (
                made.tr("Context"),
                made.tr("{0} tokens").format(number(entry.context_length)) if entry.context_length else "",
            ),
            (made.tr("Languages"), words.languages(entry)),
            (made.tr("Abilities"), words.abilities(entry)),
            (made.tr("From"), entry.repository),
            (made.tr("Pinned"), pinned if entry.pinned else loose),
            (made.tr("To know"), entry.note),
        )
        if not offer.allowed:
            text = made.tr("Your organisation does not allow this model.")
            made.message.setText(text)
            restyle(made.message, look="warn")
            made.message.show()
        files = tuple(PullFile(file.name, file.size or 0, file.sha256 or "") for file in entry.files)
        choice = Choice(
            entry.files[0].name, entry.quantisation, files, entry.size or 0, explain(entry.quantisation), True
        )
        made._pinned = [Way(entry.id, entry.repository, entry.revision or "main", choice, offer, entry)]
        made.show_ways(made._pinned)
        made.more.setVisible(rooms.may_search)
        made.more.clicked.connect(lambda: made.ask(entry.repository, entry.revision or "main"))
        return made

    @classmethod
    def of_repository(  # noqa: PLR0917 - what it stands on
        cls,
        theme: Theme,
        parent: QWidget,
        jobs: Jobs,
        rooms: ModelRooms,
        downloads: Downloads,
        found: FoundRepository,
    ) -> "OfferDialog":
        """Of a repository that a search found; the hub is asked what it holds."""
        made = cls(theme, parent, jobs, rooms, downloads, found.repo)
        warning = made.tr("not from the signed catalogue: nobody checked it beforehand")
        made.add_facts(
            (made.tr("Licence"), found.licence or made.tr("the publisher names none")),
            (made.tr("From"), made.tr("{0} on {1}").format(found.repo, rooms.host)),
            (made.tr("To know"), warning),
        )
        made.ask(found.repo, "main")
        return made

    def add_facts(self, *facts: tuple[str, str]) -> None:
        """Say these, as far as they are known."""
        for name, value in facts:
            if value:
                row = self._facts.rowCount()
                self._facts.addWidget(label(name, "dim"), row, 0, Qt.AlignmentFlag.AlignTop)
                self._facts.addWidget(selectable(label(value, wrap=True)), row, 1)

    def ask(self, repo: str, revision: str) -> None:
        """Ask the hub what ``repo`` holds."""
        self.more.hide()
        self._waiting.show()
        self.message.setText(self.tr("Asking {0}…").format(self._rooms.host))
        restyle(self.message, look="dim")
        self.message.show()
        rooms = self._rooms

        def look() -> tuple[Repository, list[Way]]:
            found = rooms.pulls.repository(repo, revision)
            return found, [_way(rooms, found, choice) for choice in found.choices]

        job = self._jobs.run(look, lane="hub")
        job.returned.connect(lambda answer: self._show_repository(*answer))
        job.failed.connect(self._show_error)

    def show_ways(self, ways: list[Way]) -> None:
        """Offer these quantisations; the best for most is chosen."""
        while (item := self._list.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.deleteLater()
        self.ways, self.buttons = ways, []
        for way in ways:
            self._add(way)
        best = next((number for number, way in enumerate(ways) if way.choice.recommended), 0)
        if self.buttons:
            self.buttons[best].setChecked(True)
        self._allow()

    def _add(self, way: Way) -> None:
        px = self._theme.px
        card = QFrame()
        column = QVBoxLayout(card)
        column.setContentsMargins(0, px(4), 0, px(4))
        column.setSpacing(px(1))
        parts = [way.choice.quantisation or way.choice.name]
        if way.choice.size:
            parts.append(words.size(way.choice.size))
        if way.offer is not None:
            parts.append(words.fit_cell(way.offer).text)
        if way.choice.recommended and len(self.ways) > 1:
            parts.append(self.tr("best for most"))
        text = " · ".join(parts)
        button = QRadioButton(text)
        button.setAccessibleName(f"{text}. {way.choice.explanation}")
        button.toggled.connect(lambda _: self._allow())
        self._group.addButton(button)
        self.buttons.append(button)
        column.addWidget(button)
        below = QVBoxLayout()
        below.setContentsMargins(px(29), 0, 0, 0)
        below.setSpacing(px(1))
        # The name of the quantisation stands above already.
        sentence = way.choice.explanation.partition(": ")[2] or way.choice.explanation
        below.addWidget(label(sentence[:1].upper() + sentence[1:], "dim", wrap=True))
        if way.offer is not None and way.offer.outlook is not None and len(self.ways) == 1:
            below.addWidget(label(way.offer.outlook.words, "dim", wrap=True))
        column.addLayout(below)
        self._list.addWidget(card)

    @property
    def chosen(self) -> Way | None:
        """The quantisation that is chosen."""
        return next((way for way, b in zip(self.ways, self.buttons, strict=False) if b.isChecked()), None)

    def _allow(self) -> None:
        way = self.chosen
        pull = self._downloads.of_entry(way.entry) if way and way.entry else None
        under_way = pull is not None and not pull.state.ended
        allowed = way is not None and (way.offer is None or way.offer.allowed)
        self.download.setEnabled(allowed and not under_way)
        size = way.choice.size if way else 0
        text = self.tr("Download {0}").format(words.size(size)) if size else self.tr("Download")
        self.download.set_text(text)

    def _get(self) -> None:
        way = self.chosen
        if way is None:
            return
        if way.entry is not None:
            self._downloads.start_entry(way.entry)
        else:
            names = [file.name for file in way.choice.files]
            self._downloads.start(way.key, way.repo, names, way.revision)
        self.accept()

    def _show_repository(self, found: Repository, ways: list[Way]) -> None:
        self._waiting.hide()
        self.message.hide()
        pinned = {file.name for way in self._pinned for file in way.choice.files}
        others = [way for way in ways if not pinned & {file.name for file in way.choice.files}]
        if found.gated:
            text = self.tr("Its publisher asks you to accept terms on {0} and to enter an access token.")
            self.message.setText(text.format(self._rooms.host))
            self.message.show()
        elif not ways:
            self.message.setText(self.tr("There is no GGUF model in it."))
            self.message.show()
        shown = [*self._pinned, *others] if self._pinned else ways
        self.show_ways(sorted(shown, key=lambda way: way.choice.size))

    def _show_error(self, error: LocalAIError) -> None:
        self._waiting.hide()
        self.message.setText(error.line)
        restyle(self.message, look="bad")
        self.message.show()
        self.more.show()


def _way(rooms: ModelRooms, found: Repository, choice: Choice) -> Way:
    """A choice of a repository, with what is expected of it by its size alone."""
    entry = CatalogueEntry(
        id="unlisted",
        name=found.repo.partition("/")[2],
        family="",
        kind="chat",
        repository=found.repo,
        files=tuple(CatalogueFile(file.name, file.size, file.sha256 or None) for file in choice.files),
        quantisation=choice.quantisation,
        licence=Licence(found.licence or "?", "unknown", found.licence or None),
    )
    offer = rooms.catalogue.offer(entry)
    return Way((found.repo, choice.name), found.repo, found.revision, choice, offer)


def _parameters(entry: CatalogueEntry) -> str:
    all_of = words.parameters(entry.parameters)
    active = words.parameters(entry.active_parameters)
    return words.tr("{0}, {1} of them for each token").format(all_of, active) if active else all_of
