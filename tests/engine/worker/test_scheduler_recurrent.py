"""The scheduler on a model whose states cannot be taken back: it goes back to checkpoints.

An aborted decode costs all states.
"""

import random
from dataclasses import dataclass

import pytest

pytest.importorskip("llama_cpp")

from localai_app.engine.protocol import Score, Scored
from localai_app.engine.worker import prefix_cache
from localai_app.engine.worker.llama import Aborted, Entry
from localai_app.engine.worker.scoring import Scoring
from tests.engine.worker.test_scheduler import FakeBackend, Harness, expected, without_end


@dataclass
class RecurrentBackend(FakeBackend):
    """An abort leaves nothing in the cache, as `Context.decode` does after a batch of several."""

    partial: bool = False
    drafts: bool = False

    def decode(self, entries: list[Entry], *, fixed_threads: bool) -> None:
        try:
            super().decode(entries, fixed_threads=fixed_threads)
        except Aborted:
            self.cells.clear()
            self.numbers.clear()
            raise


def test_an_abort_makes_idle_conversations_begin_again_too() -> None:
    backend = RecurrentBackend(length=256)
    harness = Harness(backend)
    first = list(range(20, 60))
    harness.submit(1, first, slot="idle", limit=3)
    harness.run()
    harness.submit(2, [3, 1, 4, 1, 5], slot="other", limit=4)
    harness.submit(3, [2, 7, 1, 8, 2], slot="third", limit=4)
    assert harness.scheduler.cache.known("idle")
    backend.abort_next = True
    harness.scheduler.step()
    assert not backend.abort_next
    assert harness.scheduler.cache.known("idle") == [], "what is lost is not parked as if it were there"
    harness.run()
    more = [*first, *expected(first, 3, 256), 9, 9]
    harness.submit(4, more, slot="idle", limit=4)
    harness.run()
    assert harness.said(2) == without_end(expected([3, 1, 4, 1, 5], 4, 256))
    assert harness.said(3) == without_end(expected([2, 7, 1, 8, 2], 4, 256))
    assert harness.said(4) == without_end(expected(more, 4, 256))


def talk(harness: Harness, turns: int) -> list[list[int]]:
    """A conversation of several turns in the slot "chat": the prompt of each."""
    prompts: list[list[int]] = []
    tokens: list[int] = []
    for turn in range(turns):
        tokens = [*tokens, *(1 + (turn * 31 + number) % 80 for number in range(20))]
        prompts.append(tokens)
        harness.submit(100 + turn, tokens, slot="chat", limit=3)
        harness.run()
        tokens = [*tokens, *expected(tokens, 3, harness.backend.length)]
    return prompts


def test_an_edited_turn_goes_back_to_the_checkpoint_before_it() -> None:
    harness = Harness(RecurrentBackend(length=600))
    prompts = talk(harness, 6)
    edited = [*prompts[2][:-15], 9, 9, 9]
    harness.submit(1, edited, slot="chat")
    harness.run()
    # The last checkpoint within the common beginning stands where the second answer began, or went on.
    assert harness.done(1).usage.reused_tokens >= len(prompts[1]) - 1
    assert harness.said(1) == without_end(expected(edited, 5, 600))


def test_a_regenerated_answer_evaluates_one_token() -> None:
    harness = Harness(RecurrentBackend(length=600))
    prompts = talk(harness, 3)
    harness.submit(1, prompts[-1], slot="chat")
    harness.run()
    assert harness.done(1).usage.reused_tokens == len(prompts[-1]) - 1


def test_checkpoints_are_parked_with_their_conversation() -> None:
    harness = Harness(RecurrentBackend(length=600, batch_size=128))
    prompts = talk(harness, 5)
    harness.submit(1, [80] * 9, slot="other", limit=5)
    harness.run()
    cache = harness.scheduler.cache
    assert cache.is_parked("chat")
    states = cache._parked["chat"].checkpoints
    assert cache.parked_bytes == len(cache.known("chat")) + sum(len(mark.state) for mark in states)
    edited = [*prompts[3][:-15], 9, 9, 9]
    harness.submit(2, edited, slot="chat")
    harness.run()
    assert harness.done(2).usage.reused_tokens >= len(prompts[2]) - 1
    assert harness.said(2) == without_end(expected(edited, 5, 600))


def test_checkpoints_keep_to_their_budget_and_stay_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefix_cache, "CHECKPOINT_BYTES", 1500)
    harness = Harness(RecurrentBackend(length=2000))
    prompts = talk(harness, 20)
    (slot,) = [slot for slot in harness.scheduler.cache.slots if slot.tokens]
    lengths = [mark.length for mark in slot.checkpoints]
    assert sum(len(mark.state) for mark in slot.checkpoints) <= 1500
    assert lengths == sorted(lengths)
    assert lengths[-1] >= len(prompts[-1]) - 1, "the newest stays"
    assert max(after - before for before, after in zip([0, *lengths], lengths, strict=False)) < 250


def test_no_more_checkpoints_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefix_cache, "MAX_CHECKPOINTS", 5)
    harness = Harness(RecurrentBackend(length=2000))
    talk(harness, 12)
    assert max(len(slot.checkpoints) for slot in harness.scheduler.cache.slots) == 5


@pytest.mark.parametrize("background", [True, False])
def test_labels_that_branch_do_not_evaluate_their_prompt_again(background: bool) -> None:
    backend = RecurrentBackend(length=600)
    harness = Harness(backend)
    labels = [[5, 6], [7, 8], [9, 1], [2, 3, 4]]
    request = Score(id=1, prompt=[], labels=[], background=background)
    harness.scheduler.submit_score(request, [3] * 100, Scoring(labels, [98], whole=True), 0.0)
    harness.run()
    assert isinstance(harness.events[-1], Scored)
    # The prompt's last token once more for each that branches off, and the labels.
    assert sum(map(len, backend.decodes)) <= 100 + 9 + len(labels)


def test_labels_are_read_ahead_without_a_wrong_checkpoint() -> None:
    """Where a group's requests are alike to the end, it begins with all of the prompt."""
    backend = RecurrentBackend(length=600)
    harness = Harness(backend)
    for number in (1, 2):
        request = Score(id=number, prompt=[], labels=[], background=True, group="g")
        harness.scheduler.submit_score(request, [3] * 100, Scoring([[5, 6], [5, 7]], [98], whole=True), 0.0)
    harness.run()  # the backend compares each state that is gone back to with the cells that stand
    figures = [event.log_probabilities for event in harness.events if isinstance(event, Scored)]
    assert figures[0] == figures[1]


def test_edits_at_random_answer_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefix_cache, "WORTH_PARKING", 4)
    chosen = random.Random(5)
    harness = Harness(RecurrentBackend(length=900, batch_size=64))
    prompts = [[1]]
    for number in range(1, 60):
        base = chosen.choice(prompts[-4:])
        until = chosen.choice([len(base), len(base), len(base), chosen.randrange(len(base)) + 1])
        prompt = [*base[:until], *chosen.choices(range(1, 80), k=12)]
        prompts.append(prompt)
        harness.submit(number, prompt, slot=chosen.choice(["chat", "branch"]), limit=4)
        harness.run()
        assert harness.said(number) == without_end(expected(prompt, 4, 900))
    assert harness.scheduler.reused > 500, "conversations are gone on with, not begun again"
