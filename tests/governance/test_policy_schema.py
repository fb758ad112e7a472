import ast
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import localai_app
from localai_app.documents.formats import FORMATS
from localai_app.governance.policy_merge import stricter
from localai_app.governance.policy_schema import (
    BLOCKED,
    BY_NAME,
    KEYS,
    MAX_ITEMS,
    Kind,
    Merge,
    checked,
    unknown_items,
)
from localai_app.tasks.kinds import KINDS

PACKAGE = Path(localai_app.__file__).parent
DESIGNED = {
    "OfflineOnly",
    "ModelSourceURL",
    "AllowHuggingFace",
    "AllowedModels",
    "AllowedLicences",
    "AllowedChatTemplates",
    "RequireSignedCatalogue",
    "CatalogueKeys",
    "AllowModelImport",
    "ModelDirectories",
    "RequireEncryption",
    "KeyStore",
    "RecoveryPublicKey",
    "RetentionDays",
    "LegalHold",
    "SaveHistory",
    "AuditLevel",
    "AuditExportPath",
    "ContentCapture",
    "AllowExport",
    "AllowClipboard",
    "AllowedDocumentTypes",
    "MaxDocumentMB",
    "RequireSandbox",
    "AllowGPU",
    "ProxyURL",
    "CABundle",
    "AllowExternalLinks",
    "AllowedPublishers",
    "AllowedTasks",
    "Banner",
    "IdleLockMinutes",
    "AllowLocalAPI",
    "UpdateMode",
    "AuditToSystemLog",
}


def test_every_key_of_the_design_is_there_once_and_explained() -> None:
    assert {key.name for key in KEYS} == DESIGNED
    assert len(KEYS) == len(DESIGNED)
    assert all(key.means.endswith(".") and "\n" not in key.means for key in KEYS)


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_default_safe_value_and_example_of_each_key_are_values_of_it(key: Any) -> None:
    for value in (key.default, key.safe, key.example):
        if value not in (None, "", BLOCKED):
            assert checked(key, value) == value


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_safe_value_is_never_laxer_than_the_default(key: Any) -> None:
    assert stricter(key, key.default, key.safe) == key.safe or key.merge is Merge.FIRST


def test_safe_values_never_erase() -> None:
    safe = {name: BY_NAME[name].safe for name in ("RetentionDays", "LegalHold", "SaveHistory")}
    assert safe == {"RetentionDays": 0, "LegalHold": True, "SaveHistory": True}


@pytest.mark.parametrize(
    ("name", "raw", "expected"),
    [
        ("AllowExport", False, False),
        ("MaxDocumentMB", 1, 1),
        ("MaxDocumentMB", 100_000, 100_000),
        ("Banner", "", ""),
        ("Banner", "VS – NUR FÜR DEN DIENSTGEBRAUCH", "VS – NUR FÜR DEN DIENSTGEBRAUCH"),
        ("AllowedModels", ["AB" * 32, "ab" * 32], ("ab" * 32,)),
        ("AllowedModels", [], ()),
        ("AllowedTasks", ["extract.medical-letter"], ("extract.medical-letter",)),
        ("AllowedTasks", ["chat", "of-a-newer-version"], ("chat", "of-a-newer-version")),
        ("KeyStore", "os", "os"),
        ("ModelSourceURL", "https://hub.example:8443/path", "https://hub.example:8443/path"),
        ("CABundle", "C:\\certificates\\ca.pem", "C:\\certificates\\ca.pem"),
    ],
)
def test_sound_values_are_taken(name: str, raw: object, expected: object) -> None:
    assert checked(BY_NAME[name], raw) == expected


@pytest.mark.parametrize(
    ("name", "raw", "words"),
    [
        ("AllowExport", 0, "true or false, not a number"),
        ("AllowExport", "false", "not text"),
        ("AllowExport", None, "not null"),
        ("MaxDocumentMB", True, "whole number, not true or false"),
        ("MaxDocumentMB", 1.0, "number with a point"),
        ("MaxDocumentMB", 0, "from 1 to 100000"),
        ("RetentionDays", -1, "from 0 to 36500"),
        ("AllowedModels", "ab" * 32, "a list, not text"),
        ("AllowedModels", ["ab" * 32, "ab"], "item 2: expected: SHA-256"),
        ("AllowedModels", [{"a": 1}], "not a group of values"),
        ("AllowedModels", ["ab" * 32 + "\n"], "item 1"),
        ("AllowedTasks", ["extract.medical.letter"], "item 1: expected: lower-case word, or two"),
        ("AllowedTasks", ["extract."], "item 1"),
        ("AllowedTasks", ["x"] * (MAX_ITEMS + 1), "at most 10,000 items"),
        ("KeyStore", "file", "one of “os-or-passphrase”, “os”, “passphrase”"),
        ("ModelSourceURL", "", "https or http address"),
        ("ModelSourceURL", "ftp://hub.example", "https or http address"),
        ("ModelSourceURL", "https://", "address"),
        ("ModelSourceURL", "https://hub.example:99999", "address"),
        ("ModelSourceURL", BLOCKED, "address"),
        ("ProxyURL", "http://me:secret@proxy.example", "without a password"),
        ("CABundle", "ca.pem", "full path"),
        ("Banner", "a\nb", "one line"),
        ("Banner", "a\u202eb", "one line"),
        ("Banner", "x" * 201, "one line"),
        ("CatalogueKeys", ["RWshort"], "minisign"),
        ("RecoveryPublicKey", "AAAA", "32 bytes"),
    ],
)
def test_bad_values_are_refused_with_what_was_expected(name: str, raw: object, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        checked(BY_NAME[name], raw)
    assert "secret" not in str(caught.value)


def test_items_that_this_version_does_not_know_are_named() -> None:
    assert unknown_items(BY_NAME["AllowedTasks"], ("chat", "knit")) == ["knit"]
    assert unknown_items(BY_NAME["AllowedLicences"], ("mit",)) == []


def test_every_task_is_known_to_policy_and_what_is_off_is_known_too() -> None:
    key = BY_NAME["AllowedTasks"]
    assert {kind.name for kind in KINDS} <= set(key.known)
    assert set(key.off) <= set(key.known)
    assert not set(key.off) & set(key.example if isinstance(key.example, tuple) else ())


def test_document_types_are_those_that_can_be_read() -> None:
    assert list(BY_NAME["AllowedDocumentTypes"].known) == [kind for kind, _, _ in FORMATS]


# ---------------------------------------------------------------- enforced: what the table claims


@cache
def doors_of_keys() -> dict[str, set[str]]:
    """Names of the methods of `Policy` that read each key, also through others."""
    tree = ast.parse((PACKAGE / "governance" / "policy.py").read_text(encoding="utf-8"))
    body = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Policy").body
    reads: dict[str, set[str]] = {}
    asks: dict[str, set[str]] = {}
    for method in body:
        if isinstance(method, ast.FunctionDef):
            nodes = list(ast.walk(method))
            strings = {str(node.value) for node in nodes if isinstance(node, ast.Constant)}
            reads[method.name] = strings & BY_NAME.keys()
            asks[method.name] = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    for _ in reads:  # as often as a chain of calls can be long
        for name, asked in asks.items():
            reads[name] |= {key for other in asked & reads.keys() for key in reads[other]}
    return {key: {name for name, read in reads.items() if key in read} for key in BY_NAME}


@cache
def asked_elsewhere() -> set[str]:
    """Names that services use of a policy."""
    found: set[str] = set()
    for file in PACKAGE.rglob("*.py"):
        if file.name not in ("policy.py", "policy_record.py"):
            found |= set(re.findall(r"policy\s*\.(\w+)", file.read_text(encoding="utf-8")))
    return found


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_a_key_is_called_enforced_if_and_only_if_a_service_asks_for_it(key: Any) -> None:
    if key.name == "RequireEncryption":
        assert key.enforced  # the store has no unencrypted form
        return
    assert key.enforced == bool(doors_of_keys()[key.name] & asked_elsewhere())


def test_no_service_reads_values_past_the_doors() -> None:
    for file in PACKAGE.rglob("*.py"):
        if not file.name.startswith("policy"):
            assert not re.search(r"policy\.values\b", file.read_text(encoding="utf-8")), file.name


def test_every_list_restricts_and_every_choice_is_ordered() -> None:
    for key in KEYS:
        if key.kind is Kind.LIST:
            assert (key.default, key.safe, key.merge) == (None, (), Merge.COMMON)
        if key.kind is Kind.CHOICE:
            assert key.merge is Merge.STRICTEST
