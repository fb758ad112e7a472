"""How long work on model files tells how far it is, and how it is stopped."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from localai_app.errors import RequestFailed

Step = Literal["copying", "checking", "trying", "deleting"]
"""Copying a file; reading it to compare hashes; loading it once in a worker; deleting what was copied."""


@dataclass(frozen=True)
class Progress:
    """So far along."""

    step: Step
    done: int
    """Bytes."""
    total: int
    file: str = ""
    """Name of the file that it is about."""

    @property
    def fraction(self) -> float:
        """0 to 1."""
        return min(1.0, self.done / self.total) if self.total else 0.0


Tell = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Tell nobody."""


def go_on(stop: threading.Event | None) -> None:
    """Raise `RequestFailed` once ``stop`` is set."""
    if stop is not None and stop.is_set():
        raise RequestFailed("It was stopped before anything was changed.")
