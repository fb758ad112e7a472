"""What the organisation wants forgotten is erased, with all that was derived from it.

RetentionDays erases conversations, documents and task runs that nobody changed for so long, and what was kept
for the organisation (ContentCapture) once that has it; SaveHistory off erases conversations when the app is
closed. Everything goes through the services' own doors, so each erasure is complete, audited, and refused
under a legal hold.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count

from localai_app.chat.conversation import Conversation
from localai_app.chat.service import ChatService
from localai_app.documents.service import DocumentService
from localai_app.errors import LocalAIError
from localai_app.governance.audit import Audit, AuditEvent
from localai_app.governance.policy import Policy
from localai_app.tasks.service import TaskService

_AT_ONCE = 200
_LOOK_SECONDS = 6 * 3600.0


class Retention:
    """Erases what is too old, now and then, while the app is open."""

    def __init__(  # noqa: PLR0917 - the rooms that keep something
        self,
        chat: ChatService,
        documents: DocumentService,
        tasks: TaskService,
        policy: Policy,
        audit: Audit,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._chat, self._documents, self._tasks = chat, documents, tasks
        self._policy, self._audit, self._now = policy, audit, now
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Erase what is due from now on, in a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="retention", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End after the object in hand, and forget conversations where none may be kept."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        if not self._policy.saves_history and self._policy.allows_delete:
            self._tell(conversations=self._erase_conversations(lambda conversation: True))

    def apply(self) -> int:
        """Erase what is too old; how many objects. Nothing under a legal hold, or without a limit."""
        days = self._policy.retention_days
        if not days or not self._policy.allows_delete:
            return 0
        limit = self._now() - timedelta(days=days)
        conversations = self._erase_conversations(lambda one: one.updated < limit)
        runs = self._erase_runs(limit)
        documents = self._erase_documents(limit)
        captured = self._audit.erase_captured(limit)
        self._tell(conversations=conversations, runs=runs, documents=documents, captured=captured)
        return conversations + runs + documents + captured

    def _run(self) -> None:
        while not self._ended.is_set():
            # A busy store, a hold that came meanwhile: at the next look.
            with suppress(LocalAIError):
                self.apply()
            self._ended.wait(_LOOK_SECONDS)

    def _erase_conversations(self, due: Callable[[Conversation], bool]) -> int:
        for conversation in self._conversations(trashed=False):
            if due(conversation):
                self._chat.trash(conversation.id)
        erased = 0
        for conversation in self._conversations(trashed=True):
            if due(conversation):
                self._chat.delete(conversation.id)
                erased += 1
        return erased

    def _conversations(self, *, trashed: bool) -> list[Conversation]:
        found: list[Conversation] = []
        for page in count():
            some = self._chat.conversations(trashed=trashed, limit=_AT_ONCE, offset=page * _AT_ONCE)
            found += some
            if len(some) < _AT_ONCE:
                return found
        raise AssertionError("count() has no end")

    def _erase_runs(self, limit: datetime) -> int:
        due = [run.id for run in self._tasks.runs() if (run.finished or run.created) < limit and not run.left]
        self._tasks.remove(due)
        due += [run.id for run in self._tasks.runs(trashed=True) if (run.finished or run.created) < limit]
        due = list(dict.fromkeys(due))
        self._tasks.erase(due)
        return len(due)

    def _erase_documents(self, limit: datetime) -> int:
        due = [document.id for document in self._documents.documents() if document.added < limit]
        self._documents.remove(due)
        erased = 0
        while not self._ended.is_set():
            # One by one: each holds the store's write lock for as long as its words are many, and takes
            # what was attached to it along.
            trashed = self._documents.documents(trashed=True)
            document = next((one for one in trashed if one.added < limit), None)
            if document is None:
                break
            self._documents.erase([document.id])
            erased += 1
        return erased

    def _tell(self, **erased: int) -> None:
        if any(erased.values()):
            self._audit.append(AuditEvent.RETENTION_APPLIED, body=dict(erased))
