"""From a model's log-probabilities of labels to shares of 1: corrected for its bias, put together.

Pure arithmetic. A small model likes some labels better than others whatever it reads: those that come first,
that are short, that are common words. How much, it says itself when it is given a text without content; what
is left when that is taken off is what the text speaks for (contextual calibration, Zhao et al. 2021).
"""

import math
from collections.abc import Sequence

_LEAST = -60.0
"""Of a log-probability: what is less likely is as good as impossible, and arithmetic stays finite."""
_CERTAINTY = 1e-3
"""That even a window which says nothing counts for."""


def log_shares(figures: Sequence[float]) -> list[float]:
    """Logarithms of the shares of 1 that go with log-probabilities, in their order."""
    finite = [figure if math.isfinite(figure) else -math.inf for figure in figures]
    highest = max(finite, default=-math.inf)
    if highest == -math.inf:
        return [-math.log(len(finite))] * len(finite)
    shifted = [max(figure - highest, _LEAST) for figure in finite]
    total = math.log(math.fsum(map(math.exp, shifted)))
    return [figure - total for figure in shifted]


def shares(figures: Sequence[float]) -> list[float]:
    """The shares themselves: they add up to 1."""
    exact = [math.exp(figure) for figure in log_shares(figures)]
    total = math.fsum(exact)
    return [share / total for share in exact]


def corrected(figures: Sequence[float], bias: Sequence[float], share: float = 1.0) -> list[float]:
    """What a text speaks for: log-shares without those, or that share of those, of a text without content."""
    return log_shares(
        [mine - share * its for mine, its in zip(log_shares(figures), log_shares(bias), strict=True)]
    )


def certainty(figures: Sequence[float]) -> float:
    """How much log-shares say: 0 where all labels are alike, 1 where one has all."""
    if len(figures) < 2:
        return 1.0
    entropy = -math.fsum(math.exp(figure) * figure for figure in figures)
    return min(max(1.0 - entropy / math.log(len(figures)), 0.0), 1.0)


def weights(windows: Sequence[Sequence[float]], sizes: Sequence[int]) -> list[float]:
    """How much each window of a document counts: by its length and by how much it says."""
    raw = [size * (_CERTAINTY + certainty(figures)) for figures, size in zip(windows, sizes, strict=True)]
    total = math.fsum(raw)
    return [one / total for one in raw]


def combined(windows: Sequence[Sequence[float]], sizes: Sequence[int]) -> list[float]:
    """Log-shares of a document: the weighted mean of its windows'.

    A mean and not a sum: windows of one document are no independent witnesses, and a long document is not
    more certain for being long.
    """
    counted = weights(windows, sizes)
    return log_shares(
        [
            math.fsum(weight * figures[at] for weight, figures in zip(counted, windows, strict=True))
            for at in range(len(windows[0]))
        ]
    )


def refined(
    begun: Sequence[float], groups: Sequence[Sequence[int]], some: Sequence[int], names: Sequence[float]
) -> list[float]:
    """Log-shares of all labels, of those of what they begin with.

    ``groups`` are the places of the labels that begin alike, ``some`` those of the likeliest groups, whose
    ``names`` have been asked for: these divide among them what their groups have together. Labels of another
    group have equal parts of it.
    """
    divided = {
        place: figure - math.log(len(group))
        for figure, group in zip(begun, groups, strict=True)
        for place in group
    }
    together = math.log(math.fsum(math.exp(max(divided[place], _LEAST)) for place in some))
    divided |= {place: together + figure for place, figure in zip(some, log_shares(names), strict=True)}
    return log_shares([divided[place] for place in sorted(divided)])


def yes(figures: Sequence[float], bias: Sequence[float]) -> float:
    """How likely “Yes” is, of the log-probabilities of “Yes” and “No”.

    A text without content has no label, so “No” is right there: only what is said for “Yes” is bias.
    """
    anyway = log_shares(bias)
    return shares(corrected(figures, anyway) if anyway[0] > anyway[1] else figures)[0]
