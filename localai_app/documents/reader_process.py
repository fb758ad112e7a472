"""The one door to the text of a file: it is read in a confined child, which then ends.

A document may come from anywhere, and those who write to harm write documents. So the process that knows
the store's key never parses one: a child that has the file's bytes and nothing else does
(``reader_child.py``), within limits of processor time, memory, silence and length. What it sends back is
checked before anyone sees it. However it ends, there is one clear line about it, and no process is left.
"""

import threading
import time
from collections.abc import Iterator
from types import TracebackType

import msgspec

from localai_app.documents.reading import (
    FONTS,
    SAVE_ANEW,
    SPLIT,
    Answer,
    AttachmentRead,
    BadFrame,
    Finished,
    Job,
    Limits,
    PageRead,
    ReadAnswer,
    Refused,
    Render,
    Rendered,
    Started,
    decode_answer,
    encode,
    read_body,
)
from localai_app.errors import DocumentError, PasswordNeeded
from localai_app.processes import Child, start_child
from localai_app.sandbox import Confinement

SILENCE, SILENCE_RECOGNISING = 120.0, 300.0
"""Seconds without a frame after which a reader is ended; recognising a large page takes half a minute of a
machine that does nothing else."""
DRAWING = 30.0
"""Seconds that drawing a page, or opening the file for it, may take."""
MAX_CRASHES = 4
"""In a row, after which a viewer starts no other child."""
_PATIENCE = 10
"""Seconds that an answer may be waited for, in all, for each second of processor time: for busy machines."""
_RECOGNISING = 20
"""How many times the processor time is allowed where pages may have to be recognised: some seconds each."""
_END_SECONDS = 5.0
"""How long a child that closed its output may take to end."""
_LOOK = 0.1
"""Seconds between two looks at whether somebody wants it to stop."""


def read(data: bytes | memoryview, job: Job, *, stop: threading.Event | None = None) -> Iterator[ReadAnswer]:
    """Yield what stands in ``data`` as it is read; the last is `Finished`.

    Raise `PasswordNeeded` for a file that is encrypted, and `DocumentError` for one that cannot be read,
    when its reader crashes, takes too long or says what cannot be, and after ``stop`` was set. The child
    is gone by then, and also when the caller goes on no further.
    """
    sequence = _Sequence(job.limits)
    silence = SILENCE_RECOGNISING if job.ocr else SILENCE
    with _Reader(data, job, silence, stop) as reader:
        while not sequence.finished:
            answer = reader.answer()
            if isinstance(answer, Refused):
                raise _error(answer)
            yield sequence.checked(answer)


class Viewer:
    """Draws the pages of one document, in a child that stays; use it as a context manager, or close it."""

    def __init__(self, data: bytes | memoryview, name: str = "", password: str = "") -> None:
        """The child starts with the first page."""
        self._data = data
        self._job = Job(name, len(data), do="view", password=password)
        self._reader: _Reader | None = None
        self._crashes = 0
        self._closed = False
        self._lock = threading.Lock()

    def render(self, page: int, scale: float) -> Rendered:
        """Page ``page``, ``scale`` pixels per point; raise `DocumentError`, `PasswordNeeded`.

        A child that has died meanwhile is started again, and so is one that dies of this page, once.
        """
        with self._lock:
            try:
                return self._render(Render(page, scale))
            except _Ended:
                return self._render(Render(page, scale))

    def _render(self, question: Render) -> Rendered:
        if self._closed:
            raise DocumentError("The document was closed.", "Open it again.")
        if self._crashes >= MAX_CRASHES:
            raise DocumentError("The pages cannot be drawn: this crashes again and again.", SAVE_ANEW)
        try:
            if self._reader is None:
                self._reader = self._start()
            answer = self._reader.ask(question)
        except DocumentError as error:
            self._crashes += isinstance(error, _Ended)
            self._end()
            raise
        self._crashes = 0
        if isinstance(answer, Refused):
            raise _error(answer)
        if not isinstance(answer, Rendered) or answer.page != question.page:
            self._end()
            raise _nonsense()
        return answer

    def _start(self) -> "_Reader":
        reader = _Reader(self._data, self._job, DRAWING)
        try:
            answer = reader.answer()
            if isinstance(answer, Refused):
                raise _error(answer)
            if not isinstance(answer, Started):
                raise _nonsense()
        except BaseException:
            reader.close()
            raise
        return reader

    def close(self) -> None:
        """End the child; waits for a page that is being drawn."""
        with self._lock:
            self._closed = True
            self._end()

    def _end(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def __enter__(self) -> "Viewer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


# ---------------------------------------------------------------- one child


class _Ended(DocumentError):
    """The child ended in the middle of its work."""


class _Reader:
    """A child at work on one document, and a watch that ends it when it is silent or unwanted."""

    def __init__(
        self, data: bytes | memoryview, job: Job, silence: float, stop: threading.Event | None = None
    ) -> None:
        job = msgspec.structs.replace(
            job,
            size=len(data),
            name=job.name.encode("utf-8", "replace").decode(),
            password=job.password.encode("utf-8", "replace").decode(),
        )
        seconds = job.limits.cpu_seconds * (_RECOGNISING if job.ocr else 1)
        self._child: Child = start_child("reader", Confinement(read=FONTS, cpu_seconds=seconds))
        self._silence = silence
        self._stop = stop or threading.Event()
        self._deadline = time.monotonic() + silence
        self._patience = float("inf") if job.do == "view" else _PATIENCE * seconds
        self._waiting = True
        self._over = threading.Event()
        self._late = False
        self._watch = threading.Thread(target=self._look_after, name="reader watch", daemon=True)
        self._watch.start()
        try:
            self._child.stdin.write(encode(job))
            self._child.stdin.write(data)
            self._child.stdin.flush()
        except OSError:
            pass  # it is gone; its output says so in a moment
        except BaseException:
            self.close()
            raise
        self._waiting = False

    def ask(self, question: Render) -> Answer:
        """Its answer to ``question``; raise as `answer` does."""
        try:
            self._child.stdin.write(encode(question))
            self._child.stdin.flush()
        except OSError:
            pass  # as above
        return self.answer()

    def answer(self) -> Answer:
        """What it says next; raise `DocumentError` when it ends, or says what cannot be."""
        began = time.monotonic()
        self._deadline = began + min(self._silence, self._patience)
        self._waiting = True
        try:
            body = read_body(self._child.stdout)
            if body is None:
                raise self._how_it_ended()
            return decode_answer(body)
        except (BadFrame, OSError):
            if self._late or self._stop.is_set():  # it was ended in the middle of a frame
                raise self._how_it_ended() from None
            raise _nonsense() from None
        finally:
            self._waiting = False
            self._patience -= time.monotonic() - began

    def close(self) -> None:
        """End the child; no trace of it is left."""
        self._over.set()
        self._watch.join()
        self._child.kill()
        self._child.stop()

    def _how_it_ended(self) -> DocumentError:
        if not self._child.wait(_END_SECONDS):
            self._child.kill()
            self._child.wait()
        if self._stop.is_set():
            return DocumentError("Reading was stopped.", "Start it again when it suits.")
        if self._late:
            return DocumentError("Reading the file took too long and was ended.", SPLIT)
        how = self._child.how_it_ended()
        if "SIGABRT" in how:  # parsers in C end so when they get no memory
            how += ", perhaps for want of memory"
        if "SIGXCPU" in how:
            return DocumentError("Reading the file takes more computing time than is allowed.", SPLIT)
        return _Ended(f"The file could not be read: its reader {how}".rstrip(".?") + ".", SAVE_ANEW)

    def _look_after(self) -> None:
        while not self._over.wait(_LOOK):
            self._late = self._late or (self._waiting and time.monotonic() > self._deadline)
            if self._late or self._stop.is_set():
                self._child.kill()
                return

    def __enter__(self) -> "_Reader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


# ---------------------------------------------------------------- what may come when


class _Sequence:
    """Checks that frames come in an order, and in an amount, that a document can have."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._started = False
        self._last_page = 0
        self._pages = 0
        self._characters = 0
        self._attachments = 0
        self._attached = 0
        self.finished = False

    def checked(self, answer: Answer) -> ReadAnswer:
        """``answer``; raise `DocumentError` where it cannot come now, or is too much."""
        if self._started == isinstance(answer, Started):
            raise _nonsense()
        match answer:
            case Started():
                self._started = True
            case PageRead():
                self._count_page(answer)
            case AttachmentRead():
                self._count_attachment(answer)
            case Finished():
                if answer.facts.pages < self._last_page:
                    raise _nonsense()
                self.finished = True
            case _:
                raise _nonsense()
        return answer

    def _count_page(self, answer: PageRead) -> None:
        if answer.page.number <= self._last_page:
            raise _nonsense()
        self._last_page = answer.page.number
        self._characters += len(answer.page.text)
        if self._last_page > self._limits.pages:
            raise DocumentError(f"The file has more than {self._limits.pages:,} pages.", SPLIT)
        if self._characters > self._limits.characters:
            message = f"The file holds more than {self._limits.characters:,} characters of text."
            raise DocumentError(message, SPLIT)

    def _count_attachment(self, answer: AttachmentRead) -> None:
        self._attachments += 1
        self._attached += len(answer.attachment.data)
        if self._attachments > self._limits.attachments or self._attached > self._limits.expanded:
            hint = "Save them one by one, and add those that matter."
            raise DocumentError("The file has too many attachments, or too large ones.", hint)


def _error(refused: Refused) -> DocumentError:
    kind = PasswordNeeded if refused.code in ("password", "wrong_password") else DocumentError
    return kind(refused.message or "The file cannot be read.", refused.hint or SAVE_ANEW)


def _nonsense() -> DocumentError:
    message = "The file's reader said what no document can say; nothing of that is kept."
    return DocumentError(message, SAVE_ANEW)
