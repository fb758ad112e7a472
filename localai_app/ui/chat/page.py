"""The Chat page: ties sidebar, conversation and parameter panel to the chat service."""

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QSplitter, QWidget

from localai_app.chat.conversation import Conversation, Message, Parameters, SearchHit
from localai_app.chat.service import ChatService
from localai_app.engine.protocol import ModelInfo
from localai_app.errors import LocalAIError
from localai_app.models.installed import InstalledModel
from localai_app.ui.chat.empty import EmptyState
from localai_app.ui.chat.pane import ConversationPane, Create
from localai_app.ui.chat.parameters import ParameterPanel
from localai_app.ui.chat.search_list import found_words
from localai_app.ui.chat.sidebar import Sidebar, View
from localai_app.ui.documents.rooms import DocumentRooms
from localai_app.ui.jobs import Job, Jobs
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.dialogs import confirm
from localai_app.ui.widgets.padlock import Lock, Locks
from localai_app.ui.widgets.toast import Toast


class ChatPage(QWidget):
    """One conversation at a time; answers of others go on in the background."""

    context_used = Signal(int)
    """Tokens of context that the shown conversation takes; 0 when not known."""
    model_loading = Signal()
    """An answer waits for its model."""
    model_used = Signal()
    """An answer found its model loaded, or ended: what is loaded may be another model now."""
    citation_opened = Signal(tuple, int)
    """The person wants to see one of these citations."""

    def __init__(  # noqa: PLR0917 - what a page needs
        self,
        theme: Theme,
        jobs: Jobs,
        chat: ChatService,
        toast: Callable[[], Toast],
        documents: DocumentRooms | None,
        locks: Locks,
    ) -> None:
        super().__init__()
        self._theme, self._jobs, self._chat, self._toast = theme, jobs, chat, toast
        self.sidebar = Sidebar(theme, jobs, chat, locks)
        self.empty = EmptyState(theme)
        self.pane = ConversationPane(theme, jobs, chat, toast, self.empty, documents)
        self.pane.preparing = self._prepare
        locks.hold(self.pane.notice.delete_button, Lock.ERASE)
        self.pane.transcript.locks = locks
        self.transcript, self.composer = self.pane.transcript, self.pane.composer
        self.panel = ParameterPanel(theme)
        self.panel.hide()
        self._build()
        self._connect()

    # ------------------------------------------------------------ what the window calls

    @property
    def current_id(self) -> int | None:
        """Id of the shown conversation; None for a new chat."""
        return self.pane.current_id

    def _shown_id(self) -> int:
        assert self.pane.current is not None, "no conversation is shown"
        return self.pane.current.id

    @property
    def generating(self) -> bool:
        """True while an answer in the shown conversation is written."""
        return self.pane.generating

    @property
    def any_generating(self) -> bool:
        """True while any answer is written."""
        return self.pane.any_generating

    def new_chat(self) -> None:
        """Begin with an empty page."""
        self.pane.begin_new()
        self.sidebar.show_chats()
        self.sidebar.chat_view.show_current(None)
        self.panel.show_values("", Parameters())
        self.composer.edit.setFocus()

    def open(self, conversation_id: int, then: Callable[[], None] | None = None) -> None:
        """Show a conversation; ``then`` runs when it is there."""
        # What is shown already keeps the focus where it is, such as in its title that is being edited.
        focus = self._focus_composer if conversation_id != self.current_id else None
        self.pane.open(conversation_id, then or focus)

    def set_model(
        self, selected: InstalledModel | None, info: ModelInfo | None, error: LocalAIError | None
    ) -> None:
        """Say what is to be known about the model that answers."""
        note = ""
        if error is not None:
            note = error.line
        elif info is not None and info.chat_template is None:
            note = self.tr("This is a base model: it continues text rather than answering.")
        elif selected is not None and selected.starter:
            note = self.tr(
                "The starter model is tiny: quick on any computer, but often wrong. "
                "Choose a larger model at the top for real work."
            )
        self.empty.set_note(note)
        self.pane.set_model(info)

    def show_error(self, error: LocalAIError) -> None:
        """Tell what went wrong and what to do."""
        self.pane.show_error(error)

    def stop_all(self) -> None:
        """Stop every answer; the window closes."""
        self.pane.stop_all()

    def flush(self) -> None:
        """Hand over what was typed in the panel and not saved yet."""
        self.panel.flush()

    # ------------------------------------------------------------ actions

    def send(self, text: str) -> None:
        """Say ``text`` in the shown conversation, or begin one with it."""
        self.pane.send(text)

    def regenerate(self) -> None:
        """Answer the last question again."""
        self.pane.regenerate()

    def edit(self) -> None:
        """Edit the last question."""
        self.pane.edit()

    def stop(self) -> None:
        """Stop the answer that is written here."""
        self.pane.stop()

    def trash(self, conversation_id: int | None = None) -> None:
        """Put a conversation (None: the shown one) in the trash; the toast undoes it."""
        number = conversation_id or self.current_id
        if number is None:
            return
        self.pane.stop_in(number)
        job = self._jobs.run(lambda: self._chat.trash(number))
        job.returned.connect(lambda _: self._trashed(number))
        job.failed.connect(self.show_error)

    def rename_current(self) -> None:
        """Edit the shown conversation's title in the list."""
        if self.current_id is not None and self.sidebar.view is View.CHATS:
            self.sidebar.chat_view.rename_current(self.current_id)

    # ------------------------------------------------------------ the pane's news

    def _prepare(self) -> Create:
        """A new conversation with what the panel and the composer hold."""
        prompt, parameters = self.panel.system_prompt, self.panel.parameters
        sources = self.pane.sources.sources

        def create() -> Conversation:
            conversation = self._chat.create(sources)
            if prompt.strip():
                self._chat.set_system_prompt(conversation.id, prompt)
            if parameters != Parameters():
                self._chat.set_parameters(conversation.id, parameters)
            return conversation

        return create

    def _show_values(self, conversation: Conversation) -> None:
        """The panel shows what is set for the conversation that was opened."""
        self.panel.show_values(conversation.system_prompt, conversation.parameters)

    def _focus_composer(self) -> None:
        current = self.pane.current
        if current is not None and current.trashed is None and not self._list_focused():
            self.composer.edit.setFocus()

    def _list_focused(self) -> bool:
        return any(
            view.hasFocus()
            for view in (self.sidebar.chat_view, self.sidebar.trash_view, self.sidebar.search_view)
        )

    def _mark_current(self) -> None:
        self.sidebar.chat_view.show_current(self.current_id)
        if self.sidebar.view is View.TRASH:
            self.sidebar.trash_view.show_current(self.current_id)

    # ------------------------------------------------------------ sidebar's wishes

    def _open_hit(self, hit: SearchHit) -> None:
        words = found_words(hit)

        def reveal() -> None:
            if any(each.id == hit.message_id for each in self.pane.path):
                self.transcript.reveal(hit.message_id, words)
                return
            job = self._jobs.run(lambda: self._chat.show_branch(hit.message_id))
            job.returned.connect(lambda path: self._revealed(hit, path, words))
            job.failed.connect(self.show_error)

        self.open(hit.conversation_id, reveal)

    def _revealed(self, hit: SearchHit, path: list[Message], words: list[str]) -> None:
        self.pane.show_path(hit.conversation_id, path)
        if self.current_id == hit.conversation_id:
            self.transcript.reveal(hit.message_id, words)

    def _rename(self, conversation_id: int, title: str) -> None:
        job = self._jobs.run(lambda: self._chat.rename(conversation_id, title))
        job.returned.connect(self._changed)
        job.failed.connect(self.show_error)

    def _changed(self, conversation: Conversation) -> None:
        model = self.sidebar.chats if conversation.trashed is None else self.sidebar.trashed
        model.put(conversation)
        self.pane.take(conversation)

    def _trashed(self, conversation_id: int) -> None:
        self.sidebar.chats.remove(conversation_id)
        if self.current_id == conversation_id:
            self.new_chat()
        self._toast().show_message(
            self.tr("Moved to the trash."),
            self.tr("Undo"),
            lambda: self._restore_chat(conversation_id, reopen=True),
        )

    def _restore_chat(self, conversation_id: int, *, reopen: bool = False) -> None:
        def restored(conversation: Conversation) -> None:
            self.sidebar.trashed.remove(conversation_id)
            self.sidebar.chats.put(conversation)
            if self.current_id == conversation_id:
                self.pane.take(conversation)
            elif reopen:
                self.open(conversation_id)

        def restore() -> Conversation:
            self._chat.restore(conversation_id)
            return self._chat.conversation(conversation_id)

        job = self._jobs.run(restore)
        job.returned.connect(restored)
        job.failed.connect(self.show_error)

    def _delete_chat(self, conversation_id: int) -> None:
        question = self.tr("Delete this chat forever?")
        text = self.tr("It is erased from this computer. This cannot be undone.")
        if not confirm(self._theme, self, question, text, self.tr("Delete forever")):
            return
        job = self._jobs.run(lambda: self._chat.delete(conversation_id))
        job.returned.connect(lambda _: self._deleted(conversation_id))
        job.failed.connect(self.show_error)

    def _deleted(self, conversation_id: int) -> None:
        self.sidebar.trashed.remove(conversation_id)
        self.pane.forget_draft(conversation_id)
        if self.current_id == conversation_id:
            trash = self.sidebar.view is View.TRASH
            self.new_chat()
            if trash:
                self.sidebar.show_trash()

    def _export(self, conversation_id: int, file_format: str) -> None:
        name, _ = QFileDialog.getSaveFileName(
            self, self.tr("Save a copy"), f"chat.{file_format}", f"*.{file_format}"
        )
        if not name:
            return

        def write() -> None:
            content = self._chat.export(conversation_id, file_format)
            try:
                Path(name).write_bytes(content)
            except OSError as error:
                raise LocalAIError(f"{Path(name).name} cannot be written: {error.strerror}.") from error

        job = self._jobs.run(write)
        job.returned.connect(
            lambda _: self._toast().show_message(self.tr("Saved {0}.").format(Path(name).name))
        )
        job.failed.connect(self.show_error)

    # ------------------------------------------------------------ the panel's wishes

    def _save_parameters(self, parameters: Parameters) -> None:
        self._save(lambda number: self._chat.set_parameters(number, parameters))

    def _save_system_prompt(self, text: str) -> None:
        self._save(lambda number: self._chat.set_system_prompt(number, text))

    def _save(self, change: Callable[[int], Conversation]) -> None:
        """Change the shown conversation; a new chat keeps it in the panel until it is sent."""
        number = self.current_id
        if number is None:
            return
        job: Job = self._jobs.run(lambda: change(number))
        job.returned.connect(self._changed)
        job.failed.connect(self.show_error)

    # ------------------------------------------------------------ building

    def _build(self) -> None:
        self.splitter = QSplitter(Qt.Orientation.Horizontal)
        self.splitter.setHandleWidth(4)
        self.splitter.addWidget(self.sidebar)
        self.splitter.addWidget(self.pane)
        self.splitter.setStretchFactor(0, 0)
        self.splitter.setStretchFactor(1, 1)
        self.splitter.setCollapsible(0, False)
        self.splitter.setCollapsible(1, False)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        row.addWidget(self.splitter, 1)
        row.addWidget(self.panel)
        self._theme.changed.connect(self._fit)
        self._fit()

    def _connect(self) -> None:
        side, pane = self.sidebar, self.pane
        side.new_requested.connect(self.new_chat)
        side.opened.connect(self.open)
        side.hit_opened.connect(self._open_hit)
        side.rename_requested.connect(self._rename)
        side.trash_requested.connect(self.trash)
        side.restore_requested.connect(self._restore_chat)
        side.delete_requested.connect(self._delete_chat)
        side.export_requested.connect(self._export)
        side.failed.connect(self.show_error)
        side.chats_shown.connect(self._mark_current)
        pane.context_used.connect(self.context_used)
        pane.model_loading.connect(self.model_loading)
        pane.model_used.connect(self.model_used)
        pane.citation_opened.connect(self.citation_opened)
        pane.conversation_changed.connect(self._changed)
        pane.busy_changed.connect(side.chats.set_busy)
        pane.opened.connect(self._show_values)
        pane.shown_changed.connect(self._mark_current)
        pane.leaving.connect(self.panel.flush)
        pane.restore_requested.connect(lambda: self._restore_chat(self._shown_id()))
        pane.delete_requested.connect(lambda: self._delete_chat(self._shown_id()))
        self.empty.prompt_chosen.connect(self.send)
        self.composer.panel_toggled.connect(self.panel.setVisible)
        self.panel.closed.connect(lambda: self.composer.panel_button.setChecked(False))
        self.panel.parameters_changed.connect(self._save_parameters)
        self.panel.system_prompt_changed.connect(self._save_system_prompt)

    def _fit(self) -> None:
        px = self._theme.px
        self.sidebar.setMinimumWidth(px(200))
        self.sidebar.setMaximumWidth(px(440))
