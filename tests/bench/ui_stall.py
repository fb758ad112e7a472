"""How long the UI thread is away while an answer streams into a long conversation.

The real window on a real store, 200 messages of markdown, an engine that says 150 tokens/s. A timer
asks to be called every millisecond; what it is late is a stall that a person could feel.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import Qt, QTimer

from localai_app.app import App, open_app
from localai_app.chat.conversation import Status
from localai_app.chat.history import History
from localai_app.paths import Paths
from localai_app.ui.application import make_application, make_window
from localai_app.ui.jobs import Jobs
from localai_app.ui.theme import Theme
from tests.bench import report
from tests.fake_engine import FAKE_GGUF, FakeEngine

MESSAGES = 200
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


def gaps_while_streaming(app: App, conversation_id: int) -> list[float]:
    """Milliseconds that each tick of the timer was late."""
    application = make_application(["bench"])
    theme, jobs = Theme(application), Jobs()
    window = make_window(app, theme, jobs)
    window.resize(1280, 820)
    window.show()
    window.load()
    page = window.chat_page
    page.open(conversation_id)
    wait(application, lambda: len(page.transcript.messages) == MESSAGES)
    page.send("And the next one?")
    wait(application, lambda: page.generating)
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
    wait(application, lambda: not page.generating)
    timer.stop()
    answer = app.chat.path(conversation_id)[-1]
    assert answer.stats is not None, answer.error
    assert answer.stats.output_tokens == TOKENS
    window.close()
    jobs.close()
    return late


def wait(application, condition) -> None:  # type: ignore[no-untyped-def]
    end = time.monotonic() + 120
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
        with open_app(paths, engine=PacedEngine(context_length=100_000)) as app:
            late = gaps_while_streaming(app, fill(app))
    p99 = statistics.quantiles(late, n=1000)[989]
    row = {"unit": "ms", "better": "lower", "rival": "", "theirs": None}
    report.write(
        "ui_stall",
        [
            report.Row("UI thread away, p99", round(p99, 2), target=16, ours=round(p99, 2), **row),
            report.Row(
                "UI thread away, longest", round(max(late), 2), target=None, ours=round(max(late), 2), **row
            ),
        ],
    )


if __name__ == "__main__":
    main()
