"""The schema that people build: the fields that are looked for in a document.

A `Field` is written in the window, in a template or as JSON Schema; all three come to the same thing. Lists
may have entries of several parts (a line item's description, quantity, price), one level deep.
"""

import re
from collections.abc import Sequence
from enum import StrEnum

import msgspec

from localai_app.errors import UsageError
from localai_app.tasks.task import Column, Form

MAX_FIELDS = 60
MAX_PARTS = 12
MAX_CHOICES = 50
MAX_KEY = 40
MAX_DESCRIPTION = 500
_MAX_TITLE = 80
_MAX_PATTERN = 200
_KEY = re.compile(r"[a-z][a-z0-9_]*")


class FieldType(StrEnum):
    """What a field's values are."""

    TEXT = "text"
    LONG_TEXT = "long_text"
    """Sentences, a clause."""
    NUMBER = "number"
    AMOUNT = "amount"
    """Of money, with its currency."""
    DATE = "date"
    IBAN = "iban"
    EMAIL = "email"
    YES_NO = "yes_no"
    CHOICE = "choice"
    """One of `Field.one_of`."""

    @property
    def is_said(self) -> bool:
        """Whether the value itself stands on the page; else it is judged by what stands there."""
        return self not in (FieldType.YES_NO, FieldType.CHOICE)


_FORMS = {
    FieldType.TEXT: Form.TEXT,
    FieldType.LONG_TEXT: Form.LONG,
    FieldType.NUMBER: Form.NUMBER,
    FieldType.AMOUNT: Form.AMOUNT,
    FieldType.DATE: Form.DATE,
    FieldType.IBAN: Form.TEXT,
    FieldType.EMAIL: Form.TEXT,
    FieldType.YES_NO: Form.FLAG,
    FieldType.CHOICE: Form.LABEL,
}


class Field(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One thing to look for."""

    key: str
    """Small letters, digits and underscores: its name in files."""
    title: str = ""
    """As people read it; empty: made from the key."""
    type: FieldType = FieldType.TEXT
    description: str = ""
    """For the model: what is meant, and what is not."""
    required: bool = False
    """Where it is not found, a person is asked."""
    is_list: bool = msgspec.field(default=False, name="list")
    one_of: tuple[str, ...] = ()
    """Of `FieldType.CHOICE`."""
    pattern: str = ""
    """A regular expression that the whole value must match, else it is in doubt."""
    parts: tuple["Field", ...] = ()
    """The fields of a list's entries; ``type`` says nothing then."""

    @property
    def name(self) -> str:
        """What people call it: the title, else the key in words."""
        return self.title or self.key.replace("_", " ").capitalize()

    @property
    def column(self) -> Column:
        """Its column in the grid."""
        form = Form.LIST if self.is_list else _FORMS[self.type]
        return Column(self.key, self.name, form, tuple(part.column for part in self.parts))


# ---------------------------------------------------------------- checking


def check(fields: Sequence[Field]) -> None:
    """Raise `UsageError` that names the field and what to do, where ``fields`` cannot be worked with."""
    if not fields:
        raise UsageError("There are no fields to look for.", "Add at least one field, or choose a template.")
    if len(fields) > MAX_FIELDS:
        raise UsageError(f"There are {len(fields)} fields.", f"{MAX_FIELDS} are possible: divide them.")
    _check_keys(fields, "")
    for field in fields:
        _check_field(field)


def _check_keys(fields: Sequence[Field], within: str) -> None:
    seen: set[str] = set()
    for field in fields:
        if not _KEY.fullmatch(field.key) or len(field.key) > MAX_KEY:
            raise UsageError(
                f"“{field.key[:MAX_KEY]}” cannot be a field's key{within}.",
                f"A small letter, then small letters, digits and underscores; {MAX_KEY} at most.",
            )
        if field.key in seen:
            raise UsageError(f"Two fields have the key “{field.key}”{within}.", "Rename one of them.")
        seen.add(field.key)


def _check_field(field: Field) -> None:
    for text, most, what in (
        (field.title, _MAX_TITLE, "title"),
        (field.description, MAX_DESCRIPTION, "description"),
        (field.pattern, _MAX_PATTERN, "pattern"),
    ):
        if len(text) > most:
            raise UsageError(f"The {what} of “{field.key}” is too long.", f"At most {most} characters.")
    _check_choices(field)
    _check_pattern(field)
    if field.parts:
        _check_parts(field)


def _check_choices(field: Field) -> None:
    if field.type is not FieldType.CHOICE:
        if field.one_of:
            raise UsageError(
                f"“{field.key}” has values to choose from, but is of type {field.type}.",
                f"Make its type {FieldType.CHOICE}.",
            )
        return
    if not 2 <= len(field.one_of) <= MAX_CHOICES:
        raise UsageError(
            f"“{field.key}” has {len(field.one_of)} values to choose from.", f"Give 2 to {MAX_CHOICES}."
        )
    if len(set(field.one_of)) < len(field.one_of) or any(
        not value.strip() or len(value) > _MAX_TITLE for value in field.one_of
    ):
        raise UsageError(
            f"The values of “{field.key}” cannot be told apart.",
            f"Each must be different, not empty, and have at most {_MAX_TITLE} characters.",
        )


def _check_pattern(field: Field) -> None:
    if not field.pattern:
        return
    if not field.type.is_said or field.parts:
        raise UsageError(f"“{field.key}” cannot have a pattern.", "Give it to a field that is copied.")
    import regex  # noqa: PLC0415 - the window starts without it

    try:
        regex.compile(field.pattern)
    except regex.error as error:
        raise UsageError(f"The pattern of “{field.key}” is no regular expression: {error}.") from None


def _check_parts(field: Field) -> None:
    if not field.is_list:
        raise UsageError(f"“{field.key}” has parts, but is no list.", "Make it a list.")
    if len(field.parts) > MAX_PARTS:
        raise UsageError(f"“{field.key}” has {len(field.parts)} parts.", f"{MAX_PARTS} are possible.")
    _check_keys(field.parts, f" in “{field.key}”")
    for part in field.parts:
        if part.parts or part.is_list:
            raise UsageError(
                f"“{field.key}”, “{part.key}”: a part can be neither a list nor have parts.",
                "Lists of lists are not supported: make it a field of its own.",
            )
        _check_field(part)
