"""Registry and managed preferences, on stand-ins: no such machine is at hand."""

import os
import plistlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from localai_app.governance import policy_sources
from localai_app.governance.policy_merge import merge
from localai_app.governance.policy_platforms import (
    KEY,
    Hive,
    ManagedPreferences,
    Registry,
    RegistrySource,
    RegistryValue,
)
from localai_app.governance.policy_sources import system_source

A, B = "ab" * 32, "cd" * 32


class FakeRegistry:
    def __init__(self, keys: dict[tuple[str, str], dict[str, RegistryValue]]) -> None:
        self.keys = keys
        self.broken: set[str] = set()

    def values(self, hive: Hive, path: str) -> Mapping[str, RegistryValue] | None:
        if hive in self.broken:
            raise OSError(5, "Access is denied")
        return self.keys.get((hive, path))

    def subkeys(self, hive: Hive, path: str) -> list[str]:
        inside = path + "\\"
        return [key.removeprefix(inside) for other, key in self.keys if other == hive and inside in key]


def held(registry: FakeRegistry, name: str) -> tuple[object, str]:
    one = merge(RegistrySource(registry).layers()).keys[name]
    return one.value, str(one.origin)


def test_no_key_is_no_policy() -> None:
    assert RegistrySource(FakeRegistry({})).layers() == []


def test_each_type_of_the_registry_is_read() -> None:
    registry = FakeRegistry(
        {
            ("HKLM", KEY): {
                "AllowExport": ("REG_DWORD", 0),
                "offlineonly": ("REG_DWORD", 1),
                "MaxDocumentMB": ("REG_DWORD", 50),
                "Banner": ("REG_SZ", "INTERNAL"),
                "AllowedModels": ("REG_MULTI_SZ", [A, ""]),
                "AllowedTasks": ("REG_MULTI_SZ", []),
            },
            ("HKLM", rf"{KEY}\AllowedLicences"): {"2": ("REG_SZ", "mit"), "1": ("REG_SZ", "apache-2.0")},
            ("HKLM", rf"{KEY}\Recommended"): {"RetentionDays": ("REG_DWORD", 90)},
        }
    )
    assert merge(RegistrySource(registry).layers()).problems == ()
    for name, value in {
        "AllowExport": False,
        "OfflineOnly": True,
        "MaxDocumentMB": 50,
        "Banner": "INTERNAL",
        "AllowedModels": (A,),
        "AllowedTasks": (),
        "AllowedLicences": ("apache-2.0", "mit"),
    }.items():
        assert held(registry, name) == (value, "mandatory")
    assert held(registry, "RetentionDays") == (90, "recommended")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AllowExport", ("REG_DWORD", 2)),
        ("AllowExport", ("REG_SZ", "0")),
        ("MaxDocumentMB", ("REG_SZ", "50")),
        ("AllowedModels", ("REG_SZ", A)),
        ("ModelSourceURL", ("other", "%USERPROFILE%")),
        ("Banner", ("other", b"\0")),
    ],
)
def test_wrong_type_falls_to_the_safe_value(name: str, value: RegistryValue) -> None:
    registry = FakeRegistry({("HKLM", KEY): {name: value, "LegalHold": ("REG_DWORD", 1)}})
    found = merge(RegistrySource(registry).layers())
    assert (found.keys[name].value, str(found.keys[name].origin)) == (found.keys[name].key.safe, "safe")
    assert found.keys["LegalHold"].value is True
    assert [problem.key for problem in found.problems] == [name]


def test_list_that_is_a_value_and_a_subkey_is_set_twice() -> None:
    registry = FakeRegistry(
        {
            ("HKLM", KEY): {"AllowedModels": ("REG_MULTI_SZ", [A])},
            ("HKLM", rf"{KEY}\AllowedModels"): {"1": ("REG_SZ", B)},
        }
    )
    assert held(registry, "AllowedModels") == ((), "safe")


def test_key_of_the_user_only_tightens() -> None:
    user: dict[str, RegistryValue] = {
        "AllowExport": ("REG_DWORD", 1),
        "AllowModelImport": ("REG_DWORD", 0),
        "Banner": ("REG_SZ", "mine"),
    }
    user["AllowedTasks"] = ("REG_MULTI_SZ", ["documents", "extract", "extract.medical-letter"])
    registry = FakeRegistry({("HKLM", KEY): {"AllowExport": ("REG_DWORD", 0)}, ("HKCU", KEY): user})
    assert held(registry, "AllowExport") == (False, "mandatory")
    assert held(registry, "AllowModelImport") == (False, "mandatory")
    assert held(registry, "Banner") == ("", "default")
    assert held(registry, "AllowedTasks") == (("documents", "extract"), "mandatory")


def test_key_that_cannot_be_read_stands_for_every_safe_value() -> None:
    registry = FakeRegistry({("HKLM", KEY): {"AllowExport": ("REG_DWORD", 1)}})
    registry.broken = {"HKLM"}
    assert held(registry, "AllowExport") == (False, "safe")


def test_change_in_the_registry_changes_the_fingerprint() -> None:
    registry = FakeRegistry({("HKLM", KEY): {"AllowExport": ("REG_DWORD", 1)}})
    source = RegistrySource(registry)
    before = source.fingerprint()
    assert before == source.fingerprint()
    registry.keys["HKLM", KEY] = {"AllowExport": ("REG_DWORD", 0)}
    assert before != source.fingerprint()


def test_where_there_is_no_registry_the_reader_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.raises(OSError, match="no registry"):
        Registry().values("HKLM", KEY)
    with pytest.raises(OSError, match="no registry"):
        Registry().subkeys("HKLM", KEY)


def test_each_system_has_its_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "win32")
    assert isinstance(system_source(), RegistrySource)
    monkeypatch.setattr("sys.platform", "darwin")
    source = system_source()
    assert isinstance(source, ManagedPreferences)
    assert source.folder == Path("/Library/Managed Preferences")


# ---------------------------------------------------------------- macOS


class Mac:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "ada").mkdir()
        self.source = ManagedPreferences(folder, "ada", folder.stat().st_uid)

    def write(self, content: Any, user: str = "", form: Any = plistlib.FMT_BINARY) -> Path:
        file = self.folder / user / "app.localai.plist"
        file.write_bytes(content if isinstance(content, bytes) else plistlib.dumps(content, fmt=form))
        file.chmod(0o644)
        return file

    def held(self, name: str) -> tuple[object, str]:
        one = merge(self.source.layers()).keys[name]
        return one.value, str(one.origin)


@pytest.fixture
def mac(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mac:
    if os.name != "posix":
        pytest.skip("owners and modes are POSIX's")
    monkeypatch.setattr(policy_sources, "_TRIES", 1)
    return Mac(tmp_path)


def test_no_preferences_are_no_policy(mac: Mac) -> None:
    assert mac.source.layers() == []


@pytest.mark.parametrize("form", [plistlib.FMT_BINARY, plistlib.FMT_XML])
def test_preferences_are_read_and_what_the_profile_says_of_itself_is_not(mac: Mac, form: Any) -> None:
    values = {"AllowExport": False, "AllowedModels": [A], "MaxDocumentMB": 5, "PayloadUUID": "x"}
    mac.write({**values, "Recommended": {"RetentionDays": 90}}, form=form)
    assert merge(mac.source.layers()).problems == ()
    assert mac.held("AllowExport") == (False, "mandatory")
    assert mac.held("AllowedModels") == ((A,), "mandatory")
    assert mac.held("RetentionDays") == (90, "recommended")


def test_computer_goes_before_the_user_and_the_stricter_counts(mac: Mac) -> None:
    mac.write({"Banner": "all", "AllowExport": True})
    mac.write({"Banner": "mine", "AllowExport": False}, "ada")
    assert mac.held("Banner") == ("all", "mandatory")
    assert mac.held("AllowExport") == (False, "mandatory")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"bplist00",
        b"<plist><dict><key>a</key>",
        plistlib.dumps([1]),
        b"<?xml version='1.0'?><!DOCTYPE p [<!ENTITY a 'b'>]><plist><dict><key>Banner</key>"
        b"<string>&a;</string></dict></plist>",
        b"\xff\xfe" + "<plist/>".encode("utf-16-le"),
    ],
)
def test_what_is_no_property_list_stands_for_every_safe_value(mac: Mac, content: bytes) -> None:
    mac.write(content)
    assert mac.held("AllowExport") == (False, "safe")
    assert len(merge(mac.source.layers()).problems) == 1


def test_dates_data_and_dictionaries_fall_to_the_safe_value(mac: Mac) -> None:
    mac.write({"AllowExport": datetime(2020, 1, 1), "KeyStore": b"os", "Banner": {"a": 1}, "LegalHold": True})
    assert mac.held("AllowExport") == (False, "safe")
    assert mac.held("KeyStore") == ("os-or-passphrase", "safe")
    assert mac.held("Banner") == ("", "safe")
    assert mac.held("LegalHold") == (True, "mandatory")


def test_preferences_that_others_can_write_are_not_believed(mac: Mac) -> None:
    mac.write({"AllowExport": True}).chmod(0o666)
    assert mac.held("AllowExport") == (False, "safe")


def test_recommended_that_is_no_dictionary_changes_nothing(mac: Mac) -> None:
    mac.write({"Recommended": [1], "AllowExport": False})
    assert mac.held("AllowExport") == (False, "mandatory")
    assert "it is no dictionary" in merge(mac.source.layers()).problems[0].line


def test_change_of_the_preferences_changes_the_fingerprint(mac: Mac) -> None:
    before = mac.source.fingerprint()
    mac.write({})
    assert before != mac.source.fingerprint()


def test_no_variable_says_who_the_user_is(monkeypatch: pytest.MonkeyPatch) -> None:
    if os.name != "posix":
        pytest.skip("numbers of users are POSIX's")
    for name in ("USER", "LOGNAME", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody-else")
    assert ManagedPreferences().user != "somebody-else"
