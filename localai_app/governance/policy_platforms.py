"""Policy of Windows (registry) and macOS (managed preferences).

Windows: ``HKLM\\SOFTWARE\\Policies\\LocalAIApp`` is mandatory, its subkey ``Recommended`` recommended; the
same key of HKCU may only tighten. Lists are values of type REG_MULTI_SZ, or a subkey of the list's name
with one value per item. macOS: ``app.localai.plist`` in ``/Library/Managed Preferences``, then in the
user's folder there; its dictionary ``Recommended`` is recommended.

Tested on stand-ins for both: no such machine runs the tests.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from localai_app.governance.policy_merge import Layer, Level
from localai_app.governance.policy_schema import BY_NAME, Kind
from localai_app.governance.policy_sources import (
    ADMINISTRATOR,
    Fingerprint,
    Unusable,
    facts_of,
    read_bytes,
)

KEY = r"SOFTWARE\Policies\LocalAIApp"
RECOMMENDED = "Recommended"
DOMAIN = "app.localai"

Hive = Literal["HKLM", "HKCU"]
RegistryType = Literal["REG_DWORD", "REG_SZ", "REG_MULTI_SZ", "other"]
RegistryValue = tuple[RegistryType, object]
_BY_LOWER = {name.lower(): name for name in BY_NAME}


class RegistryReader(Protocol):
    """What is asked of the registry."""

    def values(self, hive: Hive, path: str) -> Mapping[str, RegistryValue] | None:
        """Values of a key by name; None where there is no such key. Raise `OSError`."""

    def subkeys(self, hive: Hive, path: str) -> list[str]:
        """Names of its subkeys. Raise `OSError`."""


class Registry:
    """The registry of this computer, its 64-bit view."""

    def values(self, hive: Hive, path: str) -> Mapping[str, RegistryValue] | None:
        """Values of a key by name; None where there is no such key."""
        if sys.platform != "win32":
            raise OSError("there is no registry")
        import winreg  # noqa: PLC0415 - only Windows has it

        types: dict[int, RegistryType] = {
            winreg.REG_DWORD: "REG_DWORD",
            winreg.REG_SZ: "REG_SZ",
            winreg.REG_MULTI_SZ: "REG_MULTI_SZ",
        }
        root = winreg.HKEY_LOCAL_MACHINE if hive == "HKLM" else winreg.HKEY_CURRENT_USER
        access = winreg.KEY_READ | winreg.KEY_WOW64_64KEY
        try:
            opened = winreg.OpenKey(root, path, access=access)
        except FileNotFoundError:
            return None
        with opened as key:
            count = winreg.QueryInfoKey(key)[1]
            found = [winreg.EnumValue(key, number) for number in range(count)]
        return {name: (types.get(kind, "other"), value) for name, value, kind in found}

    def subkeys(self, hive: Hive, path: str) -> list[str]:
        """Names of its subkeys."""
        if sys.platform != "win32":
            raise OSError("there is no registry")
        import winreg  # noqa: PLC0415 - only Windows has it

        root = winreg.HKEY_LOCAL_MACHINE if hive == "HKLM" else winreg.HKEY_CURRENT_USER
        with winreg.OpenKey(root, path, access=winreg.KEY_READ | winreg.KEY_WOW64_64KEY) as key:
            return [winreg.EnumKey(key, number) for number in range(winreg.QueryInfoKey(key)[0])]


@dataclass(frozen=True)
class RegistrySource:
    """The policy keys of the registry."""

    reader: RegistryReader

    def fingerprint(self) -> Fingerprint:
        """All that is there: a few dozen values are read as fast as their times."""
        return [(one.source, dict(one.values), one.twice, one.unreadable) for one in self.layers()]

    def layers(self) -> list[Layer]:
        """The computer's policy, the user's, what is recommended."""
        places: tuple[tuple[Hive, str, Level], ...] = (
            ("HKLM", KEY, Level.MANDATORY),
            ("HKCU", KEY, Level.TIGHTENING),
            ("HKLM", rf"{KEY}\{RECOMMENDED}", Level.RECOMMENDED),
        )
        return [layer for hive, path, level in places for layer in self._layer(hive, path, level)]

    def _layer(self, hive: Hive, path: str, level: Level) -> Iterator[Layer]:
        source = rf"{hive}\{path}"
        try:
            named = self.reader.values(hive, path)
            if named is None:
                return
            found = [(name, plain_value(name, value)) for name, value in named.items() if name]
            for subkey in self.reader.subkeys(hive, path):
                if subkey.lower() != RECOMMENDED.lower():
                    items = self.reader.values(hive, rf"{path}\{subkey}") or {}
                    found.append((subkey, [value for _, (_, value) in sorted(items.items())]))
        except OSError as error:
            problem = f"it cannot be read ({error.strerror or error})"
            yield Layer(level, source, unreadable=problem)
            return
        names = [_BY_LOWER.get(name.lower(), name) for name, _ in found]
        twice = frozenset(name for name in names if names.count(name) > 1)
        values = dict(zip(names, (value for _, value in found), strict=True))
        yield Layer(level, source, values, twice)


def plain_value(name: str, value: RegistryValue) -> object:
    """A registry value as JSON would hold it; what has the wrong type stays as it is and is reported."""
    kind, data = value
    key = BY_NAME.get(_BY_LOWER.get(name.lower(), ""))
    if key is not None and key.kind is Kind.BOOL and kind == "REG_DWORD" and data in (0, 1):
        return data == 1
    if kind == "REG_MULTI_SZ" and isinstance(data, list):
        return [item for item in data if item]
    # A text with variables in it (REG_EXPAND_SZ) would mean what the user's environment says.
    return data if kind in ("REG_DWORD", "REG_SZ") else {}


def _login_name() -> str:
    """The name that belongs to the user's number; no variable says it."""
    if sys.platform == "win32":
        return ""
    import pwd  # noqa: PLC0415 - Windows has none

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return ""


@dataclass(frozen=True)
class ManagedPreferences:
    """The managed preferences of macOS, as the device management wrote them."""

    folder: Path = Path("/Library/Managed Preferences")
    user: str = field(default_factory=_login_name)
    administrator: int = ADMINISTRATOR

    def fingerprint(self) -> Fingerprint:
        """Places, sizes, times, owners and modes of the files."""
        return [facts_of(path) for path in self._paths()]

    def layers(self) -> list[Layer]:
        """What is forced, for the computer and for the user, and then what is recommended."""
        forced: list[Layer] = []
        recommended: list[Layer] = []
        for path in self._paths():
            try:
                values = read_plist(path, self.administrator)
            except FileNotFoundError:
                continue
            except OSError as error:
                problem = f"it cannot be read ({error.strerror or type(error).__name__})"
                forced.append(Layer(Level.MANDATORY, str(path), unreadable=problem))
                continue
            except Unusable as error:
                forced.append(Layer(Level.MANDATORY, str(path), unreadable=str(error)))
                continue
            suggested = values.pop(RECOMMENDED, {})
            forced.append(Layer(Level.MANDATORY, str(path), values))
            source = f"{path} ({RECOMMENDED})"
            if isinstance(suggested, dict):
                recommended.append(Layer(Level.RECOMMENDED, source, suggested))
            else:
                recommended.append(Layer(Level.RECOMMENDED, source, unreadable="it is no dictionary"))
        return [*forced, *recommended]

    def _paths(self) -> list[Path]:
        name = f"{DOMAIN}.plist"
        return [self.folder / name, *([self.folder / self.user / name] if self.user else [])]


def read_plist(path: Path, administrator: int) -> dict[str, object]:
    """The keys of a property list; raise `OSError` or `Unusable`."""
    import plistlib  # noqa: PLC0415 - only macOS needs it
    from xml.parsers.expat import ExpatError  # noqa: PLC0415

    data = read_bytes(path, administrator)
    try:
        values = plistlib.loads(data)
    except (plistlib.InvalidFileException, ExpatError, ValueError, LookupError, TypeError, OverflowError):
        raise Unusable("it is no property list") from None
    except RecursionError:
        raise Unusable("it is nested too deeply") from None
    if not isinstance(values, dict):
        raise Unusable("it is no dictionary")
    # What the profile says of itself.
    return {str(name): value for name, value in values.items() if not str(name).startswith("Payload")}
