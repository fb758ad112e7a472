"""JSON Schema → GBNF: what may be asked for, what is refused and how, and what the grammars generate."""

import datetime
import json
import math
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("llama_cpp")

import numpy as np

from localai_app.engine.protocol import LoadSettings
from localai_app.engine.worker import schema as schema_module
from localai_app.engine.worker.grammar import Grammar, candidates_of
from localai_app.engine.worker.llama import Model, Vocabulary
from localai_app.engine.worker.schema import MAX_RECURSION, SchemaRefused, grammar_for
from localai_app.engine.worker.text import TextStream

LETTER = {
    "type": "object",
    "properties": {
        "sender": {"type": "string", "maxLength": 12},
        "pages": {"type": "integer", "minimum": 1, "maximum": 400},
        "kind": {"enum": ["invoice", "letter", 'a "quoted" \\ kind', "Ärztebrief"]},
        "date": {"type": ["string", "null"], "format": "date"},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 5}, "maxItems": 3},
        "sure": {"type": "number", "minimum": 0, "maximum": 1},
    },
    "required": ["sender", "kind"],
    "additionalProperties": False,
}
TREE = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "name": {"type": "string", "maxLength": 3},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}, "maxItems": 2},
            },
            "required": ["name", "children"],
        }
    },
}
TAGGED = {
    "oneOf": [
        {
            "type": "object",
            "properties": {"kind": {"const": kind}, kind: {"type": "integer"}},
            "required": ["kind", kind],
        }
        for kind in ("a", "b")
    ]
}
EXAMPLES: dict[str, Any] = {
    "a letter": LETTER,
    "a tree": TREE,
    "tagged alternatives": TAGGED,
    "anything": {},
    "a free map": {"type": "object", "additionalProperties": {"type": "boolean"}},
    "an integer below zero": {"type": "integer", "minimum": -120, "maximum": -7},
    "an integer around zero": {"type": "integer", "exclusiveMinimum": -1000, "exclusiveMaximum": 57},
    "a number around zero": {"type": "number", "minimum": -12, "maximum": 305},
    "a number": {"type": "number"},
    "a string of just five": {"type": "string", "minLength": 5, "maxLength": 5},
    "a moment": {"type": "string", "format": "date-time"},
    "an identifier": {"type": "string", "format": "uuid"},
    "a pair": {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "boolean"}]},
    "exactly two": {"type": "array", "items": {"type": "null"}, "minItems": 2, "maxItems": 2},
    "hostile names": {
        "type": "object",
        "properties": {
            name: {"type": "null"} for name in ['a" | "x', "\\", "\\n\n", "]}", "::=", "é\u2028\x7f"]
        },
        "required": ['a" | "x', "\\"],
    },
    "hostile labels": {"enum": ['"', "\\", '\\"', "a\nroot ::= x", "\x00", "\U0001f600", '" | "x']},
    "values of all kinds": {"enum": [None, True, 0, -1.5, [], {"a": [1]}, "x"]},
}


def refused(schema: object) -> str:
    with pytest.raises(SchemaRefused) as error:
        grammar_for(schema if isinstance(schema, str) else json.dumps(schema))
    message = str(error.value)
    assert "\n" not in message
    assert len(message) < 600
    return message


@pytest.mark.parametrize("text", ["", "{", "not json", '{"const": NaN}', '{"minimum": 1e999}', "9" * 5000])
def test_text_that_is_not_json_is_refused(text: str) -> None:
    assert "not JSON" in refused(text)


STANDARD = """
    $id $schema $ref $anchor $dynamicRef $dynamicAnchor $vocabulary $comment $defs allOf anyOf oneOf not if
    then else dependentSchemas prefixItems items contains properties patternProperties additionalProperties
    propertyNames unevaluatedItems unevaluatedProperties type enum const multipleOf maximum exclusiveMaximum
    minimum exclusiveMinimum maxLength minLength pattern maxItems minItems uniqueItems maxContains
    minContains maxProperties minProperties required dependentRequired title description default deprecated
    readOnly writeOnly examples format contentEncoding contentMediaType contentSchema
"""
"""Every keyword of draft 2020-12."""
OBEYED = """
    type enum const anyOf oneOf allOf $ref properties required additionalProperties items prefixItems minItems
    maxItems uniqueItems minLength maxLength format minimum maximum exclusiveMinimum exclusiveMaximum
"""
SILENT = "title description default examples deprecated readOnly writeOnly $comment $defs $id $schema"
"""They forbid nothing."""


@pytest.mark.parametrize(
    "keyword", sorted({*STANDARD.split(), "nullable"} - {*OBEYED.split(), *SILENT.split()})
)
def test_a_keyword_that_cannot_be_promised_is_refused_by_name_and_place(keyword: str) -> None:
    message = refused({"type": "object", "properties": {"a": {"type": "array", "items": {keyword: {}}}}})
    assert f"'{keyword}'" in message
    assert "#/properties/a/items" in message


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"$ref": "https://example.org/schema.json"}, "leads out"),
        ({"$ref": "other.json#/x"}, "leads out"),
        ({"$ref": "#/$defs/missing"}, "leads nowhere"),
        ({"$ref": "#"}, "no value that ends"),
        ({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}, "no value that ends"),
        ({"type": "array", "items": {"$ref": "#"}, "minItems": 1}, "no value that ends"),
        (False, "no value"),
        ([], "a schema is"),
        ({"type": "text"}, "no type 'text'"),
        ({"type": "array", "uniqueItems": True}, "uniqueItems"),
        ({"type": "string", "format": "email"}, "email"),
        ({"type": "string", "minLength": 5, "maxLength": 4}, "impossible"),
        ({"type": "string", "minLength": 5000}, "too long"),
        ({"type": "string", "maxLength": -1}, "maxLength"),
        ({"type": "integer", "minimum": 2, "maximum": 1}, "no number"),
        ({"type": "number", "minimum": 0.5}, "whole"),
        ({"enum": []}, "not empty"),
        ({"enum": ["x"], "type": "integer"}, "type asked for"),
        ({"enum": ["\ud800"]}, "surrogate"),
        ({"enum": list(range(1001))}, "more than 1000"),
        ({"anyOf": [{"type": "string"}], "maxLength": 3}, "'maxLength' beside 'anyOf'"),
        ({"oneOf": [{"type": "number"}, {"type": "integer"}]}, "overlap"),
        ({"allOf": [{"type": "object"}, {"type": "object"}]}, "allOf"),
        ({"type": "array", "items": [{"type": "string"}]}, "a schema is"),
        ({"properties": []}, "'properties'"),
        ({"required": "a"}, "'required'"),
    ],
)
def test_a_schema_that_cannot_be_promised_says_why(schema: object, reason: str) -> None:
    assert reason in refused(schema)


def test_a_schema_that_is_too_large_or_too_deep_is_refused() -> None:
    assert "characters" in refused(json.dumps({"description": "x" * schema_module.MAX_SCHEMA}))
    assert "nested" in refused("[" * 100_000)
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(600):
        deep = {"type": "array", "items": deep}
    assert "nested" in refused(json.dumps(deep))
    wide = {"properties": {f"{number:0100}": {"type": "null"} for number in range(1001)}}
    assert "1000 properties" in refused(wide)


def test_a_message_shows_no_control_characters_of_the_schema() -> None:
    assert "\x1b" not in refused({"properties": {"\x1b[2J\n": {"not": {}}}})


def test_definitions_that_double_at_every_step_stay_small() -> None:
    doubling = {
        f"d{n}": {"type": "array", "prefixItems": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)
    }
    schema = {"$ref": "#/$defs/d0", "$defs": {**doubling, "d40": {"type": "null"}}}
    assert len(grammar_for(json.dumps(schema))) < 10_000


def test_a_schema_is_converted_once() -> None:
    text = json.dumps(LETTER)
    grammar_for(text)
    before = grammar_for.cache_info().hits
    assert grammar_for(text) is grammar_for(text)
    assert grammar_for.cache_info().hits == before + 2


# ---------------------------------------------------------------- what the grammars generate


@pytest.fixture(scope="module")
def model(starter_model: Path) -> Model:
    return Model(starter_model, LoadSettings(), lambda fraction: None)


class Walker:
    """A model that says anything at all: each token is drawn at random from those that may come."""

    def __init__(self, vocabulary: Vocabulary, seed: int) -> None:
        self._vocabulary = vocabulary
        self._random = np.random.default_rng(seed)
        self._nothing = np.zeros(vocabulary.size, dtype=np.float32)
        self._characters = np.array([vocabulary.tokenize(chr(code))[-1] for code in range(32, 127)])
        self._closing = np.array([vocabulary.tokenize(text)[0] for text in ('"', "}", "]", '"}', "null")])

    def say(self, schema: object, *, tokens: int = 400) -> str | None:
        """A whole answer; None when it is not whole after ``tokens``."""
        grammar = Grammar(grammar_for(json.dumps(schema)), self._vocabulary, json=True)
        text, said = TextStream(), ""
        for _ in range(tokens):
            stops = grammar.closed or (grammar.may_end and self._random.random() < 0.5)
            token = None if stops else self._draw(grammar)
            if token is None:
                assert grammar.may_end, "a grammar that is not whole allows a token"
                return said + text.finish()
            said += text.feed(self._vocabulary.piece(token))
            grammar.accept(token)
        return None

    def _draw(self, grammar: Grammar) -> int | None:
        # In a string nearly everything may come, and what ends it hardly ever would.
        tries = [self._closing] if self._random.random() < 0.2 else []
        tries += [self._random.integers(0, self._vocabulary.size, 100), self._characters]
        tries += [] if grammar.may_end else [np.arange(self._vocabulary.size)]
        for tokens in tries:
            allowed = grammar.filter(candidates_of(self._nothing, tokens))["id"]
            allowed = [token for token in allowed if not self._vocabulary.ends_generation(token)]
            if allowed:
                return int(self._random.choice(allowed))
        return None


@pytest.mark.engine
@pytest.mark.parametrize("name", EXAMPLES)
def test_every_answer_is_json_that_the_schema_allows(model: Model, name: str) -> None:
    walker = Walker(model.vocabulary, seed=1)
    answers = [walker.say(EXAMPLES[name]) for _ in range(60)]
    whole = [answer for answer in answers if answer is not None]
    assert len(whole) >= 20
    for answer in whole:
        problems = list(validate(json.loads(answer), EXAMPLES[name], EXAMPLES[name]))
        assert not problems, (answer, problems)
        answer.encode()
    assert len(set(whole)) > 1, "positive control: the walk is free"


# Not all of Unicode: this model's vocabulary lacks some bytes, and what it cannot spell it cannot say.
TEXT = st.text(st.characters(max_codepoint=0xFFFD, exclude_categories=["Cs"]), max_size=8)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-(10**6), 10**6), TEXT, st.floats(-1e6, 1e6))


def schemas() -> st.SearchStrategy[Any]:
    bounds = st.tuples(st.integers(-(10**5), 10**5), st.integers(0, 10**4))
    lengths = st.tuples(st.integers(0, 4), st.integers(0, 4))
    leaves = st.one_of(
        st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"type": "integer"}, {"type": "number"}]),
        st.builds(
            lambda kind, pair: {"type": kind, "minimum": pair[0], "maximum": sum(pair)},
            st.sampled_from(["integer", "number"]),
            bounds,
        ),
        st.builds(lambda pair: {"type": "string", "minLength": pair[0], "maxLength": sum(pair)}, lengths),
        st.sampled_from(["date", "time", "date-time", "uuid"]).map(
            lambda form: {"type": "string", "format": form}
        ),
        st.lists(SCALARS, min_size=1, max_size=5).map(lambda values: {"enum": values}),
        SCALARS.map(lambda value: {"const": value}),
    )

    def branches(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return st.one_of(
            st.builds(
                lambda item, pair: {
                    "type": "array",
                    "items": item,
                    "minItems": pair[0],
                    "maxItems": sum(pair),
                },
                inner,
                lengths,
            ),
            st.lists(inner, max_size=3).map(lambda items: {"type": "array", "prefixItems": items}),
            st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"anyOf": parts}),
            st.dictionaries(TEXT, inner, min_size=1, max_size=4).flatmap(
                lambda properties: st.lists(st.sampled_from(sorted(properties)), unique=True).map(
                    lambda required: {"type": "object", "properties": properties, "required": required}
                )
            ),
        )

    return st.recursive(leaves, branches, max_leaves=8)


@pytest.mark.engine
@settings(max_examples=150, deadline=None)
@given(schema=schemas(), seed=st.integers(0, 2**32))
def test_answers_to_random_schemas_are_json_that_they_allow(model: Model, schema: Any, seed: int) -> None:
    walker = Walker(model.vocabulary, seed)
    for _ in range(3):
        answer = walker.say(schema)
        if answer is not None:
            problems = list(validate(json.loads(answer), schema, schema))
            assert not problems, (answer, problems)


@pytest.mark.engine
def test_a_string_without_a_bound_ends_all_the_same(model: Model) -> None:
    """A model that never closes a string is made to, and so is one that never closes a list."""
    vocabulary = model.vocabulary
    grammar = Grammar(grammar_for('{"type": "array", "items": {"type": "string"}}'), vocabulary, json=True)
    (bracket,), (quote,), (letter,) = (vocabulary.tokenize(text) for text in ("[", '"', "a"))
    grammar.accept(bracket)
    grammar.accept(quote)
    for _ in range(schema_module.MAX_STRING):
        assert grammar.allows(letter)
        grammar.accept(letter)
    assert not grammar.allows(letter)
    assert grammar.allows(quote)


@pytest.mark.engine
@pytest.mark.parametrize(
    "text", ["한국어", "Ärztliche Ämter", "日本語", "🙂👩🏽‍⚕️", "\u07ff\ue000\U0010ffff", 'a\tb\n"\\']
)
def test_text_of_any_language_may_come(model: Model, text: str) -> None:
    for answer in (json.dumps(text), json.dumps(text, ensure_ascii=False)):
        assert accepts(model.vocabulary, grammar_for('{"type": "string"}'), answer)


@pytest.mark.engine
@pytest.mark.parametrize(
    "answer", ['"a\nb"', '"\\ud800"', '"\\ud800\\u0041"', '"\\x41"', '"a" ', "'a'", '"\x1b"']
)
def test_text_that_is_not_json_may_not_come(model: Model, answer: str) -> None:
    assert not accepts(model.vocabulary, grammar_for('{"type": "string"}'), answer)


@pytest.mark.engine
def test_bytes_that_are_not_utf_8_may_not_come(model: Model) -> None:
    """Overlong forms: to llama.cpp three bytes are one character, to every reader of the text three."""
    vocabulary = model.vocabulary
    bytes_ = {vocabulary.piece(token): token for token in range(vocabulary.size)}
    grammar = Grammar(grammar_for('{"type": "string"}'), vocabulary, json=True)
    for piece in (b'"', b"\xe0"):
        assert grammar.allows(bytes_[piece])
        grammar.accept(bytes_[piece])
    assert not grammar.allows(bytes_[b"\x9f"])
    assert not grammar.allows(bytes_[b"a"])
    assert grammar.allows(bytes_[b"\xa4"])


@pytest.mark.engine
def test_a_definition_that_leads_back_to_itself_nests_only_so_deep(model: Model) -> None:
    walker = Walker(model.vocabulary, seed=3)

    def depth(node: Any) -> int:
        return 1 + max(map(depth, node["children"]), default=0)

    depths = [depth(json.loads(answer)) for _ in range(60) if (answer := walker.say(TREE))]
    assert max(depths) <= MAX_RECURSION
    assert max(depths) > 1


@pytest.mark.engine
def test_a_date_exists(model: Model) -> None:
    walker = Walker(model.vocabulary, seed=4)
    grammar = grammar_for('{"type": "string", "format": "date"}')
    for _ in range(200):
        answer = walker.say({"type": "string", "format": "date"})
        assert answer is not None
        datetime.date.fromisoformat(json.loads(answer))
    for text, there in [
        ("2024-02-29", True),
        ("2023-02-29", False),
        ("1900-02-29", False),
        ("2000-02-29", True),
    ]:
        assert accepts(model.vocabulary, grammar, json.dumps(text)) is there


@pytest.mark.engine
@pytest.mark.parametrize(("low", "high"), [(0, 9), (7, 12), (95, 1005), (-3, 3), (-250, -99), (18, 18)])
def test_integers_between_bounds_are_all_there_and_no_others(model: Model, low: int, high: int) -> None:
    grammar = grammar_for(json.dumps({"type": "integer", "minimum": low, "maximum": high}))
    edges = {low - 1, low, low + 1, high - 1, high, high + 1, 0, 1, -1, 10, 99, 100, 999, 1000, -10, -100}
    for number in edges:
        assert accepts(model.vocabulary, grammar, str(number)) is (low <= number <= high)
    assert not accepts(model.vocabulary, grammar, "007")


def accepts(vocabulary: Vocabulary, grammar: str, text: str) -> bool:
    """Whether ``text`` is a whole answer."""
    state = Grammar(grammar, vocabulary, json=True)
    for token in vocabulary.tokenize(text):
        if not state.allows(token):
            return False
        state.accept(token)
    return state.may_end


# ---------------------------------------------------------------- a validator for what is supported


def validate(value: Any, schema: Any, document: Any) -> Iterator[str]:
    """What of ``value`` the schema forbids; written from the standard, not from the converter."""
    if schema is True or schema == {}:
        return
    if "$ref" in schema:
        target = document
        for step in schema["$ref"].split("/")[1:]:
            target = target[step]
        yield from validate(value, target, document)
    if "anyOf" in schema and all(any(True for _ in validate(value, s, document)) for s in schema["anyOf"]):
        yield "anyOf"
    if "oneOf" in schema:
        fits = [not any(True for _ in validate(value, part, document)) for part in schema["oneOf"]]
        if sum(fits) != 1:
            yield "oneOf"
    if "enum" in schema and not any(same(value, other) for other in schema["enum"]):
        yield f"{value!r} is not in the enum"
    if "const" in schema and not same(value, schema["const"]):
        yield f"{value!r} is not the const"
    if "type" in schema:
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        if not any(is_a(value, kind) for kind in types):
            yield f"{value!r} is no {schema['type']}"
    if is_a(value, "number"):
        if not schema.get("minimum", -math.inf) <= value <= schema.get("maximum", math.inf):
            yield f"{value} is out of bounds"
        if not schema.get("exclusiveMinimum", -math.inf) < value < schema.get("exclusiveMaximum", math.inf):
            yield f"{value} is out of bounds"
    elif isinstance(value, str):
        if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", math.inf):
            yield f"{value!r} has a wrong length"
        if "format" in schema and not re.fullmatch(FORMATS[schema["format"]], value):
            yield f"{value!r} is no {schema['format']}"
    elif isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", math.inf):
            yield f"{len(value)} items"
        prefix = schema.get("prefixItems", [])
        for index, item in enumerate(value):
            part = prefix[index] if index < len(prefix) else schema.get("items", True)
            yield from validate(item, part, document)
    elif isinstance(value, dict):
        yield from (f"{name!r} is missing" for name in schema.get("required", []) if name not in value)
        for name, item in value.items():
            others = schema.get("additionalProperties", True)
            part = schema.get("properties", {}).get(name, others)
            if part is False:
                yield f"{name!r} is not allowed"
            else:
                yield from validate(item, part, document)


FORMATS = {
    "date": r"\d{4}-\d\d-\d\d",
    "time": r"\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)",
    "date-time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)",
    "uuid": r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
}


def is_a(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer":
        return isinstance(value, int | float) and value == int(value)
    types = {"object": dict, "array": list, "string": str, "number": int | float, "null": type(None)}
    return kind in types and isinstance(value, types[kind])


def same(one: Any, other: Any) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def test_the_validator_of_these_tests_finds_faults() -> None:
    rng = random.Random(1)
    good = {"sender": "x", "kind": "letter", "pages": 3, "sure": 0.5, "tags": ["a"], "date": None}
    assert not list(validate(good, LETTER, LETTER))
    for name, bad in [
        ("sender", "x" * 13),
        ("kind", "bill"),
        ("pages", 0),
        ("sure", 2),
        ("tags", [1]),
        ("z", 1),
    ]:
        assert list(validate({**good, name: bad}, LETTER, LETTER)), name
    assert list(validate({"kind": rng.choice(["letter", "invoice"])}, LETTER, LETTER))
