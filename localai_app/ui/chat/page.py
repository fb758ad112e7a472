"""The Chat page: ties sidebar, transcript, composer and parameter panel to the chat service."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import (
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QSplitter,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from localai_app.chat.conversation import Conversation, Message, Parameters, Role, SearchHit
from localai_app.chat.service import ChatService, Turn
from localai_app.engine.protocol import ModelInfo
from localai_app.errors import LocalAIError
from localai_app.models.installed import InstalledModel
from localai_app.ui.chat.composer import Composer
from localai_app.ui.chat.details import AnswerDetails
from localai_app.ui.chat.empty import EmptyState
from localai_app.ui.chat.parameters import ParameterPanel
from localai_app.ui.chat.search_list import found_words
from localai_app.ui.chat.sidebar import Sidebar, View
from localai_app.ui.chat.transcript import Transcript
from localai_app.ui.chat.turns import Begin, LiveTurn, Turns
from localai_app.ui.jobs import Job, Jobs
from localai_app.ui.theme import COLUMN, Theme
from localai_app.ui.widgets.buttons import Button
from localai_app.ui.widgets.dialogs import ask_to_copy, confirm
from localai_app.ui.widgets.labels import label
from localai_app.ui.widgets.toast import Toast


@dataclass(frozen=True)
class Unsaid:
    """What goes back to the composer when a turn is refused."""

    conversation_id: int | None
    text: str
    editing: int | None = None
    """The message that ``text`` was to replace."""


class ChatPage(QWidget):
    """One conversation at a time; answers of others go on in the background."""

    context_used = Signal(int)
    """Tokens of context that the shown conversation takes; 0 when not known."""
    model_loading = Signal()
    """An answer waits for its model."""
    model_used = Signal()
    """An answer found its model loaded, or ended: what is loaded may be another model now."""

    def __init__(self, theme: Theme, jobs: Jobs, chat: ChatService, toast: Callable[[], Toast]) -> None:
        super().__init__()
        self._theme, self._jobs, self._chat, self._toast = theme, jobs, chat, toast
        self._current: Conversation | None = None
        self._opening: int | None = None
        self._path: list[Message] = []
        self._turns = Turns(jobs, self)
        self._drafts: dict[int | None, str] = {}
        self.sidebar = Sidebar(theme, jobs, chat)
        self.transcript = Transcript(theme, jobs)
        self.empty = EmptyState(theme)
        self.composer = Composer(theme)
        self.panel = ParameterPanel(theme)
        self.panel.hide()
        self._notice = QFrame()
        self._notice.setProperty("look", "notice")
        self._notice_text = label("", "", wrap=True)
        self._restore = Button(theme, self.tr("Restore"), look="link")
        self._delete = Button(theme, self.tr("Delete forever…"), look="link")
        self._build()
        self._connect()

    # ------------------------------------------------------------ what the window calls

    @property
    def current_id(self) -> int | None:
        """Id of the shown conversation; None for a new chat."""
        return self._current.id if self._current else None

    def _shown_id(self) -> int:
        assert self._current is not None, "no conversation is shown"
        return self._current.id

    @property
    def generating(self) -> bool:
        """True while an answer in the shown conversation is written."""
        return self._turn() is not None

    @property
    def any_generating(self) -> bool:
        """True while any answer is written."""
        return bool(self._turns)

    def new_chat(self) -> None:
        """Begin with an empty page."""
        self._leave()
        self._current, self._opening, self._path = None, None, []
        self._turns.leave_unsent()
        self.sidebar.show_chats()
        self.sidebar.chat_view.show_current(None)
        self.panel.show_values("", Parameters())
        self._show_path([])
        self.composer.set_text(self._drafts.pop(None, ""))
        self.composer.edit.setFocus()

    def open(self, conversation_id: int, then: Callable[[], None] | None = None) -> None:
        """Show a conversation; ``then`` runs when it is there."""
        if self._current is not None and self._current.id == conversation_id and not self._opening:
            if then is not None:
                then()
            self._mark_current()
            return
        self._leave()
        self._opening = conversation_id
        job = self._jobs.run(
            lambda: (self._chat.conversation(conversation_id), self._chat.path(conversation_id))
        )
        job.returned.connect(lambda found: self._opened(found, then))
        job.failed.connect(self.show_error)

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
        self._base_model = bool(info is not None and info.chat_template is None)
        self._show_notice()

    def show_error(self, error: LocalAIError) -> None:
        """Tell what went wrong and what to do."""
        self._toast().show_message(error.line)

    def stop_all(self) -> None:
        """Stop every answer; the window closes."""
        self._turns.stop_all()

    def flush(self) -> None:
        """Hand over what was typed in the panel and not saved yet."""
        self.panel.flush()

    # ------------------------------------------------------------ actions

    def send(self, text: str) -> None:
        """Say ``text`` in the shown conversation, or begin one with it."""
        if self._current is None:
            self._begin(self._begin_chat(text), None, Unsaid(None, text))
        else:
            number = self._current.id
            self._start(lambda: self._chat.send(number, text), text)

    def regenerate(self, message_id: int | None = None) -> None:
        """Answer again; None means the last answer."""
        target = message_id or self.transcript.last_id(Role.ASSISTANT)
        if target is not None and not self.generating and self._current is not None:
            self._start(lambda: self._chat.regenerate(target))

    def continue_answer(self, message_id: int) -> None:
        """Go on writing the last answer."""
        if not self.generating and self._current is not None:
            self._start(lambda: self._chat.continue_answer(message_id))

    def edit(self, message_id: int | None = None) -> None:
        """Edit a question (an answer's id means its question; None the last one)."""
        target = message_id or self.transcript.last_id(Role.USER)
        message = next((each for each in self._path if each.id == target), None)
        if message is not None and message.role is Role.ASSISTANT:
            message = next((each for each in self._path if each.id == message.parent_id), None)
        if message is not None and not self.generating:
            self.composer.begin_edit(message.id, message.text)

    def submit_edit(self, message_id: int, text: str) -> None:
        """Ask ``text`` in place of an earlier question."""
        if self._current is not None:
            self._start(lambda: self._chat.edit(message_id, text), text, editing=message_id)

    def stop(self) -> None:
        """Stop the answer that is written here."""
        turn = self._turn()
        if turn is not None:
            turn.stop()

    def trash(self, conversation_id: int | None = None) -> None:
        """Put a conversation (None: the shown one) in the trash; the toast undoes it."""
        number = conversation_id or self.current_id
        if number is None:
            return
        turn = self._turns.of(number)
        if turn is not None:
            turn.stop()
        job = self._jobs.run(lambda: self._chat.trash(number))
        job.returned.connect(lambda _: self._trashed(number))
        job.failed.connect(self.show_error)

    def rename_current(self) -> None:
        """Edit the shown conversation's title in the list."""
        if self.current_id is not None and self.sidebar.view is View.CHATS:
            self.sidebar.chat_view.rename_current(self.current_id)

    # ------------------------------------------------------------ turns

    def _begin_chat(self, text: str) -> Begin:
        """A new conversation with what the panel holds, and its first turn."""
        prompt, parameters = self.panel.system_prompt, self.panel.parameters

        def begin() -> Iterator[Any]:
            conversation = self._chat.create()
            if prompt.strip():
                self._chat.set_system_prompt(conversation.id, prompt)
            if parameters != Parameters():
                self._chat.set_parameters(conversation.id, parameters)
            yield from self._follow(conversation.id, lambda: self._chat.send(conversation.id, text))

        return begin

    def _follow(self, conversation_id: int, start: Callable[[], Turn]) -> Iterator[Any]:
        """In a pool thread: begin a turn and let it run."""
        turn = start()
        yield self._chat.conversation(conversation_id)
        yield turn
        yield from turn

    def _start(self, start: Callable[[], Turn], text: str = "", *, editing: int | None = None) -> None:
        """Start a turn in the shown conversation; ``text`` is what it would cost if it were refused."""
        number = self._shown_id()
        self._begin(lambda: self._follow(number, start), number, Unsaid(number, text, editing))

    def _begin(self, begin: Begin, conversation_id: int | None, unsaid: Unsaid) -> None:
        self.panel.flush()
        turn = self._turns.begin(begin, conversation_id)
        turn.started.connect(lambda: self._turn_started(turn))
        turn.loading_began.connect(self.model_loading)
        turn.loading_ended.connect(self.model_used)
        turn.text_added.connect(lambda new: self._if_shown(turn, lambda: self.transcript.append_text(new)))
        turn.status_changed.connect(
            lambda: self._if_shown(turn, lambda: self.transcript.show_status(turn.status, turn.fraction))
        )
        turn.ended.connect(lambda answer: self._turn_ended(turn, answer))
        turn.failed.connect(lambda error: self._turn_failed(turn, unsaid, error))
        self._show_generating()

    def _turn(self) -> LiveTurn | None:
        return self._turns.of(self.current_id)

    def _if_shown(self, turn: LiveTurn, act: Callable[[], None]) -> None:
        if self._turn() is turn and turn.answer is not None:
            act()

    def _turn_started(self, turn: LiveTurn) -> None:
        conversation = turn.conversation
        assert conversation is not None, "a turn begins in a conversation"
        if self._turns.of(None) is turn and self._current is None:
            self._current = conversation
        self._turns.move(turn, conversation.id)
        self.sidebar.chats.put(conversation)
        self.sidebar.chats.set_busy(conversation.id, True)
        if self.current_id == conversation.id:
            self._current = conversation
            self._mark_current()
            self._reload(conversation.id)

    def _reload(self, conversation_id: int) -> None:
        """Show the path as it is now: siblings and branches may have changed."""
        job = self._jobs.run(lambda: self._chat.path(conversation_id))
        job.returned.connect(lambda path: self._reloaded(conversation_id, path))
        job.failed.connect(self.show_error)

    def _reloaded(self, conversation_id: int, path: list[Message]) -> None:
        if self.current_id == conversation_id:
            self._show_path(path)

    def _turn_ended(self, turn: LiveTurn, answer: Message | None) -> None:
        self._forget(turn)
        conversation = turn.conversation
        if conversation is not None and self.current_id == conversation.id:
            if answer is not None and any(each.id == answer.id for each in self._path):
                self._path = [answer if each.id == answer.id else each for each in self._path]
                self.transcript.end_answer(answer)
                self._tell_context()
            else:
                # It broke off, or was over before its beginning was shown: show what was saved.
                self._reload(conversation.id)
        self.model_used.emit()

    def _turn_failed(self, turn: LiveTurn, unsaid: Unsaid, error: LocalAIError) -> None:
        self._forget(turn)
        self.show_error(error)
        # What was not accepted is not lost either.
        if unsaid.text and not self.composer.text and self.current_id == unsaid.conversation_id:
            if unsaid.editing is not None:
                self.composer.begin_edit(unsaid.editing, unsaid.text)
            else:
                self.composer.set_text(unsaid.text)
        if unsaid.conversation_id is not None:
            self._reload(unsaid.conversation_id)

    def _forget(self, turn: LiveTurn) -> None:
        self._turns.forget(turn)
        if turn.conversation is not None:
            self.sidebar.chats.set_busy(turn.conversation.id, False)
        self._show_generating()

    # ------------------------------------------------------------ showing

    def _opened(self, found: tuple[Conversation, list[Message]], then: Callable[[], None] | None) -> None:
        conversation, path = found
        if self._opening != conversation.id:
            return
        self._opening, self._current = None, conversation
        self.panel.show_values(conversation.system_prompt, conversation.parameters)
        self.composer.set_text(self._drafts.pop(conversation.id, ""))
        self._mark_current()
        self._show_path(path)
        if then is not None:
            then()
        elif conversation.trashed is None and not self._list_focused():
            self.composer.edit.setFocus()

    def _list_focused(self) -> bool:
        return any(
            view.hasFocus()
            for view in (self.sidebar.chat_view, self.sidebar.trash_view, self.sidebar.search_view)
        )

    def _show_path(self, path: list[Message]) -> None:
        self._path = path
        self._stack.setCurrentWidget(self.transcript if path else self.empty)
        self.transcript.show_path(path)
        turn = self._turn()
        if turn is not None and turn.answer is not None and path and path[-1].id == turn.answer.id:
            shown = turn.answer if len(turn.text) < len(path[-1].text) else path[-1]
            self.transcript.begin_answer(replace(shown, text=turn.text))
            self.transcript.show_status(turn.status, turn.fraction)
        self._show_generating()
        self._show_notice()
        self._tell_context()

    def _show_generating(self) -> None:
        self.composer.set_generating(self._turn() is not None)

    def _show_notice(self) -> None:
        trashed = self._current is not None and self._current.trashed is not None
        if trashed:
            self._notice_text.setText(self.tr("This chat lies in the trash."))
        elif self._base_model and self._path:
            self._notice_text.setText(
                self.tr("This is a base model: it continues text rather than answering.")
            )
        self._notice.setVisible(trashed or bool(self._base_model and self._path))
        self._restore.setVisible(trashed)
        self._delete.setVisible(trashed)
        self.composer.setVisible(not trashed)

    def _tell_context(self) -> None:
        answers = [each for each in reversed(self._path) if each.stats is not None]
        stats = answers[0].stats if answers else None
        self.context_used.emit(stats.prompt_tokens + stats.output_tokens if stats else 0)

    def _mark_current(self) -> None:
        self.sidebar.chat_view.show_current(self.current_id)
        if self.sidebar.view is View.TRASH:
            self.sidebar.trash_view.show_current(self.current_id)

    def _leave(self) -> None:
        """Keep what was written for when the person comes back."""
        self.panel.flush()
        draft = self.composer.draft
        self.composer.cancel_edit()
        number = self.current_id
        self._drafts.pop(number, None)
        if draft.strip():
            self._drafts[number] = draft
        self.composer.set_text("")

    # ------------------------------------------------------------ sidebar's wishes

    def _open_hit(self, hit: SearchHit) -> None:
        words = found_words(hit)

        def reveal() -> None:
            if any(each.id == hit.message_id for each in self._path):
                self.transcript.reveal(hit.message_id, words)
                return
            job = self._jobs.run(lambda: self._chat.show_branch(hit.message_id))
            job.returned.connect(lambda path: self._revealed(hit, path, words))
            job.failed.connect(self.show_error)

        self.open(hit.conversation_id, reveal)

    def _revealed(self, hit: SearchHit, path: list[Message], words: list[str]) -> None:
        if self.current_id == hit.conversation_id:
            self._show_path(path)
            self.transcript.reveal(hit.message_id, words)

    def _rename(self, conversation_id: int, title: str) -> None:
        job = self._jobs.run(lambda: self._chat.rename(conversation_id, title))
        job.returned.connect(self._changed)
        job.failed.connect(self.show_error)

    def _changed(self, conversation: Conversation) -> None:
        model = self.sidebar.chats if conversation.trashed is None else self.sidebar.trashed
        model.put(conversation)
        if self.current_id == conversation.id:
            self._current = conversation
            self._mark_current()

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
                self._current = conversation
                self._show_notice()
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
        self._drafts.pop(conversation_id, None)
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

    # ------------------------------------------------------------ transcript's and panel's wishes

    def _show_branch(self, message_id: int) -> None:
        number = self.current_id
        if number is None or self.generating:
            return
        job = self._jobs.run(lambda: self._chat.show_branch(message_id))
        job.returned.connect(lambda path: self._reloaded(number, path))
        job.failed.connect(self.show_error)

    def _give_feedback(self, message_id: int, value: int) -> None:
        job = self._jobs.run(lambda: self._chat.set_feedback(message_id, value))
        job.returned.connect(self._keep_feedback)
        job.failed.connect(self.show_error)

    def _keep_feedback(self, message: Message) -> None:
        self._path = [message if each.id == message.id else each for each in self._path]

    def _show_details(self, message_id: int) -> None:
        message = next((each for each in self._path if each.id == message_id), None)
        if message is not None and message.record is not None:
            AnswerDetails(self._theme, message, self).exec()

    def _open_link(self, address: str) -> None:
        if ask_to_copy(self._theme, self, address):
            QGuiApplication.clipboard().setText(address)
            self._toast().show_message(self.tr("Address copied."))

    def _recall(self) -> None:
        text = next((each.text for each in reversed(self._path) if each.role is Role.USER), "")
        if text:
            self.composer.set_text(text)

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
        self._base_model = False
        self._stack = QStackedWidget()
        self._stack.addWidget(self.empty)
        self._stack.addWidget(self.transcript)
        notice = QHBoxLayout(self._notice)
        notice.addWidget(self._notice_text, 1)
        notice.addWidget(self._restore)
        notice.addWidget(self._delete)
        self._notice.hide()
        centre = QWidget()
        self._centre = QVBoxLayout(centre)
        self._centre.setContentsMargins(0, 0, 0, 0)
        self._centre.setSpacing(0)
        self._centre.addWidget(self._stack, 1)
        self._foot = QVBoxLayout()
        self._foot.addWidget(self._notice)
        self._foot.addWidget(self.composer)
        self._foot_row = QHBoxLayout()
        self._foot_row.addStretch(1)
        self._foot_row.addLayout(self._foot, 10_000)
        self._foot_row.addStretch(1)
        self._centre.addLayout(self._foot_row)
        self.splitter = QSplitter(Qt.Orientation.Horizontal)
        self.splitter.setHandleWidth(4)
        self.splitter.addWidget(self.sidebar)
        self.splitter.addWidget(centre)
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
        side, text = self.sidebar, self.transcript
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
        text.regenerate_requested.connect(self.regenerate)
        text.continue_requested.connect(self.continue_answer)
        text.edit_requested.connect(self.edit)
        text.branch_requested.connect(self._show_branch)
        text.feedback_given.connect(self._give_feedback)
        text.details_requested.connect(self._show_details)
        text.link_activated.connect(self._open_link)
        text.zoom_requested.connect(self._theme.step_zoom)
        self.empty.prompt_chosen.connect(self.send)
        self.composer.send_requested.connect(self.send)
        self.composer.edit_submitted.connect(self.submit_edit)
        self.composer.stop_requested.connect(self.stop)
        self.composer.recall_requested.connect(self._recall)
        self.composer.panel_toggled.connect(self._show_panel)
        self.panel.closed.connect(lambda: self.composer.panel_button.setChecked(False))
        self.panel.parameters_changed.connect(self._save_parameters)
        self.panel.system_prompt_changed.connect(self._save_system_prompt)
        self._restore.clicked.connect(lambda: self._restore_chat(self._shown_id()))
        self._delete.clicked.connect(lambda: self._delete_chat(self._shown_id()))

    def _show_panel(self, shown: bool) -> None:
        self.panel.setVisible(shown)

    def _fit(self) -> None:
        px = self._theme.px
        self.sidebar.setMinimumWidth(px(200))
        self.sidebar.setMaximumWidth(px(440))
        # As wide as the transcript's column and a little more, and centred like it.
        self.composer.setMaximumWidth(px(COLUMN + 40))
        self._notice.setMaximumWidth(px(COLUMN + 40))
        self._foot_row.setContentsMargins(px(16), 0, px(16), px(14))
        self._foot.setSpacing(px(8))
        notice = self._notice.layout()
        assert notice is not None
        notice.setContentsMargins(px(14), px(8), px(10), px(8))
