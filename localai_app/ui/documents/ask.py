"""The middle of the Documents page: questions to the chosen documents, and the answers."""

from collections.abc import Callable, Sequence

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QMenu, QVBoxLayout, QWidget

from localai_app.chat.conversation import Conversation
from localai_app.chat.service import ChatService
from localai_app.documents.document import Scope
from localai_app.documents.grounding import Mode, Sources
from localai_app.errors import LocalAIError
from localai_app.ui.chat.conversation_list import menu_action, shown_title
from localai_app.ui.chat.pane import ConversationPane
from localai_app.ui.documents import words
from localai_app.ui.documents.rooms import DocumentRooms
from localai_app.ui.jobs import Jobs
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button, IconButton
from localai_app.ui.widgets.labels import ElidedLabel, label
from localai_app.ui.widgets.toast import Toast

HISTORY, SEARCHED = 20, 400
"""Earlier questions that are offered, and how many conversations are looked through for them."""


class Blank(QWidget):
    """What stands where there is no question yet."""

    add_requested = Signal()

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self.title = label("", "title", wrap=True)
        self.words = label("", "dim", wrap=True)
        self.add_button = Button(
            theme, self.tr("Add documents"), look="primary", icon="plus", tint="on_accent", size=17
        )
        self.add_button.clicked.connect(self.add_requested)
        self._held = QWidget()
        self._inside = QVBoxLayout(self._held)
        self._inside.setContentsMargins(0, 0, 0, 0)
        for part in (self.title, self.words):
            self._inside.addWidget(part)
        button = QHBoxLayout()
        button.addWidget(self.add_button)
        button.addStretch(1)
        self._inside.addLayout(button)
        self._outer = QVBoxLayout(self)
        row = QHBoxLayout()
        row.addStretch(1)
        row.addWidget(self._held, 10_000)
        row.addStretch(1)
        self._outer.addStretch(2)
        self._outer.addLayout(row)
        self._outer.addStretch(3)
        theme.changed.connect(self._fit)
        self._fit()
        self.show_state("", 0, reading=False)

    def show_state(self, name: str, documents: int, *, reading: bool) -> None:
        """Say what to do with ``documents`` documents of ``name``."""
        if documents:
            self.title.setText(self.tr("Ask {0}").format(name) if name else self.tr("Ask your documents"))
            text = self.tr(
                "Answers rest on {0} and cite the page; each citation opens it with the words marked. "
                "What is not in the documents is said to be not there."
            ).format(words.documents(documents))
            if reading:
                text += " " + self.tr("Some are still being read: they are asked once that is done.")
        else:
            self.title.setText(self.tr("Add documents to ask them"))
            text = self.tr(
                "Files or whole folders: PDF, Word, Excel, PowerPoint, mail, scans and plain text. "
                "Or drop them here. They are read on this computer, by a process that can do nothing else, "
                "and kept encrypted."
            )
        self.words.setText(text)
        self.add_button.setVisible(not documents)

    def _fit(self) -> None:
        px = self._theme.px
        self._held.setMaximumWidth(px(460))
        self._inside.setSpacing(px(10))
        self._outer.setContentsMargins(px(24), px(16), px(24), px(16))


class AskPanel(QFrame):
    """One conversation whose sources are what is chosen at the left."""

    add_requested = Signal()
    all_requested = Signal()
    """The person wants to ask the whole collection, no longer some of its documents."""
    failed = Signal(object)

    def __init__(
        self, theme: Theme, jobs: Jobs, chat: ChatService, rooms: DocumentRooms, toast: Callable[[], Toast]
    ) -> None:
        super().__init__()
        self._theme, self._jobs, self._chat = theme, jobs, chat
        self.setProperty("look", "page")
        self._scope = Scope()
        self._name, self._amount, self._reading = "", 0, False
        self.blank = Blank(theme)
        self.pane = ConversationPane(theme, jobs, chat, toast, self.blank, rooms)
        self.pane.composer.edit.setPlaceholderText(self.tr("Ask these documents…"))
        self.pane.composer.edit.setAccessibleName(self.tr("Question to these documents"))
        self.pane.composer.panel_button.hide()
        self.pane.sources.shows_chips = False
        self.pane.sources.attach_button.hide()
        self.title = ElidedLabel("", "dim")
        self.all_button = Button(theme, self.tr("Ask all"), look="link")
        self.all_button.setToolTip(self.tr("Ask the whole collection again"))
        self.all_button.clicked.connect(self.all_requested)
        self.history_button = IconButton(theme, "history", self.tr("Earlier questions"), size=17)
        self.history_button.clicked.connect(self._offer_history)
        self.new_button = Button(theme, self.tr("New question"), icon="plus", size=15)
        self.new_button.clicked.connect(self.begin)
        self._bar = QFrame()
        self._bar.setProperty("look", "header")
        self._bar_row = QHBoxLayout(self._bar)
        self._bar_row.addWidget(self.title, 1)
        for widget in (self.all_button, self.history_button, self.new_button):
            self._bar_row.addWidget(widget)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self._bar)
        column.addWidget(self.pane, 1)
        self.blank.add_requested.connect(self.add_requested)
        self.pane.shown_changed.connect(self._show_tools)
        self.all_button.hide()
        theme.changed.connect(self._fit)
        self._fit()

    @property
    def scope(self) -> Scope:
        """What is asked."""
        return self._scope

    def show_scope(self, scope: Scope, name: str, amount: int, *, reading: bool) -> None:
        """Ask ``scope``, called ``name``, of ``amount`` documents; another scope begins a new question."""
        changed = scope != self._scope or self.pane.sources.sources is None
        self._scope, self._name, self._amount, self._reading = scope, name, amount, reading
        self.title.setText(self.tr("{0} · {1}").format(name, words.documents(amount)))
        self.all_button.setVisible(bool(scope.documents))
        everything = scope == Scope()
        self.blank.show_state("" if everything else name, amount, reading=reading)
        self.pane.composer.setEnabled(amount > 0)
        if changed:
            self.begin()

    def begin(self) -> None:
        """Begin a new question."""
        sources = self.pane.sources.sources
        mode = sources.mode if sources is not None and sources.mode is not Mode.EXHAUSTIVE else Mode.AUTO
        self.pane.begin_new(Sources(self._scope, mode))

    def focus(self) -> None:
        """Type a question."""
        self.pane.composer.edit.setFocus()

    def menu(self, conversations: Sequence[Conversation]) -> QMenu:
        """Earlier questions to what is asked now."""
        menu = QMenu(self)
        for each in conversations:
            title = shown_title(each).replace("&", "&&")
            menu_action(menu, title, lambda number=each.id: self.pane.open(number))  # type: ignore[misc]
        if menu.isEmpty():
            menu_action(menu, self.tr("No question has been asked here yet"), lambda: None).setEnabled(False)
        return menu

    def _offer_history(self) -> None:
        scope = self._scope

        def look() -> list[Conversation]:
            rows = self._chat.conversations(limit=SEARCHED)
            return [row for row in rows if row.sources is not None and row.sources.scope == scope][:HISTORY]

        job = self._jobs.run(look)
        job.returned.connect(self._pop_up)
        job.failed.connect(self._fail)

    def _pop_up(self, conversations: list[Conversation]) -> None:
        menu = self.menu(conversations)
        menu.exec(self.history_button.mapToGlobal(self.history_button.rect().bottomLeft()))
        menu.deleteLater()

    def _fail(self, error: LocalAIError) -> None:
        self.failed.emit(error)

    def _show_tools(self) -> None:
        self.new_button.setVisible(self.pane.current is not None)

    def _fit(self) -> None:
        px = self._theme.px
        self._bar_row.setContentsMargins(px(18), px(8), px(10), px(8))
        self._bar_row.setSpacing(px(4))
        self._bar.setMinimumHeight(px(54))
        self.setMinimumWidth(px(300))
