"""Templates of extraction that ship with the app: which fields an invoice, a contract … has.

Policy names them ``extract.<name>``.
"""

from functools import cache

import msgspec

from localai_app.errors import UsageError
from localai_app.paths import resources
from localai_app.tasks.extraction import fields
from localai_app.tasks.extraction.fields import Field

_FOLDER = "task_templates"
NAMES = ("invoice", "contract", "bank-statement", "medical-letter")
"""In the order that the window shows them."""


class Template(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The fields of one kind of document."""

    name: str
    title: str
    description: str
    fields: tuple[Field, ...]


@cache
def template(name: str) -> Template:
    """The template of that name; raise `UsageError` naming those there are."""
    if name not in NAMES:
        raise UsageError(f"There is no template “{name}”.", f"There are: {', '.join(NAMES)}.")
    raw = (resources() / _FOLDER / f"{name}.json").read_bytes()
    found = msgspec.json.decode(raw, type=Template)
    fields.check(found.fields)
    return found


def templates() -> list[Template]:
    """All of them; which of them may be used is for policy to say."""
    return [template(name) for name in NAMES]
