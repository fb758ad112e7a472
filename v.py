"""Guessing what comes next from what was said before (prompt lookup), checked token by token.

Where an answer repeats its prompt (quotes, extracts, corrects), the words after the last few tokens are
found further up, and checking many guesses in one step costs little more than making one token. Each
guess is sampled as it would have been without guessing; the first that differs ends the run. So only
speed depends on the guesses, and how many are made follows from what is measured: how often guesses of
this kind held in this answer, and what a step of each size costs on this machine. Guesses are compared
with what really came even when none is evaluated, so trying costs nothing.
"""

from collections.abc import Callable, Sequence

_GRAM = 3
"""Tokens that must be found again."""
_LONGEST_MATCH = 24
SIZES = (2, 4, 8, 16, 32)
MAX_DRAFT = SIZES[-1]
_PRIOR = {0: 0.2, 1: 0.5, 2: 0.8}
"""How often the first guess holds, by length of the match, before anything is known."""
_FORGET = 0.2
_GAIN = 1.15
"""A draft must promise so much more than a plain step, or measurement noise decides."""


class StepCost:
    """What a step of n tokens costs here, in units of time; as measured, interpolated between."""

    def __init__(self) -> None:
        self._measured: dict[int, float] = {}

    def record(self, tokens: int, seconds: float) -> None:
        """A step of ``tokens`` took ``seconds``."""
        size = tokens if tokens < _GRAM else min((1 + size for size in SIZES), key=lambda s: abs(s - tokens))
        before = self._measured.get(size)
        self._measured[size] = seconds if before is None else before + 0.2 * (seconds - before)

    def of(self, tokens: int) -> float:
        """Expected cost; hopeful for sizes that were never tried, so that they are."""
        below = max((size for size in self._measured if size <= tokens), default=None)
        if below is None:
            return 1.0
        above = min((size for size in self._measured if size >= tokens), default=None)
        if above is None:
            return self._measured[below] * (1 + 0.04 * (tokens - below))
        if above == below:
            return self._measured[below]
        share = (tokens - below) / (above - below)
        return self._measured[below] * (1 - share) + self._measured[above] * share


class Drafter:
    """Guesses for one answer."""

    def __init__(self) -> None:
        self._found: dict[tuple[int, ...], int] = {}
        self._indexed = _GRAM
        self._holds = dict(_PRIOR)
        self._kind = 0
        self._guess: list[int] = []

    def propose(self, tokens: Sequence[int], cost: Callable[[int], float], *, limit: int) -> list[int]:
        """At most ``limit`` guesses for what follows ``tokens``; none where they would not pay.

        ``cost(n)`` is what this step costs with n guesses. Call `learn` when the truth is known.
        """
        at = self._look_up(tokens)
        self._guess = [] if at is None else list(tokens[at : at + MAX_DRAFT])
        if not self._guess:
            return []
        hold = self._holds[self._kind]
        best, size = _GAIN / cost(0), 0
        for count in SIZES:
            if count > min(limit, len(self._guess)):
                break
            expected = (1 - hold ** (count + 1)) / (1 - hold) if hold < 1 else count + 1
            if expected / cost(count) > best:
                best, size = expected / cost(count), count
        return self._guess[:size]

    def learn(self, came: Sequence[int], drafted: int) -> None:
        """``came`` are the tokens that really followed, one more than guesses that held of ``drafted``."""
        if not self._guess:
            return
        tried = max(drafted, 1)
        for guess, token in zip(self._guess[:tried], came, strict=False):
            hit = guess == token
            self._holds[self._kind] += _FORGET * (hit - self._holds[self._kind])
            if not hit:
                break
        self._holds[self._kind] = min(self._holds[self._kind], 0.99)

    def _look_up(self, tokens: Sequence[int]) -> int | None:
        """Where the text continues that ends as ``tokens`` do; notes how long the match is."""
        while self._indexed < len(tokens):
            self._found[tuple(tokens[self._indexed - _GRAM : self._indexed])] = self._indexed
            self._indexed += 1
        at = self._found.get(tuple(tokens[-_GRAM:])) if len(tokens) > _GRAM else None
        if at is None:
            return None
        length = _GRAM
        while length < min(_LONGEST_MATCH, at) and tokens[at - 1 - length] == tokens[-1 - length]:
            length += 1
        self._kind = sum(length >= b for b in (5, 10))
        return at
