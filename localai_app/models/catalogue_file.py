"""Where the catalogue comes from, and whether it may be believed.

A catalogue is a JSON file with a detached signature beside it (``catalogue.json.minisig``), in the format
of minisign: Ed25519 over the BLAKE2b hash of the file. The app's own is in its resources with the key
that signed it (``catalogue.pub``). An organisation puts its own three files into the folder that only an
administrator can write (`paths.organisation_folder`); then that one counts. One that is not signed by the
key beside it, has expired, is older than one that was seen here before or has another schema is refused
with one line, and the app goes on with the shipped one.

The signature says that the file is as its maker signed it. It does not say that what stands in it is true,
and the key beside the shipped one protects against a changed file, not against a changed app.
"""

import hashlib
import os
import stat
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

from localai_app.errors import CatalogueError
from localai_app.models.catalogue import Catalogue, parse
from localai_app.paths import organisation_folder, resources

FILE, SIGNATURE, KEY = "catalogue.json", "catalogue.json.minisig", "catalogue.pub"
MAX_BYTES = 8 * 1024 * 1024
_MAX_SMALL = 16 * 1024

_ADMINISTRATOR = "Ask your organisation's administrator for a newer one."
_AGAIN = "Install the app again."


@dataclass(frozen=True)
class LoadedCatalogue:
    """The catalogue that counts, and what was wrong on the way to it."""

    catalogue: Catalogue
    source: Literal["organisation", "shipped", "none"]
    issuer: str
    """Stands for the key that signed it; empty for ``none``."""
    problems: tuple[str, ...] = ()
    """Lines for the person."""


def load(
    seen: Mapping[str, int],
    today: date,
    *,
    keys: Collection[str] | None = None,
    organisation: Path | None = None,
    shipped: Path | None = None,
    administrator: int = 0,
) -> LoadedCatalogue:
    """The organisation's catalogue where there is a good one, else the shipped one; never raises.

    ``seen`` has the highest version that was loaded here before, by issuer. ``keys`` are those of which one
    must have signed it, in the form of minisign's public keys; None: the one beside it. The folders are those
    of this machine unless given; ``administrator`` is the user id that must own the organisation's.
    """
    problems: list[str] = []
    folder = organisation or organisation_folder()
    if _exists(folder / FILE):
        try:
            _require_owner(folder, administrator)
            catalogue, issuer = read(folder)
            _require_key(issuer, keys)
            _require_current(catalogue, seen.get(issuer, 0), today)
        except CatalogueError as error:
            problems.append(f"The organisation's catalogue is not used. {error.line}")
        else:
            return LoadedCatalogue(catalogue, "organisation", issuer, catalogue.dropped)
    try:
        catalogue, issuer = read(shipped or resources())
    except CatalogueError as error:
        nothing = Catalogue(0, today, today, ())
        problems.append(f"The app's own catalogue cannot be used. {error} {_AGAIN}")
        return LoadedCatalogue(nothing, "none", "", tuple(problems))
    try:
        _require_key(issuer, keys)
    except CatalogueError as error:
        nothing = Catalogue(0, today, today, ())
        return LoadedCatalogue(nothing, "none", "", (*problems, f"The app's own is not used. {error.line}"))
    try:
        _require_current(catalogue, seen.get(issuer, 0), today)
    except CatalogueError as error:
        # There is nothing better to go on with, and whatever is pulled is checked by its hash.
        problems.append(f"{error} Install a newer version of the app.")
    return LoadedCatalogue(catalogue, "shipped", issuer, (*problems, *catalogue.dropped))


def read(folder: Path) -> tuple[Catalogue, str]:
    """The signed catalogue in ``folder`` and its issuer; raise `CatalogueError` for what is not as signed."""
    data = _bytes(folder / FILE, MAX_BYTES)
    signature = _bytes(folder / SIGNATURE, _MAX_SMALL)
    key = _bytes(folder / KEY, _MAX_SMALL)
    issuer = verify(data, signature, key)
    return parse(data), issuer


def verify(data: bytes, signature: bytes, key: bytes) -> str:
    """Raise `CatalogueError` unless ``signature`` is that of ``data`` by ``key``; who signed it.

    Both are texts as minisign writes them.
    """
    from minisign import Error, ParseError, PublicKey, Signature, VerifyError  # noqa: PLC0415 - 30 ms

    try:
        public = PublicKey.from_bytes(key)
    except (Error, ValueError, IndexError):
        raise CatalogueError(f"“{KEY}” is no minisign public key.", "Ask whoever made it.") from None
    try:
        public.verify(data, Signature.from_bytes(signature))
    except ParseError:
        raise CatalogueError(f"“{SIGNATURE}” is no minisign signature.", "Get the file again.") from None
    except VerifyError:
        raise CatalogueError(
            "The catalogue's signature is wrong: it was changed, or another key signed it.",
            "Get it again from its maker.",
        ) from None
    return _issuer(public.to_base64().decode())


def _issuer(public: str) -> str:
    """What stands for a public key as minisign writes it."""
    return hashlib.sha256(public.encode()).hexdigest()[:32]


def with_version(seen: Mapping[str, int], loaded: LoadedCatalogue) -> dict[str, int]:
    """``seen`` after ``loaded`` was loaded."""
    highest = max(seen.get(loaded.issuer, 0), loaded.catalogue.version)
    return {**seen, loaded.issuer: highest} if loaded.issuer else dict(seen)


def _require_key(issuer: str, keys: Collection[str] | None) -> None:
    if keys is not None and issuer not in {_issuer(allowed) for allowed in keys}:
        raise CatalogueError(
            "Your organisation does not allow a catalogue that this key signed.",
            "Policy `CatalogueKeys` must list the key.",
        )


def _require_current(catalogue: Catalogue, seen: int, today: date) -> None:
    if catalogue.version < seen:
        raise CatalogueError(
            f"The catalogue is of version {catalogue.version}, but version {seen} was here before.",
            _ADMINISTRATOR,
        )
    if catalogue.expires < today:
        raise CatalogueError(f"The catalogue expired on {catalogue.expires:%Y-%m-%d}.", _ADMINISTRATOR)


def _require_owner(folder: Path, administrator: int) -> None:
    """Only an administrator may be able to change what is in ``folder`` (checked on POSIX)."""
    if os.name != "posix":
        return  # the folder's access list says it there
    for path in (folder, *(folder / name for name in (FILE, SIGNATURE, KEY))):
        try:
            found = path.stat()
        except OSError as error:
            raise CatalogueError(f"{path} cannot be read: {error.strerror}.", _ADMINISTRATOR) from None
        if found.st_uid != administrator or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise CatalogueError(
                f"{path} can be changed by others than the administrator.",
                "It must belong to root and be writable by nobody else.",
            )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a folder that may not be searched: it is there, and what is wrong is told later
        return True


def _bytes(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise CatalogueError(f"{path} cannot be read: {error.strerror}.", "") from None
    if len(data) > limit:
        raise CatalogueError(f"{path} is longer than {limit:,} bytes.", "Get it again.")
    return data
