"""The work behind the library: files → pages → chunks → vectors, in two threads side by side.

The first reads: a confined child brings pages, which are kept as they come, and when the last is here
the chunks go into the index, so that words are found at once. The second makes the vectors in another
process. So the next document is read while the last is embedded. The queue between the two is the store
itself: what is in it survives whatever happens, and a second process that works on the same store takes
from it too. A document that is worked on carries a lease.

A document's own trouble ends that document, with a line on what to do; the others go on. A full disk
pauses all of it.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from localai_app.documents.document import Chunk, Page, State
from localai_app.documents.draft import Answers, Draft, LeaseLost, ReadFile, WorkStopped, file_of
from localai_app.documents.library import Held, Library, Stage
from localai_app.documents.progress import Progress, Watchers
from localai_app.documents.reading import Job
from localai_app.errors import (
    DocumentError,
    EngineError,
    EngineExited,
    GgufError,
    LocalAIError,
    PasswordNeeded,
    PolicyRefused,
    RequestFailed,
    StoreError,
    StoreLocked,
)
from localai_app.governance.audit import Audit, AuditEvent
from localai_app.governance.policy import Policy
from localai_app.models.embedding import EmbeddingModel, Vectors
from localai_app.store import leases

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Embeds", "Indexer", "PassageIndex", "ReadFile", "Split"]

_BATCH = 32
"""Chunks whose vectors are kept in one transaction: a kill loses what one batch takes."""
_SAMPLE_PAGES = 200
"""From which the language of a document is told."""
_GUESSED_BUDGET = 200
"""Tokens of a chunk where there is no model to count them."""
_LOCKED_SECONDS = 1.0
"""After which a store that another process kept locked is tried again."""
_NO_VECTORS = (EngineError, GgufError, PolicyRefused)
"""What keeps a model from making vectors."""
_BEAT_SECONDS = leases.LEASE_SECONDS / 4

CountTokens = Callable[[Sequence[str]], list[int]]


class Split(Protocol):
    """Cuts a document into chunks of at most ``budget`` tokens; see ``chunks.py``."""

    def __call__(self, pages: Sequence[Page], count: CountTokens, budget: int, /) -> list[Chunk]:
        """The chunks of all pages, in order."""


class Embeds(Protocol):
    """What indexing needs of `EmbeddingService`."""

    def load(self) -> EmbeddingModel:
        """Hold the selected model; raise `ModelNotFound` and other `EngineError`s."""

    def selected_sha256(self) -> str:
        """The hash of the selected model."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens that the model reads of each text."""

    def embed_passages(self, texts: Sequence[str], *, stop: threading.Event | None = None) -> Vectors:
        """Vectors of texts that shall be found."""


class PassageIndex(Protocol):
    """What indexing needs of the index; see ``search.py``."""

    def prepared(self, chunks: Sequence[Chunk], language: str) -> Callable[[int], None]:
        """What lets the index hold these chunks of a document and no others, called with its id in the
        caller's transaction."""

    def words(self, document_ids: Sequence[int]) -> Mapping[int, tuple[str, str]]:
        """What makes `remove` fast; before the transaction."""

    def remove(self, document_ids: Sequence[int], words: Mapping[int, tuple[str, str]] | None = None) -> None:
        """Forget documents; in the caller's transaction."""

    def index_words(self) -> bool:
        """Index the words of some chunks of long documents, for which `prepared` left no time; whether there
        are more."""

    def without_vectors(self, model_sha256: str, document_id: int | None = None) -> list[tuple[int, str]]:
        """(chunk, text to embed) of all that have no vector of that model yet, oldest document first."""

    def add_vectors(
        self, model: EmbeddingModel, chunk_ids: Sequence[int], vectors: "NDArray[np.float32]"
    ) -> None:
        """Keep vectors; of a chunk that is gone by now, nothing; in the caller's transaction."""


@dataclass(eq=False)
class _Hand:
    """A document in hand, and how to take it away."""

    held: Held
    stop: threading.Event = field(default_factory=threading.Event)
    password: str = ""
    """That was tried."""


class Indexer:
    """Works on whatever waits, in threads that live as long as there is something to do."""

    def __init__(  # noqa: PLR0917 - the rooms and parts it joins
        self,
        library: Library,
        policy: Policy,
        audit: Audit,
        index: PassageIndex,
        embedding: Embeds,
        read_file: ReadFile,
        split: Split,
        language_of: Callable[[str], str],
        recognises: Callable[[], bool],
        watchers: Watchers,
    ) -> None:
        """``recognises`` says whether pages without a text layer can be read here."""
        self._library = library
        self._policy = policy
        self._audit = audit
        self._index = index
        self._embedding = embedding
        self._read_file = read_file
        self._split = split
        self._language_of = language_of
        self._recognises = recognises
        self._watchers = watchers
        self.progress = Progress()
        self.notice = ""
        self.paused = False
        self._closed = threading.Event()
        self._lock = threading.RLock()
        self._threads: dict[Stage, threading.Thread] = {}
        self._hands: dict[Stage, _Hand] = {}
        self._beating: threading.Thread | None = None
        self._unlocked: deque[int] = deque()
        self.passwords: dict[int, str] = {}
        """Of this run; they are written nowhere."""

    # ------------------------------------------------------------ from any thread

    def start(self) -> None:
        """Work on whatever waits; starts nothing where nothing does."""
        with self._lock:
            if self.paused or self._closed.is_set():
                return
            with self._library.transaction():
                self._library.requeue_abandoned([hand.held.id for hand in self._hands.values()])
            backlog = self._library.backlog()
            if backlog.to_read or self._unlocked:
                self._start("read")
            if backlog.to_embed:
                self._start("embed")

    def catch_up(self) -> None:
        """Work on what waits, and make vectors that ready documents lack: another model was chosen, or
        there was none. The old ones serve meanwhile."""
        self.start()
        with self._lock:
            if not (self.paused or self._closed.is_set()) and self._library.has_documents():
                self._start("embed")

    @property
    def busy(self) -> bool:
        """Whether a thread works."""
        return bool(self._threads)

    def unlock(self, document_id: int, password: str) -> None:
        """Read a locked document with its password."""
        with self._lock:
            self.passwords[document_id] = password
            self._unlocked.append(document_id)
        self.start()

    def drop(self, document_ids: Sequence[int]) -> None:
        """Stop working on documents that others have changed or taken away."""
        with self._lock:
            for hand in self._hands.values():
                if hand.held.id in document_ids:
                    hand.stop.set()

    def pause(self) -> None:
        """Stop after the page, or the batch of vectors, in hand."""
        with self._lock:
            self.paused = True
        self._watchers.tell()

    def resume(self) -> None:
        """Go on."""
        with self._lock:
            self.paused = False
            self.notice = ""
        self.catch_up()
        self._watchers.tell()

    def close(self) -> None:
        """End at once; what is half done goes on at the next start."""
        with self._lock:
            self._closed.set()
            for hand in self._hands.values():
                hand.stop.set()
            threads = list(self._threads.values())
        for thread in threads:
            thread.join()
        if self._beating:
            self._beating.join()

    # ------------------------------------------------------------ threads

    def _start(self, stage: Stage) -> None:
        if stage in self._threads:
            return
        work = {"read": self._read_all, "embed": self._embed_all}[stage]
        thread = threading.Thread(target=work, name=f"documents {stage}", daemon=True)
        self._threads[stage] = thread
        if self._beating is None:
            self._beating = threading.Thread(target=self._beat, name="documents leases", daemon=True)
            self._beating.start()
        thread.start()

    def _read_all(self) -> None:
        with self._thread("read"):
            while hand := self._next("read", last=True):
                self._work_on(hand, self._read)
                with contextlib.suppress(WorkStopped):
                    self._finish_words(self._closed)
                self.start()  # what was read waits for its vectors now
        self.progress.reading_rests()
        self._watchers.tell()

    def _embed_all(self) -> None:
        with self._thread("embed"):
            while True:
                hand = self._next("embed", last=False)
                if hand is None:
                    self._embed_missing()
                    hand = self._next("embed", last=True)
                    if hand is None:
                        break
                self._work_on(hand, self._embed)
        self.progress.indexing_rests()
        self._watchers.tell()

    @contextlib.contextmanager
    def _thread(self, stage: Stage) -> Iterator[None]:
        """Around a thread's whole work: the store's trouble pauses all. Another thread goes on after a while
        where the store was only locked, and after a fault of ours, which has failed its document."""
        again = False
        try:
            yield
        except StoreLocked:
            again = not self._closed.wait(_LOCKED_SECONDS)
        except StoreError as error:
            self._halt(error)
        except BaseException:
            again = stage in self._hands
            raise
        finally:
            with self._lock:
                self._hands.pop(stage, None)
                if self._threads.get(stage) is threading.current_thread():
                    del self._threads[stage]
            if again:
                self._start_again()

    def _start_again(self) -> None:
        try:
            self.start()
        except StoreError as error:
            self._halt(error)

    def _next(self, stage: Stage, *, last: bool) -> _Hand | None:
        """The next document. After None the thread ends, if it was to be the ``last`` look: whoever
        queues one more starts another."""
        with self._lock:
            self._hands.pop(stage, None)
            held = None
            if not (self.paused or self._closed.is_set()):
                with self._library.transaction():
                    while stage == "read" and self._unlocked and held is None:
                        held = self._library.claim_locked(self._unlocked.popleft())
                    held = held or self._library.claim(stage)
            if held is None:
                if last:
                    del self._threads[stage]
                return None
            hand = self._hands[stage] = _Hand(held)
            return hand

    def _work_on(self, hand: _Hand, work: Callable[[_Hand], None]) -> None:
        """Do ``work`` on the document in hand; whatever comes of it, the document is told and let go."""
        held = hand.held
        try:
            work(hand)
        except LeaseLost:
            pass  # it is somebody else's by now, or nobody's
        except WorkStopped:
            self._let_go(held, State.WAITING)
        except StoreError:
            with contextlib.suppress(StoreError):
                self._let_go(held, State.WAITING)
            raise
        except PasswordNeeded as error:
            if self.passwords.get(held.id) == hand.password:  # else another was given meanwhile
                self.passwords.pop(held.id, None)
            self._fail(held, State.LOCKED, error)
        except LocalAIError as error:
            if hand.stop.is_set():  # what was given up half-way may say so
                self._let_go(held, State.WAITING)
            else:
                self._fail(held, State.FAILED, error)
        except BaseException:
            self._fail(held, State.FAILED, DocumentError("It cannot be read for a fault of this app."))
            raise
        self._watchers.tell()

    def _let_go(self, held: Held, state: State, error: str = "") -> bool:
        with self._library.transaction():
            return self._library.release(held, state, error)

    def _fail(self, held: Held, state: State, error: LocalAIError) -> None:
        with self._library.transaction():
            if self._library.release(held, state, error.line):
                body = {"code": type(error).__name__, "state": str(state)}
                self._audit.append(AuditEvent.DOCUMENT_FAILED, str(held.id), body)
        self.progress.finished()

    def _halt(self, error: StoreError) -> None:
        """The store takes no more: pause, and say why."""
        with self._lock:
            self.paused = True
            self.notice = f"Reading is paused. {error.line}"
        self._watchers.tell()

    def _beat(self) -> None:
        """Show that the documents in hand are worked on; one that was taken away is let go."""
        while not self._closed.wait(_BEAT_SECONDS):
            with self._lock:
                hands = list(self._hands.values())
                if not self._threads:
                    self._beating = None
                    return
            with contextlib.suppress(StoreError):
                for hand in hands:
                    with self._library.transaction():
                        if not self._library.renew(hand.held):
                            hand.stop.set()

    # ------------------------------------------------------------ reading

    def _read(self, hand: _Hand) -> None:
        held = hand.held
        self.progress.reading(held.name, 0, 0)
        self._watchers.tell()
        file = file_of(self._library, held, self._policy)
        draft = Draft(self._library, self._policy, self._audit, held, file)
        hand.password = self.passwords.get(held.id, "")
        job = Job(
            name=held.name,
            size=len(file.data),
            password=hand.password,
            ocr=self._recognises(),
            skip_pages=draft.here,
        )
        for page in draft.gather(self._answers(hand, file.data, job)):
            self.progress.reading(
                held.name, page.number, draft.expected, recognising=page.source == "ocr" and job.ocr
            )
            self._watchers.tell()
            if self.paused:
                draft.save()
                raise WorkStopped
        pages = draft.pages()
        chunks = self._chunks(hand, pages)
        language = self._language_of("\n".join(page.text for page in pages[:_SAMPLE_PAGES]))
        put, earlier = self._index.prepared(chunks, language), self._index.words([held.id])
        with self._library.transaction():
            self._index.remove([held.id], earlier)  # before its earlier pages go
            gone = draft.finish(tokens=sum(chunk.tokens for chunk in chunks), language=language)
            put(held.id)
            if gone:
                self._index.remove(gone)
                self._library.erase(gone)
            draft.write_audit(chunks=len(chunks))
        self.progress.read(len(file.data), len(pages))

    def _answers(self, hand: _Hand, data: bytes, job: Job) -> Answers:
        """What the reader brings; raise `WorkStopped` instead of its error when it was stopped."""
        try:
            yield from self._read_file(data, job, stop=hand.stop)
        except DocumentError:
            if hand.stop.is_set():
                raise WorkStopped from None
            raise

    def _chunks(self, hand: _Hand, pages: Sequence[Page]) -> list[Chunk]:
        """The chunks of a document; an engine that crashes meanwhile is asked once more."""

        def count(texts: Sequence[str]) -> list[int]:
            if hand.stop.is_set():
                raise WorkStopped
            return self._embedding.count_tokens(texts)

        try:
            return self._split(pages, count, self._embedding.load().usual_tokens)
        except EngineExited:
            return self._split(pages, count, self._embedding.load().usual_tokens)
        except _NO_VECTORS as error:
            # Words are found without a model. The guess is on the safe side, so that a model which comes
            # later can read every chunk.
            self._note_missing(error)
            return self._split(pages, _guess_tokens, _GUESSED_BUDGET)

    # ------------------------------------------------------------ vectors

    def _embed(self, hand: _Hand) -> None:
        """Make the vectors of the document in hand; where that cannot be, its words must do."""
        held = hand.held
        pages = max(1, self._library.document(held.id).pages)

        def keep(done: float, more: float) -> None:
            if not self._library.renew(held):
                raise LeaseLost
            self.progress.indexing(held.name, round(done * pages), pages, more * pages)

        self.progress.indexing(held.name, 0, pages, 0)
        self._watchers.tell()
        try:
            self._finish_words(hand.stop)
            self._make_vectors(held.id, hand.stop, keep)
        except _NO_VECTORS as error:
            if isinstance(error, RequestFailed) and hand.stop.is_set():
                raise WorkStopped from None
            self._note_missing(error)
        with self._library.transaction():
            if not self._library.release(held, State.READY):
                raise LeaseLost
        self.progress.finished()

    def _embed_missing(self) -> None:
        """Make the vectors that ready documents lack: another model was chosen, or there was none."""
        if self.paused or self._closed.is_set():
            return
        try:
            self._finish_words(self._closed)
            self._make_vectors(None, self._closed, lambda done, more: None)
        except WorkStopped:
            pass
        except _NO_VECTORS as error:
            self._note_missing(error)

    def _finish_words(self, stop: threading.Event) -> None:
        while self._index.index_words():
            if self.paused or stop.is_set():
                raise WorkStopped

    def _make_vectors(
        self, document_id: int | None, stop: threading.Event, keep: Callable[[float, float], None]
    ) -> None:
        """Make all vectors that a document (None: any) lacks, batch by batch.

        ``keep`` is called in the transaction of each batch with the fractions that are done, and were
        done by this batch. An engine that crashes is asked once more.
        """
        try:
            self._make_vectors_once(document_id, stop, keep)
        except EngineExited:
            self._make_vectors_once(document_id, stop, keep)

    def _make_vectors_once(
        self, document_id: int | None, stop: threading.Event, keep: Callable[[float, float], None]
    ) -> None:
        missing = self._index.without_vectors(self._embedding.selected_sha256(), document_id)
        for start in range(0, len(missing), _BATCH):
            if self.paused or stop.is_set():
                raise WorkStopped
            batch = missing[start : start + _BATCH]
            vectors = self._embedding.embed_passages([text for _, text in batch], stop=stop)
            with self._library.transaction():
                keep((start + len(batch)) / len(missing), len(batch) / len(missing))
                self._index.add_vectors(vectors.model, [chunk for chunk, _ in batch], vectors.values)
            self._watchers.tell()

    def _note_missing(self, error: LocalAIError) -> None:
        self.notice = f"Documents are found by their words only, not by meaning. {error.line}"


def _guess_tokens(texts: Sequence[str]) -> list[int]:
    """Rather too many than too few: one for every two bytes."""
    return [2 + len(text.encode()) // 2 for text in texts]
