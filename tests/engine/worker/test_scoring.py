"""Labels read as a tree on a fake backend: every figure is that of reading each label alone."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("llama_cpp")

from localai_app.engine.client import distribution
from localai_app.engine.protocol import (
    Done,
    Failed,
    Score,
    Scored,
    Usage,
    decode_event,
    decode_request,
    encode,
)
from localai_app.engine.worker.scoring import Scoring
from tests.engine.worker.test_scheduler import (
    FakeBackend,
    Harness,
    expected,
    log_probability,
    without_end,
)

ENDINGS = [98, 99]
NOTHING = Usage(
    prompt_tokens=0, reused_tokens=0, output_tokens=0, first_token_seconds=0, generation_seconds=0
)


def alone(prompt: list[int], label: list[int], *, whole: bool) -> float:
    """The figure of one label, token by token, without a cache."""
    figures = [log_probability([*prompt, *label[:at]], token) for at, token in enumerate(label)]
    return sum(figures) + (log_probability([*prompt, *label], -len(ENDINGS)) if whole else 0.0)


def submit(
    harness: Harness, request_id: int, prompt: list[int], labels: list[list[int]], **options: bool
) -> None:
    whole = options.pop("whole", True)
    request = Score(id=request_id, prompt=[], labels=[], whole=whole, **options)
    harness.scheduler.submit_score(request, list(prompt), Scoring(labels, ENDINGS, whole=whole), 0.0)


def scored(harness: Harness, request_id: int) -> list[float]:
    (event,) = [event for event in harness.events if isinstance(event, Scored) and event.id == request_id]
    return event.log_probabilities


LABELS = [[5], [5, 6], [5, 6, 7, 8], [5, 9], [2, 2, 2], [5]]


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("partial", [True, False])
def test_every_label_gets_the_figure_of_reading_it_alone(whole: bool, partial: bool) -> None:
    harness = Harness(FakeBackend(partial=partial, drafts=partial))
    submit(harness, 1, [3, 1, 4], LABELS, whole=whole)
    harness.run()
    assert scored(harness, 1) == pytest.approx([alone([3, 1, 4], label, whole=whole) for label in LABELS])


def test_a_beginning_that_labels_share_is_evaluated_once() -> None:
    harness = Harness(FakeBackend())
    submit(harness, 1, [3, 1, 4], LABELS)
    harness.run()
    nodes = {tuple(label[:length]) for label in LABELS for length in range(1, len(label) + 1)}
    assert sum(map(len, harness.backend.decodes)) == 3 + len(nodes)


def test_labels_of_one_token_cost_nothing_beyond_the_prompt_when_their_end_does_not_count() -> None:
    harness = Harness(FakeBackend())
    submit(harness, 1, [3, 1, 4], [[number] for number in range(1, 50)], whole=False)
    harness.run()
    assert [len(entries) for entries in harness.backend.decodes] == [3]


def test_a_label_is_read_in_one_step_while_nothing_else_runs() -> None:
    harness = Harness(FakeBackend())
    submit(harness, 1, [3, 1, 4], [[5, 6, 7, 8], [9, 9, 9]])
    harness.run()
    # Beside the prompt: its first token, then what is left of each label at once.
    assert [len(entries) for entries in harness.backend.decodes] == [3, 4, 3]


def test_the_next_document_pays_only_for_what_is_its_own() -> None:
    harness = Harness(FakeBackend(length=256))
    submit(harness, 1, [7, 8, 9, 10, 1], LABELS)
    harness.run()
    submit(harness, 2, [7, 8, 9, 10, 2], LABELS)
    harness.run()
    (second,) = [event for event in harness.events if isinstance(event, Scored) and event.id == 2]
    assert second.usage.reused_tokens == 4
    assert second.log_probabilities == pytest.approx(
        [alone([7, 8, 9, 10, 2], label, whole=True) for label in LABELS]
    )


def test_reading_and_writing_share_steps() -> None:
    harness = Harness(FakeBackend())
    harness.submit(1, [1, 2, 3], limit=9)
    harness.scheduler.step()
    submit(harness, 2, [3, 1, 4], LABELS)
    harness.scheduler.step()
    assert {entry.sequence for entry in harness.backend.decodes[-1]} == {0, 1}
    harness.run()
    assert harness.said(1) == without_end(expected([1, 2, 3], 9, 64))
    assert scored(harness, 2) == pytest.approx([alone([3, 1, 4], label, whole=True) for label in LABELS])


def test_reading_can_be_stopped_at_any_step() -> None:
    for steps in range(6):
        harness = Harness(FakeBackend())
        submit(harness, 1, [3, 1, 4], LABELS)
        for _ in range(steps):
            harness.scheduler.step()
        harness.scheduler.interrupt(1)
        harness.scheduler.cancel(1)
        harness.run()
        (end,) = [event for event in harness.events if isinstance(event, Done | Scored)]
        assert isinstance(end, Scored) or end.reason == "cancelled"
        assert not any(slot.busy for slot in harness.scheduler.cache.slots)


def test_what_a_score_asks_and_answers_survives_the_line() -> None:
    score = Score(id=1, prompt=[], labels=["a", "ü\n"], whole=False, slot="s")
    assert decode_request(encode(score)) == score
    answer = Scored(id=1, log_probabilities=[-0.1234567890123456, -1e-300], usage=NOTHING)
    assert decode_event(encode(answer)) == answer


def test_labels_that_do_not_fit_are_refused() -> None:
    harness = Harness(FakeBackend(length=8))
    submit(harness, 1, [1, 2, 3, 4], [[1] * 5])
    (failed,) = harness.events
    assert isinstance(failed, Failed)
    assert failed.code == "context_overflow"


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.booleans())
def test_random_schedules_of_reading_and_writing_are_right_and_leak_nothing(seed: int, partial: bool) -> None:
    rng = random.Random(seed)
    backend = FakeBackend(
        length=rng.choice([32, 64, 600]), sequences=rng.randint(1, 4), partial=partial, drafts=partial
    )
    harness = Harness(backend)
    asked: dict[int, tuple[list[int], list[list[int]], bool]] = {}
    written: dict[int, list[int]] = {}
    for request_id in range(1, rng.randint(2, 8)):
        prompt = [rng.randint(1, 3) for _ in range(rng.randint(1, 20))]
        if rng.random() < 0.7:
            labels = [[rng.randint(1, 3) for _ in range(rng.randint(1, 6))] for _ in range(rng.randint(1, 8))]
            asked[request_id] = (prompt, labels, rng.random() < 0.5)
            submit(harness, request_id, prompt, labels, whole=asked[request_id][2])
        else:
            written[request_id] = prompt
            harness.submit(request_id, prompt, limit=4)
        for _ in range(rng.randint(0, 4)):
            backend.abort_next = rng.random() < 0.1
            harness.scheduler.step()
    harness.run()
    for request_id, (prompt, labels, whole) in asked.items():
        assert scored(harness, request_id) == pytest.approx(
            [alone(prompt, label, whole=whole) for label in labels]
        )
    for request_id, prompt in written.items():
        assert harness.said(request_id) == without_end(expected(prompt, 4, backend.length))
    for slot in harness.scheduler.cache.slots:
        assert not slot.busy
        assert backend.cells.get(slot.sequence, []) == slot.tokens, "the cache holds what the slot says"


def test_a_distribution_adds_up_to_one_also_for_tiny_probabilities() -> None:
    shares = distribution([-1000.0, -1000.0 + math.log(3)])
    assert shares == pytest.approx([0.25, 0.75])
    assert distribution([-5000.0]) == [1.0]
