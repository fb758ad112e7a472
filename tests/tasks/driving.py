"""Drives a kind's work with outputs that a test gives, as the runner does with the engine's."""

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

from localai_app.tasks.task import Choose, Chosen, Outcome, Output, Step, Work, Write, Written


def outcome_of(work: Work, respond: Callable[[Step], Output]) -> tuple[Outcome, list[Step]]:
    """The outcome when ``respond`` says what comes of each step, and all steps in order."""
    steps: list[Step] = []
    outputs: Sequence[Output] | None = None
    while True:
        try:
            asked = work.send(outputs) if outputs is not None else next(work)
        except StopIteration as end:
            return end.value, steps
        steps += asked
        outputs = [respond(step) for step in asked]


def writes(
    answer: Callable[[Write], Any], yes: Callable[[Choose], float] = lambda step: 0.5
) -> Callable[[Step], Output]:
    """Answers each `Write` with ``answer`` as JSON, each `Choose` with the probability of its first label."""

    def respond(step: Step) -> Output:
        if isinstance(step, Choose):
            share = yes(step)
            return Chosen((math.log(share), math.log(1 - share)))
        assert isinstance(step, Write)
        return Written(json.dumps(answer(step)))

    return respond
