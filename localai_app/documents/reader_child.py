"""The reader child: reads or draws one document and ends. The app's side is ``reader_process.py``.

It is handed the file's bytes, loads the one reader that these need, and then gives up every file: from
there on it can compute, and write frames to its one pipe. A second thread waits for the end of the input,
so that the end of the app ends the process; the limit of processor time ends it in any case.
"""

import os
import queue
import sys
import threading
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

from localai_app import sandbox
from localai_app.documents.reading import (
    FONTS,
    SAVE_ANEW,
    SPLIT,
    Answer,
    Job,
    Refused,
    Render,
    Started,
    decode_question,
    encode,
    presentable,
    read_body,
)
from localai_app.processes import ChildIO

if TYPE_CHECKING:
    from localai_app.documents.readers.dispatch import Opened


def main(io: ChildIO) -> int:
    """Do the one job of the input; the exit code."""
    source = open(io.input_fd, "rb", closefd=False)  # noqa: SIM115 - open until the process ends
    body = read_body(source)
    if body is None:  # the app needs no reader any more
        return 0
    job = decode_question(body)
    assert isinstance(job, Job)
    data = _read_exactly(source, job.size)
    if data is None:
        return 0
    sys.setrecursionlimit(2_000)
    try:
        opened = _open(job, data)
    except Exception as error:
        _send(io, _refusal(error))
        return 0
    # Text recognition is loaded for the first page that needs it: few documents do.
    sandbox.tighten(read=FONTS if job.do == "view" else (), code=job.ocr)
    sandbox.limit_memory(job.limits.memory)
    questions: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(source, questions), name="questions", daemon=True).start()
    if job.do == "view":
        return _draw(io, opened, questions)
    for answer in _answers(opened):
        _send(io, answer)
    return 0


def _open(job: Job, data: bytes) -> "Opened":
    """The reader for ``data``, loaded with all that it may need."""
    from localai_app.documents.readers import dispatch  # noqa: PLC0415 - not before it is confined

    return dispatch.open_reader(job, data)


def _answers(opened: "Opened") -> Iterator[Answer]:
    try:
        yield from opened.read()
    except Exception as error:
        yield _refusal(error)


def _draw(io: ChildIO, opened: "Opened", questions: "queue.SimpleQueue[bytes]") -> int:
    """Answer `Render` after `Render` until the input ends; returns only when nothing can be drawn."""
    try:
        renderer = opened.renderer()
        _send(io, Started(opened.kind, renderer.pages))
    except Exception as error:
        _send(io, _refusal(error))
        return 0
    while True:
        question = decode_question(questions.get())
        assert isinstance(question, Render)
        try:
            answer: Answer = renderer.render(question.page, question.scale)
        except Exception as error:
            answer = _refusal(error)
        _send(io, answer)


def _refusal(error: Exception) -> Refused:
    """What to tell of ``error``, which may quote the file and is not told itself."""
    from localai_app.documents.readers.refused import ReadRefused  # noqa: PLC0415 - as in _open

    if isinstance(error, ReadRefused):
        return error.refused
    if isinstance(error, MemoryError):
        return Refused("limit", "Reading the file needs more memory than is allowed.", SPLIT)
    if isinstance(error, RecursionError):
        return Refused("broken", "The file is nested too deeply.", SAVE_ANEW)
    kind = type(error).__name__
    return Refused("broken", f"The file is damaged or of an unknown make ({kind}).", SAVE_ANEW)


def _listen(source: IO[bytes], questions: "queue.SimpleQueue[bytes]") -> None:
    while (body := read_body(source)) is not None:
        questions.put(body)
    os._exit(0)


def _read_exactly(source: IO[bytes], size: int) -> bytes | None:
    data = source.read(size)
    return data if len(data) == size else None


def _send(io: ChildIO, answer: Answer) -> None:
    frame = memoryview(encode(presentable(answer)))
    while frame:
        frame = frame[os.write(io.output_fd, frame) :]
