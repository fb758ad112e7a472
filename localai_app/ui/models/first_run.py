"""The first start: one page, one button."""

from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QLocale, Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from localai_app.models.catalogue_service import Offer
from localai_app.models.library import LibraryModel
from localai_app.ui.jobs import Jobs
from localai_app.ui.models import words
from localai_app.ui.models.downloads import Downloads
from localai_app.ui.models.rooms import ModelRooms
from localai_app.ui.theme import COLUMN, Theme
from localai_app.ui.widgets.buttons import Button
from localai_app.ui.widgets.flow import FlowLayout
from localai_app.ui.widgets.labels import label


@dataclass(frozen=True)
class Advice:
    """What a new person should use: a model that the organisation laid out, else one to fetch."""

    laid_out: LibraryModel | None
    offer: Offer | None
    starter: bool = True
    """The starter model is here. A slim installation has none."""


def wanted(rooms: ModelRooms) -> bool:
    """Whether the page should be shown: no model but the starter, and nobody chose or fetches one."""
    models = rooms.library.models()
    own = [m for m in models if m.kind == "chat" and not m.file.starter and m.place != "machine-wide"]
    chosen = any(model.selected and not model.file.starter for model in models)
    laid_out = any(m.place == "machine-wide" and m.kind == "chat" and not m.file.starter for m in models)
    return not own and not chosen and not rooms.pulls.pulls() and (laid_out or rooms.may_connect)


def advice(rooms: ModelRooms, language: str) -> Advice:
    """What to recommend here. Of several models that were laid out: the largest that fits."""
    models = rooms.library.models()
    starter = any(model.file.starter for model in models)
    laid_out = [
        model
        for model in models
        if model.place == "machine-wide" and model.kind == "chat" and not model.file.starter
    ]
    laid_out.sort(key=lambda model: model.file.size, reverse=True)
    if laid_out:
        fits = (model for model in laid_out if rooms.models.plan(model.path).refusal is None)
        return Advice(next(fits, laid_out[-1]), None, starter)
    return Advice(None, rooms.catalogue.recommended(language) if rooms.may_connect else None, starter)


class FirstRun(QWidget):
    """Says what is recommended for this computer, and gets it."""

    use_requested = Signal(object)
    """The model at this `Path` shall answer."""
    download_requested = Signal(object)
    """This `CatalogueEntry` is wanted."""
    declined = Signal()
    catalogue_requested = Signal()

    def __init__(self, theme: Theme, jobs: Jobs, rooms: ModelRooms, downloads: Downloads) -> None:
        super().__init__()
        self._theme, self._jobs, self._rooms, self._downloads = theme, jobs, rooms, downloads
        self._advice = Advice(None, None)
        self.setProperty("look", "page")
        self.setAccessibleName(self.tr("First start"))
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._hello = label(self.tr("A model that suits this computer"), "hero", wrap=True)
        self._line = label("", "dim", wrap=True)
        self._card = QFrame()
        self._card.setProperty("look", "recommended")
        self.title = label(self.tr("Looking at this computer…"), "title", wrap=True)
        self.facts = label("", "", wrap=True)
        self.time = label("", "dim", wrap=True)
        self.licence = label("", "dim", wrap=True)
        self.button = Button(theme, "", look="primary", icon="download", tint="on_accent", size=16)
        self.button.clicked.connect(self._act)
        self.button.hide()
        self._inside = QVBoxLayout(self._card)
        for part in (self.title, self.facts, self.licence, self.time):
            self._inside.addWidget(part)
        self._inside.addWidget(self.button, 0, Qt.AlignmentFlag.AlignLeft)
        self.not_now = Button(theme, "", look="link")
        self.not_now.clicked.connect(self.declined)
        self.others = Button(theme, self.tr("See all models"), look="link")
        self.others.clicked.connect(self.catalogue_requested)
        foot = FlowLayout()
        foot.addWidget(self.not_now)
        foot.addWidget(self.others)
        self._stays = label(
            self.tr("Your chats stay on this computer, whichever model you use."), "dim", wrap=True
        )
        inner = QWidget()
        inner.setProperty("look", "plain")
        self._column = QVBoxLayout(inner)
        for widget in (self._hello, self._line, self._card):
            self._column.addWidget(widget)
        self._column.addLayout(foot)
        self._column.addWidget(self._stays)
        self._inner = inner
        holder = QWidget()
        holder.setProperty("look", "plain")
        row = QHBoxLayout()
        row.addStretch(1)
        row.addWidget(inner, 10_000)
        row.addStretch(1)
        self._outer = QVBoxLayout(holder)
        self._outer.addStretch(2)
        self._outer.addLayout(row)
        self._outer.addStretch(3)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(holder)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(area)
        theme.changed.connect(self._fit)
        self._fit()
        self._show_starter(here=True)

    def load(self) -> None:
        """Find out what to recommend."""
        rooms, language = self._rooms, QLocale().bcp47Name()[:2]
        job = self._jobs.run(lambda: advice(rooms, language), lane="catalogue")
        job.returned.connect(self.show_advice)
        job.failed.connect(lambda error: self._show_nothing(error.line))

    def focus_first(self) -> None:
        """Enter means the button, Tab goes to it."""
        # No button has the focus: whoever is just beginning to type must not press one with a space.
        self.setFocus(Qt.FocusReason.OtherFocusReason)

    def show_advice(self, found: Advice) -> None:
        """Show what is recommended."""
        self._advice = found
        self._show_starter(found.starter)
        if found.laid_out is not None:
            self._show_laid_out(found.laid_out)
        elif found.offer is not None:
            self._show_offer(found.offer)
        else:
            self._show_nothing(
                self.tr("No model of the catalogue fits the memory that is free on this computer now.")
            )
            return
        self.button.show()

    def _show_starter(self, here: bool) -> None:
        if here:
            self._line.setText(
                self.tr(
                    "The starter model is here already and answers at once, but it is tiny: it makes "
                    "mistakes that larger models do not make."
                )
            )
            self.not_now.set_text(self.tr("Not now, use the starter model"))
        else:
            self._line.setText(self.tr("There is no model here yet: nothing answers before there is one."))
            self.not_now.set_text(self.tr("Not now"))

    def _show_laid_out(self, model: LibraryModel) -> None:
        name = model.file.name
        self.title.setText(name)
        facts = [words.size(model.file.size), model.file.quantisation, self.tr("ready to use")]
        self.facts.setText(" · ".join(filter(None, facts)))
        licence = [model.licence, words.commercial(model.commercial)] if model.licence else []
        self.licence.setText(", ".join(licence))
        self.time.setText(self.tr("Your organisation put it on this computer: nothing is downloaded."))
        self.button.set_text(self.tr("Use {0}").format(name))
        self.button.setIcon(self._theme.icon("check", "on_accent"))

    def _show_offer(self, offer: Offer) -> None:
        entry = offer.entry
        self.title.setText(entry.name)
        size = words.size(entry.size or 0)
        facts = [words.grade(offer)[0]]
        speed = words.speed_of(offer)
        if speed:
            facts.append(self.tr("writes {0} here").format(speed))
        if offer.outlook is not None:
            fit = offer.outlook.fit
            needs = self.tr("needs {0} free memory")
            facts.append(needs.format(words.part_of(fit.total, fit.available)))
        self.facts.setText(" · ".join(facts))
        licence = f"{entry.licence.name}, {words.commercial(entry.licence.commercial)}."
        self.licence.setText(f"{licence} {entry.licence.note}".strip())
        self.button.set_text(self.tr("Download {0}").format(size))
        self.button.setAccessibleName(self.tr("Download {0}, {1}").format(entry.name, size))
        rate = self._downloads.speed
        if rate and entry.size:
            text = self.tr("The download from {0} takes about {1} at the speed of the last one.")
            time = text.format(self._rooms.host, words.duration(entry.size / rate))
        else:
            text = self.tr(
                "It comes from {0}. How long that takes shows once it runs; you can chat meanwhile."
            )
            time = text.format(self._rooms.host)
        self.time.setText(time)

    def _show_nothing(self, text: str) -> None:
        if self._advice.starter:
            self.title.setText(self.tr("The starter model is the one for now"))
        else:
            self.title.setText(self.tr("Put a model file into the models folder"))
        self.facts.setText(text)
        self.licence.clear()
        self.time.clear()
        self.button.hide()

    def _act(self) -> None:
        if self._advice.laid_out is not None:
            path: Path = self._advice.laid_out.path
            self.use_requested.emit(path)
        elif self._advice.offer is not None:
            self.download_requested.emit(self._advice.offer.entry)

    def _fit(self) -> None:
        px = self._theme.px
        self._inner.setMaximumWidth(px(COLUMN - 80))
        self._outer.setContentsMargins(px(24), px(20), px(24), px(20))
        self._column.setSpacing(px(14))
        self._inside.setContentsMargins(px(20), px(18), px(20), px(18))
        self._inside.setSpacing(px(8))

    # ------------------------------------------------------------ Qt

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter takes what is recommended, Escape does not."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and not self.button.isHidden():
            self.button.click()
        elif event.key() == Qt.Key.Key_Escape:
            self.declined.emit()
        else:
            super().keyPressEvent(event)
