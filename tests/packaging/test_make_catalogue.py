"""The catalogue that is shipped is what its sources make, and nobody signs it by accident."""

import json
from pathlib import Path
from typing import Any

import pytest

from localai_app.models import catalogue_file
from localai_app.models.catalogue import parse
from localai_app.paths import resources
from tests.packaging.scripts import ROOT, load

make_catalogue = load("make_catalogue")

FACT: dict[str, Any] = {
    "id": "a",
    "name": "A 1B",
    "family": "A",
    "repo_id": "owner/a",
    "filename": "a-q4_0.gguf",
    "quant": "QAT Q4_0",
    "sha256": "a" * 64,
    "size_bytes": 10,
    "parameters_b": 1.236,
    "licence": {"name": "MIT License", "spdx": "MIT", "commercial_use": True, "url": None},
    "capabilities": ["chat", "tools"],
    "sampling": {"temperature": 0.7, "top_k": None, "source": "a card"},
    "inferred_fields": ["parameters_b (from the name)"],
}


def test_resources_hold_what_the_sources_make() -> None:
    make_catalogue.check(resources(), make_catalogue.SOURCE)


def test_a_fact_becomes_an_entry_and_nothing_is_made_up() -> None:
    assert make_catalogue.entry(FACT) == {
        "id": "a",
        "name": "A 1B",
        "family": "A",
        "kind": "chat",
        "repository": "owner/a",
        "files": [{"name": "a-q4_0.gguf", "size": 10, "sha256": "a" * 64}],
        "quantisation": "Q4_0",
        "parameters": 1_236_000_000,
        "licence": {"name": "MIT License", "spdx": "MIT", "commercial": "yes"},
        "abilities": ["tools"],
        "sampling": {"temperature": 0.7},
        "inferred": ["parameters"],
    }


def test_a_hash_that_nobody_confirmed_is_not_shipped() -> None:
    fact = {**FACT, "sha256": None, "sha256_unconfirmed": "b" * 64}
    assert "sha256" not in make_catalogue.entry(fact)["files"][0]


@pytest.mark.parametrize(
    ("use", "spdx", "commercial"),
    [
        (True, "MIT", "yes"),
        (True, None, "conditions"),
        ("restricted", None, "conditions"),
        (False, None, "no"),
        (None, None, "unknown"),
    ],
)
def test_what_companies_may_do_is_said_in_a_word(use: object, spdx: str | None, commercial: str) -> None:
    found = make_catalogue.licence({"name": "L", "spdx": spdx, "commercial_use": use})
    assert found["commercial"] == commercial


def test_layers_that_differ_are_numbers() -> None:
    layout = "5 full-attention layers (2 kv x 512), 25 sliding-window layers (8 kv x 256)"
    groups = make_catalogue.shape({**FACT, "kv_layout": layout})["groups"]
    assert [(group["layers"], group["kv_heads"]) for group in groups] == [(5, 2), (25, 8)]
    with pytest.raises(SystemExit, match="is not understood"):
        make_catalogue.shape({**FACT, "kv_layout": "some layers"})


def source(folder: Path, *facts: dict[str, Any], recommended: str = "") -> Path:
    (folder / "facts.json").write_text(json.dumps(facts))
    names = ", ".join(f'"{fact["id"]}"' for fact in facts)
    (folder / "catalogue.toml").write_text(
        f'version = 4\npublished = "2026-11-20"\nexpires = "2027-11-20"\n'
        f"models = [{names}]\nrecommended = [{recommended}]\n"
    )
    return folder


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sha256": None}, "neither a revision nor a hash"),
        ({"size_bytes": None}, "size of a is unknown"),
        ({"licence": {"name": "Research", "commercial_use": False}}, "may not be used by companies"),
        ({"filename": "../a.gguf"}, "leads out of the repository"),
    ],
)
def test_what_may_not_be_shipped_is_not_built(changes: dict[str, Any], reason: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=reason):
        make_catalogue.build(source(tmp_path, {**FACT, **changes}))


def test_what_is_named_and_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="names b, which is not there"):
        make_catalogue.build(source(tmp_path, FACT, recommended='"b"'))


def test_a_new_key_signs_what_the_app_verifies(tmp_path: Path) -> None:
    folder, secret = tmp_path / "resources", tmp_path / "release" / "catalogue.key"
    folder.mkdir()
    make_catalogue.make_key(secret, folder / catalogue_file.KEY)
    data = make_catalogue.build(source(tmp_path, FACT, recommended='"a"'))
    make_catalogue.sign(data, folder, secret)
    catalogue, _ = catalogue_file.read(folder)
    assert (catalogue.version, catalogue.entries[0].recommended) == (4, True)
    assert secret.stat().st_mode & 0o077 == 0
    with pytest.raises(SystemExit, match="is there already"):
        make_catalogue.make_key(secret, folder / catalogue_file.KEY)


def test_a_key_with_a_passphrase_needs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "catalogue.key"
    monkeypatch.setenv("LOCALAI_APP_CATALOGUE_PASSPHRASE", "right")
    make_catalogue.make_key(secret, tmp_path / catalogue_file.KEY)
    data = make_catalogue.build(source(tmp_path, FACT))
    monkeypatch.setenv("LOCALAI_APP_CATALOGUE_PASSPHRASE", "wrong")
    with pytest.raises(SystemExit, match="cannot be used"):
        make_catalogue.sign(data, tmp_path, secret)
    monkeypatch.delenv("LOCALAI_APP_CATALOGUE_PASSPHRASE")
    with pytest.raises(SystemExit, match="cannot be used"):
        make_catalogue.sign(data, tmp_path, secret)
    monkeypatch.setenv("LOCALAI_APP_CATALOGUE_PASSPHRASE", "right")
    make_catalogue.sign(data, tmp_path, secret)
    assert catalogue_file.read(tmp_path)[0].version == 4


def test_another_key_does_not_sign(tmp_path: Path) -> None:
    make_catalogue.make_key(tmp_path / "one.key", tmp_path / catalogue_file.KEY)
    make_catalogue.make_key(tmp_path / "two.key", tmp_path / "two.pub")
    data = make_catalogue.build(source(tmp_path, FACT))
    with pytest.raises(SystemExit, match="belongs to another key"):
        make_catalogue.sign(data, tmp_path, tmp_path / "two.key")
    with pytest.raises(SystemExit, match="make catalogue-key"):
        make_catalogue.sign(data, tmp_path, tmp_path / "none.key")
    assert not (tmp_path / catalogue_file.FILE).exists()


def test_a_catalogue_that_was_edited_by_hand_is_found(tmp_path: Path) -> None:
    make_catalogue.make_key(tmp_path / "one.key", tmp_path / catalogue_file.KEY)
    data = make_catalogue.build(source(tmp_path, FACT))
    make_catalogue.sign(data, tmp_path, tmp_path / "one.key")
    make_catalogue.check(tmp_path, tmp_path)
    make_catalogue.sign(data + b" ", tmp_path, tmp_path / "one.key")
    with pytest.raises(SystemExit, match="is not what packaging/catalogue makes"):
        make_catalogue.check(tmp_path, tmp_path)
    (tmp_path / catalogue_file.FILE).write_bytes(data)
    with pytest.raises(SystemExit, match="signature is wrong"):
        make_catalogue.check(tmp_path, tmp_path)


def test_no_secret_key_lies_in_the_repository() -> None:
    for folder in ("packaging", "resources"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and path.stat().st_size < 1000:
                head = path.read_bytes()[:100]
                assert not (
                    head.startswith(b"untrusted comment")
                    and b"secret key" in head.splitlines()[0]
                    and path.suffix != ".minisig"
                ), path
            assert path.suffix != ".key"


def test_every_fact_can_become_an_entry() -> None:
    """So that whoever edits catalogue.toml can take any of them."""
    facts = json.loads((make_catalogue.SOURCE / "facts.json").read_text(encoding="utf-8"))
    document = {"schema": 1, "version": 1, "published": "2026-11-20", "expires": "2027-11-20"}
    models = [make_catalogue.entry(fact) for fact in facts]
    catalogue = parse(json.dumps(document | {"models": models}).encode())
    assert catalogue.dropped == ()
    assert len(catalogue.entries) == len(facts)
