"""What of a long document helps to answer a question: every window is read, and the sentences collected.

Each window is asked the question as `documents.exhaustive` does it. What is answered is put down to the
sentences of the window. The app adds the sentences of the whole document that share most with the question,
for a model that overlooks them.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from localai_app.documents import exhaustive
from localai_app.documents.document import Passage
from localai_app.documents.exhaustive import COPY_TOKENS, TASK, Window, halves, look_up, part_of, together
from localai_app.documents.grounding import given_text
from localai_app.documents.quotes import overlap
from localai_app.tasks import lists
from localai_app.tasks.basis import ENOUGH, Text
from localai_app.tasks.task import Evidence, Output, Source, Step, Write, Written

Reading = Generator[Sequence[Step], Sequence[Output], list[Passage]]

_NEAREST = 3
"""Sentences that the app adds."""
_ROUNDS = 3
"""How often what was found is read again to make it fit."""
_CUT_OFF = "the model did not come to an end with it"


@dataclass(frozen=True)
class Given:
    """What an answer is given from."""

    passages: tuple[Passage, ...]
    left_out: tuple[Passage, ...] = ()
    """Found, but there was no room for it."""


class Collector:
    """Collects what helps in one document."""

    def __init__(self, source: Source, question: str) -> None:
        self._source = source
        self._question = question
        self.claims = 0
        """Sentences of the model that stand nowhere."""
        self.unread: dict[int, str] = {}
        """Pages that it did not come to an end with, and why."""

    def collect(self, windows: Sequence[Window]) -> Generator[Sequence[Step], Sequence[Output], Given]:
        """The sentences of all windows that help; read again where they are more than fit one step."""
        found = yield from self._read(windows, again=False)
        passages = [passage for window in windows for passage in window]
        nearest = Text(self._source, passages).speaking_of(self._question, _NEAREST)
        found = together([*found, *(_passage(one, passages) for one in nearest)])
        for _ in range(_ROUNDS):
            if self._fits(found):
                break
            again = exhaustive.windows_of(found, self._source.count, self._source.window)
            fewer = yield from self._read(again, again=True)
            # What helped before does not stop helping all at once.
            found = together(fewer) or found
        return self._fitting(found)

    def _read(self, windows: Sequence[Window], *, again: bool) -> Reading:
        """What helps in ``windows``, in their order; one whose copies were cut off is read in halves.

        Of a half that is cut off too, all is kept when it was found ``again``; else its pages are not read.
        """
        written = yield from self._copy(windows)
        parts = [
            halves(window) if _is_cut_off(text) else [] for window, text in zip(windows, written, strict=True)
        ]
        more = iter((yield from self._copy([half for some in parts for half in some])))
        found: list[Passage] = []
        for window, text, some in zip(windows, written, parts, strict=True):
            for part, copied in [(half, next(more)) for half in some] or [(window, text)]:
                if _is_cut_off(copied) and again:
                    found += part
                    continue
                found += self._copied(copied, part)
                if _is_cut_off(copied):
                    self.unread |= {passage.page: _CUT_OFF for passage in part}
        return found

    def _copy(self, windows: Sequence[Window]) -> Generator[Sequence[Step], Sequence[Output], list[Written]]:
        steps = [Write(TASK, self._asked_of(window), COPY_TOKENS) for window in windows]
        outputs = (yield steps) if steps else ()
        assert all(isinstance(output, Written) for output in outputs), "a step to write was done otherwise"
        return [output for output in outputs if isinstance(output, Written)]

    def _asked_of(self, window: Window) -> str:
        text = "\n\n".join(self._source.shown(passage).strip() for passage in window)
        return exhaustive.asked_of(text, self._question)

    def _copied(self, written: Written, window: Window) -> list[Passage]:
        """The sentences of ``window`` that were copied, or that what was said rests on."""
        text = Text(self._source, window)
        found: list[Passage] = []
        for item in lists.listed(written).items:
            copied, dropped = look_up(item.text, window, self._source.in_force)
            found += copied
            if dropped and not copied:
                basis = text.basis(item.text, question=self._question)
                if basis is None or basis.share < ENOUGH:
                    self.claims += 1
                else:
                    found += [_passage(one, window) for one in basis.evidence]
        return found

    # ------------------------------------------------------------ room

    def _fits(self, passages: Sequence[Passage]) -> bool:
        return self._tokens(passages) <= self._source.window

    def _tokens(self, passages: Sequence[Passage]) -> int:
        return self._source.count(given_text(passages, self._source.shown))

    def _fitting(self, found: Sequence[Passage]) -> Given:
        """Those that share most with the question and fit; in the order that they had."""
        if self._fits(found):
            return Given(tuple(found))
        room = self._source.window
        kept: set[int] = set()
        for at in sorted(range(len(found)), key=lambda at: -overlap(self._question, found[at].text)):
            room -= self._tokens([found[at]])
            if room < 0 and kept:
                break
            kept.add(at)
        return Given(
            tuple(passage for at, passage in enumerate(found) if at in kept),
            tuple(passage for at, passage in enumerate(found) if at not in kept),
        )


def _passage(evidence: Evidence, passages: Sequence[Passage]) -> Passage:
    """The part of one of ``passages`` that ``evidence`` quotes."""
    whole = next(
        one
        for one in passages
        if one.page == evidence.page and one.start <= evidence.start and evidence.end <= one.end
    )
    return part_of(whole, (evidence.start - whole.start, evidence.end - whole.start))


def _is_cut_off(written: Written) -> bool:
    """Whether there might have been more to copy; not where the model only went on in circles."""
    return written.incomplete and not lists.listed(written).repeats
