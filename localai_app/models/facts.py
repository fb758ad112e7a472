"""What lists of models need to know of their headers, remembered for as long as a file stays the same."""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from localai_app.errors import GgufError, ModelNotFound, StoreError
from localai_app.models.details import template_hash
from localai_app.models.gguf import GgufHeader
from localai_app.models.installed import state
from localai_app.store.settings import Settings

_KEY = "model.facts."


@dataclass(frozen=True)
class Facts:
    """What a header says that a list shows."""

    architecture: str = ""
    base_name: str = ""
    parameters: int = 0
    licence: str = ""
    licence_url: str = ""
    embeds: bool = False
    """Makes vectors and cannot write."""
    template_sha256: str = ""


@dataclass(frozen=True)
class _KeptFacts:
    size: int
    mtime_ns: int
    facts: Facts


class FactsOfFiles:
    """Remembers what headers say: reading one costs a child process."""

    def __init__(self, settings: Settings, read_header: Callable[[Path], GgufHeader]) -> None:
        self._settings = settings
        self._read_header = read_header

    def of(self, path: Path) -> Facts:
        """Of the file at ``path``; what was known of it before where it is not there.

        Nothing is known of a file that cannot be read: loading it says what is wrong with it.
        """
        key = f"{_KEY}{path}"
        known: _KeptFacts | None = None
        with suppress(msgspec.ValidationError):
            known = msgspec.convert(self._settings.get(key), _KeptFacts | None)
        try:
            now = state(path)
            if known and (known.size, known.mtime_ns) == now:
                return known.facts
            facts = _facts(self._read_header(path))
        except ModelNotFound:
            return known.facts if known else Facts()
        except GgufError:
            facts = Facts()
        with suppress(StoreError):  # a store that cannot be written: the next call looks again
            self._settings.set(key, {"size": now[0], "mtime_ns": now[1], "facts": asdict(facts)})
        return facts

    def folder_moved(self, source: Path, target: Path) -> None:
        """What is kept of files in ``source`` is about those in ``target`` now."""
        self._settings.rename(f"{_KEY}{source}{os.sep}", f"{_KEY}{target}{os.sep}")


def _facts(header: GgufHeader) -> Facts:
    def text(key: str) -> str:
        value = header.metadata.get(key, "")
        return value[:200] if isinstance(value, str) and value.isprintable() else ""

    return Facts(
        architecture=header.architecture,
        base_name=text("general.basename"),
        parameters=header.parameters,
        licence=text("general.license.name") or text("general.license"),
        licence_url=text("general.license.link"),
        embeds=header.embedding_only,
        template_sha256=template_hash(header.chat_template or ""),
    )
