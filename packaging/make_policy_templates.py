"""Write what administrators need to roll out policy, all of it from localai_app/governance/policy_schema.py.

usage: make_policy_templates.py            write packaging/policy/ and docs/policy.md
       make_policy_templates.py --check    say whether they are what would be written
"""

import json
import plistlib
import sys
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from policy_reference import reference

from localai_app.governance.policy_platforms import DOMAIN, KEY, RECOMMENDED
from localai_app.governance.policy_schema import KEYS, MAX_ITEMS, Form, Kind, PolicyKey

ROOT = Path(__file__).resolve().parent.parent
_NAMESPACE = "http://schemas.microsoft.com/GroupPolicy/2006/07/PolicyDefinitions"
_OWN = "LocalAIApp.Policies.LocalAIApp"
_REVISION = "1.0"
_PRODUCT = "LocalAI App"
_SUGGESTED = "_recommended"
_PATTERNS = {
    Form.SHA256: "^[0-9A-Fa-f]{64}$",
    Form.WORD: "^[a-z][a-z0-9-]{0,63}$",
    Form.TASK: r"^[a-z][a-z0-9-]{0,63}(\.[a-z][a-z0-9-]{0,63})?$",
    Form.NAME: "^[A-Za-z0-9][A-Za-z0-9._+-]{0,99}$",
    Form.URL: "^[Hh][Tt][Tt][Pp][Ss]?://[^@/]+(/.*)?$",
    Form.MINISIGN: "^RW[A-Za-z0-9+/]{54}$",
    Form.KEY: "^[A-Za-z0-9+/]{43}=$",
}


def main(arguments: list[str]) -> None:
    """Do what ``arguments`` ask; a problem ends the process with one line."""
    made = templates()
    if arguments == ["--check"]:
        old = [name for name, data in made.items() if not is_current(ROOT / name, data)]
        if old:
            raise SystemExit(f"not as the schema says: {', '.join(old)}; run make_policy_templates.py")
    elif not arguments:
        for name, data in made.items():
            (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / name).write_bytes(data)
    else:
        raise SystemExit(__doc__)
    print(f"{len(KEYS)} keys, {len(made)} files.")


def is_current(path: Path, data: bytes) -> bool:
    """Whether the file is there and holds ``data``, however its lines end."""
    return path.is_file() and path.read_bytes().replace(b"\r\n", b"\n") == data


def templates() -> dict[str, bytes]:
    """All files by their path in the project."""
    folder = "packaging/policy"
    return {
        f"{folder}/windows/LocalAIApp.admx": admx(),
        f"{folder}/windows/en-US/LocalAIApp.adml": adml(),
        f"{folder}/macos/{DOMAIN}.mobileconfig": mobileconfig(),
        f"{folder}/macos/{DOMAIN}.manifest.plist": manifest(),
        f"{folder}/linux/sample.json": sample(),
        f"{folder}/linux/sample.txt": sample_comments(),
        f"{folder}/schema.json": json_schema(),
        "docs/policy.md": reference().encode(),
    }


# ---------------------------------------------------------------- Windows


def admx() -> bytes:
    """The policies as Group Policy stores them."""
    root = ET.Element("policyDefinitions", revision=_REVISION, schemaVersion="1.0", xmlns=_NAMESPACE)
    namespaces = ET.SubElement(root, "policyNamespaces")
    ET.SubElement(namespaces, "target", prefix="localaiapp", namespace=_OWN)
    ET.SubElement(root, "resources", minRequiredRevision=_REVISION)
    supported = ET.SubElement(ET.SubElement(root, "supportedOn"), "definitions")
    ET.SubElement(supported, "definition", name="SUPPORTED_ALL", displayName="$(string.SUPPORTED_ALL)")
    categories = ET.SubElement(root, "categories")
    for name, parent in _categories():
        category = ET.SubElement(categories, "category", name=name, displayName=f"$(string.{name})")
        if parent:
            ET.SubElement(category, "parentCategory", ref=parent)
    policies = ET.SubElement(root, "policies")
    for key, suggested in _policies():
        _admx_policy(policies, key, suggested)
    return _xml(root)


def _categories() -> list[tuple[str, str]]:
    """Names of categories, and those that they are in."""
    groups = [(_category(group), "LocalAIApp") for group in dict.fromkeys(key.group for key in KEYS)]
    return [("LocalAIApp", ""), *groups, (RECOMMENDED, "LocalAIApp")]


def _category(group: str) -> str:
    return "Group_" + group.replace(" ", "_")


def _policies() -> Iterable[tuple[PolicyKey, bool]]:
    """Every key, and again those that can be recommended."""
    return [*((key, False) for key in KEYS), *((key, True) for key in KEYS if key.recommended)]


def _admx_policy(policies: ET.Element, key: PolicyKey, suggested: bool) -> None:
    name = key.name + (_SUGGESTED if suggested else "")
    policy = ET.SubElement(
        policies,
        "policy",
        {
            "name": name,
            # What a user's policy may only tighten is of no use there where nothing is stricter.
            "class": "Both" if key.tightens and not suggested else "Machine",
            "displayName": f"$(string.{name})",
            "explainText": f"$(string.{name}_Explain)",
            "key": rf"{KEY}\{RECOMMENDED}" if suggested else KEY,
        },
    )
    if key.kind is Kind.BOOL:
        policy.set("valueName", key.name)
    else:
        policy.set("presentation", f"$(presentation.{name})")
    ET.SubElement(policy, "parentCategory", ref=RECOMMENDED if suggested else _category(key.group))
    ET.SubElement(policy, "supportedOn", ref="SUPPORTED_ALL")
    if key.kind is Kind.BOOL:
        for tag, value in (("enabledValue", "1"), ("disabledValue", "0")):
            ET.SubElement(ET.SubElement(policy, tag), "decimal", value=value)
        return
    elements = ET.SubElement(policy, "elements")
    common = {"id": key.name, "valueName": key.name}
    if key.kind is Kind.WHOLE:
        ET.SubElement(elements, "decimal", common, minValue=str(key.lowest), maxValue=str(key.highest))
    elif key.kind is Kind.TEXT:
        ET.SubElement(elements, "text", common, required="true", maxLength="2000")
    elif key.kind is Kind.LIST:
        ET.SubElement(elements, "multiText", common, maxLength="2000", maxStrings=str(MAX_ITEMS))
    else:
        enum = ET.SubElement(elements, "enum", common, required="true")
        for choice in key.choices:
            item = ET.SubElement(enum, "item", displayName=f"$(string.{key.name}_{_ident(choice)})")
            ET.SubElement(ET.SubElement(item, "value"), "string").text = choice


def adml() -> bytes:
    """What the policies are called, in English."""
    root = ET.Element("policyDefinitionResources", revision=_REVISION, schemaVersion="1.0", xmlns=_NAMESPACE)
    ET.SubElement(root, "displayName").text = _PRODUCT
    ET.SubElement(root, "description").text = f"Policies of {_PRODUCT}"
    resources = ET.SubElement(root, "resources")
    strings = ET.SubElement(resources, "stringTable")
    for name, text in _strings():
        ET.SubElement(strings, "string", id=name).text = text
    presentations = ET.SubElement(resources, "presentationTable")
    for key, suggested in _policies():
        if key.kind is not Kind.BOOL:
            name = key.name + (_SUGGESTED if suggested else "")
            _presentation(ET.SubElement(presentations, "presentation", id=name), key)
    return _xml(root)


def _strings() -> Iterable[tuple[str, str]]:
    yield "SUPPORTED_ALL", f"{_PRODUCT} 0.1 or newer"
    yield "LocalAIApp", _PRODUCT
    for group in dict.fromkeys(key.group for key in KEYS):
        yield _category(group), group
    yield RECOMMENDED, "Recommended (users may choose otherwise)"
    for key, suggested in _policies():
        name = key.name + (_SUGGESTED if suggested else "")
        yield name, key.name
        yield f"{name}_Explain", explain(key)
    for key in KEYS:
        for choice in key.choices:
            yield f"{key.name}_{_ident(choice)}", choice


def _presentation(presentation: ET.Element, key: PolicyKey) -> None:
    label = f"{key.name}:"
    if key.kind is Kind.WHOLE:
        shown = ET.SubElement(presentation, "decimalTextBox", refId=key.name, defaultValue=str(key.example))
        shown.text = label
    elif key.kind is Kind.TEXT:
        ET.SubElement(ET.SubElement(presentation, "textBox", refId=key.name), "label").text = label
    elif key.kind is Kind.LIST:
        # A box of several lines has no label of its own.
        ET.SubElement(presentation, "text").text = f"{key.name}, one per line:"
        ET.SubElement(presentation, "multiTextBox", refId=key.name)
    else:
        ET.SubElement(presentation, "dropdownList", refId=key.name, noSort="true").text = label


def explain(key: PolicyKey) -> str:
    """What a key means, in a few sentences."""
    parts = [key.means]
    if key.kind is Kind.LIST:
        unset = f" Without a list everything is allowed but {', '.join(key.off)}." if key.off else ""
        parts.append(f"Only what is listed is allowed; an empty list allows nothing.{unset}")
    if key.kind is Kind.WHOLE:
        zero = f" 0 means {key.zero_means}." if key.zero_means else ""
        parts.append(f"A number from {key.lowest} to {key.highest}.{zero}")
    if not key.enforced:
        parts.append("This version does not enforce it yet.")
    return " ".join(parts)


def _ident(text: str) -> str:
    return text.replace("-", "_")


def _xml(root: ET.Element) -> bytes:
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


# ---------------------------------------------------------------- macOS


def mobileconfig() -> bytes:
    """A profile that forces every key to its example: delete what is not wanted."""
    settings: dict[str, Any] = _examples(KEYS)
    settings[RECOMMENDED] = {}
    payload = {
        "PayloadType": "com.apple.ManagedClient.preferences",
        "PayloadIdentifier": f"{DOMAIN}.policy.preferences",
        "PayloadUUID": _uuid("preferences"),
        "PayloadVersion": 1,
        "PayloadDisplayName": _PRODUCT,
        "PayloadContent": {DOMAIN: {"Forced": [{"mcx_preference_settings": settings}]}},
    }
    profile = {
        "PayloadType": "Configuration",
        "PayloadIdentifier": f"{DOMAIN}.policy",
        "PayloadUUID": _uuid("profile"),
        "PayloadVersion": 1,
        "PayloadScope": "System",
        "PayloadDisplayName": f"{_PRODUCT}: policy (sample)",
        "PayloadDescription": "Every key with an example. Delete those that you do not set.",
        "PayloadContent": [payload],
    }
    return plistlib.dumps(profile, sort_keys=False)


def manifest() -> bytes:
    """The keys for tools that make profiles, in the format of ProfileManifests."""
    content = {
        "pfm_domain": DOMAIN,
        "pfm_format_version": 1,
        "pfm_version": 1,
        "pfm_title": _PRODUCT,
        "pfm_description": f"Policies of {_PRODUCT}",
        "pfm_platforms": ["macOS"],
        "pfm_targets": ["system"],
        "pfm_subkeys": [
            *(_subkey(key) for key in KEYS),
            {
                "pfm_name": RECOMMENDED,
                "pfm_title": "Recommended (users may choose otherwise)",
                "pfm_type": "dictionary",
                "pfm_subkeys": [_subkey(key) for key in KEYS if key.recommended],
            },
        ],
    }
    return plistlib.dumps(content, sort_keys=False)


def _subkey(key: PolicyKey) -> dict[str, Any]:
    types = {Kind.BOOL: "boolean", Kind.WHOLE: "integer", Kind.LIST: "array"}
    subkey: dict[str, Any] = {
        "pfm_name": key.name,
        "pfm_title": key.name,
        "pfm_description": explain(key),
        "pfm_type": types.get(key.kind, "string"),
    }
    if key.default is not None and key.default != "":
        subkey["pfm_default"] = key.default
    if key.kind is Kind.WHOLE:
        subkey |= {"pfm_range_min": key.lowest, "pfm_range_max": key.highest}
    elif key.kind is Kind.CHOICE:
        subkey["pfm_range_list"] = list(key.choices)
    elif key.kind is Kind.LIST:
        item: dict[str, Any] = {"pfm_name": f"{key.name}Item", "pfm_type": "string"}
        if key.form in _PATTERNS:
            item["pfm_format"] = _PATTERNS[key.form]
        subkey["pfm_subkeys"] = [item]
    return subkey


def _uuid(name: str) -> str:
    """The same one each time."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.{DOMAIN}")).upper()


# ---------------------------------------------------------------- Linux, and any tool


def sample() -> bytes:
    """A policy file that sets every key to its example."""
    return (json.dumps(_examples(KEYS), indent=2, ensure_ascii=False) + "\n").encode()


def sample_comments() -> bytes:
    """What the keys of the sample mean: JSON holds no comments."""
    lines = [
        "Every key of sample.json, which shows examples. Copy the lines that you want into",
        "/etc/localai-app/policies/managed/10-organisation.json, and check that file first:",
        "    localai-app policy check 10-organisation.json",
        "",
    ]
    for key in KEYS:
        lines += [key.name, f"    {explain(key)}"]
    return ("\n".join(lines) + "\n").encode()


def _examples(keys: Iterable[PolicyKey]) -> dict[str, Any]:
    return {key.name: list(key.example) if isinstance(key.example, tuple) else key.example for key in keys}


def json_schema() -> bytes:
    """A policy file for editors and checking tools (JSON Schema)."""
    content = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Policy of {_PRODUCT}",
        "type": "object",
        "properties": {key.name: _property(key) for key in KEYS},
        "additionalProperties": False,
    }
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def _property(key: PolicyKey) -> dict[str, Any]:
    property_: dict[str, Any] = {"description": explain(key)}
    pattern = {"pattern": _PATTERNS[key.form]} if key.form in _PATTERNS else {}
    if key.kind is Kind.BOOL:
        property_["type"] = "boolean"
    elif key.kind is Kind.WHOLE:
        property_ |= {"type": "integer", "minimum": key.lowest, "maximum": key.highest}
    elif key.kind is Kind.CHOICE:
        property_["enum"] = list(key.choices)
    elif key.kind is Kind.TEXT:
        property_ |= {"type": "string", **pattern}
    else:
        property_ |= {"type": "array", "items": {"type": "string", **pattern}, "maxItems": MAX_ITEMS}
    return property_


if __name__ == "__main__":
    main(sys.argv[1:])
