"""Takes a kind of task through a document, round by round, and checks what is true of every outcome."""

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from localai_app.tasks.task import Choose, Chosen, Outcome, Output, Source, Step, TaskKind, Write, Written

Respond = Callable[[Step], Output | str]
MOST_ROUNDS = 50


@dataclass
class Driven:
    """What came of a document, and what was asked for it."""

    outcome: Outcome
    rounds: list[list[Step]] = field(default_factory=list)

    @property
    def steps(self) -> list[Step]:
        return [step for steps in self.rounds for step in steps]


def drive(kind: TaskKind, source: Source, options: msgspec.Struct, respond: Respond) -> Driven:
    """``respond`` gives the output of each step, or its text."""
    kind.check(options)
    work = kind.work(source, options)
    rounds: list[list[Step]] = []
    outputs: list[Output] | None = None
    while True:
        try:
            steps = next(work) if outputs is None else work.send(outputs)
        except StopIteration as ended:
            return Driven(ended.value, rounds)
        assert len(rounds) < MOST_ROUNDS, "it does not come to an end"
        rounds.append(list(steps))
        outputs = [_output(step, respond(step)) for step in steps]


def _output(step: Step, said: Output | str) -> Output:
    if isinstance(said, str):
        assert isinstance(step, Write)
        return Written(said)
    assert isinstance(said, Chosen if isinstance(step, Choose) else Written)
    return said


def check_outcome(outcome: Outcome, source: Source) -> None:
    """Its evidence stands there, its keys are its own, its pages are the document's; it can be kept."""
    pages = {page.number: page for page in source.pages}
    keys = [finding.key for finding in outcome.findings]
    assert len(keys) == len(set(keys))
    for finding in outcome.findings:
        assert 0 <= finding.confidence <= 1
        for one in finding.evidence:
            assert one.quotation
            assert pages[one.page].text[one.start : one.end] == one.quotation
        assert all(doubt.code and doubt.words for doubt in finding.doubts)
    unread = [number for number, _ in outcome.unread]
    assert unread == sorted(set(unread))
    assert set(unread) <= pages.keys()
    assert msgspec.json.decode(msgspec.json.encode(outcome), type=Outcome) == outcome
