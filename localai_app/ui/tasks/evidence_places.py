"""What there is to look at beside a finding: its quotations, those of other values, and warnings."""

from collections.abc import Sequence
from dataclasses import dataclass

from localai_app.tasks.run import Item
from localai_app.tasks.task import Evidence, Finding
from localai_app.ui.tasks.words import tr

Span = tuple[int, int]


@dataclass(frozen=True)
class Place:
    """A stretch of a page that can be looked at."""

    evidence: Evidence
    title: str
    """“page 2”, “the other value, page 3”."""
    warning: bool = False
    """It is not what a value rests on but what the person is warned of."""


def places_of(item: Item, finding: Finding) -> tuple[Place, ...]:
    """What a finding rests on, where its other values stand, and what the document warns of."""
    found = [Place(each, each.place) for each in finding.evidence]
    for other in finding.alternatives:
        found += [
            Place(each, tr("{0}: {1}").format(each.place, _short(other.shown))) for each in other.evidence
        ]
    flags = item.outcome.flags if item.outcome else ()
    found += [Place(each, tr("warning, {0}").format(each.place), warning=True) for each in flags]
    return tuple(found)


def _short(text: str) -> str:
    return text if len(text) <= 24 else f"{text[:23].rstrip()}…"


def apart(spans: Sequence[Span]) -> list[Span]:
    """``spans`` in order, those that overlap made one."""
    joined: list[Span] = []
    for start, end in sorted(set(spans)):
        if joined and start < joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return joined
