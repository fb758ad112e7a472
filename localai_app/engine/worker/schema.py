"""JSON Schema → GBNF: a grammar all of whose texts are JSON that the schema allows, and that end.

llama-cpp-python's own converter (0.3.36) is not used. It ignores what it does not know (``not``,
``minimum``, all that stands beside ``anyOf``), lets raw control characters into strings, mixes up two
definitions of the same last name, and does not quote backslashes: a property named ``a" | "x`` changes
the grammar. Here a keyword is obeyed or refused by name with its place, never ignored.

What is generated may be narrower than the schema, never wider:

- properties come in the order of the schema, and none that it does not name (a schema that names none
  gives a free map);
- every length has a bound, so that the text must end: `MAX_STRING` characters, `MAX_ITEMS` items,
  `MAX_RECURSION` turns of a definition that leads back to itself, numbers of `_DIGITS` digits;
- one optional space after ``,`` and ``:``, no other white space: every further token costs time.

The schema may carry a person's or a document's words (labels, names): all of them are quoted.
"""

import contextlib
import json
import math
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Literal, get_args
from urllib.parse import unquote

MAX_STRING = 2000
"""Characters of a string, whatever ``maxLength`` allows; llama.cpp repeats a rule no more often."""
MAX_ITEMS = 100
"""Items of an array, and pairs of a free map, where the schema sets no bound; 2,000 at most."""
MAX_KEY = 100
"""Characters of a key in a free map."""
MAX_RECURSION = 6
"""How often definitions that lead back to themselves may nest, and how deep a free value may."""
MAX_SCHEMA = 256 * 1024
"""Characters of a schema."""
MAX_GRAMMAR = 512 * 1024
"""Characters of a grammar."""
MAX_CHOICES = 1000
"""Alternatives of one place: each is a path that every token is checked against."""

_MAX_REPEAT = 2000
_DIGITS = 15
_LONGEST_NUMBER = 100
_CACHED = 32

_Type = Literal["object", "array", "string", "number", "integer", "boolean", "null"]
_TYPES: tuple[_Type, ...] = get_args(_Type)
_BOUNDS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})
_KEYWORDS: dict[_Type, frozenset[str]] = {
    "object": frozenset({"properties", "required", "additionalProperties"}),
    "array": frozenset({"items", "prefixItems", "minItems", "maxItems", "uniqueItems"}),
    "string": frozenset({"minLength", "maxLength", "format"}),
    "number": _BOUNDS,
    "integer": _BOUNDS,
    "boolean": frozenset(),
    "null": frozenset(),
}
_CHOOSING = ("$ref", "enum", "const", "anyOf", "oneOf", "allOf")
_SAYS_NOTHING = frozenset(
    {"title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "discriminator"}
    | {"$comment", "$defs", "definitions"}
)
_AT_ROOT = frozenset({"$schema", "$id"})
_KNOWN = frozenset({"type", *_CHOOSING}).union(*_KEYWORDS.values()) | _SAYS_NOTHING

_HEX = "[0-9a-fA-F]"
# No control characters; no half of a surrogate pair, neither raw nor escaped. Not written as what is
# excluded: then llama.cpp refuses the first byte of a character that shares it with an excluded one
# (0xED: half of the surrogates' block is Hangul), where a token ends there.
_CHARACTER = (
    r'[\x20-\x21\x23-\x5B\x5D-\x7E\x80-\uD7FF\uE000-\U0010FFFF] | "\\" ( ["\\/bfnrt] | "u" ( '
    f"[0-9a-ce-fA-CE-F] {_HEX} {_HEX} {_HEX} | [dD] [0-7] {_HEX} {_HEX} | "
    rf'[dD] [89abAB] {_HEX} {_HEX} "\\u" [dD] [c-fC-F] {_HEX} {_HEX} ) )'
)
_INTEGER = rf'"-"? ( "0" | [1-9] [0-9]{{0,{_DIGITS - 1}}} )'
_FRACTION = f'( "." [0-9]{{1,{_DIGITS}}} )?'
_NUMBER = rf"{_INTEGER} {_FRACTION} ( [eE] [-+]? [0-9]{{1,2}} )?"
_SPACE = '" "?'
_DATE = (
    '[12] [0-9]{3} "-" ( ( "0" [13578] | "1" [02] ) "-" ( "0" [1-9] | [12] [0-9] | "3" [01] )'
    ' | ( "0" [469] | "11" ) "-" ( "0" [1-9] | [12] [0-9] | "30" )'
    ' | "02-" ( "0" [1-9] | "1" [0-9] | "2" [0-8] ) )'
    ' | ( [12] [0-9] ( "0" [48] | [2468] [048] | [13579] [26] ) | ( "12" | "16" | "20" | "24" | "28" ) "00" )'
    ' "-02-29"'
)
_TIME = (
    '( [01] [0-9] | "2" [0-3] ) ":" [0-5] [0-9] ":" [0-5] [0-9] ( "." [0-9]{1,6} )?'
    ' ( "Z" | [-+] ( [01] [0-9] | "2" [0-3] ) ":" [0-5] [0-9] )'
)
_FORMATS = {
    "date": _DATE,
    "time": _TIME,
    "date-time": f'( {_DATE} ) "T" {_TIME}',
    "uuid": f'{_HEX}{{8}} ( "-" {_HEX}{{4}} ){{3}} "-" {_HEX}{{12}}',
}


class SchemaRefused(Exception):
    """The schema cannot be promised; the message is one line that names the place and the reason."""


@lru_cache(maxsize=_CACHED)
def grammar_for(schema: str) -> str:
    """GBNF for the JSON Schema in ``schema`` (JSON text); raise `SchemaRefused`."""
    if len(schema) > MAX_SCHEMA:
        raise SchemaRefused(f"the schema has {len(schema)} characters; at most {MAX_SCHEMA} are allowed")
    try:
        document = json.loads(schema, parse_constant=_no_number, parse_float=_finite, parse_int=_whole_number)
    except RecursionError:
        raise SchemaRefused("the schema is nested too deeply") from None
    except ValueError as error:
        raise SchemaRefused(f"the schema is not JSON: {error}") from None
    try:
        return _Converter(document).grammar()
    except RecursionError:
        raise SchemaRefused("the schema is nested too deeply") from None


def _no_number(text: str) -> object:
    raise ValueError(f"{_one_line(text)} is no number")


def _finite(text: str) -> object:
    return float(text) if math.isfinite(float(text)) else _no_number(text)


def _whole_number(text: str) -> object:
    return int(text) if len(text) <= _LONGEST_NUMBER else _no_number(text)


class _Converter:
    """One schema on its way into rules.

    Rules are made from the leaves up and are named by number, and equal rules are one. A rule that is
    None can hold no value: what needs it goes, and what cannot do without it is None as well.
    """

    def __init__(self, document: Any) -> None:
        self._document = document
        self._names: dict[str, str] = {}
        self._rules: set[str] = set()
        self._size = 0
        self._done: dict[tuple[str, int], str | None] = {}
        self._targets: dict[str, Any] = {}
        self._leads_back = self._find_loops()

    def grammar(self) -> str:
        root = self._value(self._document, "#", MAX_RECURSION)
        if root is None:
            raise SchemaRefused("the schema at # allows no value that ends")
        lines = [f"root ::= {root}", *(f"{name} ::= {body}" for body, name in self._names.items())]
        return "\n".join(lines)

    def _rule(self, body: str) -> str:
        name = self._names.get(body)
        if name is None:
            name = self._names[body] = f"r{len(self._names)}"
            self._rules.add(name)
            self._size += len(body) + 10
            if self._size > MAX_GRAMMAR:
                raise SchemaRefused(f"the schema makes a grammar of more than {MAX_GRAMMAR} characters")
        return name

    def _either(self, rules: Sequence[str | None], place: str) -> str | None:
        possible = [rule for rule in dict.fromkeys(rules) if rule is not None]
        if len(possible) > MAX_CHOICES:
            raise SchemaRefused(f"the schema has more than {MAX_CHOICES} alternatives at {place}")
        if len(possible) == 1 and possible[0] in self._rules:
            return possible[0]
        return self._rule(" | ".join(possible)) if possible else None

    # ------------------------------------------------------------ any schema

    def _value(self, schema: Any, place: str, depth: int) -> str | None:
        if schema is True:
            return self._anything(depth)
        if schema is False:
            return None
        if not isinstance(schema, dict):
            raise _refused(place, "a schema is an object, true or false")
        known = _KNOWN | _AT_ROOT if schema is self._document else _KNOWN
        for keyword in schema:
            if keyword not in known:
                raise _refused(place, f"{keyword!r} is not supported")
        chosen = [keyword for keyword in _CHOOSING if keyword in schema]
        if chosen:
            return self._chosen(chosen[0], schema, place, depth)
        types = self._types(schema, place)
        if types is None:
            return self._anything(depth)
        return self._either([self._of_type(kind, schema, place, depth) for kind in types], place)

    def _chosen(self, keyword: str, schema: dict[str, Any], place: str, depth: int) -> str | None:
        """What one of `_CHOOSING` says; beside it nothing may stand but a type that values are held to."""
        with_type = keyword in ("enum", "const")
        for other in schema:
            if other not in {keyword, *_SAYS_NOTHING, *_AT_ROOT} and not (with_type and other == "type"):
                raise _refused(place, f"{other!r} beside {keyword!r} is not supported")
        value = schema[keyword]
        if keyword == "$ref":
            return self._reference(value, place, depth)
        if keyword == "const":
            return self._either(self._literals([value], schema, place), place)
        if not isinstance(value, list) or not value:
            raise _refused(place, f"{keyword!r} must be a list that is not empty")
        if keyword == "enum":
            return self._either(self._literals(value, schema, place), place)
        if keyword == "allOf" and len(value) > 1:
            raise _refused(place, "'allOf' of more than one schema is not supported")
        parts = [self._value(part, f"{place}/{keyword}/{index}", depth) for index, part in enumerate(value)]
        if keyword == "oneOf":
            self._check_disjoint(value, place)
        return self._either(parts, place)

    def _types(self, schema: dict[str, Any], place: str) -> list[_Type] | None:
        """The types that a value may have; None for all, where nothing says more."""
        stated = schema.get("type")
        if stated is None:
            # Whatever has another type than the one that the keywords speak of is allowed too; narrower.
            speaks_of = [kind for kind in _TYPES if _KEYWORDS[kind] & schema.keys()]
            return speaks_of[:1] or None
        found = stated if isinstance(stated, list) else [stated]
        for kind in found:
            if kind not in _TYPES:
                raise _refused(place, f"there is no type {kind!r}")
        return list(dict.fromkeys(found))

    def _of_type(self, kind: _Type, schema: dict[str, Any], place: str, depth: int) -> str | None:
        match kind:
            case "object":
                return self._object(schema, place, depth)
            case "array":
                return self._array(schema, place, depth)
            case "string":
                return self._string(schema, place)
            case "integer" | "number":
                return self._rule(_number(kind, schema, place))
            case "boolean":
                return self._rule('"true" | "false"')
            case "null":
                return self._rule('"null"')

    def _anything(self, depth: int) -> str:
        kinds: list[str | None] = [
            self._text(0, MAX_STRING),
            self._rule(_NUMBER),
            self._rule('"true" | "false" | "null"'),
        ]
        if depth > 0:
            inner = self._anything(depth - 1)
            kinds += [self._list(inner, 0, MAX_ITEMS), self._map(inner)]
        rule = self._either(kinds, "#")
        assert rule is not None, "a string is always possible"
        return rule

    def _literals(self, values: list[Any], schema: dict[str, Any], place: str) -> list[str | None]:
        types = self._types(schema, place) or list(_TYPES)
        fitting = [value for value in values if any(_has_type(value, kind) for kind in types)]
        if not fitting:
            raise _refused(place, "no value of 'enum' or 'const' has the type asked for")
        return [_literal(json.dumps(value, ensure_ascii=False), place) for value in fitting]

    # ------------------------------------------------------------ strings and arrays

    def _text(self, least: int, most: int) -> str:
        character = self._rule(_CHARACTER)
        return self._rule(rf'"\"" {character}{{{least},{most}}} "\""')

    def _string(self, schema: dict[str, Any], place: str) -> str:
        least = _count(schema, "minLength", place, 0)
        most = _count(schema, "maxLength", place, MAX_STRING)
        form = schema.get("format")
        if form is None:
            return self._text(*_bounded(least, most, MAX_STRING, place))
        if form not in _FORMATS:
            raise _refused(place, f"the format {form!r} is not supported; {', '.join(_FORMATS)} are")
        if {"minLength", "maxLength"} & schema.keys():
            raise _refused(place, "a length beside 'format' is not supported")
        return self._rule(rf'"\"" {self._rule(_FORMATS[form])} "\""')

    def _array(self, schema: dict[str, Any], place: str, depth: int) -> str | None:
        if schema.get("uniqueItems"):
            raise _refused(place, "'uniqueItems' is not supported")
        least = _count(schema, "minItems", place, 0)
        prefix = schema.get("prefixItems")
        if prefix is not None:
            return self._tuple(prefix, schema, place, depth)
        most = _count(schema, "maxItems", place, max(MAX_ITEMS, least))
        least, most = _bounded(least, most, _MAX_REPEAT, place)
        item = self._value(schema.get("items", True), f"{place}/items", depth) if most else None
        return self._list(item, least, most)

    def _list(self, item: str | None, least: int, most: int) -> str | None:
        if item is None or most == 0:
            return None if least else self._rule('"[]"')
        more = f'( "," {_SPACE} {item} ){{{max(least - 1, 0)},{most - 1}}}' if most > 1 else ""
        inner = f"{item} {more}" if least else f"( {item} {more} )?"
        return self._rule(f'"[" {inner} "]"')

    def _tuple(self, prefix: Any, schema: dict[str, Any], place: str, depth: int) -> str | None:
        if not isinstance(prefix, list):
            raise _refused(place, "'prefixItems' must be a list")
        least = _count(schema, "minItems", place, 0)
        most = _count(schema, "maxItems", place, len(prefix))
        if not least <= len(prefix) <= most:
            raise _refused(place, "'minItems' and 'maxItems' must leave room for just the 'prefixItems'")
        items = [
            self._value(part, f"{place}/prefixItems/{index}", depth) for index, part in enumerate(prefix)
        ]
        possible = [item for item in items if item is not None]
        if len(possible) < len(items):
            return None
        return self._rule(f'"[" {f" {_COMMA} ".join(possible)} "]"')

    # ------------------------------------------------------------ objects

    def _object(self, schema: dict[str, Any], place: str, depth: int) -> str | None:
        properties, required = schema.get("properties", {}), schema.get("required", [])
        others = schema.get("additionalProperties", True)
        if not isinstance(properties, dict):
            raise _refused(place, "'properties' must be an object")
        if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
            raise _refused(place, "'required' must be a list of names")
        if not properties and not required:
            inner = self._value(others, f"{place}/additionalProperties", depth)
            return self._rule('"{}"') if inner is None else self._map(inner)
        if len(properties) + len(required) > MAX_CHOICES:
            raise _refused(place, f"it has more than {MAX_CHOICES} properties")
        pairs: list[tuple[str | None, bool]] = []
        for name in dict.fromkeys([*properties, *required]):
            below = f"{place}/properties/{name}"
            value = self._value(properties.get(name, others), below, depth)
            key = _literal(json.dumps(name, ensure_ascii=False) + ":", below)
            pairs.append((value and self._rule(f"{key} {_SPACE} {value}"), name in required))
        return self._pairs(pairs)

    def _pairs(self, pairs: list[tuple[str | None, bool]]) -> str | None:
        """An object of ``pairs`` in this order, of which those that are required are there."""
        # Two chains from the last pair to the first: what may follow when a pair has been written
        # already, and when none has.
        rest: str | None = self._rule('"}"')
        first = rest
        for pair, required in reversed(pairs):
            written = self._rule(f'"," {_SPACE} {pair} {rest}') if pair and rest else None
            begun = self._rule(f"{pair} {rest}") if pair and rest else None
            rest = written if required else self._either([written, rest], "#")
            first = begun if required else self._either([begun, first], "#")
        return first and self._rule(f'"{{" {first}')

    def _map(self, inner: str) -> str:
        pair = self._rule(f'{self._text(0, MAX_KEY)} ":" {_SPACE} {inner}')
        return self._rule(f'"{{" ( {pair} ( "," {_SPACE} {pair} ){{0,{MAX_ITEMS - 1}}} )? "}}"')

    # ------------------------------------------------------------ references

    def _reference(self, reference: Any, place: str, depth: int) -> str | None:
        target = self._target(reference, place)
        if reference in self._leads_back:
            depth -= 1
        if depth < 0:
            return None
        key = (reference, depth)
        if key not in self._done:
            self._done[key] = self._value(target, reference, depth)
        return self._done[key]

    def _target(self, reference: Any, place: str) -> Any:
        """The schema that ``reference`` names."""
        if not isinstance(reference, str) or not re.match(r"#(/|$)", reference):
            raise _refused(
                place, f"the reference {reference!r} leads out of the schema; only #/… is supported"
            )
        if reference not in self._targets:
            here = self._document
            for part in reference.split("/")[1:]:
                step = unquote(part).replace("~1", "/").replace("~0", "~")
                if isinstance(here, dict) and step in here:
                    here = here[step]
                elif isinstance(here, list) and step.isdecimal() and int(step) < len(here):
                    here = here[int(step)]
                else:
                    raise _refused(place, f"the reference {reference!r} leads nowhere")
            self._targets[reference] = here
        return self._targets[reference]

    def _find_loops(self) -> frozenset[str]:
        """References from which the same reference can be reached."""
        follows: dict[str, set[str]] = {}
        waiting = _references(self._document)
        for reference in waiting:
            if reference not in follows:
                follows[reference] = set()
                # One that leads nowhere is refused where it is used, with its place.
                with contextlib.suppress(SchemaRefused):
                    follows[reference] = set(_references(self._target(reference, "#")))
                waiting += follows[reference]
        return frozenset(start for start in follows if start in _reachable(start, follows.__getitem__))

    # ------------------------------------------------------------ oneOf

    def _check_disjoint(self, parts: list[Any], place: str) -> None:
        """Refuse alternatives of which two may hold at once: no grammar can forbid that."""
        for index, part in enumerate(parts):
            for other in parts[:index]:
                if not self._disjoint(part, other, place):
                    raise _refused(
                        place,
                        "alternatives of 'oneOf' may overlap; give each another type or another 'const' "
                        "in a required property, or write 'anyOf'",
                    )

    def _disjoint(self, one: Any, other: Any, place: str) -> bool:
        one, other = self._follow(one, place), self._follow(other, place)
        if not isinstance(one, dict) or not isinstance(other, dict):
            return False
        values, other_values = _values(one), _values(other)
        if values is not None and other_values is not None:
            return values.isdisjoint(other_values)
        types, other_types = _kinds(one), _kinds(other)
        if types and other_types and types.isdisjoint(other_types):
            return True
        if types != {"object"} or other_types != {"object"}:
            return False
        common = set(one.get("required", [])) & set(other.get("required", []))
        mine, theirs = one.get("properties", {}), other.get("properties", {})
        return any(self._disjoint(mine.get(name), theirs.get(name), place) for name in common)

    def _follow(self, schema: Any, place: str) -> Any:
        for _ in range(MAX_RECURSION):
            if not isinstance(schema, dict) or "$ref" not in schema:
                break
            schema = self._target(schema["$ref"], place)
        return schema


_COMMA = f'"," {_SPACE}'


def _refused(place: str, reason: str) -> SchemaRefused:
    return SchemaRefused(f"the schema cannot be used: at {_one_line(place)}: {_one_line(reason)}")


def _one_line(text: str) -> str:
    text = "".join(character if character.isprintable() else "\ufffd" for character in text)
    return text if len(text) <= 200 else f"{text[:200]}…"


def _literal(text: str, place: str) -> str:
    """``text`` quoted for GBNF, which knows no other way out of a literal."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _refused(place, "a text is not Unicode (half a surrogate pair)") from None
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}"'


def _references(schema: Any) -> list[str]:
    """Every reference inside ``schema``, wherever it stands."""
    found, waiting = [], [schema]
    while waiting:
        here = waiting.pop()
        if isinstance(here, dict):
            reference = here.get("$ref")
            if isinstance(reference, str):
                found.append(reference)
            waiting += here.values()
        elif isinstance(here, list):
            waiting += here
    return found


def _reachable(start: str, follows: Callable[[str], set[str]]) -> set[str]:
    seen: set[str] = set()
    waiting = list(follows(start))
    while waiting:
        here = waiting.pop()
        if here not in seen:
            seen.add(here)
            waiting += follows(here)
    return seen


def _has_type(value: Any, kind: _Type) -> bool:
    match kind:
        case "object":
            return isinstance(value, dict)
        case "array":
            return isinstance(value, list)
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "null":
            return value is None
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "integer":
            return _has_type(value, "number") and float(value).is_integer()


def _values(schema: dict[str, Any]) -> set[str] | None:
    """The values that ``schema`` lists, as JSON; None where it lists none."""
    listed = [schema["const"]] if "const" in schema else schema.get("enum")
    if not isinstance(listed, list):
        return None
    # 1 and 1.0 are the same value.
    return {json.dumps(float(value) if _has_type(value, "number") else value) for value in listed}


def _kinds(schema: dict[str, Any]) -> set[str]:
    stated = schema.get("type", [])
    kinds = set(stated) if isinstance(stated, list) else {stated}
    return kinds | {"integer"} if "number" in kinds else kinds


def _count(schema: dict[str, Any], keyword: str, place: str, default: int) -> int:
    value = schema.get(keyword, default)
    if not _has_type(value, "integer") or value < 0:
        raise _refused(place, f"{keyword!r} must be a whole number that is not negative")
    return int(value)


def _bounded(least: int, most: int, limit: int, place: str) -> tuple[int, int]:
    if least > limit:
        raise _refused(place, f"a length of at least {least} is too long; {limit} is the most")
    if least > most:
        raise _refused(place, f"a length of at least {least} and at most {most} is impossible")
    return least, min(most, limit)


# ---------------------------------------------------------------- numbers


def _number(kind: Literal["integer", "number"], schema: dict[str, Any], place: str) -> str:
    """Numbers of ``kind`` between the bounds of ``schema``."""
    bounds = {keyword: schema[keyword] for keyword in sorted(_BOUNDS) if keyword in schema}
    if not bounds:
        return _INTEGER if kind == "integer" else _NUMBER
    for keyword, value in bounds.items():
        if not _has_type(value, "number"):
            raise _refused(place, f"{keyword!r} must be a number")
        if kind == "number" and (keyword.startswith("exclusive") or not float(value).is_integer()):
            raise _refused(place, f"{keyword!r} of a 'number' is supported as a whole, inclusive bound only")
    most_of_all = 10**_DIGITS - 1
    low = max(
        [-most_of_all]
        + [math.ceil(bounds[keyword]) for keyword in ("minimum",) if keyword in bounds]
        + [math.floor(bounds[keyword]) + 1 for keyword in ("exclusiveMinimum",) if keyword in bounds]
    )
    high = min(
        [most_of_all]
        + [math.floor(bounds[keyword]) for keyword in ("maximum",) if keyword in bounds]
        + [math.ceil(bounds[keyword]) - 1 for keyword in ("exclusiveMaximum",) if keyword in bounds]
    )
    if low > high:
        raise _refused(place, f"no number is at least {low} and at most {high}")
    between = _whole if kind == "integer" else _decimal
    parts = [f'"-" ( {between(max(-high, 0), -low)} )'] if low < 0 else []
    if high >= 0:
        parts.append(between(max(low, 0), high))
    return " | ".join(parts)


def _decimal(low: int, high: int) -> str:
    """Decimal numbers from ``low`` to ``high``, which are not negative."""
    end = f'{_whole(high, high)} ( "." "0" )?'
    return end if low == high else f"( {_whole(low, high - 1)} ) {_FRACTION} | {end}"


def _whole(low: int, high: int) -> str:
    """Whole numbers from ``low`` to ``high``, which are not negative, without leading zeros."""
    parts = []
    for length in range(len(str(low)), len(str(high)) + 1):
        least = max(low, 10 ** (length - 1) if length > 1 else 0)
        parts.append(_same_length(str(least), str(min(high, 10**length - 1))))
    return " | ".join(parts)


def _same_length(low: str, high: str) -> str:
    """Digit strings from ``low`` to ``high``, which are equally long."""
    rest = len(low) - 1
    if low == high:
        return f'"{low}"'
    if low[0] == high[0]:
        return f'"{low[0]}" ( {_same_length(low[1:], high[1:])} )'
    parts, first, last = [], int(low[0]), int(high[0])
    if low[1:] != "0" * rest:
        parts.append(f'"{first}" ( {_same_length(low[1:], "9" * rest)} )')
        first += 1
    end = ""
    if high[1:] != "9" * rest:
        end = f'"{last}" ( {_same_length("0" * rest, high[1:])} )'
        last -= 1
    if first <= last:
        parts.append(f"[{first}-{last}]" + (f" [0-9]{{{rest}}}" if rest else ""))
    return " | ".join([*parts, end] if end else parts)
