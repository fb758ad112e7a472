"""The catalogue: what there is, how it would fit here, and what it costs to get it."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from PySide6.QtCore import QDate, QLocale, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QFrame, QHBoxLayout, QLabel, QLineEdit, QMenu, QVBoxLayout, QWidget

from localai_app.errors import LocalAIError
from localai_app.models.catalogue import (
    Ability,
    CatalogueEntry,
    Commercial,
    Kind,
    SortKey,
    Wanted,
    families,
    search,
    sort,
)
from localai_app.models.catalogue_file import LoadedCatalogue
from localai_app.models.catalogue_service import Offer
from localai_app.models.library import LibraryModel
from localai_app.models.pull import Pull, PullState
from localai_app.ui.jobs import Jobs
from localai_app.ui.models import words
from localai_app.ui.models.bar import ActionBar
from localai_app.ui.models.downloads import Downloads
from localai_app.ui.models.offer import OfferDialog
from localai_app.ui.models.rooms import ModelRooms
from localai_app.ui.models.rows import Cell, Column, Row, RowsView
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button
from localai_app.ui.widgets.choice import Choice
from localai_app.ui.widgets.flow import FlowLayout
from localai_app.ui.widgets.labels import label

TYPING_MS = 80
_SMALL, _MEDIUM = 3_000_000_000, 8_000_000_000


@dataclass(frozen=True)
class Found:
    """The catalogue, each model of it as it would be here now, and what suits this machine best."""

    loaded: LoadedCatalogue
    offers: list[Offer]
    recommended: Offer | None


class Recommended(QFrame):
    """The model for whoever does not want to choose."""

    get_requested = Signal(object)
    """This `CatalogueEntry` is wanted."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._offer: Offer | None = None
        self.setProperty("look", "recommended")
        self._picture = QLabel()
        self.title = label("", "strong", wrap=True)
        self.line = label("", "dim", wrap=True)
        self.get = Button(
            theme, self.tr("Download"), look="primary", icon="download", tint="on_accent", size=16
        )
        self.get.clicked.connect(self._get)
        text = QVBoxLayout()
        text.setSpacing(3)
        text.addWidget(self.title)
        text.addWidget(self.line)
        self._row = QHBoxLayout(self)
        self._row.addWidget(self._picture)
        self._row.addLayout(text, 1)
        self._row.addWidget(self.get)
        theme.changed.connect(self._fit)
        self._fit()
        self.hide()

    def show_offer(self, offer: Offer | None, *, wanted: bool, speed: float) -> None:
        """Show ``offer`` while it is ``wanted``: not here yet, and not on its way."""
        self._offer = offer
        self.setVisible(offer is not None and wanted)
        if offer is None:
            return
        self.title.setText(self.tr("Recommended for this computer: {0}").format(offer.entry.name))
        self.line.setText(offer_line(offer))
        seconds = download_seconds(offer.entry, speed)
        text = self.tr("Download · about {0}").format(words.duration(seconds)) if seconds else ""
        self.get.set_text(text or self.tr("Download"))
        self.get.setAccessibleName(self.tr("Download {0}").format(offer.entry.name))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Where it is narrow, the button stands under the words."""
        super().resizeEvent(event)
        narrow = self.width() < self._theme.px(480)
        self._picture.setVisible(not narrow)
        side = QBoxLayout.Direction.LeftToRight
        self._row.setDirection(QBoxLayout.Direction.TopToBottom if narrow else side)

    def _get(self) -> None:
        if self._offer is not None:
            self.get_requested.emit(self._offer.entry)

    def _fit(self) -> None:
        px = self._theme.px
        self._row.setContentsMargins(px(16), px(12), px(16), px(12))
        self._row.setSpacing(px(14))
        icon = self._theme.icon("sparkles", "accent")
        self._picture.setPixmap(icon.pixmap(self._theme.icon_size(24), self.devicePixelRatioF()))


class _Filter(Choice):
    """As wide as what is chosen; its list is as wide as it needs."""

    def __init__(self, theme: Theme) -> None:
        super().__init__(theme)
        self.currentIndexChanged.connect(lambda _: self.updateGeometry())

    def sizeHint(self) -> QSize:
        """The words, the arrow, and air."""
        wide = self.fontMetrics().horizontalAdvance(self.currentText()) + self._theme.px(46)
        return QSize(wide, super().sizeHint().height())

    def minimumSizeHint(self) -> QSize:
        """The same."""
        return self.sizeHint()

    def showPopup(self) -> None:
        """Widen the list first."""
        self.view().setMinimumWidth(self.view().sizeHintForColumn(0) + self._theme.px(28))
        super().showPopup()


class CatalogueTab(QWidget):
    """Search, filter, compare, get."""

    failed = Signal(object)
    """Something asked for was refused, with this `LocalAIError`."""

    def __init__(self, theme: Theme, jobs: Jobs, rooms: ModelRooms, downloads: Downloads) -> None:
        super().__init__()
        self._theme, self._jobs, self._rooms, self._downloads = theme, jobs, rooms, downloads
        self._may_get = rooms.may_connect
        self._asked = 0
        self._found: Found | None = None
        self.offers: dict[str, Offer] = {}
        self._here: dict[str, LibraryModel] = {}
        """By the id of their entry."""
        self.recommended = Recommended(theme)
        self.recommended.get_requested.connect(downloads.start_entry)
        self.search = QLineEdit()
        self.search.setPlaceholderText(self.tr("Search the catalogue"))
        self.search.setAccessibleName(self.tr("Search the catalogue"))
        self.search.addAction(theme.icon("search"), QLineEdit.ActionPosition.LeadingPosition)
        self._typing = QTimer(self)
        self._typing.setSingleShot(True)
        self._typing.setInterval(TYPING_MS)
        self._typing.timeout.connect(self._filter)
        self.search.textChanged.connect(lambda _: self._typing.start())
        self.family = self._choice(self.tr("Family"), [(self.tr("All families"), "")])
        fits = [(self.tr("Any fit"), False), (self.tr("Fits here"), True)]
        self.fits = self._choice(self.tr("Fit"), fits)
        sizes: list[tuple[str, int | None]] = [(self.tr("Any size"), None)]
        sizes += [(self.tr("Up to {0}").format(words.size(most)), most) for most in (_SMALL, _MEDIUM)]
        self.size_choice = self._choice(self.tr("Size"), sizes)
        licences: list[tuple[str, tuple[Commercial, ...]]] = [
            (self.tr("Any licence"), ()),
            (self.tr("Commercial use"), ("yes", "conditions")),
            (self.tr("Without conditions"), ("yes",)),
        ]
        self.licence = self._choice(self.tr("Licence"), licences)
        able: list[tuple[str, Ability | Kind | None]] = [
            (self.tr("Any ability"), None),
            (self.tr("Thinks first"), "thinking"),
            (self.tr("Uses tools"), "tools"),
            (self.tr("Sees pictures"), "vision"),
            (self.tr("For searching"), "embedding"),
        ]
        self.ability = self._choice(self.tr("Ability"), able)
        self.language = self._choice(self.tr("Language"), [(self.tr("Any language"), "")])
        orders: list[tuple[str, SortKey]] = [
            (self.tr("Best known first"), "catalogue"),
            (self.tr("Best fit first"), "fit"),
            (self.tr("Fastest first"), "speed"),
            (self.tr("Smallest first"), "size"),
            (self.tr("By name"), "name"),
        ]
        self.order = self._choice(self.tr("Order"), orders)
        self._filters = FlowLayout()
        self._filters.addWidget(self.search)
        for choice in self.choices:
            self._filters.addWidget(choice)
        columns = (
            Column(self.tr("Size"), 90, 1),
            Column(self.tr("Licence"), 168, 2),
            Column(self.tr("On this computer"), 218, 0),
        )
        self.view = RowsView(
            theme, self.tr("Models of the catalogue"), self.tr("Model"), columns, 150, self._menu
        )
        self.view.current_row.connect(lambda _: self._show_actions())
        self.view.opened.connect(self.show_offer)
        self.view.acted.connect(self.get)
        self.details = Button(theme, self.tr("Details and licence…"), icon="info", size=16)
        self.download = Button(
            theme, self.tr("Download"), look="primary", icon="download", tint="on_accent", size=16
        )
        self.details.clicked.connect(lambda: self._with_current(self.show_offer))
        self.download.clicked.connect(lambda: self._with_current(self.get))
        self.bar = ActionBar(
            theme,
            self.tr("Choose a model to see what it needs and what it would be like here."),
            *(self.download, self.details),
        )
        self.empty = label("", "dim", wrap=True)
        self.empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.empty.hide()
        self.note = label(self.tr("Looking at the catalogue and at this computer…"), "dim", wrap=True)
        self.problem = label("", "warn", wrap=True)
        self.problem.hide()
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.addWidget(self.recommended)
        self._column.addLayout(self._filters)
        self._column.addWidget(self.problem)
        self._column.addWidget(self.view, 1)
        self._column.addWidget(self.empty, 1)
        self._column.addWidget(self.bar)
        self._column.addWidget(self.note)
        downloads.listed.connect(self._show_rows)
        downloads.asking.connect(self._show_rows)
        downloads.changed.connect(self._show_pull)
        theme.changed.connect(self._fit)
        self._fit()

    @property
    def choices(self) -> tuple[Choice, ...]:
        """What is filtered and sorted by."""
        return (
            *(self.family, self.fits, self.size_choice, self.licence),
            *(self.ability, self.language, self.order),
        )

    def refresh(self) -> None:
        """Look at the catalogue and the free memory; of several answers under way the last one counts.

        A filter asks nobody: it chooses among what was found here.
        """
        self._asked += 1
        number = self._asked
        catalogue, language = self._rooms.catalogue, QLocale().bcp47Name()[:2]

        def look() -> Found:
            loaded = catalogue.loaded()
            return Found(loaded, catalogue.offers(), catalogue.recommended(language))

        job = self._jobs.run(look, lane="catalogue")
        job.returned.connect(lambda found: self._show(found) if number == self._asked else None)
        job.failed.connect(lambda error: self._fail(error) if number == self._asked else None)

    def show_installed(self, models: Sequence[LibraryModel]) -> None:
        """Mark which models of the catalogue are here."""
        self._here = {model.catalogue_id: model for model in models if model.catalogue_id}
        self._show_rows()

    def get(self, key: str) -> None:
        """Download the model of that id."""
        offer = self.offers.get(key)
        if offer is not None and self._may_get and offer.allowed:
            self._downloads.start_entry(offer.entry)

    def show_offer(self, key: str) -> None:
        """Everything that is known of the model of that id."""
        offer = self.offers.get(key)
        if offer is None:
            return
        dialog = OfferDialog.of_entry(self._theme, self, self._jobs, self._rooms, self._downloads, offer)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.open()

    # ------------------------------------------------------------ filters

    def _choice(self, name: str, items: Sequence[tuple[str, object]]) -> Choice:
        choice = _Filter(self._theme)
        choice.setAccessibleName(name)
        choice.view().setAccessibleName(name)
        for text, value in items:
            choice.addItem(text, value)
        choice.activated.connect(lambda _: self._filter())
        return choice

    def _wanted(self) -> Wanted:
        ability = self.ability.currentData()
        family = self.family.currentData()
        return Wanted(
            text=self.search.text(),
            families=(family,) if family else (),
            abilities=(ability,) if ability in ("vision", "thinking", "tools") else (),
            language=self.language.currentData(),
            commercial=tuple(self.licence.currentData()),
            kind="embedding" if ability == "embedding" else None,
            largest=self.size_choice.currentData(),
        )

    def _fill_choices(self, entries: Sequence[CatalogueEntry]) -> None:
        if self.family.count() == 1:
            for family in families(entries):
                self.family.addItem(family, family)
        if self.language.count() == 1:
            codes = {code for entry in entries for code in entry.languages}
            named = sorted((QLocale.languageToString(QLocale(code).language()), code) for code in codes)
            for name, code in named:
                self.language.addItem(name, code)

    # ------------------------------------------------------------ showing

    def _fail(self, error: LocalAIError) -> None:
        self.empty.setText(error.line)
        self.empty.show()
        self.failed.emit(error)

    def _show(self, found: Found) -> None:
        self._found = found
        self._fill_choices(found.loaded.catalogue.entries)
        self.problem.setText("\n".join(found.loaded.problems))
        self.problem.setVisible(bool(found.loaded.problems))
        self._filter()

    def _filter(self) -> None:
        """Show what is wanted of what was found."""
        self._typing.stop()
        if self._found is None:
            return
        found = {offer.entry.id: offer for offer in self._found.offers}
        wanted = search([offer.entry for offer in found.values()], self._wanted())
        if self.fits.currentData():
            wanted = [entry for entry in wanted if _rank(found[entry.id]) > 0]
        ordered = sort(
            wanted,
            self.order.currentData(),
            speed=lambda entry: _speed(found[entry.id]),
            fit=lambda entry: _rank(found[entry.id]),
        )
        self.offers = {entry.id: found[entry.id] for entry in ordered}
        loaded = self._found.loaded
        self.note.setText(self._source(loaded))
        self.empty.setText(
            self.tr("No model of the catalogue is like that. Choose less, or clear the search.")
            if loaded.catalogue.entries
            else self.tr("There is no catalogue.")
        )
        self.empty.setVisible(not self.offers)
        self.view.setVisible(bool(self.offers))
        self._show_rows()

    def _source(self, loaded: LoadedCatalogue) -> str:
        if loaded.source == "none":
            return ""
        maker = self.tr("your organisation") if loaded.source == "organisation" else "LocalAI App"
        published = loaded.catalogue.published
        day = QLocale().toString(QDate(published.year, published.month, published.day), "d MMM yyyy")
        return self.tr(
            "{0} of {1} models. Catalogue signed by {2}, {3}. Every file is checked against its SHA-256 "
            "and tried in a confined process before use. Memory and speed are estimates."
        ).format(len(self.offers), len(loaded.catalogue.entries), maker, day)

    def _show_rows(self) -> None:
        if self._found is None:
            return
        self.view.show_rows([self._row(offer) for offer in self.offers.values()])
        best = self._found.recommended
        wanted = best is not None and self._may_get and self._state(best)[0]
        self.recommended.show_offer(best, wanted=bool(wanted), speed=self._downloads.speed)
        self._show_actions()

    def _show_pull(self, pull: Pull) -> None:
        if any(offer.entry.repository == pull.repo for offer in self.offers.values()):
            self._show_rows()

    def _state(self, offer: Offer) -> tuple[bool, str, float | None]:
        """Whether the model can be got now, and else what stands in place of the button."""
        entry = offer.entry
        if entry.id in self._here:
            return False, self.tr("Installed"), None
        if entry.id in self._downloads.asked:
            return False, self.tr("Asking the hub…"), None
        pull = self._downloads.of_entry(entry)
        if pull is not None and pull.state not in (PullState.CANCELLED, PullState.INSTALLED):
            states = {
                PullState.PAUSED: self.tr("Paused"),
                PullState.FAILED: self.tr("Stopped, see above"),
                PullState.CHECKING: self.tr("Being tried…"),
                PullState.QUEUED: self.tr("Waiting"),
            }
            fraction = pull.done / max(1, pull.total)
            percent = self.tr("{0} %").format(int(100 * fraction))
            return False, states.get(pull.state, percent), fraction
        if not self._may_get or not offer.allowed:
            return False, "", None
        return True, "", None

    def _row(self, offer: Offer) -> Row:
        entry = offer.entry
        can, state, progress = self._state(offer)
        under = [entry.family, entry.quantisation]
        if self._found and self._found.recommended and self._found.recommended.entry.id == entry.id:
            under.append(self.tr("suits this computer best"))
        elif words.abilities(entry):
            under.append(words.abilities(entry))
        return Row(
            entry.id,
            entry.name,
            " · ".join(under),
            (
                Cell(words.size(entry.size) if entry.size else "?"),
                words.licence_cell(words.licence_name(entry), entry.licence.commercial),
                words.fit_cell(offer),
            ),
            action=self.tr("Download") if can else "",
            icon="download" if can else "",
            state=state,
            progress=progress,
        )

    def _show_actions(self) -> None:
        row = self.view.current
        offer = self.offers.get(row.key) if row is not None and isinstance(row.key, str) else None
        if offer is None:
            self.bar.show_row("", "")
            return
        self.bar.show_row(offer.entry.name, offer_words(offer))
        can = self._state(offer)[0]
        self.bar.show_buttons(*([self.download] if can else []), self.details)

    def _with_current(self, act: object) -> None:
        row = self.view.current
        if row is not None and callable(act):
            act(row.key)

    def _menu(self, key: Hashable) -> QMenu | None:
        self.view.choose(key)
        menu = QMenu(self)
        for button in (self.download, self.details):
            if not button.isHidden():
                menu.addAction(button.text().strip(), button.click)
        return menu

    def _fit(self) -> None:
        px = self._theme.px
        self._column.setSpacing(px(10))
        self._filters.setSpacing(px(8))
        self.search.setMinimumWidth(px(210))


def offer_line(offer: Offer) -> str:
    """Size, licence, speed: ``4.2 GB · Apache-2.0, commercial use allowed · about 9 tokens/s here``."""
    entry = offer.entry
    parts = [words.size(entry.size)] if entry.size else []
    parts.append(f"{words.licence_name(entry)}, {words.commercial(entry.licence.commercial)}")
    speed = words.speed_of(offer)
    if speed:
        parts.append(words.tr("{0} here").format(speed))
    if offer.outlook:
        fit = offer.outlook.fit
        parts.append(words.tr("needs {0} free memory").format(words.part_of(fit.total, fit.available)))
    return " · ".join(parts)


def _rank(offer: Offer) -> int:
    """How well it fits, the best highest; 0: it does not, -1: nobody can tell."""
    ranks = {"fits": 3, "partly on GPU": 2, "tight": 1, "will not fit": 0}
    return ranks[offer.outlook.fit.grade] if offer.outlook else -1


def _speed(offer: Offer) -> float:
    return offer.outlook.speed.tokens_per_second if offer.outlook and offer.outlook.speed else 0.0


def offer_words(offer: Offer) -> str:
    """The numbers behind the grade."""
    if not offer.allowed:
        return words.tr("Your organisation does not allow this model. Ask its administrator if you need it.")
    return offer.outlook.words if offer.outlook else words.tr("The catalogue does not know its size.")


def download_seconds(entry: CatalogueEntry, speed: float) -> float:
    """How long it takes at the speed that was seen last; 0: nobody can tell."""
    return entry.size / speed if entry.size and speed else 0.0
