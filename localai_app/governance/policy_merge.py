"""Several sources of policy become the values in force.

Sources are layers, those that go before others first. Where a mandatory one sets a key, the key is locked:
what is stricter counts where one value is stricter than another, else the first source. A value that makes
no sense stands for the key's safe one, and a source that cannot be read for the safe values of all keys
that it may have held; both are reported. One bad key changes no other.
"""

import difflib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import reduce
from types import MappingProxyType

from localai_app.governance.policy_schema import (
    BY_NAME,
    KEYS,
    Kind,
    Merge,
    PolicyKey,
    PolicyValue,
    checked,
)


class Level(StrEnum):
    """What a layer may do."""

    MANDATORY = "mandatory"
    TIGHTENING = "tightening"
    """Mandatory, for one user: it may make a key stricter, never laxer."""
    RECOMMENDED = "recommended"


class Origin(StrEnum):
    """Why a value is in force."""

    DEFAULT = "default"
    RECOMMENDED = "recommended"
    CHOICE = "choice"
    """The user's own, where the key is not locked."""
    MANDATORY = "mandatory"
    SAFE = "safe"
    """A mandatory value that could not be used: the key's safe one."""


@dataclass(frozen=True)
class Layer:
    """What one source says, as it was read."""

    level: Level
    source: str
    """Name of the file or registry key, for people."""
    values: Mapping[str, object] = field(default_factory=dict)
    twice: frozenset[str] = frozenset()
    """Keys that it sets more than once."""
    unreadable: str = ""
    """Why nothing in it can be believed; then it has no values."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a source."""

    source: str
    key: str
    """Empty where it concerns the whole source."""
    text: str

    @property
    def line(self) -> str:
        """In one line."""
        parts = (self.source, self.key, self.text)
        return " ".join(": ".join(part for part in parts if part).split()) + "."


@dataclass(frozen=True)
class InForce:
    """One key with its value."""

    key: PolicyKey
    value: PolicyValue
    origin: Origin = Origin.DEFAULT
    sources: tuple[str, ...] = ()

    @property
    def locked(self) -> bool:
        """Whether the user's own choice does not count."""
        return self.origin in (Origin.MANDATORY, Origin.SAFE)


@dataclass(frozen=True)
class Outcome:
    """All keys in force, by name, and what was wrong on the way."""

    keys: Mapping[str, InForce]
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class _Stated:
    """What one layer says about one key."""

    layer: Layer
    value: PolicyValue
    sound: bool


def merge(layers: Sequence[Layer]) -> Outcome:
    """The values in force; ``layers`` that go before others come first."""
    problems = [problem for layer in layers for problem in _problems(layer)]
    return Outcome(MappingProxyType({key.name: _in_force(key, layers) for key in KEYS}), tuple(problems))


def _problems(layer: Layer) -> Iterator[Problem]:
    if layer.unreadable:
        yield Problem(layer.source, "", layer.unreadable)
    for name in sorted({*layer.values, *layer.twice}):
        key = BY_NAME.get(name)
        if key is None:
            near = difflib.get_close_matches(name.lower(), [known.lower() for known in BY_NAME], 1, 0.75)
            meant = next((f", perhaps {known}" for known in BY_NAME if near == [known.lower()]), "")
            yield Problem(layer.source, name[:80], f"there is no such key{meant}; it changes nothing")
        elif layer.level is Level.RECOMMENDED and not key.recommended:
            yield Problem(layer.source, name, "it cannot be recommended; it changes nothing")
        elif layer.level is Level.TIGHTENING and not key.tightens:
            yield Problem(layer.source, name, "it counts for the whole computer only; it changes nothing")
        elif error := _error(key, layer):
            safe = "it changes nothing" if layer.level is Level.RECOMMENDED else "its safe value is in force"
            yield Problem(layer.source, name, f"{error}; {safe}")


def _error(key: PolicyKey, layer: Layer) -> str:
    if key.name in layer.twice:
        return "it is set twice"
    try:
        checked(key, layer.values[key.name])
    except ValueError as error:
        return str(error)
    return ""


def _in_force(key: PolicyKey, layers: Sequence[Layer]) -> InForce:
    stated = list(_stated(key, [layer for layer in layers if layer.level is not Level.RECOMMENDED]))
    if not stated:
        for layer in layers:
            named = key.name in layer.values and key.recommended
            if layer.level is Level.RECOMMENDED and named and not _error(key, layer):
                return InForce(key, checked(key, layer.values[key.name]), Origin.RECOMMENDED, (layer.source,))
        return InForce(key, key.default)
    values = [one.value for one in stated]
    if all(one.layer.level is Level.TIGHTENING for one in stated):
        values.append(key.default)
    value = reduce(lambda one, other: stricter(key, one, other), values)
    # A list that several made is from all of them; else whoever says what counts is named.
    says = [one for one in stated if one.value == value] or stated
    if key.merge is Merge.FIRST:
        says = says[:1]
    origin = Origin.MANDATORY if any(one.sound for one in says) else Origin.SAFE
    return InForce(key, value, origin, tuple(dict.fromkeys(one.layer.source for one in says)))


def _stated(key: PolicyKey, layers: Sequence[Layer]) -> Iterator[_Stated]:
    """What mandatory layers say; one that cannot be read comes last: it may have said anything."""
    for layer in layers:
        named = key.name in layer.values or key.name in layer.twice
        if named and (layer.level is Level.MANDATORY or key.tightens):
            if _error(key, layer):
                yield _Stated(layer, key.safe, sound=False)
            else:
                yield _Stated(layer, checked(key, layer.values[key.name]), sound=True)
    for layer in layers:
        if layer.unreadable and (layer.level is Level.MANDATORY or key.tightens):
            yield _Stated(layer, key.safe, sound=False)


def stricter(key: PolicyKey, one: PolicyValue, other: PolicyValue) -> PolicyValue:
    """The stricter of two values, where the key knows one; else the first."""
    if key.merge is Merge.TRUE:
        return bool(one) or bool(other)
    if key.merge is Merge.FALSE:
        return bool(one) and bool(other)
    if key.merge is Merge.SMALLEST:
        return one if _size(key, one) <= _size(key, other) else other
    if key.merge is Merge.STRICTEST:
        return one if _rank(key, one) >= _rank(key, other) else other
    if key.merge is Merge.COMMON and isinstance(one, tuple) and isinstance(other, tuple):
        also = set(other)
        return tuple(item for item in one if item in also)
    if key.merge is Merge.COMMON:
        made = one if other is None else other  # None allows all but what is off, so that stays off
        return tuple(item for item in made if item not in key.off) if isinstance(made, tuple) else made
    return one


def _size(key: PolicyKey, value: PolicyValue) -> float:
    assert isinstance(value, int)
    return math.inf if value == 0 and key.zero_means else value


def _rank(key: PolicyKey, value: PolicyValue) -> int:
    assert key.kind is Kind.CHOICE
    return -1 if value is None else key.choices.index(str(value))
