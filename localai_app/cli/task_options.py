"""The options of a task from what was typed: JSON files, ``--option NAME=VALUE``, one for each kind."""

import argparse
import json
from pathlib import Path
from typing import Any

import msgspec

from localai_app.cli.terminal import Terminal
from localai_app.errors import LocalAIError, UsageError
from localai_app.tasks.task import TaskKind

_LONGEST = 10_000_000
"""Bytes of a file of options; ten thousand labels have fewer."""


def raw_options(arguments: argparse.Namespace, kind: TaskKind | None, terminal: Terminal) -> bytes:
    """All options as one JSON object; what stands alone goes before ``--option``, and that before the file.

    Raise `UsageError`. Whether they fit the task is for the service to say.
    """
    options: dict[str, Any] = {}
    if arguments.options is not None:
        options = read_json(arguments.options, terminal)
        if not isinstance(options, dict):
            raise UsageError(f"{arguments.options} holds no JSON object.", "Write {} around the options.")
    texts = _texts(kind)
    for given in arguments.option:
        name, sign, value = given.partition("=")
        if not sign or not name.strip():
            raise UsageError(f"“{given}” is not NAME=VALUE.", "Such as --option length=short.")
        options[name.strip()] = value if name.strip() in texts else _value(value)
    return json.dumps({**options, **_named(arguments, terminal)}).encode()


def read_json(path: Path, terminal: Terminal) -> Any:
    """What is in a file of JSON (- for stdin); raise `LocalAIError`."""
    try:
        if str(path) == "-":
            text = terminal.read_all()
        else:
            with path.open("rb") as file:
                data = file.read(_LONGEST + 1)
            if len(data) > _LONGEST:
                raise UsageError(f"{path} is too long.", f"At most {_LONGEST // 1_000_000} MB.")
            text = data.decode("utf-8-sig")
        return json.loads(text)
    except OSError as error:
        raise LocalAIError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        where = f" at line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise UsageError(f"{path} is not JSON in UTF-8{where}.") from None


def _named(arguments: argparse.Namespace, terminal: Terminal) -> dict[str, Any]:
    """What has an option of its own."""
    options: dict[str, Any] = {
        name: getattr(arguments, name)
        for name in ("question", "form", "template", "threshold", "audience", "language")
        if getattr(arguments, name) is not None
    }
    if arguments.length is not None:
        options["length"] = _value(arguments.length)
    if arguments.multi:
        options["multi"] = True
    if arguments.choice:
        options["choices"] = arguments.choice
    if arguments.label:
        options["labels"] = [_label(text) for text in arguments.label]
    if arguments.schema is not None:
        document = read_json(arguments.schema, terminal)
        options["fields" if isinstance(document, list) else "schema"] = document
    return options


def _label(text: str) -> dict[str, str]:
    name, _, description = text.partition(":")
    return {"name": name.strip(), "description": description.strip()}


def _value(text: str) -> Any:
    """A number, a list … where it is one, else the text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _texts(kind: TaskKind | None) -> set[str]:
    """Options that are text whatever is typed: “42” may be a question."""
    if kind is None:
        return set()
    return {field.name for field in msgspec.structs.fields(kind.options) if field.type is str}
