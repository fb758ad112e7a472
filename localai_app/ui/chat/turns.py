"""Answers under way, one per conversation; they go on while the person looks at another chat."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from PySide6.QtCore import QLocale, QObject, Signal

from localai_app.chat.conversation import Conversation, Message
from localai_app.chat.service import ModelLoading, PromptProgress, TextDelta, Turn, TurnFinished
from localai_app.documents.grounding import Gathering
from localai_app.errors import LocalAIError
from localai_app.ui.documents import words
from localai_app.ui.jobs import Jobs

Begin = Callable[[], Iterator[Any]]
"""Begins a turn, in a pool thread: yields the `Conversation`, the `Turn`, then the turn's events."""


class LiveTurn(QObject):
    """One answer in the making, as the window sees it."""

    started = Signal()
    """`answer` (and `question`) are known."""
    loading_began = Signal()
    """The model is not there yet."""
    loading_ended = Signal()
    text_added = Signal(str)
    status_changed = Signal()
    ended = Signal(object)
    """The answer as it was saved; None when it never began."""
    failed = Signal(object)
    """It never began: this `LocalAIError`."""

    def __init__(self, jobs: Jobs, begin: Begin, parent: QObject) -> None:
        super().__init__(parent)
        self._jobs = jobs
        self._turn: Turn | None = None
        self._stop_wanted = False
        self._rate_since = 0.0
        self._deltas = 0
        self.conversation: Conversation | None = None
        self.question: Message | None = None
        self.answer: Message | None = None
        self.text = ""
        """The answer so far."""
        self.status = self.tr("waiting…")
        self.fraction: float | None = None
        self.over = False
        self._loading = False
        self._job = jobs.stream(lambda: self._watch(begin))
        self._job.yielded.connect(self._take)
        self._job.failed.connect(self._fail)
        self._job.finished.connect(self._finish)

    def stop(self) -> None:
        """Stop as soon as may be."""
        if not self._stop_wanted:
            self._stop_wanted = True
            self.status, self.fraction = self.tr("stopping…"), None
            self.status_changed.emit()
        turn = self._turn
        if turn is not None and not self.over:
            self._jobs.run(turn.stop, lane="control")

    def _watch(self, begin: Begin) -> Iterator[Any]:
        """In a pool thread: a Stop that came before the turn began holds even if nobody listens any more."""
        for event in begin():
            if isinstance(event, Turn):
                self._turn = event
                if self._stop_wanted:
                    event.stop()
            yield event

    def _take(self, events: Iterable[Any]) -> None:
        """Handle a batch; text that came in several pieces is handed on in one."""
        added: list[str] = []
        for event in events:
            self._tell_loading(isinstance(event, ModelLoading))
            match event:
                case TextDelta():
                    added.append(event.text)
                case Conversation():
                    self.conversation = event
                case ModelLoading():
                    self._say(
                        self.tr("loading the model {0} %").format(round(event.fraction * 100)), event.fraction
                    )
                case Gathering():
                    self._say_gathering(event)
                case PromptProgress():
                    self._say_prompt(event)
                case TurnFinished():
                    self._add(added)
                    added = []
                    self._end(event.answer)
                case Turn():
                    self._begin(event)
        self._add(added)

    def _tell_loading(self, loading: bool) -> None:
        if loading != self._loading:
            self._loading = loading
            (self.loading_began if loading else self.loading_ended).emit()

    def _begin(self, turn: Turn) -> None:
        self.question, self.answer = turn.question, turn.answer
        self.text = turn.answer.text
        self.started.emit()

    def _add(self, pieces: list[str]) -> None:
        if not pieces:
            return
        now = time.monotonic()
        if not self._deltas:
            self._rate_since = now
        self._deltas += len(pieces)
        text = "".join(pieces)
        self.text += text
        self.text_added.emit(text)
        elapsed = now - self._rate_since
        if elapsed > 0.5:
            # A delta is a token, but for the rare one that waits for the rest of a character.
            rate = QLocale().toString(self._deltas / elapsed, "f", 1)
            self._say(self.tr("writing… {0} tok/s").format(rate), None)
        elif not self.status.startswith(self.tr("writing")):
            self._say(self.tr("writing…"), None)

    def _say_prompt(self, event: PromptProgress) -> None:
        number = QLocale().toString
        text = self.tr("reading the conversation {0} / {1} tokens")
        self._say(text.format(number(event.done), number(event.total)), event.done / max(1, event.total))

    def _say_gathering(self, event: Gathering) -> None:
        if event.stage != "reading":
            self._say(self.tr("searching the documents…"), None)
            return
        number = QLocale().toString
        text = self.tr("reading the documents {0} / {1}").format(number(event.done), number(event.total))
        if event.seconds_left is not None:
            text = self.tr("{0}, {1} left").format(text, words.duration(event.seconds_left))
        self._say(text, event.done / max(1, event.total))

    def _say(self, text: str, fraction: float | None) -> None:
        if not self._stop_wanted:
            self.status, self.fraction = text, fraction
            self.status_changed.emit()

    def _end(self, answer: Message) -> None:
        if not self.over:
            self.over = True
            self.answer = answer
            self.ended.emit(answer)

    def _fail(self, error: LocalAIError) -> None:
        self.over = True
        self.failed.emit(error)

    def _finish(self) -> None:
        if not self.over:
            self.over = True
            self.ended.emit(None)


class Turns(QObject):
    """Which turn runs in which conversation; a new chat's first turn has none yet."""

    def __init__(self, jobs: Jobs, parent: QObject) -> None:
        super().__init__(parent)
        self._jobs = jobs
        self._running: dict[int | None, LiveTurn] = {}
        self._left: list[LiveTurn] = []
        """First turns of new chats that the person left before they had a conversation."""

    def __bool__(self) -> bool:
        return bool(self._running or self._left)

    def of(self, conversation_id: int | None) -> LiveTurn | None:
        """The turn of a conversation; None: of the new chat."""
        return self._running.get(conversation_id)

    def begin(self, begin: Begin, conversation_id: int | None) -> LiveTurn:
        """Start a turn once everything that was asked of the store before is done."""
        settled = threading.Event()
        self._jobs.run(settled.set)

        def begin_when_settled() -> Iterator[Any]:
            settled.wait()
            yield from begin()

        turn = LiveTurn(self._jobs, begin_when_settled, self)
        self._running[conversation_id] = turn
        return turn

    def move(self, turn: LiveTurn, conversation_id: int) -> None:
        """The turn runs in this conversation."""
        self._drop(turn)
        self._running[conversation_id] = turn

    def leave_unsent(self) -> None:
        """Another new chat begins; the first turn of the one before goes on by itself."""
        turn = self._running.pop(None, None)
        if turn is not None:
            self._left.append(turn)

    def forget(self, turn: LiveTurn) -> None:
        """The turn is over."""
        self._drop(turn)
        turn.deleteLater()

    def stop_all(self) -> None:
        """Stop every turn."""
        for turn in [*self._running.values(), *self._left]:
            turn.stop()

    def _drop(self, turn: LiveTurn) -> None:
        self._running = {number: each for number, each in self._running.items() if each is not turn}
        self._left = [each for each in self._left if each is not turn]
