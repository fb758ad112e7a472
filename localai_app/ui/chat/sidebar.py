"""The conversations beside the transcript: new, find, rename, trash."""

from enum import Enum
from functools import partial

from PySide6.QtCore import QEvent, QObject, Qt, QTimer, Signal
from PySide6.QtGui import QAction, QKeyEvent
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMenu,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from localai_app.chat.conversation import Conversation, SearchHit
from localai_app.chat.service import ChatService
from localai_app.errors import LocalAIError
from localai_app.ui.chat.conversation_list import (
    PAGE,
    ConversationModel,
    ConversationView,
    menu_action,
)
from localai_app.ui.chat.search_list import SearchDelegate, SearchModel
from localai_app.ui.jobs import Jobs
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button, IconButton
from localai_app.ui.widgets.labels import label
from localai_app.ui.widgets.padlock import Lock, Locks
from localai_app.ui.widgets.results import ResultsView

SEARCH_DELAY_MS = 150

EXPORTS = (("md", "Markdown"), ("html", "HTML"), ("json", "JSON"), ("docx", "Word (DOCX)"))


class View(Enum):
    """What the list shows."""

    CHATS = 0
    SEARCH = 1
    TRASH = 2


class Sidebar(QFrame):
    """Emits what the person wants; the page does it and tells the models."""

    new_requested = Signal()
    opened = Signal(int)
    hit_opened = Signal(object)
    rename_requested = Signal(int, str)
    trash_requested = Signal(int)
    restore_requested = Signal(int)
    delete_requested = Signal(int)
    export_requested = Signal(int, str)
    failed = Signal(object)
    chats_shown = Signal()
    """The list of chats is back in view, after search or trash."""

    def __init__(self, theme: Theme, jobs: Jobs, chat: ChatService, locks: Locks) -> None:
        super().__init__()
        self._theme, self._jobs, self._chat, self._locks = theme, jobs, chat, locks
        self._query = ""
        self.setProperty("look", "sidebar")
        self.new_button = Button(
            theme, self.tr("New chat"), look="primary", icon="plus", tint="on_accent", size=17
        )
        self.new_button.clicked.connect(self.new_requested)
        self.search_field = QLineEdit()
        self.search_field.setPlaceholderText(self.tr("Search everything"))
        self.search_field.setAccessibleName(self.tr("Search all chats"))
        self.search_field.setClearButtonEnabled(False)
        self._search_icon = QAction(theme.icon("search"), "", self.search_field)
        self.search_field.addAction(self._search_icon, QLineEdit.ActionPosition.LeadingPosition)
        self._key = QLabel("Ctrl K", self.search_field)
        self._key.setProperty("look", "dim")
        self._key.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._clear = IconButton(theme, "x", self.tr("End the search"), self.search_field, size=14)
        self._clear.hide()
        self._clear.clicked.connect(self.end_search)
        self.search_field.textChanged.connect(self._search_soon)
        self.search_field.installEventFilter(self)
        self.chats = ConversationModel()
        self.trashed = ConversationModel(grouped=False)
        self.hits = SearchModel()
        self.chat_view = ConversationView(theme, self.chats, self._chat_menu)
        self.trash_view = ConversationView(theme, self.trashed, self._trash_menu)
        self.trash_view.setAccessibleName(self.tr("Trash"))
        self.search_view = ResultsView(theme, self.tr("Search results"), self.hits, SearchDelegate(theme))
        self._title = QWidget()
        self._title_text = label("", "strong")
        self._back = IconButton(theme, "arrow-left", self.tr("Back to the chats"))
        self._back.clicked.connect(self.show_chats)
        title = QHBoxLayout(self._title)
        title.setContentsMargins(0, 0, 0, 0)
        title.addWidget(self._back)
        title.addWidget(self._title_text, 1)
        self._stack = QStackedWidget()
        for view in (self.chat_view, self.search_view, self.trash_view):
            self._stack.addWidget(view)
        self._nothing = label("", "dim", wrap=True)
        self._nothing.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignHCenter)
        self.trash_button = Button(theme, self.tr("Trash"), look="flat", icon="trash-2", size=17)
        self.trash_button.clicked.connect(self.show_trash)
        self._column = QVBoxLayout(self)
        self._column.addWidget(self.new_button)
        self._column.addWidget(self.search_field)
        self._column.addWidget(self._title)
        self._column.addSpacing(theme.px(2))
        self._column.addWidget(self._nothing)
        self._column.addWidget(self._stack, 1)
        self._column.addWidget(self.trash_button)
        self._connect()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(SEARCH_DELAY_MS)
        self._timer.timeout.connect(self._search)
        theme.changed.connect(self._fit)
        self._fit()
        self._show(View.CHATS)

    @property
    def view(self) -> View:
        """What is shown."""
        return View(self._stack.currentIndex())

    def load(self) -> None:
        """Fetch the first page of conversations."""
        self.chats.reset()

    def focus_search(self) -> None:
        """Type to search."""
        self.search_field.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.search_field.selectAll()

    def end_search(self) -> None:
        """Back to the list."""
        self.search_field.clear()

    def show_trash(self) -> None:
        """List what lies in the trash."""
        self.search_field.blockSignals(True)
        self.search_field.clear()
        self.search_field.blockSignals(False)
        self.trashed.reset()
        self._show(View.TRASH)

    def show_chats(self) -> None:
        """List the conversations."""
        self._show(View.CHATS)
        self.chats_shown.emit()

    def _connect(self) -> None:
        self.chat_view.opened.connect(self.opened)
        self.chat_view.trash_requested.connect(self.trash_requested)
        self.trash_view.opened.connect(self.opened)
        self.trash_view.trash_requested.connect(self.delete_requested)
        self.search_view.opened.connect(self.hit_opened)
        self.chats.rename_requested.connect(self.rename_requested)
        self.trashed.rename_requested.connect(self.rename_requested)
        self.chats.page_wanted.connect(lambda offset: self._fetch(self.chats, offset, trashed=False))
        self.trashed.page_wanted.connect(lambda offset: self._fetch(self.trashed, offset, trashed=True))
        for model in (self.chats, self.trashed, self.hits):
            for signal in (model.rowsInserted, model.rowsRemoved, model.modelReset):
                signal.connect(self._show_nothing)

    def _fetch(self, model: ConversationModel, offset: int, *, trashed: bool) -> None:
        job = self._jobs.run(lambda: self._chat.conversations(trashed=trashed, limit=PAGE, offset=offset))
        job.returned.connect(model.add_page)
        job.returned.connect(self._show_nothing)
        job.failed.connect(self.failed)

    def _show(self, view: View) -> None:
        self._stack.setCurrentIndex(view.value)
        self._title.setVisible(view is not View.CHATS)
        self._back.setVisible(view is View.TRASH)
        self._title_text.setText(
            {View.TRASH: self.tr("Trash"), View.SEARCH: self.tr("Results")}.get(view, "")
        )
        self.trash_button.setVisible(view is View.CHATS)
        self._show_nothing()

    def _show_nothing(self, *_: object) -> None:
        """Say so where a list is empty."""
        text = ""
        if self.view is View.TRASH and not self.trashed.rowCount():
            text = self.tr("The trash is empty.")
        elif self.view is View.SEARCH and not self.hits.hits and self._query:
            text = self.tr("Nothing found.")
        self._nothing.setText(text)
        self._nothing.setVisible(bool(text))

    def _search_soon(self, text: str) -> None:
        self._clear.setVisible(bool(text))
        self._key.setVisible(not text)
        if text.strip():
            self._timer.start()
        else:
            self._timer.stop()
            self._query = ""
            if self.view is View.SEARCH:
                self.show_chats()

    def _search(self) -> None:
        self._query = query = self.search_field.text().strip()
        job = self._jobs.run(lambda: self._chat.search(query), lane="search")
        job.returned.connect(lambda hits: self._show_hits(query, hits))
        job.failed.connect(self._search_failed)

    def _show_hits(self, query: str, hits: list[SearchHit]) -> None:
        if query == self._query:
            self.hits.set_hits(hits)
            self._show(View.SEARCH)

    def _search_failed(self, error: LocalAIError) -> None:
        self.hits.set_hits([])
        self._show(View.SEARCH)
        self.failed.emit(error)

    def _chat_menu(self, conversation: Conversation) -> QMenu:
        menu = QMenu(self)
        number = conversation.id
        menu_action(menu, self.tr("Rename"), lambda: self.chat_view.rename_current(number))
        export = menu.addMenu(self.tr("Save a copy as"))
        for file_format, name in EXPORTS:
            menu_action(export, name, partial(self.export_requested.emit, number, file_format))
        self._locks.mark(menu, export.menuAction(), Lock.EXPORT)
        menu.addSeparator()
        menu_action(menu, self.tr("Move to trash"), lambda: self.trash_requested.emit(number))
        return menu

    def _trash_menu(self, conversation: Conversation) -> QMenu:
        menu = QMenu(self)
        menu_action(menu, self.tr("Restore"), lambda: self.restore_requested.emit(conversation.id))
        delete = menu_action(
            menu, self.tr("Delete forever…"), lambda: self.delete_requested.emit(conversation.id)
        )
        self._locks.mark(menu, delete, Lock.ERASE)
        return menu

    def _fit(self) -> None:
        px = self._theme.px
        self._column.setContentsMargins(px(12), px(12), px(12), px(10))
        self._column.setSpacing(px(8))
        self.new_button.setMinimumHeight(px(34))
        self.search_field.setMinimumHeight(px(34))
        self._place_in_field()

    def _place_in_field(self) -> None:
        px, field = self._theme.px, self.search_field
        size = self._key.sizeHint()
        self._key.setGeometry(
            field.width() - size.width() - px(10),
            (field.height() - size.height()) // 2,
            size.width(),
            size.height(),
        )
        self._key.setVisible(not field.text() and field.width() > px(200))
        side = px(24)
        self._clear.setGeometry(field.width() - side - px(5), (field.height() - side) // 2, side, side)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Keys of the search field: Escape ends, Down goes to the results, Enter opens the best."""
        if event.type() == QEvent.Type.Resize:
            self._place_in_field()
        elif isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            if event.key() == Qt.Key.Key_Escape:
                self.end_search()
                return True
            if event.key() == Qt.Key.Key_Down and self.view is View.SEARCH:
                self.search_view.setFocus()
                if not self.search_view.currentIndex().isValid():
                    self.search_view.setCurrentIndex(self.hits.index(0))
                return True
            if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.view is View.SEARCH:
                self.search_view.open_first()
                return True
        return False
