import json
from typing import Any

import pytest

from localai_app.engine.worker.schema import grammar_for
from localai_app.errors import UsageError
from localai_app.tasks.extraction import field_schema, fields, templates
from localai_app.tasks.extraction.fields import Field, FieldType


def refusal(*wanted: Field) -> str:
    with pytest.raises(UsageError) as caught:
        fields.check(wanted)
    return caught.value.line


def test_fields_that_can_be_worked_with_pass() -> None:
    fields.check(
        [
            Field("a"),
            Field("b_2", type=FieldType.CHOICE, one_of=("x", "y")),
            Field("c", is_list=True, parts=(Field("a"), Field("b", type=FieldType.AMOUNT))),
            Field("d", pattern=r"\d{4}"),
        ]
    )


@pytest.mark.parametrize(
    ("field", "said"),
    [
        (Field("A b"), "cannot be a field's key"),
        (Field(""), "cannot be a field's key"),
        (Field("x" * 41), "cannot be a field's key"),
        (Field("a", description="x" * 501), "description of “a” is too long"),
        (Field("a", one_of=("x", "y")), "Make its type choice"),
        (Field("a", type=FieldType.CHOICE), "Give 2 to 50"),
        (Field("a", type=FieldType.CHOICE, one_of=("x", "x")), "told apart"),
        (Field("a", type=FieldType.CHOICE, one_of=("x", " ")), "told apart"),
        (Field("a", pattern="("), "no regular expression"),
        (Field("a", type=FieldType.YES_NO, pattern="x"), "cannot have a pattern"),
        (Field("a", parts=(Field("b"),)), "Make it a list"),
        (Field("a", is_list=True, parts=(Field("b", is_list=True),)), "neither a list nor have parts"),
        (Field("a", is_list=True, parts=(Field("b"), Field("b"))), "Two fields have the key “b” in “a”"),
    ],
)
def test_a_field_that_cannot_be_worked_with_is_named(field: Field, said: str) -> None:
    assert said in refusal(field)


def test_no_fields_too_many_and_two_of_one_key_are_refused() -> None:
    assert "no fields" in refusal()
    assert "61 fields" in refusal(*(Field(f"f{at}") for at in range(61)))
    assert "Two fields have the key “a”" in refusal(Field("a"), Field("a"))


def test_a_field_without_a_title_is_called_by_its_key() -> None:
    assert Field("due_date").name == "Due date"
    assert Field("due_date", "When").name == "When"


# ---------------------------------------------------------------- JSON


def test_fields_as_json_name_their_type_and_what_is_not_usual() -> None:
    raw = field_schema.written([Field("a"), Field("b", type=FieldType.DATE, is_list=True)])
    assert json.loads(raw) == [{"key": "a"}, {"key": "b", "type": "date", "list": True}]
    assert field_schema.read(raw) == (Field("a"), Field("b", type=FieldType.DATE, is_list=True))


@pytest.mark.parametrize("raw", ["{", "[1]", '[{"key": "a", "colour": "red"}]', '"x"', "[]", "[" * 50_000])
def test_json_that_is_no_list_of_fields_is_refused(raw: str) -> None:
    with pytest.raises(UsageError):
        field_schema.read(raw)


SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Bill",
    "type": "object",
    "properties": {
        "invoiceNumber": {"type": "string", "description": "Its number", "pattern": "^INV-[0-9]+$"},
        "date": {"type": ["string", "null"], "format": "date", "title": "Issued"},
        "Total (€)": {"type": "number"},
        "paid": {"type": "boolean"},
        "way": {"enum": ["card", "cash", None]},
        "emails": {"type": "array", "items": {"type": "string", "format": "email"}},
        "lines": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "qty": {"type": "integer"}},
                "required": ["name"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["invoiceNumber"],
    "additionalProperties": False,
}


def test_a_json_schema_becomes_fields() -> None:
    assert field_schema.read(json.dumps(SCHEMA)) == (
        Field(
            "invoice_number", "invoiceNumber", description="Its number", required=True, pattern="INV-[0-9]+"
        ),
        Field("date", "Issued", FieldType.DATE),
        Field("total", "Total (€)", FieldType.NUMBER),
        Field("paid", type=FieldType.YES_NO),
        Field("way", type=FieldType.CHOICE, one_of=("card", "cash")),
        Field("emails", type=FieldType.EMAIL, is_list=True),
        Field(
            "lines", is_list=True, parts=(Field("name", required=True), Field("qty", type=FieldType.NUMBER))
        ),
    )


def test_a_pattern_without_anchors_may_match_anywhere() -> None:
    schema = {
        "properties": {"a": {"type": "string", "pattern": "x|y"}, "b": {"type": "string", "pattern": "^x"}}
    }
    assert [field.pattern for field in field_schema.from_json_schema(schema)] == [".*(?:x|y).*", "(?:x).*"]


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"type": "string", "not": {}}, "“not” is not supported"),
        ({"type": "string", "maxLength": 3}, "“maxLength” is not supported"),
        ({"$ref": "#/$defs/x"}, "“$ref” is not supported"),
        ({"type": "string", "format": "uri"}, "the format “uri” is not supported"),
        ({"type": ["string", "number"]}, "“type” must be one type"),
        ({"type": "object", "properties": {}}, "“properties” is not supported"),
        ({"type": "object"}, "supported in lists only"),
        ({"enum": [1, 2]}, "“enum” must be a list of strings"),
        ({"type": "array", "items": {"type": "array"}}, "the type “array” is not supported here"),
        (
            {"type": "array", "items": {"type": "object", "properties": {"b": {"type": "array"}}}},
            "a list inside",
        ),
        ({"type": "array", "items": 1}, "entries is an object"),
        ({"title": 1}, "“title” must be a string"),
        (1, "a field's schema is an object"),
    ],
)
def test_a_keyword_that_is_not_supported_is_named_with_its_place(part: Any, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        field_schema.from_json_schema({"type": "object", "properties": {"a": part}})
    assert said in str(caught.value)
    assert "#/properties/a" in str(caught.value)


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "array"},
        {"type": "object", "properties": {}},
        {"type": "object", "properties": {"a": {}}, "required": ["b"]},
        {"type": "object", "properties": {"a": {}}, "required": "a"},
        {"type": "object", "properties": {"a": {}}, "additionalProperties": {"type": "string"}},
    ],
)
def test_a_schema_that_is_of_no_object_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        field_schema.from_json_schema(schema)


def test_names_that_come_to_one_key_are_kept_apart() -> None:
    schema = {"properties": {"a b": {}, "a-b": {}, "1": {}, "é": {}}}
    assert [field.key for field in field_schema.from_json_schema(schema)] == [
        "a_b",
        "a_b_2",
        "field_1",
        "field",
    ]


def test_the_engine_can_promise_an_answer_about_every_type() -> None:
    every = [
        Field(f"f{at}", type=kind, one_of=("a | b", 'c"') if kind is FieldType.CHOICE else ())
        for at, kind in enumerate(FieldType)
    ]
    every += [Field(f"l{at}", type=one.type, one_of=one.one_of, is_list=True) for at, one in enumerate(every)]
    every.append(Field("rows", is_list=True, parts=tuple(every[:9])))
    assert grammar_for(field_schema.answer_schema(every)).startswith("root ::=")


# ---------------------------------------------------------------- templates


def test_the_templates_that_ship_are_whole() -> None:
    found = templates.templates()
    assert [one.name for one in found] == list(templates.NAMES)
    assert [one.title for one in found] == [
        "Invoice",
        "Contract key terms",
        "Bank statement",
        "Medical letter",
    ]
    for one in found:
        assert one.description
        assert all(field.title and field.name[0].isupper() for field in one.fields)
        assert any(field.required for field in one.fields)


def test_a_template_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(UsageError, match="no template “/etc/passwd”") as caught:
        templates.template("/etc/passwd")
    assert "bank-statement" in caught.value.hint
