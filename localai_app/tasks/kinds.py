"""Which kinds of task there are."""

from collections.abc import Sequence

from localai_app.errors import UsageError
from localai_app.tasks.task import TaskKind

KINDS: tuple[TaskKind, ...] = ()
"""In the order that the window shows them."""


def kind_of(name: str, kinds: Sequence[TaskKind] = KINDS) -> TaskKind:
    """The kind of that name; raise `UsageError` naming those there are."""
    for kind in kinds:
        if kind.name == name:
            return kind
    raise UsageError(f"There is no task “{name}”.", f"There are: {', '.join(one.name for one in kinds)}.")
