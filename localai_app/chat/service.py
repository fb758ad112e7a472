"""What a person does in a chat: send, stop, regenerate, continue, edit and branch, find, keep.

Qt-free: plain calls and plain iterators. Every call asks policy and writes audit at this door.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from localai_app.chat import export
from localai_app.chat.answering import Answering
from localai_app.chat.conversation import Conversation, Message, Parameters, Role, SearchHit
from localai_app.chat.history import History
from localai_app.chat.snapshots import Snapshots
from localai_app.chat.turn import (
    ModelLoading,
    PromptProgress,
    TextDelta,
    Turn,
    TurnEvent,
    TurnFinished,
)
from localai_app.documents.asking import Asking
from localai_app.documents.grounding import Gathering, Grounding, Price, Sources
from localai_app.engine.client import Engine
from localai_app.errors import UsageError
from localai_app.governance.audit import Audit, AuditEvent, Content
from localai_app.governance.policy import Policy
from localai_app.models.service import ModelService

__all__ = [
    "ChatService",
    "Gathering",
    "Grounding",
    "ModelLoading",
    "PromptProgress",
    "TextDelta",
    "Turn",
    "TurnEvent",
    "TurnFinished",
]

_TITLE_LENGTH = 60


class ChatService:
    """All that either face can do with conversations."""

    def __init__(  # noqa: PLR0917 - the rooms below it
        self,
        history: History,
        models: ModelService,
        engine: Engine,
        policy: Policy,
        audit: Audit,
        snapshots: Snapshots,
        asking: Asking,
    ) -> None:
        self._history = history
        self._models = models
        self._engine = engine
        self._snapshots = snapshots
        self._asking = asking
        self._answering = Answering(
            history, models, engine, audit, snapshots, asking, ended=self._forget_turn
        )
        self._policy = policy
        self._audit = audit
        self._opened: int | None = None
        """Which conversation was looked at last: of that one the log tells once."""
        self._live: set[int] = set()
        self._live_lock = threading.Lock()

    # ------------------------------------------------------------ conversations

    def create(self, sources: Sources | None = None) -> Conversation:
        """A new, empty conversation; its title is made from the first message."""
        if sources is not None:
            self._require_ask()
        with self._history.transaction():
            conversation = self._history.create()
            if sources is not None:
                self._write_sources(conversation.id, sources)
        return self.conversation(conversation.id) if sources else conversation

    def conversations(
        self, *, trashed: bool = False, limit: int = 200, offset: int = 0
    ) -> list[Conversation]:
        """Conversations, the latest change first."""
        return self._history.conversations(trashed=trashed, limit=limit, offset=offset)

    def conversation(self, conversation_id: int) -> Conversation:
        """One conversation; raise `NotFound`."""
        return self._history.conversation(conversation_id)

    def path(self, conversation_id: int) -> list[Message]:
        """The messages of the path that is shown, oldest first."""
        if self._opened != conversation_id:
            self._opened = conversation_id
            self._audit.append_detail(AuditEvent.CONVERSATION_OPENED, str(conversation_id))
        return self._history.path(self.conversation(conversation_id).leaf_id)

    def message(self, message_id: int) -> Message:
        """One message; raise `NotFound`."""
        return self._history.message(message_id)

    def rename(self, conversation_id: int, title: str) -> Conversation:
        """Give a conversation another title."""
        title = " ".join(title.split())
        if not title:
            raise UsageError("A conversation needs a title.", "Type a name.")
        with self._history.transaction():
            self._history.rename(conversation_id, title)
        return self.conversation(conversation_id)

    def set_system_prompt(self, conversation_id: int, text: str) -> Conversation:
        """Set the instructions that the model reads first."""
        with self._history.transaction():
            self._history.set_system_prompt(conversation_id, text)
        return self.conversation(conversation_id)

    def set_parameters(self, conversation_id: int, parameters: Parameters) -> Conversation:
        """Set the sampling parameters of a conversation."""
        _check(parameters)
        with self._history.transaction():
            self._history.set_parameters(conversation_id, parameters)
        return self.conversation(conversation_id)

    def set_sources(self, conversation_id: int, sources: Sources | None) -> Conversation:
        """Let the answers from now on rest on documents; None: on none."""
        if sources is not None:
            self._require_ask()
        with self._history.transaction():
            self._write_sources(conversation_id, sources)
        return self.conversation(conversation_id)

    def prices(self, question: str, sources: Sources) -> list[Price]:
        """What a question to the documents costs in each mode; the first is what `Mode.AUTO` chooses.

        Loads the model that answers. Raise `DocumentError` where there is nothing to ask, and what
        `ModelService.load` raises.
        """
        self._require_ask()
        with self._engine.hold():
            self._models.load()
            return self._asking.prices(question, sources.scope)

    def trash(self, conversation_id: int) -> None:
        """Put a conversation in the trash; `restore` undoes it."""
        self._change(conversation_id, AuditEvent.CONVERSATION_TRASHED, self._history.trash)

    def restore(self, conversation_id: int) -> None:
        """Take a conversation out of the trash."""
        self._change(conversation_id, AuditEvent.CONVERSATION_RESTORED, self._history.restore)

    def delete(self, conversation_id: int) -> None:
        """Erase a conversation that lies in the trash, for good."""
        if self.conversation(conversation_id).trashed is None:
            raise UsageError("Only a conversation in the trash can be erased.", "Put it in the trash first.")
        with self._audit.refusals(str(conversation_id)):
            self._policy.require_delete()
        self._change(conversation_id, AuditEvent.CONVERSATION_DELETED, self._erase)

    def search(self, query: str, limit: int = 50) -> list[SearchHit]:
        """Messages that hold all words of ``query``, best first; trash excluded."""
        found = self._history.search(query, limit)
        self._audit.append_detail(AuditEvent.CONVERSATION_SEARCHED, body={"found": len(found)})
        return found

    def require_link(self, address: str) -> None:
        """Taking the address of a link in an answer to a browser must be allowed."""
        host = urlsplit(address).hostname or ""
        with self._audit.refusals("link", {"host": host}):
            self._policy.require_link()
        self._audit.append_detail(AuditEvent.LINK_TAKEN, body={"host": host})

    def show_branch(self, message_id: int) -> list[Message]:
        """Show the branch that runs through ``message_id`` (its newest leaf); the new path."""
        with self._history.transaction():
            leaf = self._history.show_branch(message_id)
        return self._history.path(leaf)

    def set_feedback(self, message_id: int, value: int) -> Message:
        """Keep thumbs up (1), down (-1) or neither (0) with an answer."""
        if value not in (-1, 0, 1):
            raise UsageError("Feedback is 1, -1 or 0.")
        with self._history.transaction():
            self._history.set_feedback(message_id, value)
        return self.message(message_id)

    def export(self, conversation_id: int, file_format: str) -> bytes:
        """The shown path as ``md``, ``html``, ``json`` or ``docx``."""
        with self._audit.refusals(str(conversation_id)):
            self._policy.require_export(file_format)
        conversation = self.conversation(conversation_id)
        data = export.export(conversation, self.path(conversation_id), file_format)
        with self._history.transaction():
            self._audit.append(
                AuditEvent.CONVERSATION_EXPORTED,
                object_id=str(conversation_id),
                body={"format": file_format, "bytes": len(data)},
            )
        return data

    # ------------------------------------------------------------ turns

    def send(self, conversation_id: int, text: str) -> Turn:
        """Say ``text`` after the shown path and let the model answer."""
        conversation = self.conversation(conversation_id)
        return self._ask(conversation, conversation.leaf_id, text)

    def edit(self, message_id: int, text: str) -> Turn:
        """Ask ``text`` in place of the question ``message_id``, as its sibling, and answer it."""
        message = self.message(message_id)
        if message.role is not Role.USER:
            raise UsageError("Only your own messages can be edited.")
        return self._ask(self.conversation(message.conversation_id), message.parent_id, text)

    def regenerate(self, message_id: int) -> Turn:
        """Answer the same question again, as a sibling of the answer ``message_id``."""
        message = self._answer(message_id)
        self._require(self.conversation(message.conversation_id))
        with self._turn(message.conversation_id):
            answer_id = self._history.add_answer(message.conversation_id, message.parent_id)
            self._audit.append(AuditEvent.ANSWER_STARTED, object_id=str(answer_id), body={"again": True})
        return Turn(self._answering, None, self.message(answer_id))

    def continue_answer(self, message_id: int) -> Turn:
        """Go on writing an answer that was stopped, cut off or interrupted; it must be the path's last."""
        message = self._answer(message_id)
        if message.id != self.conversation(message.conversation_id).leaf_id:
            raise UsageError("Only the last answer can be continued.")
        self._require(self.conversation(message.conversation_id))
        with self._turn(message.conversation_id):
            self._history.reopen(message.id)
            self._audit.append(AuditEvent.ANSWER_STARTED, object_id=str(message.id), body={"continued": True})
        return Turn(self._answering, None, message)

    def _ask(self, conversation: Conversation, parent_id: int | None, text: str) -> Turn:
        if not text.strip():
            raise UsageError("There is nothing to send.", "Type a message.")
        if conversation.trashed is not None:
            raise UsageError("This conversation is in the trash.", "Restore it to go on.")
        self._require(conversation)
        # Halves of characters, which an argument or a paste may hold, are not text.
        text = text.encode("utf-8", "replace").decode("utf-8")
        with self._turn(conversation.id):
            if not conversation.title:
                self._history.rename(conversation.id, _title(text))
            question_id = self._history.add_question(conversation.id, parent_id, text)
            answer_id = self._history.add_answer(conversation.id, question_id)
            self._audit.append(
                AuditEvent.MESSAGE_SENT,
                object_id=self._answering.hmac(conversation.id, text.encode()),
                body={"conversation": conversation.id, "message": question_id},
                content=Content("question", f"conversation {conversation.id}", text),
            )
        return Turn(self._answering, self.message(question_id), self.message(answer_id))

    def _require(self, conversation: Conversation) -> None:
        """What an answer in ``conversation`` is must be allowed."""
        if conversation.sources is not None:
            self._require_ask()
            return
        with self._audit.refusals("chat"):
            self._policy.require_chat()

    def _require_ask(self) -> None:
        """Having a model answer from documents must be allowed; a refusal is audited."""
        with self._audit.refusals("ask"):
            self._policy.require_ask()

    def _write_sources(self, conversation_id: int, sources: Sources | None) -> None:
        self._history.set_sources(conversation_id, sources)
        scope = sources.scope if sources else None
        self._audit.append(
            AuditEvent.SOURCES_SET,
            object_id=str(conversation_id),
            body={
                "mode": sources.mode.value if sources else "",
                "collections": list(scope.collections) if scope else [],
                "documents": list(scope.documents) if scope else [],
            },
        )

    @contextlib.contextmanager
    def _turn(self, conversation_id: int) -> Iterator[None]:
        """A transaction that begins a turn: one at a time in a conversation."""
        with self._live_lock:
            if conversation_id in self._live:
                raise UsageError("This conversation is being answered.", "Wait, or stop the answer first.")
            self._live.add(conversation_id)
        try:
            with self._history.transaction():
                self._take_over(conversation_id)
                yield
        except BaseException:
            self._live.discard(conversation_id)
            raise

    def _take_over(self, conversation_id: int) -> None:
        for interrupted in self._history.take_over(conversation_id):
            self._audit.append(
                AuditEvent.ANSWER_FINISHED,
                object_id=str(interrupted.message_id),
                body={"status": "interrupted"},
            )

    def _erase(self, conversation_id: int) -> None:
        self._snapshots.erase(conversation_id)
        self._history.delete(conversation_id)

    def _forget_turn(self, conversation_id: int) -> None:
        self._live.discard(conversation_id)

    def _answer(self, message_id: int) -> Message:
        message = self.message(message_id)
        if message.role is not Role.ASSISTANT:
            raise UsageError("That message is not an answer.")
        return message

    def _change(self, conversation_id: int, event: AuditEvent, act: Callable[[int], None]) -> None:
        with self._live_lock:
            if conversation_id in self._live:
                raise UsageError("This conversation is being answered.", "Stop the answer first.")
        with self._history.transaction():
            self._take_over(conversation_id)
            act(conversation_id)
            self._audit.append(event, object_id=str(conversation_id), body={})


def _title(text: str) -> str:
    line = next(line for line in text.splitlines() if line.strip()).strip()
    return line if len(line) <= _TITLE_LENGTH else line[: _TITLE_LENGTH - 1].rstrip() + "…"


def _check(parameters: Parameters) -> None:
    limits = {
        "temperature": (0, 5),
        "top_k": (0, 100_000),
        "top_p": (0, 1),
        "min_p": (0, 1),
        "repeat_penalty": (0.1, 5),
        "max_tokens": (0, 1_000_000),
        "seed": (0, 2**32 - 1),
    }
    for name, (low, high) in limits.items():
        value = getattr(parameters, name)
        if value is not None and not low <= value <= high:
            raise UsageError(f"{name.replace('_', ' ').capitalize()} must lie between {low} and {high}.")
