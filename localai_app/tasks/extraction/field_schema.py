"""Fields from and to JSON: as they are kept, as JSON Schema, and as what the model's answer must obey.

Of a person's JSON Schema a keyword is obeyed or refused by name with its place, never ignored.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from localai_app.errors import UsageError
from localai_app.tasks.extraction.fields import Field, FieldType, check

_SAYS_NOTHING = frozenset({"$schema", "$id", "$comment", "title", "description", "examples", "default"})
_OF_A_FIELD = _SAYS_NOTHING | {"type", "format", "enum", "pattern", "items"}
_FORMATS = {
    "date": FieldType.DATE,
    "email": FieldType.EMAIL,
    "iban": FieldType.IBAN,
    "amount": FieldType.AMOUNT,
    "long-text": FieldType.LONG_TEXT,
}
_TYPES = {
    "string": FieldType.TEXT,
    "number": FieldType.NUMBER,
    "integer": FieldType.NUMBER,
    "boolean": FieldType.YES_NO,
}
_LONGEST = 100_000
"""Characters of a schema: a person's has far fewer."""


def read(raw: bytes | str) -> tuple[Field, ...]:
    """Fields from JSON text: a list of fields, or the JSON Schema of an object; checked.

    Raise `UsageError`.
    """
    if len(raw) > _LONGEST:
        raise UsageError("The schema is too long.", f"At most {_LONGEST:,} characters.")
    try:
        document = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UsageError(f"The fields are not JSON: {error}.") from None
    return from_json_schema(document) if isinstance(document, dict) else from_list(document)


def from_list(document: Any) -> tuple[Field, ...]:
    """Fields from a list as `written` gives it; raise `UsageError`."""
    try:
        fields = msgspec.convert(document, tuple[Field, ...])
    except msgspec.ValidationError as error:
        raise UsageError(f"The fields are not as they should be: {error}.") from None
    check(fields)
    return fields


def written(fields: Sequence[Field]) -> bytes:
    """``fields`` as JSON that `read` takes."""
    return msgspec.json.format(msgspec.json.encode(fields), indent=2)


# ---------------------------------------------------------------- from JSON Schema


def from_json_schema(schema: Mapping[str, Any]) -> tuple[Field, ...]:
    """The fields that the JSON Schema of an object describes, checked; raise `UsageError`.

    Supported: ``properties`` of type string (with ``format`` date, email, iban or amount, ``enum``,
    ``pattern``), number, integer, boolean, arrays of these, and arrays of objects of these; each may also
    be null. ``required``, ``title`` and ``description`` are obeyed.
    """
    fields = _fields(schema, "#", nested=False)
    check(fields)
    return fields


def _fields(schema: Mapping[str, Any], place: str, *, nested: bool) -> tuple[Field, ...]:
    _only(schema, _SAYS_NOTHING | {"type", "properties", "required", "additionalProperties"}, place)
    if schema.get("type", "object") != "object":
        raise _refused(place, "the type must be “object”")
    if schema.get("additionalProperties") not in (None, False, True):
        raise _refused(place, "“additionalProperties” can be true or false only")
    properties, required = schema.get("properties"), schema.get("required", [])
    if not isinstance(properties, dict) or not properties:
        raise _refused(place, "“properties” must name at least one field")
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        raise _refused(place, "“required” must be a list of names")
    if unknown := [name for name in required if name not in properties]:
        raise _refused(place, f"“required” names “{unknown[0]}”, which “properties” does not")
    keys = _keys(properties)
    return tuple(
        _field(keys[name], name, part, f"{place}/properties/{name}", name in required, nested=nested)
        for name, part in properties.items()
    )


def key_of(name: str) -> str:
    """The key that a name comes to: “Invoice No.” becomes “invoice_no”."""
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    key = re.sub(r"[^a-z0-9]+", "_", split.lower()).strip("_")
    return key if key[:1].isalpha() else f"field_{key}".rstrip("_")


def _keys(names: Mapping[str, Any]) -> dict[str, str]:
    """A key for each name, all different."""
    keys: dict[str, str] = {}
    for name in names:
        key = key_of(name)
        base, number = key, 2
        while key in keys.values():
            key, number = f"{base}_{number}", number + 1
        keys[name] = key
    return keys


def _field(key: str, name: str, schema: Any, place: str, required: bool, *, nested: bool) -> Field:
    if not isinstance(schema, dict):
        raise _refused(place, "a field's schema is an object")
    _only(schema, _OF_A_FIELD, place)
    kind = _type(schema, place)
    title = schema.get("title") or ("" if name == key else name)
    described: dict[str, Any] = {
        "title": _words(title, "title", place),
        "description": _words(schema.get("description", ""), "description", place),
        "required": required,
    }
    if kind != "array":
        if kind == "object":
            raise _refused(place, "an object inside another is supported in lists only")
        return Field(key, **described, **_of_type(kind, schema, place))
    if nested:
        raise _refused(place, "a list inside a list is not supported")
    items = schema.get("items", {"type": "string"})
    inside = f"{place}/items"
    if not isinstance(items, dict):
        raise _refused(inside, "the schema of a list's entries is an object")
    if "properties" in items or items.get("type") == "object":
        return Field(key, **described, is_list=True, parts=_fields(items, inside, nested=True))
    _only(items, _OF_A_FIELD - {"items"}, inside)
    return Field(key, **described, is_list=True, **_of_type(_type(items, inside), items, inside))


def _of_type(kind: str, schema: Mapping[str, Any], place: str) -> dict[str, Any]:
    if "enum" in schema:
        values = [value for value in schema["enum"] if value is not None] if _is_list(schema["enum"]) else []
        if kind != "string" or not values or not all(isinstance(value, str) for value in values):
            raise _refused(place, "“enum” must be a list of strings")
        if "pattern" in schema or "format" in schema:
            raise _refused(place, "“pattern” or “format” beside “enum” is not supported")
        return {"type": FieldType.CHOICE, "one_of": tuple(values)}
    if kind not in _TYPES:
        raise _refused(place, f"the type “{kind}” is not supported here")
    form = schema.get("format")
    found = _TYPES[kind]
    if form is not None:
        if not isinstance(form, str) or form not in _FORMATS:
            raise _refused(place, f"the format “{form}” is not supported; {', '.join(_FORMATS)} are")
        found = _FORMATS[form]
    pattern = _words(schema.get("pattern", ""), "pattern", place)
    return {"type": found, "pattern": _whole(pattern)}


def _whole(pattern: str) -> str:
    """A pattern that must match somewhere, as one that must match the whole value."""
    if not pattern:
        return ""
    before = "" if pattern.startswith("^") else ".*"
    after = "" if pattern.endswith("$") and not pattern.endswith(r"\$") else ".*"
    inner = pattern[0 if before else 1 : None if after else -1]
    return f"{before}(?:{inner}){after}" if before or after or "|" in inner else inner


def _type(schema: Mapping[str, Any], place: str) -> str:
    """The one type beside null."""
    stated = schema.get("type", "string")
    kinds = stated if isinstance(stated, list) else [stated]
    kinds = [kind for kind in kinds if kind != "null"]
    if len(kinds) != 1 or not isinstance(kinds[0], str):
        raise _refused(place, "“type” must be one type, or one and “null”")
    return kinds[0]


def _words(value: Any, keyword: str, place: str) -> str:
    if not isinstance(value, str):
        raise _refused(place, f"“{keyword}” must be a string")
    return value


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _only(schema: Mapping[str, Any], known: frozenset[str], place: str) -> None:
    for keyword in schema:
        if keyword not in known:
            raise _refused(place, f"“{keyword}” is not supported")


def _refused(place: str, why: str) -> UsageError:
    return UsageError(
        f"The JSON Schema cannot be used, at {place[:200]}: {why}.",
        "Take it out of the schema, or describe the fields one by one.",
    )


# ---------------------------------------------------------------- to JSON Schema


def to_json_schema(fields: Sequence[Field]) -> dict[str, Any]:
    """The JSON Schema of an object with these fields, which `from_json_schema` takes."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {field.key: _schema(field) for field in fields},
        "required": [field.key for field in fields if field.required],
        "additionalProperties": False,
    }


def _schema(field: Field) -> dict[str, Any]:
    described = {"title": field.title, "description": field.description}
    said = {name: text for name, text in described.items() if text}
    if field.parts:
        entry = to_json_schema(field.parts)
        del entry["$schema"]
        return {**said, "type": "array", "items": entry}
    value = _value_schema(field)
    return {**said, "type": "array", "items": value} if field.is_list else {**said, **value}


def _value_schema(field: Field) -> dict[str, Any]:
    if field.type is FieldType.CHOICE:
        return {"type": "string", "enum": list(field.one_of)}
    if field.type is FieldType.YES_NO:
        return {"type": "boolean"}
    made: dict[str, Any] = {"type": "number" if field.type is FieldType.NUMBER else "string"}
    form = next((name for name, kind in _FORMATS.items() if kind is field.type), None)
    if form is not None:
        made["format"] = form
    if field.pattern:
        inner = f"(?:{field.pattern})" if "|" in field.pattern else field.pattern
        made["pattern"] = f"^{inner}$"
    return made


# ---------------------------------------------------------------- what an answer must obey

_LENGTHS = {
    FieldType.TEXT: 200,
    FieldType.LONG_TEXT: 1000,
    FieldType.NUMBER: 40,
    FieldType.AMOUNT: 40,
    FieldType.DATE: 60,
    FieldType.IBAN: 50,
    FieldType.EMAIL: 120,
}
"""Characters of a value: what the model copies must end somewhere."""
QUOTATION = 300
"""Characters of a quotation that a judgement rests on."""
MAX_ENTRIES = 60
"""Of a list, in one window."""


def answer_schema(fields: Sequence[Field]) -> str:
    """JSON Schema of what the model writes about ``fields``; null stands for what is not there."""
    return json.dumps(_object([(field.key, _answer(field)) for field in fields]), ensure_ascii=False)


def _object(properties: Sequence[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": [name for name, _ in properties],
        "additionalProperties": False,
    }


def _answer(field: Field) -> dict[str, Any]:
    if not field.is_list:
        return _value(field)
    if field.parts:
        entry = _object([(part.key, _value(part)) for part in field.parts])
    else:
        entry = _value(field, can_be_null=False)
    return {"type": "array", "items": entry, "maxItems": MAX_ENTRIES}


def _value(field: Field, *, can_be_null: bool = True) -> dict[str, Any]:
    if field.type.is_said:
        kinds = ["string", "null"] if can_be_null else ["string"]
        return {"type": kinds, "maxLength": _LENGTHS[field.type]}
    choices = list(field.one_of) if field.type is FieldType.CHOICE else ["yes", "no"]
    judged = _object(
        [("quotation", {"type": "string", "maxLength": QUOTATION}), ("value", {"enum": choices})]
    )
    return {"anyOf": [judged, {"type": "null"}]} if can_be_null else judged
