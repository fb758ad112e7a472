"""What reading documents costs: how many tokens they have, and how fast the model here is."""

from collections.abc import Sequence

from localai_app.documents.document import Document, State
from localai_app.documents.service import DocumentService
from localai_app.engine.client import Engine
from localai_app.engine.protocol import Done, Sampling, Segment, Usage
from localai_app.models.service import ModelService

_SAMPLED_PAGES = 8
_MEASURED_LINES, _MEASURED_OUTPUT = 40, 32
"""What a model that was never used reads and writes so that its price is known: some hundred tokens."""


class Pricing:
    """Counts and times with the model that is loaded."""

    def __init__(self, documents: DocumentService, models: ModelService, engine: Engine) -> None:
        self._documents = documents
        self._models = models
        self._engine = engine
        self._tokens: dict[tuple[str, int, str], int] = {}
        """Of a document's text, by model, id and hash."""
        self._measured: set[str] = set()
        """Models whose speed was measured, whatever came of it."""

    def count(self, text: str) -> int:
        """Tokens of a text."""
        return self._engine.count([Segment(text=text)]) if text else 0

    def count_document(self, document: Document) -> int:
        """Tokens of a document; of a long one from a sample of its pages."""
        if document.state is not State.READY or not document.pages:
            return 0
        key = self._models.loaded_sha256, document.id, document.sha256
        if key not in self._tokens:
            step = max(document.pages // _SAMPLED_PAGES, 1)
            sample = [
                self._documents.page(document.id, number).text
                for number in range(1, document.pages + 1, step)
            ]
            characters = sum(map(len, sample))
            counted = sum(self.count(text) for text in sample)
            self._tokens[key] = (
                counted if step == 1 else round(counted * document.characters / max(characters, 1))
            )
        return self._tokens[key]

    def seconds(self, read: int, written: int) -> float | None:
        """How long the model takes; measured once, where it was never used for long."""
        speeds, sha256 = self._models.speeds, self._models.loaded_sha256
        if not (speeds.reading(sha256) and speeds.measured(sha256)):
            self._measure(sha256)
        reading, writing = speeds.reading(sha256), speeds.measured(sha256)
        if reading is None or writing is None:
            return None
        return read / reading.tokens_per_second + written / writing.tokens_per_second

    def note(self, usages: Sequence[Usage]) -> None:
        """Keep how fast the model read, for the next price."""
        model = self._engine.model
        if model is None or not usages:
            return
        longest = max(usages, key=lambda usage: usage.prompt_tokens - usage.reused_tokens)
        self._models.speeds.note_reading(
            self._models.loaded_sha256,
            model.device,
            longest.prompt_tokens - longest.reused_tokens,
            longest.first_token_seconds,
        )

    def _measure(self, sha256: str) -> None:
        model = self._engine.model
        if model is None or not sha256 or sha256 in self._measured:
            return
        self._measured.add(sha256)
        text = " ".join(f"Line {number} of the record." for number in range(_MEASURED_LINES))
        generation = self._engine.generate(
            [Segment(text=text)], Sampling(temperature=0), max_tokens=_MEASURED_OUTPUT, background=True
        )
        for event in generation:
            if isinstance(event, Done):
                usage = event.usage
                self.note([usage])
                self._models.speeds.note(sha256, model.device, usage.output_tokens, usage.generation_seconds)
