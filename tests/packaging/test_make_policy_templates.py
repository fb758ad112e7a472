"""What administrators get is what the schema says."""

import json
import plistlib
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from localai_app.governance.policy_merge import Layer, Level, merge
from localai_app.governance.policy_platforms import DOMAIN, KEY
from localai_app.governance.policy_schema import BY_NAME, KEYS, Kind
from tests.packaging.scripts import ROOT, load

maker = load("make_policy_templates")
NS = {"": "http://schemas.microsoft.com/GroupPolicy/2006/07/PolicyDefinitions"}
FILES = maker.templates()


@pytest.mark.parametrize("name", FILES)
def test_committed_file_is_what_the_schema_makes(name: str) -> None:
    assert maker.is_current(ROOT / name, FILES[name]), "run packaging/make_policy_templates.py"


def test_making_them_again_makes_the_same() -> None:
    assert maker.templates() == FILES


def test_nothing_else_lies_beside_them() -> None:
    folder = ROOT / "packaging" / "policy"
    found = {str(path.relative_to(ROOT).as_posix()) for path in folder.rglob("*") if path.is_file()}
    assert found == {name for name in FILES if name.startswith("packaging/")}


def test_check_finds_a_changed_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maker, "ROOT", tmp_path)
    maker.main([])
    maker.main(["--check"])
    changed = tmp_path / "docs" / "policy.md"
    changed.write_bytes(changed.read_bytes().replace(b"\n", b"\r\n"))
    maker.main(["--check"])  # as git writes it on Windows
    changed.write_text("x")
    with pytest.raises(SystemExit, match=r"docs/policy\.md"):
        maker.main(["--check"])
    with pytest.raises(SystemExit, match="usage"):
        maker.main(["--what"])


# ---------------------------------------------------------------- Windows


@pytest.fixture(scope="module")
def admx() -> ET.Element:
    return ET.fromstring(FILES["packaging/policy/windows/LocalAIApp.admx"])


@pytest.fixture(scope="module")
def adml() -> ET.Element:
    return ET.fromstring(FILES["packaging/policy/windows/en-US/LocalAIApp.adml"])


def test_every_string_and_presentation_that_is_named_is_there_once(
    admx: ET.Element, adml: ET.Element
) -> None:
    for kind, path in (("string", ".//stringTable/string"), ("presentation", ".//presentation")):
        text = ET.tostring(admx, encoding="unicode")
        named = re.findall(rf"\$\({kind}\.(\w+)\)", text)
        there = [element.get("id") for element in adml.iterfind(path, NS)]
        assert len(there) == len(set(there))
        assert set(named) == set(there)


def test_every_category_and_support_that_is_named_is_there(admx: ET.Element) -> None:
    categories = {element.get("name") for element in admx.iterfind("categories/category", NS)}
    assert {element.get("ref") for element in admx.iterfind(".//parentCategory", NS)} <= categories
    supported = {element.get("name") for element in admx.iterfind("supportedOn/definitions/definition", NS)}
    assert {element.get("ref") for element in admx.iterfind(".//policy/supportedOn", NS)} == supported


def test_elements_stand_in_the_order_that_group_policy_demands(admx: ET.Element, adml: ET.Element) -> None:
    def tags(element: ET.Element) -> list[str]:
        return [child.tag.partition("}")[2] for child in element]

    assert tags(admx) == ["policyNamespaces", "resources", "supportedOn", "categories", "policies"]
    assert tags(adml) == ["displayName", "description", "resources"]
    order = ["parentCategory", "supportedOn", "enabledValue", "disabledValue", "elements"]
    for policy in admx.iterfind("policies/policy", NS):
        assert tags(policy) == [tag for tag in order if tag in tags(policy)]
        assert len(tags(policy)) in (3, 4)


def test_every_key_has_a_policy_and_a_recommended_one_where_that_makes_sense(admx: ET.Element) -> None:
    found = [(policy.get("key"), policy.get("name")) for policy in admx.iterfind("policies/policy", NS)]
    expected = [(KEY, key.name) for key in KEYS]
    expected += [(rf"{KEY}\Recommended", f"{key.name}_recommended") for key in KEYS if key.recommended]
    assert found == expected


def test_each_policy_writes_what_the_reader_of_the_registry_expects(
    admx: ET.Element, adml: ET.Element
) -> None:
    tags = {Kind.WHOLE: "decimal", Kind.TEXT: "text", Kind.LIST: "multiText", Kind.CHOICE: "enum"}
    shown = {element.get("id"): element for element in adml.iterfind(".//presentation", NS)}
    for policy in admx.iterfind("policies/policy", NS):
        name = str(policy.get("name"))
        key = BY_NAME[name.removesuffix("_recommended")]
        assert (policy.get("class") == "Both") == (key.tightens and not name.endswith("_recommended"))
        if key.kind is Kind.BOOL:
            assert policy.get("valueName") == key.name
            values = [policy.find(f"{tag}/decimal", NS) for tag in ("enabledValue", "disabledValue")]
            assert [value is not None and value.get("value") for value in values] == ["1", "0"]
            continue
        (element,) = policy.iterfind("elements/*", NS)
        assert element.tag.partition("}")[2] == tags[key.kind]
        assert element.get("valueName") == element.get("id") == key.name
        assert [each.get("refId") for each in shown[name] if each.get("refId")] == [element.get("id")]
        choices = tuple(choice.text for choice in element.iterfind("item/value/string", NS))
        assert choices == key.choices
        if key.kind is Kind.WHOLE:
            assert (element.get("minValue"), element.get("maxValue")) == (str(key.lowest), str(key.highest))


# ---------------------------------------------------------------- macOS, Linux, docs


def examples() -> dict[str, Any]:
    return {key.name: list(key.example) if isinstance(key.example, tuple) else key.example for key in KEYS}


def test_profile_sets_every_key_to_a_sound_value_in_the_apps_domain() -> None:
    profile = plistlib.loads(FILES[f"packaging/policy/macos/{DOMAIN}.mobileconfig"])
    (payload,) = profile["PayloadContent"]
    assert (profile["PayloadType"], payload["PayloadType"]) == (
        "Configuration",
        "com.apple.ManagedClient.preferences",
    )
    assert profile["PayloadUUID"] != payload["PayloadUUID"]
    settings = payload["PayloadContent"][DOMAIN]["Forced"][0]["mcx_preference_settings"]
    assert settings.pop("Recommended") == {}
    assert settings == examples()
    assert merge([Layer(Level.MANDATORY, "profile", settings)]).problems == ()


def test_manifest_names_every_key_with_its_type() -> None:
    content = plistlib.loads(FILES[f"packaging/policy/macos/{DOMAIN}.manifest.plist"])
    assert content["pfm_domain"] == DOMAIN
    types = {each["pfm_name"]: each["pfm_type"] for each in content["pfm_subkeys"]}
    assert types.pop("Recommended") == "dictionary"
    names = {bool: "boolean", int: "integer", str: "string", list: "array"}
    assert types == {name: names[type(value)] for name, value in examples().items()}


def test_sample_is_sound_and_every_key_of_it_is_explained() -> None:
    sample = json.loads(FILES["packaging/policy/linux/sample.json"])
    assert sample == examples()
    comments = FILES["packaging/policy/linux/sample.txt"].decode().splitlines()
    for key in KEYS:
        assert comments[comments.index(key.name) + 1].strip().startswith(key.means)


def test_json_schema_has_every_key() -> None:
    schema = json.loads(FILES["packaging/policy/schema.json"])
    assert list(schema["properties"]) == [key.name for key in KEYS]
    assert schema["additionalProperties"] is False
    for key in KEYS:
        item = schema["properties"][key.name]
        patterns = [item.get("pattern"), item.get("items", {}).get("pattern")]
        values = key.example if isinstance(key.example, tuple) else (key.example,)
        for pattern in filter(None, patterns):
            assert all(re.search(pattern, str(value)) for value in values)


def test_reference_says_of_every_key_whether_it_is_enforced() -> None:
    lines = FILES["docs/policy.md"].decode().splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if re.match(r"\| `[A-Z]\w+` \|", line)]
    assert {row[0].strip("`"): row[6] for row in rows} == {
        key.name: "yes" if key.enforced else "not yet" for key in KEYS
    }
