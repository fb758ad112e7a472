"""What a model file says of itself, for who wants to look inside; and its chat template, compared."""

import difflib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from localai_app.models.gguf import GgufHeader, Tensor, Value

TemplateState = Literal["none", "unknown", "same", "different"]
"""No template; the catalogue knows none for this model; it is the one of the catalogue; it is another."""

_LONGEST = 200
_LISTED = 16
"""Elements of a list that are shown."""


@dataclass(frozen=True)
class MetadataRow:
    """One value of the header."""

    key: str
    type: str
    """``text``, ``whole number``, ``number``, ``yes or no``, ``list of 32``."""
    value: str
    """Shortened to a line."""


@dataclass(frozen=True)
class ModelDetails:
    """A look inside."""

    architecture: str
    metadata: tuple[MetadataRow, ...]
    tensors: tuple[Tensor, ...]
    """Name, type, shape and bytes of each."""
    template: str
    """The chat template; empty where there is none."""
    template_sha256: str
    template_state: TemplateState
    known_sha256: str
    """Of the catalogue's template for this model; empty where it knows none."""
    template_diff: str
    """Unified diff from the catalogue's template, where another model here has it; else empty."""


def described(header: GgufHeader, known_sha256: str, known: str) -> ModelDetails:
    """The details of ``header``; ``known`` is the template of that hash, empty where it is not at hand."""
    template = header.chat_template or ""
    digest = template_hash(template)
    state: TemplateState = "unknown"
    if not template:
        state = "none"
    elif known_sha256:
        state = "same" if digest == known_sha256 else "different"
    return ModelDetails(
        architecture=header.architecture,
        metadata=tuple(
            MetadataRow(key, _type(value), _line(value)) for key, value in sorted(header.metadata.items())
        ),
        tensors=header.tensors,
        template=template,
        template_sha256=digest,
        template_state=state,
        known_sha256=known_sha256,
        template_diff=diff(known, template, "catalogue", "this file")
        if state == "different" and known
        else "",
    )


def template_hash(template: str) -> str:
    """SHA-256 of a chat template; empty for none."""
    return hashlib.sha256(template.encode()).hexdigest() if template else ""


def diff(old: str, new: str, old_name: str, new_name: str) -> str:
    """Unified diff, with a newline after every line; empty for the same."""
    lines: Iterator[str] = difflib.unified_diff(
        old.splitlines(), new.splitlines(), old_name, new_name, lineterm=""
    )
    return "".join(f"{line}\n" for line in lines)


def _type(value: Value) -> str:
    if isinstance(value, bool):
        return "yes or no"
    if isinstance(value, int):
        return "whole number"
    if isinstance(value, float):
        return "number"
    return "text" if isinstance(value, str) else f"list of {len(value)}"


def _line(value: Value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        more = ", …" if len(value) > _LISTED else ""
        return ", ".join(_line(one) for one in value[:_LISTED]) + more
    text = " ".join(str(value).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
