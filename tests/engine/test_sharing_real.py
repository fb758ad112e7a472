"""Real workers that share a machine, and one that goes and comes back."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from localai_app.app import App, open_app
from localai_app.chat.conversation import Message, Parameters
from localai_app.chat.service import TurnFinished
from localai_app.engine.arbiter import Arbiter
from localai_app.engine.client import WorkerEngine
from localai_app.engine.machine import MemoryNow
from localai_app.engine.protocol import Done, LoadSettings, Sampling, Segment, Text
from localai_app.models.residency import Residency
from localai_app.paths import Paths

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

PROMPT = [Segment(text="Once upon a time")]
GIB = 1024**3


class Heard(WorkerEngine):
    """Remembers how many cores it was told to use."""

    told: list[int]

    def use_cores(self, count: int) -> None:
        self.told.append(count)
        super().use_cores(count)


def engine_of(arbiter: Arbiter) -> Heard:
    engine = Heard(arbiter=arbiter)
    engine.told = []
    return engine


@pytest.fixture
def engine(starter_model: Path) -> Iterator[Heard]:
    engine = engine_of(Arbiter(cores=lambda: 2))
    engine.load(starter_model, LoadSettings(context_length=2048))
    yield engine
    engine.close()


def write(engine: WorkerEngine, tokens: int, **options: object) -> Iterator[Text | Done]:
    """An answer of ``tokens`` that does not end before."""
    generation = engine.generate(PROMPT, Sampling(seed=1, temperature=1.5), max_tokens=tokens, **options)  # type: ignore[arg-type]
    return (event for event in generation if isinstance(event, Text | Done))


def test_the_model_says_with_how_many_threads_it_computes(starter_model: Path) -> None:
    for cores in (1, 2):
        engine = WorkerEngine(arbiter=Arbiter(cores=lambda cores=cores: cores))  # type: ignore[misc]
        try:
            assert engine.load(starter_model, LoadSettings(context_length=512)).threads == cores
        finally:
            engine.close()


def test_a_limit_holds_from_the_next_step_on(engine: Heard) -> None:
    text = write(engine, 60)
    next(text)
    engine.use_cores(1)
    for _ in range(3):
        next(text)
    assert engine.statistics().threads == 1
    list(text)
    assert engine.statistics().threads == 1


def test_cores_that_stay_free_are_used_again(starter_model: Path) -> None:
    engine = engine_of(Arbiter(cores=lambda: 2))
    try:
        engine.load(starter_model, LoadSettings(context_length=512, embedding=True))
        engine.use_cores(1)
        engine.embed(["one"])
        assert engine.statistics().threads == 1
        engine.use_cores(2)
        while engine.statistics().threads == 1:
            engine.embed(["one"])
    finally:
        engine.close()


def test_a_deterministic_answer_is_the_same_under_a_limit(engine: Heard) -> None:
    def deterministic() -> str:
        events = list(write(engine, 30, deterministic=True))
        return "".join(event.text for event in events if isinstance(event, Text))

    free = deterministic()
    engine.use_cores(1)
    assert deterministic() == free
    assert engine.statistics().threads == 2


def test_a_number_of_threads_that_was_set_has_no_limit(starter_model: Path) -> None:
    engine = engine_of(Arbiter(cores=lambda: 1))
    try:
        model = engine.load(starter_model, LoadSettings(context_length=512, threads=2))
        engine.use_cores(1)
        list(write(engine, 5))
        assert model.threads == engine.statistics().threads == 2
    finally:
        engine.close()


def test_chat_and_background_embedding_share_the_cores(starter_model: Path) -> None:
    arbiter = Arbiter(cores=lambda: 3)
    chat, embedding = engine_of(arbiter), engine_of(arbiter)
    stop = threading.Event()
    try:
        chat.load(starter_model, LoadSettings(context_length=2048))
        embedding.load(starter_model, LoadSettings(context_length=512, embedding=True))

        def embed() -> None:
            while not stop.is_set():
                embedding.embed(["The record of the ward stays on site. " * 10] * 8, background=True)

        alone = embedding.embed(["one"])
        assert embedding.told == [], "alone it has all cores"
        assert embedding.statistics().threads == 3
        generation = chat.generate(PROMPT, Sampling(seed=1, temperature=1.5), max_tokens=1900)
        text = (event for event in generation if isinstance(event, Text | Done))
        next(text)
        thread = threading.Thread(target=embed, daemon=True)
        thread.start()
        while not embedding.told:
            next(text)
        assert embedding.told[0] == 1
        assert chat.told[-1] == 2
        for _ in range(5):
            next(text)
        assert chat.statistics().threads <= 2
        generation.cancel()
        list(text)
        stop.set()
        thread.join()
        embedding.embed(["alone again"], background=True)
        assert embedding.told[-1] == 3
        assert embedding.embed(["one"]).shape == alone.shape
    finally:
        stop.set()
        chat.close()
        embedding.close()


def test_a_killed_worker_leaves_its_cores_to_the_other(starter_model: Path) -> None:
    arbiter = Arbiter(cores=lambda: 3)
    first, second = engine_of(arbiter), engine_of(arbiter)
    try:
        for engine in (first, second):
            engine.load(starter_model, LoadSettings(context_length=2048))
        texts = [write(engine, 1500) for engine in (first, second)]
        for text in texts:
            next(text)
        assert (first.told, second.told) == ([2], [1])
        assert first._worker is not None
        os.kill(first._worker.pid, 9)
        with pytest.raises(Exception, match="SIGKILL"):
            list(texts[0])
        next(texts[1])
        assert second.told == [1, 3]
    finally:
        first.close()
        second.close()


# ---------------------------------------------------------------- gone and back


DOCUMENT = " ".join(f"Record {number} of patient {number * 7} stays on site." for number in range(200))


def ask(app: App, conversation_id: int, text: str) -> Message:
    app.chat.set_parameters(conversation_id, Parameters(max_tokens=12, temperature=0.0))
    events = list(app.chat.send(conversation_id, text))
    assert isinstance(events[-1], TurnFinished)
    assert events[-1].answer.stats is not None, events[-1].answer.error
    return events[-1].answer


def test_an_unloaded_model_comes_back_and_reads_nothing_twice(tmp_path: Path, starter_model: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / starter_model.name).symlink_to(starter_model)
    paths = Paths(tmp_path / "data", tmp_path / "config", tmp_path / "cache", (tmp_path / "models",))
    now = [0.0]
    with open_app(paths) as app:
        residency = Residency(
            app.settings,
            app.snapshots.write_all_due,
            app.arbiter,
            clock=lambda: now[0],
            memory=lambda: MemoryNow(16 * GIB, 8 * GIB),
        )
        residency.add(app.engine)
        conversation = app.chat.create().id
        first = ask(app, conversation, DOCUMENT)
        assert first.stats is not None
        assert isinstance(app.engine, WorkerEngine)
        worker = app.engine._worker
        assert worker is not None
        residency.look()
        now[0] += 31 * 60
        residency.look()
        assert app.engine.model is None
        assert not psutil.pid_exists(worker.pid)
        assert residency.absence() == "idle"
        second = ask(app, conversation, "Which record is the last?")
        assert second.stats is not None
        assert second.stats.reused_tokens >= first.stats.prompt_tokens
        assert [message.text for message in app.chat.path(conversation)][:2] == [DOCUMENT, first.text]
        assert residency.absence() == ""
