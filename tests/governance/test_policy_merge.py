from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localai_app.governance.policy_merge import Layer, Level, Origin, Outcome, merge, stricter
from localai_app.governance.policy_schema import KEYS, Kind, Merge, PolicyKey, checked

A, B = "ab" * 32, "cd" * 32


def mandatory(values: dict[str, object], source: str = "first", **more: Any) -> Layer:
    return Layer(Level.MANDATORY, source, values, **more)


def value(outcome: Outcome, name: str) -> tuple[object, str]:
    return outcome.keys[name].value, str(outcome.keys[name].origin)


def test_nothing_set_leaves_the_defaults_unlocked() -> None:
    outcome = merge([])
    assert outcome.problems == ()
    assert all(one.value == one.key.default and not one.locked for one in outcome.keys.values())


def test_mandatory_goes_before_recommended_and_locks() -> None:
    suggested = Layer(Level.RECOMMENDED, "second", {"IdleLockMinutes": 30, "RetentionDays": 90})
    outcome = merge([mandatory({"IdleLockMinutes": 60}), suggested])
    assert value(outcome, "IdleLockMinutes") == (60, "mandatory")
    assert outcome.keys["IdleLockMinutes"].locked
    assert value(outcome, "RetentionDays") == (90, "recommended")
    assert not outcome.keys["RetentionDays"].locked
    assert outcome.keys["RetentionDays"].sources == ("second",)


@pytest.mark.parametrize(
    ("name", "first", "second", "expected"),
    [
        ("OfflineOnly", False, True, True),
        ("AllowExport", True, False, False),
        ("MaxDocumentMB", 50, 20, 20),
        ("IdleLockMinutes", 0, 20, 20),
        ("AllowedModels", [A, B], [B], (B,)),
        ("AllowedModels", [A], [B], ()),
        ("KeyStore", "os-or-passphrase", "os", "os"),
        ("Banner", "first", "second", "first"),
        ("RetentionDays", 30, 10, 30),
        ("SaveHistory", False, True, False),
    ],
)
def test_several_sources(name: str, first: object, second: object, expected: object) -> None:
    outcome = merge([mandatory({name: first}), mandatory({name: second}, "second")])
    assert value(outcome, name) == (expected, "mandatory")


def test_source_that_says_what_counts_is_named() -> None:
    outcome = merge([mandatory({"AllowExport": True}), mandatory({"AllowExport": False}, "second")])
    assert outcome.keys["AllowExport"].sources == ("second",)
    outcome = merge([mandatory({"AllowedModels": [A]}), mandatory({"AllowedModels": [B]}, "second")])
    assert outcome.keys["AllowedModels"].sources == ("first", "second")


def test_one_bad_key_falls_to_its_safe_value_and_spoils_no_other() -> None:
    outcome = merge([mandatory({"AllowExport": "no", "MaxDocumentMB": 10, "AllowedTasks": ["chat"]})])
    assert value(outcome, "AllowExport") == (False, "safe")
    assert outcome.keys["AllowExport"].locked
    assert value(outcome, "MaxDocumentMB") == (10, "mandatory")
    assert [problem.line for problem in outcome.problems] == [
        "first: AllowExport: expected true or false, not text; its safe value is in force."
    ]


def test_bad_value_is_not_mended_by_a_laxer_source() -> None:
    outcome = merge([mandatory({"AllowExport": True}), mandatory({"AllowExport": 1}, "second")])
    assert value(outcome, "AllowExport") == (False, "safe")


def test_key_that_is_set_twice_is_bad() -> None:
    outcome = merge([mandatory({"AllowExport": True}, twice=frozenset({"AllowExport"}))])
    assert value(outcome, "AllowExport") == (False, "safe")
    assert "set twice" in outcome.problems[0].line


def test_unknown_key_changes_nothing_and_is_reported_with_what_it_is_like() -> None:
    outcome = merge([mandatory({"OflineOnly": True, "allowexport": False, "Nonsense": 1})])
    assert all(not one.locked for one in outcome.keys.values())
    lines = [problem.line for problem in outcome.problems]
    assert len(lines) == 3
    assert any("perhaps OfflineOnly" in line for line in lines)
    assert any("perhaps AllowExport" in line for line in lines)
    assert any("no such key; it" in line for line in lines)


def test_source_that_cannot_be_read_stands_for_every_safe_value() -> None:
    outcome = merge([mandatory({}, unreadable="it is no JSON")])
    assert all(one.value == one.key.safe and one.locked for one in outcome.keys.values())
    assert [problem.line for problem in outcome.problems] == ["first: it is no JSON."]


def test_beside_a_source_that_cannot_be_read_a_good_one_still_says_what_only_the_first_source_says() -> None:
    broken = mandatory({}, unreadable="it is no JSON")
    good = mandatory({"Banner": "INTERNAL", "AllowExport": True, "RetentionDays": 30}, "second")
    outcome = merge([broken, good])
    assert value(outcome, "Banner") == ("INTERNAL", "mandatory")
    assert value(outcome, "AllowExport") == (False, "safe")


def test_recommended_that_is_bad_or_cannot_be_recommended_changes_nothing() -> None:
    suggested = Layer(Level.RECOMMENDED, "s", {"RetentionDays": "x", "AllowExport": False, "Nope": 1})
    outcome = merge([suggested, Layer(Level.RECOMMENDED, "t", {}, unreadable="it is a link")])
    assert all(one.origin is Origin.DEFAULT for one in outcome.keys.values())
    assert len(outcome.problems) == 4


def test_next_recommendation_counts_where_the_first_is_bad() -> None:
    layers = [Layer(Level.RECOMMENDED, name, {"RetentionDays": days}) for name, days in (("s", -1), ("t", 7))]
    assert value(merge(layers), "RetentionDays") == (7, "recommended")


@pytest.mark.parametrize(
    ("name", "raw", "expected"),
    [
        ("AllowExport", False, (False, "mandatory")),
        ("OfflineOnly", False, (False, "mandatory")),
        ("MaxDocumentMB", 10, (10, "mandatory")),
        ("MaxDocumentMB", 9000, (200, "mandatory")),
        ("AllowedModels", [A], ((A,), "mandatory")),
        ("Banner", "mine", ("", "default")),
    ],
)
def test_policy_of_one_user_only_tightens(name: str, raw: object, expected: object) -> None:
    assert value(merge([Layer(Level.TIGHTENING, "user", {name: raw})]), name) == expected


def test_policy_of_one_user_never_loosens_that_of_the_computer() -> None:
    user = {"OfflineOnly": False, "MaxDocumentMB": 100, "AllowedModels": [A, B], "RetentionDays": 1}
    machine = {"OfflineOnly": True, "MaxDocumentMB": 10, "AllowedModels": [A], "RetentionDays": 30}
    outcome = merge([mandatory(machine), Layer(Level.TIGHTENING, "user", user)])
    expected = {**machine, "AllowedModels": (A,)}
    assert {name: outcome.keys[name].value for name in machine} == expected
    assert "whole computer only" in outcome.problems[0].line


# ---------------------------------------------------------------- any sources, any values

junk = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.lists(st.text())


def sound(key: PolicyKey) -> st.SearchStrategy[object]:
    if key.kind is Kind.BOOL:
        return st.booleans()
    if key.kind is Kind.WHOLE:
        return st.integers(key.lowest, key.highest)
    if key.kind is Kind.CHOICE:
        return st.sampled_from(key.choices)
    if key.name == "AllowedModels":
        return st.lists(st.sampled_from([A, B, "ef" * 32]))
    return st.just(list(key.example) if isinstance(key.example, tuple) else key.example)


layers = st.lists(
    st.fixed_dictionaries({}, optional={key.name: sound(key) | junk for key in KEYS}).map(mandatory)
    | st.fixed_dictionaries({}, optional={key.name: sound(key) for key in KEYS}).map(
        lambda values: Layer(Level.TIGHTENING, "user", values)
    )
    | st.just(mandatory({}, unreadable="it is no JSON")),
    max_size=4,
)


def sound_values(found: list[Layer], key: PolicyKey) -> list[object]:
    values = []
    for layer in found:
        if key.name in layer.values:
            try:
                values.append(checked(key, layer.values[key.name]))
            except ValueError:
                values.append(key.safe)
    return values


@given(layers)
def test_never_laxer_than_the_strictest_mandatory_source(found: list[Layer]) -> None:
    outcome = merge(found)
    for key in KEYS:
        if key.merge is Merge.FIRST:
            continue
        held = outcome.keys[key.name].value
        for one in sound_values(found, key):
            both = stricter(key, held, one)  # type: ignore[arg-type]
            assert set(both) == set(held) if isinstance(held, tuple) else both == held


@given(layers)
def test_what_is_no_sound_value_never_erases_anything(found: list[Layer]) -> None:
    outcome = merge(found)
    days = outcome.keys["RetentionDays"].value
    stated = [layer.values["RetentionDays"] for layer in found if "RetentionDays" in layer.values]
    assert days == 0 or (days in stated and type(days) is int and 0 < days <= 36_500)
