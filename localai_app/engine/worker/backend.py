"""What the scheduler needs of whatever computes."""

from typing import Protocol

from localai_app.engine.worker.llama import Entry
from localai_app.engine.worker.prefix_cache import Cells
from localai_app.engine.worker.sequence import TokenSampler


class Backend(Cells, Protocol):
    """What computes; llama.cpp, or a fake in a test."""

    length: int
    batch_size: int
    sequences: int
    drafts: bool
    """Whether answers may be guessed ahead; needs a part of a sequence to be dropped."""

    def decode(self, entries: list[Entry], *, fixed_threads: bool) -> None:
        """Evaluate; raise `NoRoom`, `Aborted` or `LlamaError`."""

    def sample(self, sampler: TokenSampler, row: int) -> int:
        """The next token after batch entry ``row``."""

    def incomplete(self, sampler: TokenSampler) -> bool:
        """Whether the sampler's grammar asks for more than was said."""

    def closed(self, sampler: TokenSampler) -> bool:
        """Whether the sampler's grammar allows nothing more."""

    def log_probabilities(
        self, row: int, tokens: list[int], together: list[int]
    ) -> tuple[list[float], float]:
        """Of each of ``tokens`` after batch entry ``row``, and of any one of ``together``."""

    def piece(self, token: int) -> bytes:
        """Bytes of ``token``."""

    def ends_generation(self, token: int) -> bool:
        """Whether ``token`` closes the answer."""

    def remember(self, answer: str, tokens: list[int]) -> None:
        """Keep the ``tokens`` that were sampled for ``answer``, for the prompt of the next turn."""
