"""How long a step takes here, learnt from the steps that were made.

A step of n tokens beside c cells of cache takes ``base + n·(token + c·cell)`` seconds: the weights are
read once, then every token is computed, and looks at every cell. From the three figures follow how many
background requests are worth running side by side and how many may ride along with a person's answer.
"""

import math

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

_FORGET = 0.99
"""Weight of a step after one more: about the last hundred count."""
_OUTLIER = 4.0
"""A step that takes so many times longer than foretold was disturbed, and teaches nothing."""
_BELIEVED = 20
"""So many of them one after another were not: the machine has become a slower one."""
_SOLVE_EVERY = 16
"""Steps; solving takes 0.1 ms."""
FIRST_WIDTH = 4
"""Requests side by side before anything is known."""
LEAST_WIDTH = 3
"""Fewer leave steps too small where a prompt is at its end; between 3 and 7 little changed on 2 cores."""
FIRST_BATCH = 256
GRANULE = 64
LATENCY = 0.6
"""Seconds that a background step takes at most, about. Long steps waste the least: on 2 cores that others
use as well, 64 tokens at once cost 3.4 ms each, 256 cost 2.5. A person's request ends the step."""
_RIDGE = (1e-3, 1e-3, 1e-2)
_RIDE = 0.5
"""Part by which riders may lengthen a person's step."""


class StepTime:
    """The figures of one device, in seconds; they follow the machine as it gets busy or quiet."""

    def __init__(self) -> None:
        self._squares = np.zeros((3, 3))
        self._products = np.zeros(3)
        self._new: list[tuple[float, float, float]] = []
        """Steps that are not in the sums yet: adding one at a time would take 0.05 ms of every step."""
        self._steps = 0
        self._disturbed = 0
        self._figures: tuple[float, float, float] | None = None

    def record(self, tokens: int, cells: int, seconds: float) -> None:
        """A step of ``tokens`` beside ``cells`` used cells took ``seconds``."""
        if seconds <= 0:
            return  # shorter than the clock can tell
        if self.known and seconds > _OUTLIER * self.of(tokens, cells):
            self._disturbed += 1
            if self._disturbed < _BELIEVED:
                return
            self._squares[:], self._products[:], self._steps = 0, 0, 0
            self._new.clear()
        self._disturbed = 0
        # Relative errors count: a long step must not drown what short ones tell.
        self._new.append((1 / seconds, tokens / seconds, tokens * cells / 1000 / seconds))
        self._steps += 1
        if self._steps % _SOLVE_EVERY == 0 or self._steps <= _SOLVE_EVERY:
            self._figures = None

    @property
    def known(self) -> bool:
        """Whether enough steps were seen."""
        return self._steps >= 10

    def of(self, tokens: int, cells: int) -> float:
        """Expected seconds of a step."""
        base, token, cell = self._solve()
        return base + tokens * (token + cell * cells)

    def width(self, fresh: float, output: float) -> float:
        """Requests of one kind that give the most tokens per second side by side.

        Each evaluates ``fresh`` prompt tokens beyond what they share and generates ``output``. More of
        them share a step's base, but each adds cells that all others look at.
        """
        if not self.known:
            return FIRST_WIDTH
        base, _token, cell = self._solve()
        if cell <= 0:
            return math.inf
        own = fresh + output / 2
        best = math.sqrt(base * output / (cell * (fresh + output) * max(own, 1)))
        return max(best, LEAST_WIDTH)

    def batch(self, most: int) -> int:
        """Tokens of a background step: as many as take `LATENCY`; at least `GRANULE`, at most ``most``."""
        if not self.known:
            return min(FIRST_BATCH, most)
        base, token, _cell = self._solve()
        wanted = max(LATENCY - base, 0.0) / max(token, 1e-7)
        return min(max(int(wanted) // GRANULE * GRANULE, GRANULE), most)

    def riders(self, tokens: int, cells: int) -> int:
        """Tokens that may join a person's step of ``tokens``."""
        if not self.known:
            return 1
        base, token, cell = self._solve()
        each = max(token + cell * cells, 1e-9)
        return max(int(_RIDE * (base + tokens * each) / each), 1)

    def _solve(self) -> tuple[float, float, float]:
        """Least squares with no figure below nothing: where one would be, the best fit without it."""
        if self._figures is None:
            self._add_up()
            # Where steps do not tell the token's figure from the cell's, it is the token's.
            squares = self._squares + np.diag(np.diag(self._squares) * _RIDGE)
            fits = [_fit(squares, self._products, used) for used in _SUBSETS]
            _error, figures = min((fit for fit in fits if min(fit[1]) >= 0), key=lambda fit: fit[0])
            self._figures = figures[0], figures[1], figures[2] / 1000
        return self._figures

    def _add_up(self) -> None:
        rows = np.array(self._new).reshape(-1, 3)
        ages = _FORGET ** np.arange(len(rows) - 1, -1, -1.0)[:, None]
        fades = _FORGET ** len(rows)
        self._squares = self._squares * fades + rows.T @ (rows * ages)
        self._products = self._products * fades + (rows * ages).sum(axis=0)
        self._new.clear()


_SUBSETS = ((0, 1, 2), (0, 1), (1, 2), (0, 2), (0,), (1,), (2,), ())


def _fit(squares: Matrix, products: Matrix, used: tuple[int, ...]) -> tuple[float, list[float]]:
    """The figures that fit best when only those ``used`` are not nothing, and their error."""
    figures = np.zeros(3)
    if used:
        part = np.ix_(used, used)
        figures[list(used)] = np.linalg.lstsq(squares[part], products[list(used)], rcond=None)[0]
    error = figures @ squares @ figures - 2 * figures @ products
    return float(error), [float(figure) for figure in figures]
