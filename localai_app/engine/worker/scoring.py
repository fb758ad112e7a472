"""How likely each label of a set is as the answer: every label is read, none is sampled.

The labels form a tree: what several begin with is evaluated once. Its nodes are visited depth first,
so that going on to the next one only drops the end of the sequence. Nothing is evaluated for a label's
last token unless the end of the answer counts (``whole``).
"""

from collections.abc import Sequence

MAX_LABELS = 1000


class Scoring:
    """The state of one `protocol.Score`; stands where other requests have a sampler."""

    def __init__(self, labels: Sequence[Sequence[int]], endings: Sequence[int], *, whole: bool) -> None:
        """``labels`` as tokens, none empty; ``endings`` are the tokens that close an answer."""
        self._labels = [tuple(label) for label in labels]
        self._endings = list(endings) if whole else []
        known: dict[tuple[int, ...], list[int]] = {(): []}
        for label in dict.fromkeys(self._labels):
            for length, token in enumerate(label):
                known.setdefault(label[: length + 1], [])
                if token not in known[label[:length]]:
                    known[label[:length]].append(token)
        self._children = known
        ends = set(self._labels) if self._endings else set()
        # In the order of their tokens each node stands right behind its parent or a sibling's subtree.
        self._nodes = [node for node in sorted(known) if known[node] or node in ends]
        self._next = 0
        self._sums: dict[tuple[int, ...], float] = {(): 0.0}
        self._totals: dict[tuple[int, ...], float] = {}

    @property
    def longest(self) -> int:
        """Tokens of the longest label."""
        return max(map(len, self._labels))

    @property
    def done(self) -> bool:
        """Whether every label has its figure."""
        return self._next == len(self._nodes)

    @property
    def path(self) -> list[int]:
        """The tokens after the prompt that the next figures come after."""
        return list(self._nodes[self._next])

    @property
    def wanted(self) -> tuple[list[int], list[int]]:
        """The tokens whose probabilities are asked for after `path`: one by one, and as a sum."""
        node = self._nodes[self._next]
        return self._children[node], self._endings if node in self._labels else []

    def ahead(self, limit: int) -> list[int]:
        """At most ``limit`` tokens that go on from `path` to the nodes visited after it."""
        tokens: list[int] = []
        here = self._nodes[self._next]
        for node in self._nodes[self._next + 1 : self._next + 1 + max(limit, 0)]:
            if node[:-1] != here:
                break
            tokens.append(node[-1])
            here = node
        return tokens

    def take(self, log_probabilities: Sequence[float], ending: float) -> None:
        """The figures that `wanted` asks for, ``ending`` for the sum; go on to the next node."""
        node = self._nodes[self._next]
        for token, value in zip(self._children[node], log_probabilities, strict=True):
            self._sums[(*node, token)] = self._sums[node] + value
        if self._endings:
            self._totals[node] = self._sums[node] + ending
        self._next += 1

    def result(self) -> list[float]:
        """Natural logarithms of the labels' probabilities, once `done`."""
        totals = self._totals if self._endings else self._sums
        return [totals[label] for label in self._labels]
