"""What is the same for all documents of a run is asked once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from localai_app.tasks.run import ModelUsed
from localai_app.tasks.running.steps import Steps
from localai_app.tasks.task import Choose
from tests.fake_engine import FakeEngine


def steps(engine: FakeEngine, tmp_path: Path) -> Steps:
    model = tmp_path / "model.gguf"
    model.write_bytes(b"x")
    engine.load(model)
    return Steps(engine, ModelUsed("model", "0", "1", "cpu", 8192), lambda: True, "run")


def test_a_step_that_is_the_same_for_all_documents_is_asked_once(tmp_path: Path) -> None:
    engine = FakeEngine(scores={"a": -0.5, "b": -1.5})
    doing = steps(engine, tmp_path)
    step = Choose("Which?", "N/A", ("a", "b"), once=True)
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(doing.do, [step] * 8))
    assert {output for output, _ in done} == {done[0][0]}
    assert done[0][0].log_probabilities == (-0.5, -1.5)  # type: ignore[union-attr]
    assert len(engine.asked) == 1


def test_another_step_is_asked_each_time(tmp_path: Path) -> None:
    engine = FakeEngine(scores={"a": -0.5})
    doing = steps(engine, tmp_path)
    for _ in range(3):
        doing.do(Choose("Which?", "a text", ("a", "b")))
    assert len(engine.asked) == 3
