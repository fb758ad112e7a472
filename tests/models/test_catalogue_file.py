"""Which catalogue counts: signed by its key, not expired, not older than what was here, of a known schema."""

import os
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from minisign import KeyPair

from localai_app.errors import CatalogueError
from localai_app.models import catalogue_file
from localai_app.models.catalogue_file import FILE, KEY, SIGNATURE, LoadedCatalogue, load, read, with_version
from localai_app.paths import resources
from tests.models.signing import document, entry, write_signed

TODAY = date(2026, 11, 20)


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    write_signed(tmp_path / "shipped", document(entry(id="shipped")))
    return tmp_path / "shipped"


@pytest.fixture
def organisation(tmp_path: Path) -> Path:
    return tmp_path / "organisation"


def loaded(
    organisation: Path, shipped: Path, seen: dict[str, int] | None = None, **more: Any
) -> LoadedCatalogue:
    more = {"administrator": os.getuid()} | more
    return load(seen or {}, TODAY, organisation=organisation, shipped=shipped, **more)


def ids(found: LoadedCatalogue) -> list[str]:
    return [entry.id for entry in found.catalogue.entries]


def test_the_shipped_catalogue_counts_where_there_is_no_other(organisation: Path, shipped: Path) -> None:
    found = loaded(organisation, shipped)
    assert (found.source, ids(found), found.problems) == ("shipped", ["shipped"], ())
    assert len(found.issuer) == 32


def test_the_organisation_s_own_replaces_it(organisation: Path, shipped: Path) -> None:
    write_signed(organisation, document(entry(id="theirs")))
    found = loaded(organisation, shipped)
    assert (found.source, ids(found), found.problems) == ("organisation", ["theirs"], ())


def sign_again(folder: Path) -> None:
    other = KeyPair.generate().secret_key
    (folder / SIGNATURE).write_bytes(bytes(other.sign((folder / FILE).read_bytes())))


def change(name: str, data: bytes) -> Any:
    return lambda folder: (folder / name).write_bytes(data)


SPOILED: dict[str, tuple[Any, str]] = {
    "changed": (change(FILE, document(entry(id="evil"))), "signature is wrong"),
    "signed by another key": (sign_again, "signature is wrong"),
    "another key": (
        lambda folder: (folder / KEY).write_bytes(bytes(KeyPair.generate().public_key)),
        "signature is wrong",
    ),
    "no signature": (lambda folder: (folder / SIGNATURE).unlink(), "cannot be read"),
    "no key": (lambda folder: (folder / KEY).unlink(), "cannot be read"),
    "broken signature": (
        change(SIGNATURE, b"untrusted comment: x\nAAAA\ntrusted comment: y\nBBBB\n"),
        "no minisign signature",
    ),
    "empty signature": (change(SIGNATURE, b""), "no minisign signature"),
    "broken key": (change(KEY, b"not\na key"), "no minisign public key"),
    "binary key": (change(KEY, bytes(range(256))), "no minisign public key"),
    "long signature": (change(SIGNATURE, b"x" * 20_000), "longer than"),
}


@pytest.mark.parametrize("how", SPOILED)
def test_one_that_is_not_as_signed_is_refused_and_the_shipped_one_goes_on(
    how: str, organisation: Path, shipped: Path
) -> None:
    spoil, reason = SPOILED[how]
    write_signed(organisation, document(entry(id="theirs")))
    spoil(organisation)
    found = loaded(organisation, shipped)
    assert (found.source, ids(found)) == ("shipped", ["shipped"])
    (problem,) = found.problems
    assert problem.startswith("The organisation's catalogue is not used. ")
    assert reason in problem
    assert "\n" not in problem


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"expires": "2026-11-19"}, "expired on 2026-11-19"),
        ({"version": 2}, "of version 2, but version 3 was here before"),
        ({"schema": 2}, "schema 2"),
        ({"schema": 0}, "schema 0"),
    ],
)
def test_one_that_is_out_of_date_is_refused_and_the_shipped_one_goes_on(
    changes: dict[str, Any], reason: str, organisation: Path, shipped: Path
) -> None:
    key = write_signed(organisation, document(entry(id="theirs")))
    seen = with_version({}, loaded(organisation, shipped))
    write_signed(organisation, document(entry(id="theirs"), **changes), key)
    found = loaded(organisation, shipped, seen)
    assert (found.source, ids(found)) == ("shipped", ["shipped"])
    assert reason in found.problems[0]


def test_the_last_day_counts(organisation: Path, shipped: Path) -> None:
    write_signed(organisation, document(entry(id="theirs"), expires="2026-11-20"))
    assert loaded(organisation, shipped).source == "organisation"


def test_versions_are_counted_per_key(organisation: Path, shipped: Path) -> None:
    write_signed(organisation, document(entry(id="theirs"), version=9))
    seen = with_version({}, loaded(organisation, shipped))
    assert list(seen.values()) == [9]
    write_signed(organisation, document(entry(id="theirs"), version=1))  # another key
    found = loaded(organisation, shipped, seen)
    assert found.source == "organisation"
    assert sorted(with_version(seen, found).values()) == [1, 9]


def test_a_version_once_seen_is_not_forgotten(organisation: Path, shipped: Path) -> None:
    found = loaded(organisation, shipped)
    assert with_version({found.issuer: 7}, found) == {found.issuer: 7}


def test_a_shipped_one_that_is_out_of_date_goes_on_with_a_word(organisation: Path, shipped: Path) -> None:
    key = write_signed(shipped, document(entry(id="old"), expires="2026-01-01"))
    found = loaded(organisation, shipped)
    assert (found.source, ids(found)) == ("shipped", ["old"])
    assert found.problems[0].startswith("The catalogue expired on 2026-01-01.")
    write_signed(shipped, document(entry(id="old"), version=1), key)
    assert "version 5 was here before" in loaded(organisation, shipped, {found.issuer: 5}).problems[0]


def test_a_shipped_one_that_was_changed_is_not_used(organisation: Path, shipped: Path) -> None:
    (shipped / FILE).write_bytes(document(entry(id="evil")))
    found = loaded(organisation, shipped)
    assert (found.source, ids(found), found.issuer) == ("none", [], "")
    assert found.problems[0].endswith("Install the app again.")
    assert with_version({"a": 1}, found) == {"a": 1}


@pytest.mark.skipif(os.name != "posix", reason="owners and modes")
@pytest.mark.parametrize("which", ["", FILE, SIGNATURE, KEY])
@pytest.mark.parametrize("mode", [0o777, 0o775])
def test_one_that_others_can_change_is_refused(
    which: str, mode: int, organisation: Path, shipped: Path
) -> None:
    write_signed(organisation, document(entry(id="theirs")))
    (organisation / which).chmod(mode)
    found = loaded(organisation, shipped)
    assert found.source == "shipped"
    assert "can be changed by others" in found.problems[0]


@pytest.mark.skipif(os.name != "posix", reason="owners and modes")
def test_one_that_belongs_to_a_user_is_refused(organisation: Path, shipped: Path) -> None:
    write_signed(organisation, document(entry(id="theirs")))
    assert loaded(organisation, shipped, administrator=os.getuid() + 1).source == "shipped"


def test_entries_that_fail_are_told_and_the_rest_is_used(organisation: Path, shipped: Path) -> None:
    write_signed(organisation, document(entry(id="theirs"), entry(id="bad", kind="what")))
    found = loaded(organisation, shipped)
    assert ids(found) == ["theirs"]
    assert found.problems[0].startswith("Entry 2")


def test_a_file_is_read_to_its_limit_only(shipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue_file, "MAX_BYTES", 100)
    with pytest.raises(CatalogueError, match="longer than 100 bytes"):
        read(shipped)


def test_the_app_s_own_catalogue_is_rightly_signed_and_all_of_it_is_good() -> None:
    catalogue, issuer = read(resources())
    assert catalogue.dropped == ()
    assert len(issuer) == 32
    by_family: dict[str, set[int | None]] = {}
    for one in catalogue.entries:
        if one.kind == "chat":
            by_family.setdefault(one.family.split(" ")[0].split(".")[0].rstrip("23"), set()).add(
                one.parameters
            )
    for family in ("Gemma", "Qwen", "Llama"):
        assert len(by_family[family]) >= 3, "three sizes at least"
    for family in ("Mistral", "DeepSeek", "GLM", "Granite", "gpt-oss", "Phi", "SmolLM"):
        assert by_family[family]
    assert sum(one.kind == "embedding" for one in catalogue.entries) >= 3
    assert all(one.revision or one.files[0].sha256 for one in catalogue.entries)
    assert all(one.licence.commercial in ("yes", "conditions") for one in catalogue.entries)
