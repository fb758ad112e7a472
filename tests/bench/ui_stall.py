"""How long the UI thread is away while an answer streams into a long conversation, and while documents
are read and made searchable.

The real window on a real store: 200 messages of markdown, an engine that says 150 tokens/s; then 60 files of
text, read in the reader process and, where the embedding model is there, embedded by its worker, on the
Documents page. A timer asks to be called every millisecond; what it is late is a stall that a person could
feel.
"""

import os
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QApplication

from localai_app.app import App, open_app
from localai_app.chat.conversation import Status
from localai_app.chat.history import History
from localai_app.documents.document import State
from localai_app.paths import Paths
from localai_app.ui.application import make_application, make_window
from localai_app.ui.jobs import Jobs
from localai_app.ui.main_window import MainWindow
from localai_app.ui.theme import Theme
from tests.bench import report
from tests.fake_engine import FAKE_GGUF, FakeEngine

MESSAGES = 200
FILES, CLAUSES = 60, 120
TOKENS_PER_SECOND = 150
TOKENS = 1500
ANSWER = """The **lease** of Harbour Street caps the landlord's liability, see clause 14.2:

- twelve months' rent, *not* indexed,
- save for wilful misconduct and `gross negligence`.

| Lease | Cap | Clause |
|---|---|---|
| Harbour Street | 12 months' rent | 14.2 |
| Mill Lane | 250,000 EUR | 9.4 |

```python
def cap(rent: float, months: int = 12) -> float:
    return rent * months
```

The other two leases are silent on this point, so that the statutory rule applies to both of them.

"""


class PacedEngine(FakeEngine):
    """Says the same markdown over and over, a word at a time, as fast as was asked."""

    @property
    def pieces(self) -> Iterator[str]:  # type: ignore[override]
        words = ANSWER.replace(" ", " \0").split("\0")
        began = time.monotonic()
        for count in range(TOKENS):
            time.sleep(max(began + count / TOKENS_PER_SECOND - time.monotonic(), 0))
            yield words[count % len(words)]

    @pieces.setter
    def pieces(self, value: object) -> None:
        pass


def fill(app: App) -> int:
    """A conversation of `MESSAGES` messages; its id."""
    history = History(app.database)
    with app.database.transaction():
        conversation = history.create("Liability caps across leases")
        parent = None
        for turn in range(MESSAGES // 2):
            parent = history.add_question(conversation.id, parent, f"Question {turn}: which lease caps it?")
            parent = history.add_answer(conversation.id, parent)
            history.finish(parent, ANSWER, Status.COMPLETE)
    return conversation.id


def gaps_while_streaming(
    application: QApplication, window: MainWindow, app: App, conversation_id: int
) -> list[float]:
    """Milliseconds that each tick of the timer was late."""
    page = window.chat_page
    page.open(conversation_id)
    wait(application, lambda: len(page.transcript.messages) == MESSAGES)
    page.send("And the next one?")
    wait(application, lambda: page.generating)
    late = ticks(application, lambda: not page.generating)
    answer = app.chat.path(conversation_id)[-1]
    assert answer.stats is not None, answer.error
    assert answer.stats.output_tokens == TOKENS
    return late


def gaps_while_indexing(
    application: QApplication, window: MainWindow, app: App, folder: Path
) -> tuple[list[float], int]:
    """The same while a folder is read and indexed; and how many characters that were."""
    written = 0
    for number in range(FILES):
        text = "\n\n".join(
            f"{clause}. {ANSWER.partition(chr(10))[0]} Lease {number}." for clause in range(CLAUSES)
        )
        written += (folder / f"lease-{number:02}.txt").write_text(text, encoding="utf-8")
    window.show_documents()
    page = window.documents_page
    assert page is not None
    page.add([folder])
    done = threading.Event()

    def read() -> None:
        while len(app.documents.documents()) < FILES:
            time.sleep(0.05)
        app.documents.wait()
        done.set()

    threading.Thread(target=read, daemon=True).start()
    late = ticks(application, done.is_set)
    assert all(each.state is State.READY for each in app.documents.documents())
    return late, written


def ticks(application: QApplication, over: Callable[[], bool]) -> list[float]:
    """Milliseconds that each tick of a timer was late, until it is ``over``."""
    late: list[float] = []
    last = time.perf_counter()

    def tick() -> None:
        nonlocal last
        now = time.perf_counter()
        late.append(max(now - last - 0.001, 0) * 1000)
        last = now

    timer = QTimer()
    timer.setTimerType(Qt.TimerType.PreciseTimer)
    timer.timeout.connect(tick)
    timer.start(1)
    wait(application, over)
    timer.stop()
    return late


def wait(application: QApplication, condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < end, "the window does not get there"
        application.processEvents()
        application.sendPostedEvents()
        time.sleep(0.0002)


def main() -> None:
    """Measure and report."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        (base / "models").mkdir()
        (base / "models" / "Bench-Q4_0.gguf").write_bytes(FAKE_GGUF)
        paths = Paths(base / "data", base / "config", base / "cache", (base / "models",))
        embedding = report.model_if_here("all-MiniLM-L6-v2.F16.gguf")
        if embedding is not None:
            shutil.copy(embedding, base / "models")
        (base / "documents").mkdir()
        with open_app(paths, engine=PacedEngine(context_length=100_000)) as app:
            application = make_application(["bench"])
            theme, jobs = Theme(application), Jobs()
            window = make_window(app, theme, jobs)
            window.resize(1280, 820)
            window.show()
            window.load()
            streaming = gaps_while_streaming(application, window, app, fill(app))
            indexing, written = gaps_while_indexing(application, window, app, base / "documents")
            window.close()
            jobs.close()
    how = "with vectors" if embedding is not None else "words only"
    report.write(
        "ui_stall",
        [
            *rows(streaming, "UI thread away"),
            *rows(indexing, f"UI thread away while {written:,} characters are indexed, {how}"),
        ],
    )


def rows(late: list[float], measure: str) -> list[report.Row]:
    """What of it a person feels."""
    p99 = round(statistics.quantiles(late, n=1000)[989], 2)
    row = {"unit": "ms", "better": "lower", "rival": "", "theirs": None}
    return [
        report.Row(f"{measure}, p99", p99, target=16, ours=p99, **row),
        report.Row(f"{measure}, longest", round(max(late), 2), target=None, ours=round(max(late), 2), **row),
    ]


if __name__ == "__main__":
    main()
