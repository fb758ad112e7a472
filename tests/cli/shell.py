"""A shell that runs ``localai-app`` in this process, with a pretended reader and engine."""

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import pytest

from localai_app import app as composition
from localai_app import cli
from localai_app.cli.terminal import Terminal
from localai_app.documents import chunks, recognition
from localai_app.engine.client import Engine
from tests.documents.pretended import FakeEmbedding, FakeReader, split


@dataclasses.dataclass(frozen=True)
class Result:
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What was printed, read as JSON."""
        return json.loads(self.out)


class Stream(io.StringIO):
    """Captured output that may pretend to be a terminal."""

    terminal = False

    def isatty(self) -> bool:
        """As it pretends."""
        return self.terminal


@dataclasses.dataclass
class Shell:
    """Runs commands; ``engine`` answers, and `write` puts files into ``folder``."""

    folder: Path
    engine: Engine

    def __call__(self, *argv: str, stdin: str = "", terminal: bool = False) -> Result:
        out, err = Stream(), Stream()
        err.terminal = terminal
        code = cli.main(
            argv,
            lambda paths, files: 0,
            engine=self.engine,
            terminal=Terminal(io.StringIO(stdin), out, err),
        )
        return Result(code, out.getvalue(), err.getvalue())

    def write(self, name: str, text: str) -> str:
        """The path of a new file of that text."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)


def pretend(
    monkeypatch: pytest.MonkeyPatch,
    models: Path,
    reader: FakeReader | None = None,
    embedding: FakeEmbedding | None = None,
) -> None:
    """Let ``reader`` and ``embedding`` stand in for child processes, and one file for a model."""
    embeds = embedding or FakeEmbedding()
    monkeypatch.setattr(composition.reader_process, "read", reader or FakeReader())
    monkeypatch.setattr(composition, "EmbeddingService", lambda *rooms: embeds)
    monkeypatch.setattr(chunks, "split", split)
    monkeypatch.setattr(recognition, "available", lambda: False)
    models.mkdir()
    (models / "Tiny-Q4_0.gguf").write_bytes(b"GGUF")
    monkeypatch.setenv("LOCALAI_APP_MODELS_DIR", str(models))
