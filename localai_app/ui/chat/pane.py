"""One conversation at a time: transcript, composer, and the answers under way.

The Chat page and the Documents page each have one. Answers of conversations that are not shown go on in
the background.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from localai_app.chat.conversation import Conversation, Message, Role
from localai_app.chat.service import ChatService, Turn
from localai_app.documents.grounding import Mode, Sources
from localai_app.engine.protocol import ModelInfo
from localai_app.errors import LocalAIError
from localai_app.ui.chat.composer import Composer
from localai_app.ui.chat.details import AnswerDetails
from localai_app.ui.chat.notice import Notice
from localai_app.ui.chat.sources import SourceControls
from localai_app.ui.chat.transcript import Transcript
from localai_app.ui.chat.turns import Begin, LiveTurn, Turns
from localai_app.ui.clipboard import put_on_clipboard
from localai_app.ui.documents import words
from localai_app.ui.documents.rooms import DocumentRooms
from localai_app.ui.jobs import Jobs
from localai_app.ui.theme import COLUMN, Theme
from localai_app.ui.widgets.dialogs import ask_to_copy
from localai_app.ui.widgets.toast import Toast

Create = Callable[[], Conversation]
"""Makes a conversation, in a pool thread."""


@dataclass(frozen=True)
class Unsaid:
    """What goes back to the composer when a turn is refused."""

    conversation_id: int | None
    text: str
    editing: int | None = None
    """The message that ``text`` was to replace."""


class ConversationPane(QWidget):
    """Asks the chat service, and shows what comes of it. ``blank`` stands where there is no message yet."""

    context_used = Signal(int)
    """Tokens of context that the shown conversation takes; 0 when not known."""
    model_loading = Signal()
    """An answer waits for its model."""
    model_used = Signal()
    """An answer found its model loaded, or ended: what is loaded may be another model now."""
    conversation_changed = Signal(object)
    """A `Conversation` is new, or other than it was."""
    busy_changed = Signal(int, bool)
    """An answer in this conversation began (True) or ended."""
    opened = Signal(object)
    """This `Conversation` was opened."""
    shown_changed = Signal()
    """Another conversation is shown, or a new one."""
    leaving = Signal()
    """The conversation that is shown will not be any more, or a turn begins: keep what is not saved."""
    citation_opened = Signal(tuple, int)
    """The person wants to see one of these citations."""
    restore_requested = Signal()
    delete_requested = Signal()

    def __init__(  # noqa: PLR0917 - what a conversation needs
        self,
        theme: Theme,
        jobs: Jobs,
        chat: ChatService,
        toast: Callable[[], Toast],
        blank: QWidget,
        rooms: DocumentRooms | None,
    ) -> None:
        super().__init__()
        self._theme, self._jobs, self._chat, self._toast = theme, jobs, chat, toast
        self.current: Conversation | None = None
        """The shown conversation; None for a new one."""
        self.opening: int | None = None
        self._path: list[Message] = []
        self._turns = Turns(jobs, self)
        self._drafts: dict[int | None, str] = {}
        self._base_model = False
        self._priced: set[int] = set()
        """Answers for which the price of reading every page was asked."""
        self.preparing: Callable[[], Create] = lambda: lambda: chat.create(sources=self.sources.sources)
        """Gives what makes a new conversation with all that was set for it."""
        self.blank = blank
        self.transcript = Transcript(theme, jobs)
        self.composer = Composer(theme)
        self.sources = SourceControls(theme, jobs, chat, rooms, self.composer)
        self.notice = Notice(theme)
        self._build()
        self._connect()

    # ------------------------------------------------------------ what the page calls

    @property
    def current_id(self) -> int | None:
        """Id of the shown conversation; None for a new one."""
        return self.current.id if self.current else None

    @property
    def generating(self) -> bool:
        """True while an answer in the shown conversation is written."""
        return self._turn() is not None

    @property
    def any_generating(self) -> bool:
        """True while any answer is written."""
        return bool(self._turns)

    @property
    def path(self) -> list[Message]:
        """The messages that are shown."""
        return self._path

    def begin_new(self, sources: Sources | None = None) -> None:
        """Begin with an empty page."""
        self.leave()
        self.current, self.opening, self._path = None, None, []
        self._turns.leave_unsent()
        self.sources.show_sources(sources)
        self._show_path([])
        self.composer.set_text(self._drafts.pop(None, ""))
        self.shown_changed.emit()

    def open(self, conversation_id: int, then: Callable[[], None] | None = None) -> None:
        """Show a conversation; ``then`` runs when it is there."""
        if self.current is not None and self.current.id == conversation_id and not self.opening:
            if then is not None:
                then()
            self.shown_changed.emit()
            return
        self.leave()
        self.opening = conversation_id
        job = self._jobs.run(
            lambda: (self._chat.conversation(conversation_id), self._chat.path(conversation_id))
        )
        job.returned.connect(lambda found: self._opened(found, then))
        job.failed.connect(self.show_error)

    def take(self, conversation: Conversation) -> None:
        """The shown conversation is this now."""
        if self.current_id == conversation.id:
            self.current = conversation
            self._show_notice()
            self.shown_changed.emit()

    def set_base_model(self, base: bool) -> None:
        """Whether the model that answers is one that only continues text."""
        self._base_model = base
        self._show_notice()

    def set_model(self, info: ModelInfo | None) -> None:
        """Say what is to be known about the model that answers."""
        self.set_base_model(bool(info is not None and info.chat_template is None))

    def show_error(self, error: LocalAIError) -> None:
        """Tell what went wrong and what to do."""
        self._toast().show_message(error.line)

    def stop_all(self) -> None:
        """Stop every answer; the window closes."""
        self._turns.stop_all()

    def stop_in(self, conversation_id: int) -> None:
        """Stop the answer that is written in a conversation."""
        turn = self._turns.of(conversation_id)
        if turn is not None:
            turn.stop()

    def forget_draft(self, conversation_id: int) -> None:
        """The conversation is gone."""
        self._drafts.pop(conversation_id, None)

    def show_path(self, conversation_id: int, path: list[Message]) -> None:
        """Show another branch, if its conversation is still shown."""
        if self.current_id == conversation_id:
            self._show_path(path)

    def leave(self) -> None:
        """Keep what was written for when the person comes back."""
        self.leaving.emit()
        draft = self.composer.draft
        self.composer.cancel_edit()
        number = self.current_id
        self._drafts.pop(number, None)
        if draft.strip():
            self._drafts[number] = draft
        self.composer.set_text("")

    # ------------------------------------------------------------ actions

    def send(self, text: str) -> None:
        """Say ``text`` in the shown conversation, or begin one with it."""
        if self.current is None:
            self._begin(self._begin_conversation(text), None, Unsaid(None, text))
        else:
            number = self.current.id
            self._start(lambda: self._chat.send(number, text), text)

    def regenerate(self, message_id: int | None = None) -> None:
        """Answer again; None means the last answer."""
        target = message_id or self.transcript.last_id(Role.ASSISTANT)
        if target is not None and not self.generating and self.current is not None:
            self._start(lambda: self._chat.regenerate(target))

    def continue_answer(self, message_id: int) -> None:
        """Go on writing the last answer."""
        if not self.generating and self.current is not None:
            self._start(lambda: self._chat.continue_answer(message_id))

    def edit(self, message_id: int | None = None) -> None:
        """Edit a question (an answer's id means its question; None the last one)."""
        target = message_id or self.transcript.last_id(Role.USER)
        message = next((each for each in self._path if each.id == target), None)
        if message is not None and message.role is Role.ASSISTANT:
            message = self._question(message)
        if message is not None and not self.generating:
            self.composer.begin_edit(message.id, message.text)

    def submit_edit(self, message_id: int, text: str) -> None:
        """Ask ``text`` in place of an earlier question."""
        if self.current is not None:
            self._start(lambda: self._chat.edit(message_id, text), text, editing=message_id)

    def stop(self) -> None:
        """Stop the answer that is written here."""
        turn = self._turn()
        if turn is not None:
            turn.stop()

    def read_every_page(self, message_id: int) -> None:
        """Answer again from every page."""
        sources = self.sources.sources
        if sources is not None and self.current is not None and not self.generating:
            self.sources.change(replace(sources, mode=Mode.EXHAUSTIVE))
            self.regenerate(message_id)

    def recall(self) -> None:
        """Bring the last question back into the composer."""
        text = next((each.text for each in reversed(self._path) if each.role is Role.USER), "")
        if text:
            self.composer.set_text(text)

    # ------------------------------------------------------------ turns

    def _begin_conversation(self, text: str) -> Begin:
        """A new conversation and its first turn."""
        create = self.preparing()

        def begin() -> Iterator[Any]:
            conversation = create()
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
        assert self.current is not None, "no conversation is shown"
        number = self.current.id
        self._begin(lambda: self._follow(number, start), number, Unsaid(number, text, editing))

    def _begin(self, begin: Begin, conversation_id: int | None, unsaid: Unsaid) -> None:
        self.leaving.emit()
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
        if self._turns.of(None) is turn and self.current is None:
            self.current = conversation
        self._turns.move(turn, conversation.id)
        self.conversation_changed.emit(conversation)
        self.busy_changed.emit(conversation.id, True)
        if self.current_id == conversation.id:
            self.current = conversation
            self.shown_changed.emit()
            self._reload(conversation.id)

    def _reload(self, conversation_id: int) -> None:
        """Show the path as it is now: siblings and branches may have changed."""
        job = self._jobs.run(lambda: self._chat.path(conversation_id))
        job.returned.connect(lambda path: self.show_path(conversation_id, path))
        job.failed.connect(self.show_error)

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
            self.busy_changed.emit(turn.conversation.id, False)
        self._show_generating()

    # ------------------------------------------------------------ showing

    def _opened(self, found: tuple[Conversation, list[Message]], then: Callable[[], None] | None) -> None:
        conversation, path = found
        if self.opening != conversation.id:
            return
        self.opening, self.current = None, conversation
        self.sources.show_sources(conversation.sources)
        self.composer.set_text(self._drafts.pop(conversation.id, ""))
        self.opened.emit(conversation)
        self.shown_changed.emit()
        self._show_path(path)
        if then is not None:
            then()

    def _show_path(self, path: list[Message]) -> None:
        self._path = path
        self._stack.setCurrentWidget(self.transcript if path else self.blank)
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
        trashed = self.current is not None and self.current.trashed is not None
        self.notice.show_state(trashed=trashed, base_model=self._base_model and bool(self._path))
        self.composer.setVisible(not trashed)

    def _tell_context(self) -> None:
        answers = [each for each in reversed(self._path) if each.stats is not None]
        stats = answers[0].stats if answers else None
        self.context_used.emit(stats.prompt_tokens + stats.output_tokens if stats else 0)

    # ------------------------------------------------------------ the transcript's wishes

    def _question(self, answer: Message) -> Message | None:
        return next((each for each in self._path if each.id == answer.parent_id), None)

    def _message(self, message_id: int) -> Message | None:
        return next((each for each in self._path if each.id == message_id), None)

    def _show_branch(self, message_id: int) -> None:
        number = self.current_id
        if number is None or self.generating:
            return
        job = self._jobs.run(lambda: self._chat.show_branch(message_id))
        job.returned.connect(lambda path: self.show_path(number, path))
        job.failed.connect(self.show_error)

    def _give_feedback(self, message_id: int, value: int) -> None:
        job = self._jobs.run(lambda: self._chat.set_feedback(message_id, value))
        job.returned.connect(self._keep_feedback)
        job.failed.connect(self.show_error)

    def _keep_feedback(self, message: Message) -> None:
        self._path = [message if each.id == message.id else each for each in self._path]

    def _show_details(self, message_id: int) -> None:
        message = self._message(message_id)
        if message is not None and message.record is not None:
            AnswerDetails(self._theme, message, self).exec()

    def _open_citation(self, message_id: int, index: int) -> None:
        message = self._message(message_id)
        if message is not None:
            # A number that stands for no passage leads nowhere.
            places = tuple(each for each in message.citations if each.document_id)
            self.citation_opened.emit(places, places.index(message.citations[index]))

    def _ask_price(self, message_id: int) -> None:
        """Find out what reading every page would cost, once for an answer."""
        message, sources = self._message(message_id), self.sources.sources
        question = self._question(message) if message is not None else None
        if sources is None or question is None or message_id in self._priced or self.generating:
            return
        self._priced.add(message_id)
        job = self._jobs.run(lambda: self._chat.prices(question.text, sources), lane="prices")
        # Without a price, the way itself is still offered.
        job.returned.connect(lambda prices: self.transcript.show_prices(message_id, prices))

    def _open_link(self, address: str) -> None:
        job = self._jobs.run(lambda: self._chat.require_link(address))
        job.returned.connect(lambda _: self._offer_link(address))
        job.failed.connect(self.show_error)

    def _offer_link(self, address: str) -> None:
        if ask_to_copy(self._theme, self, address) and put_on_clipboard(address):
            self._toast().show_message(self.tr("Address copied."))

    def _keep_sources(self, sources: Sources | None) -> None:
        """Sources of the shown conversation changed; a new one keeps them until it is sent."""
        number = self.current_id
        if number is not None:
            job = self._jobs.run(lambda: self._chat.set_sources(number, sources))
            job.returned.connect(lambda _: self._refresh(number))
            job.failed.connect(self.show_error)

    def _refresh(self, conversation_id: int) -> None:
        job = self._jobs.run(lambda: self._chat.conversation(conversation_id))
        job.returned.connect(self.conversation_changed)
        job.returned.connect(self.take)
        job.failed.connect(self.show_error)

    # ------------------------------------------------------------ building

    def _build(self) -> None:
        self._stack = QStackedWidget()
        self._stack.addWidget(self.blank)
        self._stack.addWidget(self.transcript)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self._stack, 1)
        self._foot = QVBoxLayout()
        self._foot.addWidget(self.notice)
        self._foot.addWidget(self.composer)
        self._foot_row = QHBoxLayout()
        self._foot_row.addStretch(1)
        self._foot_row.addLayout(self._foot, 10_000)
        self._foot_row.addStretch(1)
        column.addLayout(self._foot_row)
        self._theme.changed.connect(self._fit)
        self._fit()

    def _connect(self) -> None:
        text = self.transcript
        text.regenerate_requested.connect(self.regenerate)
        text.continue_requested.connect(self.continue_answer)
        text.edit_requested.connect(self.edit)
        text.branch_requested.connect(self._show_branch)
        text.feedback_given.connect(self._give_feedback)
        text.details_requested.connect(self._show_details)
        text.link_activated.connect(self._open_link)
        text.citation_activated.connect(self._open_citation)
        text.price_wanted.connect(self._ask_price)
        text.every_page_requested.connect(self.read_every_page)
        text.zoom_requested.connect(self._theme.step_zoom)
        self.composer.send_requested.connect(self.send)
        self.composer.edit_submitted.connect(self.submit_edit)
        self.composer.stop_requested.connect(self.stop)
        self.composer.recall_requested.connect(self.recall)
        self.sources.changed.connect(self._keep_sources)
        self.sources.failed.connect(self.show_error)
        self.sources.added.connect(lambda added: self._toast().show_message(words.added(added)))
        self.notice.restore_requested.connect(self.restore_requested)
        self.notice.delete_requested.connect(self.delete_requested)

    def _fit(self) -> None:
        px = self._theme.px
        # As wide as the transcript's column and a little more, and centred like it.
        self.composer.setMaximumWidth(px(COLUMN + 40))
        self._foot_row.setContentsMargins(px(16), 0, px(16), px(14))
        self._foot.setSpacing(px(8))
