"""The service of tasks on a real store, with a scripted kind, engine and reader."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from localai_app.documents.document import Scope
from localai_app.documents.grounding import fenced
from localai_app.engine.client import GenerationEvent
from localai_app.engine.protocol import Sampling, Segment
from localai_app.errors import EngineError, EngineExited, UsageError
from localai_app.models.service import ModelService
from localai_app.paths import Paths
from localai_app.store.settings import Settings
from localai_app.tasks.run import Item, Run, RunSettings
from localai_app.tasks.running.power import KeepAwake
from localai_app.tasks.runs import Runs
from localai_app.tasks.service import TaskService
from localai_app.tasks.task import (
    Column,
    Cost,
    Doubt,
    Evidence,
    Finding,
    Form,
    Outcome,
    Source,
    TaskFailed,
    Work,
    Write,
    Written,
)
from tests.documents.pretended import Rooms
from tests.fake_engine import FakeEngine, FakeGeneration


class EchoOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `Echo` is told."""

    question: str = "What does it say?"
    doubts: bool = False
    rounds: int = 1
    template: str = ""


class Echo:
    """One step for each window in the first round, and one more for each further round."""

    name, title, description = "echo", "Echo", "Says again what stands there."
    options = EchoOptions

    def check(self, options: EchoOptions) -> None:
        if not options.question:
            raise UsageError("There is no question.", "Type one.")

    def label(self, options: EchoOptions) -> str:
        return options.question

    def columns(self, options: EchoOptions) -> tuple[Column, ...]:
        return (Column("said", "Said", Form.LIST),)

    def fingerprint(self, options: EchoOptions) -> str:
        return f"{hash(options.question) & 0xFFFFFFFF:064x}"

    def cost(self, tokens: int, window: int, options: EchoOptions) -> Cost:
        steps = max(-(-tokens // window), 1) + options.rounds - 1
        return Cost(steps, tokens + 10 * steps, 5 * steps)

    def work(self, source: Source, options: EchoOptions) -> Work:
        windows = source.windows()
        if not windows:
            raise TaskFailed("There is no text in it.", "Recognise its pages first.")
        if "FAULT" in source.pages[0].text:
            raise ZeroDivisionError(source.pages[0].text)
        said: list[str] = []
        parts = ["\n".join(source.shown(passage) for passage in window) for window in windows]
        for number in range(options.rounds):
            contents = parts if number == 0 else [f"again {number}: {' '.join(said)}"]
            outputs = yield [Write("Say it.", fenced(content), 20) for content in contents]
            said = [output.text for output in outputs if isinstance(output, Written)]
        yield []  # a round without steps is over at once
        passage = windows[0][0]
        doubts = (Doubt("unsure", "It may be wrong."),) if options.doubts else ()
        findings = tuple(
            Finding(
                "said",
                number,
                value=text,
                shown=text,
                evidence=(Evidence(passage.page, passage.place, 0, len(passage.text), passage.text),),
                doubts=doubts,
                confidence=1 / (1 + len(text)),
            )
            for number, text in enumerate(said)
        )
        unread = tuple((page.number, "It was left out.") for page in source.pages if "SKIP" in page.text)
        return Outcome(findings, unread)


class EchoEngine(FakeEngine):
    """Says what stands between the fences; dies or fails where a prompt holds a word for it.

    ``open`` (when set) is waited for by each generation before it ends. ``most`` is how many generations
    were under way at once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.open: threading.Event | None = None
        self.seconds = 0.0
        self.dies_at: dict[str, int] = {}
        """How often a prompt that holds the word ends the engine from now on."""
        self.fails_at: dict[str, tuple[int, EngineError]] = {}
        self.under_way = self.most = 0
        self.counting = threading.Lock()
        self.options: list[dict[str, Any]] = []
        self.died = threading.Event()

    def load(self, *arguments: Any, **options: Any) -> Any:
        self.died = threading.Event()
        return super().load(*arguments, **options)

    def generate(self, prompt: Sequence[Segment], sampling: Sampling, **options: Any) -> FakeGeneration:
        with self.counting:
            generation = super().generate(prompt, sampling, **options)
            self.options.append(options)
        text = "".join(segment.text for segment in prompt)
        generation.pieces = [text.split("=====")[1].strip()] if "=====" in text else ["?"]
        return EchoGeneration(self, generation, text)  # type: ignore[return-value]

    def said(self) -> list[str]:
        """What stood between the fences of each prompt."""
        return [asked.text.split("=====")[1].strip() for asked in self.asked]


class EchoGeneration:
    def __init__(self, engine: EchoEngine, generation: FakeGeneration, text: str) -> None:
        self.engine = engine
        self.generation = generation
        self.text = text
        self.died = engine.died

    def __iter__(self) -> Iterator[GenerationEvent]:
        engine = self.engine
        with engine.counting:
            engine.under_way += 1
            engine.most = max(engine.most, engine.under_way)
        try:
            while engine.open and not (engine.open.wait(0.005) or self.cancelled or self.died.is_set()):
                pass
            if engine.seconds and not self.cancelled:
                time.sleep(engine.seconds)
            for word, times in list(engine.dies_at.items()):
                if word in self.text and times:
                    engine.dies_at[word] -= 1
                    engine.model = None
                    self.died.set()
            if self.died.is_set():
                raise EngineExited("The engine stopped: killed.", "It starts again.")
            for word, (times, error) in list(engine.fails_at.items()):
                if word in self.text and times:
                    engine.fails_at[word] = times - 1, error
                    raise error
            yield from self.generation
        finally:
            with engine.counting:
                engine.under_way -= 1

    @property
    def cancelled(self) -> bool:
        return self.generation._cancelled.is_set()

    def cancel(self) -> None:
        self.generation.cancel()


@dataclass
class TaskRooms(Rooms):
    """Documents and tasks on one store, with an engine that echoes."""

    engine: EchoEngine = field(default_factory=EchoEngine)
    kinds: Sequence[Any] = (Echo(),)
    awake: list[bool] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        models = self.folder / "models"
        models.mkdir(exist_ok=True)
        for name in ("Tiny-Q4_0.gguf", "Other-Q4_0.gguf"):
            (models / name).write_bytes(b"GGUF " + name.encode())
        self.paths = Paths(self.folder / "data", self.folder / "config", self.folder / "cache", (models,))
        self.models = self.make_models()
        self.models.select(models / "Tiny-Q4_0.gguf")
        self.runs = Runs(self.database, self.kinds)
        self.tasks = self.make_tasks()

    def make_models(self) -> ModelService:
        return ModelService(
            self.database, Settings(self.database), self.engine, self.paths, self.policy, self.audit
        )

    def make_tasks(self) -> TaskService:
        """One more service on the same store, as after a new start."""
        return TaskService(
            self.runs,
            self.service,
            self.models,
            self.engine,
            self.policy,
            self.audit,
            kinds=self.kinds,
            awake=KeepAwake(lambda: False),
        )

    def put(self, *texts: str) -> tuple[int, ...]:
        """Documents of these texts, read."""
        first = len(self.service.documents())
        paths = [self.write(f"{first + number:03}.txt", text) for number, text in enumerate(texts)]
        added = self.service.add(paths)
        assert self.service.wait(20)
        assert len(added.documents) == len(texts)
        return added.documents

    def start(
        self,
        options: EchoOptions | None = None,
        settings: RunSettings | None = None,
        scope: Scope | None = None,
    ) -> Run:
        return self.tasks.start("echo", options or EchoOptions(), scope or Scope(), settings)

    def run(
        self, options: EchoOptions | None = None, settings: RunSettings | None = None
    ) -> tuple[Run, list[Item]]:
        """A run over all documents, done."""
        run = self.start(options, settings)
        assert self.tasks.wait(run.id, 20), self.tasks.run(run.id)
        return self.tasks.run(run.id), self.tasks.items(run.id)

    def task_events(self) -> list[str]:
        """What the audit log says of tasks."""
        rows = self.database.rows("SELECT event FROM audit WHERE event LIKE 'task.%' ORDER BY seq")
        return [row["event"] for row in rows]

    def close(self) -> None:
        self.tasks.close()
        super().close()


def said(item: Item) -> list[str]:
    """What the echo of a document came to."""
    assert item.outcome is not None, item.error
    return [finding.shown for finding in item.outcome.findings]


def eventually(true: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until it is true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)


def path_of(rooms: TaskRooms, name: str) -> Path:
    """A model's file."""
    return rooms.paths.models[0] / name
