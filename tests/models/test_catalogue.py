"""What a catalogue's file becomes, and how it is searched."""

import json
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localai_app.errors import CatalogueError
from localai_app.models.catalogue import (
    Catalogue,
    CatalogueEntry,
    LayerGroup,
    SortKey,
    Wanted,
    families,
    parse,
    search,
    sort,
)
from tests.models.signing import document, entry


def one(**changes: Any) -> CatalogueEntry:
    (only,) = parse(document(entry(**changes))).entries
    return only


def test_an_entry_is_read_as_it_was_written() -> None:
    found = one(
        shape={"layers": 2, "groups": [{"layers": 2, "kv_heads": 1, "head_length": 64, "windowed": True}]}
    )
    assert (found.name, found.kind, found.size) == ("Llama 3.2 3B Instruct", "chat", 2_019_377_696)
    assert found.licence.commercial == "conditions"
    assert found.shape.groups == (LayerGroup(2, 1, 64, windowed=True),)
    assert found.sampling == {"temperature": 0.6}
    assert found.pinned


def test_what_is_unknown_stays_unknown() -> None:
    found = one(
        revision=None, parameters=None, languages=None, files=[{"name": "a.gguf"}], context_length=None
    )
    assert (found.revision, found.parameters, found.size, found.context_length) == (None, None, None, None)
    assert found.speaks("en") is None
    assert not found.pinned


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"files": [{"name": "a.gguf", "sha256": "A" * 64}]}, "regex"),
        ({"files": [{"name": "a.gguf", "sha256": "a" * 63}]}, "regex"),
        ({"files": [{"name": "a.gguf", "size": 0}]}, "`int` >= 1"),
        ({"files": [{"name": "a.gguf", "size": -1}]}, "`int` >= 1"),
        ({"files": []}, "length >= 1"),
        ({"files": [{"name": "../../etc/passwd.gguf"}]}, "leads out"),
        ({"files": [{"name": "/etc/a.gguf"}]}, "leads out"),
        ({"files": [{"name": "..\\a.gguf"}]}, "leads out"),
        ({"files": [{"name": "a.bin"}]}, "not named .gguf"),
        ({"files": [{"name": "a\x1b[2J.gguf"}]}, "not named .gguf"),
        ({"revision": "main"}, "regex"),
        ({"repository": "../x"}, "regex"),
        ({"repository": "https://evil.example/x"}, "regex"),
        ({"licence": {"name": "MIT", "commercial": "sure"}}, "enum"),
        ({"licence": {"name": "MIT", "commercial": "yes", "url": "javascript:alert(1)"}}, "regex"),
        ({"abilities": ["flying"]}, "enum"),
        ({"kind": "rerank"}, "enum"),
        ({"languages": ["English"]}, "regex"),
        ({"sampling": {"temperature": 99}}, "sampling"),
        ({"sampling": {"grammar": 1}}, "sampling"),
        ({"active_parameters": 4_000_000_000}, "more active"),
        ({"name": ""}, "length >= 1"),
        ({"name": "a\x07b"}, "control"),
        ({"id": "Öl"}, "regex"),
        ({"shape": {"layers": 2**40}}, "<"),
    ],
)
def test_a_bad_entry_is_left_out_and_named(changes: dict[str, Any], reason: str) -> None:
    good = entry(id="good")
    catalogue = parse(document(entry(**changes), good))
    assert [found.id for found in catalogue.entries] == ["good"]
    (line,) = catalogue.dropped
    assert line.startswith("Entry 1 of the catalogue is left out: ")
    assert reason in line
    assert len(line) < 300


def test_an_id_that_comes_twice_counts_once() -> None:
    catalogue = parse(document(entry(), entry(name="Another")))
    assert [found.name for found in catalogue.entries] == ["Llama 3.2 3B Instruct"]
    assert "twice" in catalogue.dropped[0]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"schema": 1}',
        b"[" * 100_000,
        document(version=0),
        document(version="3"),
        document(expires="soon"),
        document(published=None),
    ],
)
def test_what_is_no_catalogue_is_refused_in_one_line(data: bytes) -> None:
    with pytest.raises(CatalogueError) as refused:
        parse(data)
    assert "\n" not in refused.value.line
    assert len(refused.value.line) < 300


def test_an_unknown_schema_is_refused_before_anything_else() -> None:
    with pytest.raises(CatalogueError, match=r"schema 2; this version of the app reads schema 1\."):
        parse(b'{"schema": 2, "models": "in another form"}')


@settings(max_examples=150, deadline=None)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=8,
    ),
    st.sampled_from([*entry(), "active_parameters", "template_sha256", "note", "evidence"]),
)
def test_no_value_does_anything_but_be_refused_or_kept(value: Any, name: str) -> None:
    catalogue = parse(document(entry() | {name: value}))
    assert len(catalogue.entries) + len(catalogue.dropped) == 1


# ---------------------------------------------------------------- searching


@pytest.fixture(scope="module")
def models() -> Catalogue:
    return parse(
        document(
            entry(id="llama"),
            entry(
                id="qwen",
                name="Qwen3.5-4B",
                family="Qwen3.5",
                languages=None,
                languages_stated="201 languages",
                abilities=["vision", "tools"],
                licence={"name": "Apache License 2.0", "spdx": "Apache-2.0", "commercial": "yes"},
                repository="unsloth/Qwen3.5-4B-GGUF",
                files=[{"name": "q.gguf", "size": 9}],
            ),
            entry(
                id="e5",
                name="E5",
                family="E5",
                kind="embedding",
                languages=None,
                abilities=[],
                licence={"name": "Closed", "commercial": "no"},
                repository="x/e5",
                files=[{"name": "e.gguf"}],
            ),
        )
    )


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Wanted(), "llama qwen e5"),
        (Wanted(text="INSTRUCT 3b"), "llama"),
        (Wanted(text="unsloth"), "qwen"),
        (Wanted(text="q4_k_m"), "llama qwen e5"),
        (Wanted(families=("qwen",)), "qwen"),
        (Wanted(families=("llama", "e")), "llama e5"),
        (Wanted(abilities=("tools",)), "llama qwen"),
        (Wanted(abilities=("tools", "vision")), "qwen"),
        (Wanted(language="DE"), "llama qwen"),
        (Wanted(language="fi"), "qwen"),
        (Wanted(licence="apache-2"), "qwen"),
        (Wanted(commercial=("yes", "conditions")), "llama qwen"),
        (Wanted(kind="embedding"), "e5"),
        (Wanted(largest=100), "qwen"),
    ],
)
def test_what_is_wanted_is_found(models: Catalogue, wanted: Wanted, found: str) -> None:
    assert [entry.id for entry in search(models.entries, wanted)] == found.split()


@pytest.mark.parametrize(
    ("key", "order"),
    [
        ("catalogue", "llama qwen e5"),
        ("name", "e5 llama qwen"),
        ("size", "qwen llama e5"),
        ("speed", "qwen e5 llama"),
        ("fit", "e5 llama qwen"),
    ],
)
def test_models_are_sorted_and_what_is_unknown_comes_last(
    models: Catalogue, key: SortKey, order: str
) -> None:
    speeds = {"qwen": 9.0, "e5": 3.0, "llama": 0.0}
    fits = {"e5": 3, "llama": 1, "qwen": 0}
    ordered = sort(
        models.entries, key, speed=lambda entry: speeds[entry.id], fit=lambda entry: fits[entry.id]
    )
    assert [entry.id for entry in ordered] == order.split()


def test_entries_are_found_by_id_and_hash(models: Catalogue) -> None:
    assert models.entry("qwen") is models.entries[1]
    assert models.entry("none") is None
    assert models.by_sha256("a" * 64) is models.entries[0]
    assert models.of_file("X/E5", "e.gguf") is models.entries[2]
    assert models.of_file("x/e5", "q.gguf") is None
    assert families(models.entries) == ["Llama", "Qwen3.5", "E5"]
    assert (models.version, models.expires) == (3, date(2027, 11, 1))


def test_the_file_is_plain_json() -> None:
    assert json.loads(document(entry()))["models"][0]["id"] == "llama-3.2-3b"
