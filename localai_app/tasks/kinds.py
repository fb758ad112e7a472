"""Which kinds of task there are."""

from collections.abc import Sequence

import msgspec

from localai_app.errors import UsageError
from localai_app.tasks.answer import Answer
from localai_app.tasks.classify import Classify
from localai_app.tasks.extract import Extract
from localai_app.tasks.summarise import Summarise
from localai_app.tasks.task import TaskKind

KINDS: tuple[TaskKind, ...] = (Summarise(), Extract(), Classify(), Answer())
"""In the order that the window shows them."""


def kind_of(name: str, kinds: Sequence[TaskKind] = KINDS) -> TaskKind:
    """The kind of that name; raise `UsageError` naming those there are."""
    for kind in kinds:
        if kind.name == name:
            return kind
    raise UsageError(f"There is no task “{name}”.", f"There are: {', '.join(one.name for one in kinds)}.")


def policy_names(kind: str, options: msgspec.Struct) -> list[str]:
    """What policy must allow for these options: the kind, and the template (``options.template``) if any."""
    template = getattr(options, "template", "")
    return [kind, f"{kind}.{template}"] if template else [kind]
