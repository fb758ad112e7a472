"""CatalogueKeys: whose signature counts is the organisation's word."""

from datetime import date
from pathlib import Path

from localai_app.governance.policy import Policy
from localai_app.models import catalogue_file
from localai_app.models.catalogue_file import LoadedCatalogue
from localai_app.paths import resources

OURS = (resources() / "catalogue.pub").read_text(encoding="utf-8").splitlines()[1]
ANOTHER = "RWQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
TODAY = date(2026, 11, 20)


def load(tmp_path: Path, keys: tuple[str, ...] | None) -> LoadedCatalogue:
    return catalogue_file.load({}, TODAY, keys=keys, organisation=tmp_path / "none")


def test_the_shipped_catalogue_counts_where_its_key_is_listed(tmp_path: Path) -> None:
    assert load(tmp_path, None).source == "shipped"
    assert load(tmp_path, (ANOTHER, OURS)).source == "shipped"


def test_a_catalogue_of_a_key_that_is_not_listed_is_not_used(tmp_path: Path) -> None:
    for keys in ((ANOTHER,), ()):
        loaded = load(tmp_path, keys)
        assert (loaded.source, loaded.catalogue.entries) == ("none", ())
        assert "CatalogueKeys" in loaded.problems[0]


def test_policy_hands_out_the_keys() -> None:
    assert Policy().catalogue_keys is None
    assert Policy({"CatalogueKeys": (OURS,)}).catalogue_keys == (OURS,)
