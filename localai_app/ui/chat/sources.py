"""What a conversation rests on: documents attached in the composer, and how much of them is read."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QObject, Qt, QTimer, Signal
from PySide6.QtGui import QAction, QIcon
from PySide6.QtWidgets import QFileDialog, QFrame, QHBoxLayout, QMenu, QWidget

from localai_app.chat.service import ChatService
from localai_app.documents.document import Scope
from localai_app.documents.grounding import Mode, Price, Sources
from localai_app.ui.documents import words
from localai_app.ui.jobs import Jobs
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button, IconButton
from localai_app.ui.widgets.flow import FlowLayout
from localai_app.ui.widgets.labels import ElidedLabel

if TYPE_CHECKING:
    from localai_app.documents.document import Collection, Document
    from localai_app.documents.service import Added
    from localai_app.ui.chat.composer import Composer
    from localai_app.ui.documents.rooms import DocumentRooms

MODES = (Mode.AUTO, Mode.SEARCH, Mode.WHOLE, Mode.EXHAUSTIVE)
PRICE_DELAY_MS = 600
"""After the last key, before the price of what is written is asked."""
NARROW, NARROWEST = 640, 380
"""Design pixels of the composer below which the price is said in short, and not at all."""
LISTED = 40
"""Documents that the menu offers; the Documents page has all."""
Part = tuple[str, int | None, str]
"""``collection`` or ``document``, its id (None: all documents), its name."""


class SourceChip(QFrame):
    """One thing that is attached, with a button that takes it off."""

    removed = Signal()

    def __init__(self, theme: Theme, kind: str, name: str) -> None:
        super().__init__()
        self.setProperty("look", "chip")
        self.name = name
        text = ElidedLabel(name)
        text.setMaximumWidth(theme.px(220))
        text.setMinimumWidth(min(theme.px(220), text.fontMetrics().horizontalAdvance(name) + theme.px(14)))
        take_off = IconButton(theme, "x", self.tr("Take off: {0}").format(name), size=13)
        take_off.clicked.connect(self.removed)
        picture = IconButton(theme, "folder" if kind == "collection" else "file-text", name, size=14)
        picture.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        picture.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        row = QHBoxLayout(self)
        row.setContentsMargins(theme.px(6), 0, theme.px(4), 0)
        row.setSpacing(theme.px(2))
        for part in (picture, text, take_off):
            row.addWidget(part)


class SourceControls(QObject):
    """Puts its controls into the composer; emits what was chosen."""

    changed = Signal(object)
    """`Sources`, or None for a conversation without documents."""
    failed = Signal(object)
    added = Signal(object)
    """Files were added to the library: an `Added`."""

    def __init__(
        self, theme: Theme, jobs: Jobs, chat: ChatService, rooms: "DocumentRooms | None", composer: "Composer"
    ) -> None:
        super().__init__(composer)
        self._theme, self._jobs, self._chat, self._rooms = theme, jobs, chat, rooms
        self._composer = composer
        self.sources: Sources | None = None
        self.prices: dict[Mode, Price] = {}
        self.chips: list[SourceChip] = []
        self.shows_chips = True
        """False where the page itself says what is asked."""
        self.attach_button = IconButton(theme, "paperclip", self.tr("Attach documents"))
        self.attach_button.clicked.connect(self.offer)
        self.mode_button = Button(theme, words.mode(Mode.AUTO), look="chip-button", icon="book-open", size=14)
        self.mode_button.clicked.connect(self._offer_modes)
        self.mode_menu = QMenu(composer)
        self.mode_menu.setAccessibleName(self.tr("How much of the documents is read"))
        self._mode_actions: dict[Mode, QAction] = {}
        for mode in MODES:
            action = self.mode_menu.addAction(words.mode(mode))
            action.triggered.connect(lambda _checked=False, mode=mode: self._choose_mode(mode))
            self._mode_actions[mode] = action
        self._row = QWidget()
        self._flow = FlowLayout(self._row)
        self._flow.setSpacing(theme.px(6))
        composer.set_head(self._row)
        composer.add_control(self.attach_button)
        composer.add_control(self.mode_button)
        self.attach_button.setVisible(rooms is not None)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(PRICE_DELAY_MS)
        self._timer.timeout.connect(self.ask_prices)
        composer.edit.textChanged.connect(self._price_soon)
        composer.installEventFilter(self)
        self._show()

    # ------------------------------------------------------------ what the pane calls

    def show_sources(self, sources: Sources | None) -> None:
        """Show what the conversation rests on."""
        if sources != self.sources:
            self.prices = {}
        self.sources = sources
        self._show()
        self._name_chips()

    def change(self, sources: Sources | None) -> None:
        """Rest on something else from now on."""
        self.show_sources(sources)
        self.changed.emit(sources)
        self.ask_prices()

    def attach(self, kind: str, number: int | None) -> None:
        """Add a collection or a document; None: all documents."""
        mode = self.sources.mode if self.sources else Mode.AUTO
        before = self.sources.scope if self.sources else Scope()
        if number is None:
            scope = Scope()
        elif kind == "collection":
            scope = replace(before, collections=tuple(dict.fromkeys((*before.collections, number))))
        else:
            scope = replace(before, documents=tuple(dict.fromkeys((*before.documents, number))))
        self.change(Sources(scope, mode))

    def ask_prices(self) -> None:
        """Find out what asking costs; the model's speed may have to be measured first."""
        sources = self.sources
        if sources is None or self._jobs.closed:
            return
        question, chat = self._composer.text, self._chat
        job = self._jobs.run(lambda: chat.prices(question, sources), lane="prices")
        # Where there is nothing to ask yet, the answer will say so.
        job.returned.connect(lambda prices: self._show_prices(sources, prices))

    def _price_soon(self) -> None:
        if self.sources is not None and self._composer.text.strip():
            self._timer.start()

    # ------------------------------------------------------------ attaching

    def offer(self) -> None:
        """Ask what to attach."""
        rooms = self._rooms
        assert rooms is not None, "nothing to attach"
        service = rooms.documents
        job = self._jobs.run(lambda: (service.collections(), service.documents()), lane="documents")
        job.returned.connect(lambda found: self._pop_up(self.menu(*found)))
        job.failed.connect(self.failed)

    def menu(self, collections: "Sequence[Collection]", documents: "Sequence[Document]") -> QMenu:
        """What can be attached."""
        menu = QMenu(self._composer)

        def offer(to: QMenu, text: str, act: Callable[[], object]) -> None:
            action = to.addAction(text.replace("&", "&&"))
            action.triggered.connect(lambda _checked=False: act())

        offer(menu, self.tr("Add files…"), self._choose_files)
        menu.addSeparator()
        if documents:
            offer(menu, self.tr("All documents"), lambda: self.attach("collection", None))
        for each in collections:
            name = f"{each.name} ({words.documents(each.documents)})"
            offer(menu, name, lambda number=each.id: self.attach("collection", number))  # type: ignore[misc]
        if documents:
            latest = sorted(documents, key=lambda document: document.added, reverse=True)[:LISTED]
            more = menu.addMenu(self.tr("One document"))
            for one in latest:
                offer(more, one.name, lambda number=one.id: self.attach("document", number))  # type: ignore[misc]
        return menu

    def add_files(self, paths: Sequence[Path]) -> None:
        """Take files into the library and attach them."""
        rooms = self._rooms
        if rooms is None:
            return
        job = self._jobs.run(lambda: rooms.documents.add(paths), lane="documents-add")
        job.returned.connect(self._attach_added)
        job.failed.connect(self.failed)

    def _choose_files(self) -> None:
        names, _ = QFileDialog.getOpenFileNames(self._composer, self.tr("Attach documents"))
        if names:
            self.add_files([Path(name) for name in names])

    def _attach_added(self, added: "Added") -> None:
        self.added.emit(added)
        for number in (*added.documents, *added.known):
            self.attach("document", number)

    def _pop_up(self, menu: QMenu) -> None:
        menu.exec(self.attach_button.mapToGlobal(self.attach_button.rect().topLeft()))
        menu.deleteLater()

    # ------------------------------------------------------------ how much is read

    def _offer_modes(self) -> None:
        self.ask_prices()
        self.mode_menu.exec(self.mode_button.mapToGlobal(self.mode_button.rect().topLeft()))

    def _choose_mode(self, mode: Mode) -> None:
        if self.sources is not None:
            self.change(replace(self.sources, mode=mode))

    def _show_prices(self, sources: Sources, prices: list[Price]) -> None:
        if self.sources is not None and sources.scope == self.sources.scope:
            self.prices = {price.mode: price for price in prices}
            self.prices[Mode.AUTO] = prices[0]
            self._show()

    def _show(self) -> None:
        sources = self.sources
        self.mode_button.setVisible(sources is not None)
        self._row.setVisible(sources is not None and self.shows_chips)
        if sources is None:
            return
        price = self.prices.get(sources.mode)
        text = words.mode(sources.mode)
        if sources.mode is Mode.AUTO and price is not None:
            text = words.mode(price.mode)
        short = text
        if price is not None:
            text = f"{text} · {words.price(price)}"
            short = f"{short} · {words.price_in_short(price)}"
        room, px = self._composer.width(), self._theme.px
        if room < px(NARROWEST):
            short = short.partition(" · ")[0]
        self.mode_button.set_text(short if room < px(NARROW) else text)
        self.mode_button.setAccessibleName(self.tr("How much is read: {0}").format(text))
        self.mode_button.setToolTip(self.mode_button.accessibleName())
        for mode, action in self._mode_actions.items():
            cost = self.prices.get(mode)
            name = words.mode(mode)
            action.setText(f"{name} · {words.price(cost)}" if cost and mode is not Mode.AUTO else name)
            action.setIcon(self._theme.icon("check", "accent") if mode is sources.mode else QIcon())
            action.setEnabled(cost is None or cost.fits)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Say the price as long as there is room for."""
        if event.type() == QEvent.Type.Resize:
            self._show()
        return False

    # ------------------------------------------------------------ chips

    def _name_chips(self) -> None:
        """Show what is attached by name."""
        sources, rooms = self.sources, self._rooms
        if sources is None or rooms is None or not self.shows_chips:
            self._show_chips([])
            return
        scope, service = sources.scope, rooms.documents

        def look() -> list[Part]:
            names = {each.id: each.name for each in service.collections()} if scope.collections else {}
            parts: list[Part] = [
                ("collection", number, names[number]) for number in scope.collections if number in names
            ]
            parts += [("document", number, service.document(number).name) for number in scope.documents]
            return parts or [("collection", None, words.tr("All documents"))]

        job = self._jobs.run(look, lane="documents")
        job.returned.connect(lambda parts: self._show_chips(parts) if self.sources is sources else None)
        job.failed.connect(self.failed)

    def _show_chips(self, parts: Sequence[Part]) -> None:
        for chip in self.chips:
            self._flow.removeWidget(chip)
            chip.hide()
            chip.deleteLater()
        self.chips = []
        for kind, number, name in parts:
            chip = SourceChip(self._theme, kind, name)
            chip.removed.connect(lambda kind=kind, number=number: self._take_off(kind, number))
            self._flow.addWidget(chip)
            self.chips.append(chip)
        self._flow.invalidate()
        self._row.updateGeometry()

    def _take_off(self, kind: str, number: int | None) -> None:
        assert self.sources is not None, "nothing is attached"
        scope = self.sources.scope
        if kind == "collection":
            left = replace(scope, collections=tuple(each for each in scope.collections if each != number))
        else:
            left = replace(scope, documents=tuple(each for each in scope.documents if each != number))
        something = number is not None and (left.collections or left.documents)
        self.change(replace(self.sources, scope=left) if something else None)
