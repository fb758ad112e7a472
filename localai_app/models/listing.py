"""What is known of each model on this computer, brought together from everywhere it stands."""

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Literal

from localai_app.errors import ModelNotFound
from localai_app.models.catalogue import Catalogue, CatalogueEntry, Commercial, Kind
from localai_app.models.facts import Facts
from localai_app.models.installed import FileRecord, InstalledModel, Starter, state
from localai_app.models.speed import Speed

Place = Literal["models folder", "machine-wide", "linked"]

_PERMISSIVE = re.compile(r"^(apache|mit|bsd|cc0|cc-by-\d|cc-by-sa|isc|unlicense|cdla-permissive)")
_CONDITIONS = re.compile(r"^(gemma|llama|deepseek|health-ai|lfm|qwen|tongyi|mnpl|exaone|falcon)")


class HashState(StrEnum):
    """What is known of a file's hash."""

    NEVER = "never hashed"
    """It is hashed when it is first loaded."""
    RECORDED = "recorded"
    """It was hashed once, and size and time are the same since."""
    VERIFIED = "verified"
    """It was read again later, or its hash is a published one: it is what it should be."""
    CHANGED = "changed"
    """It is not what was recorded: it is not loaded until that is accepted."""
    MISSING = "missing"
    """The file is not there now, such as on a drive that is not connected."""


@dataclass(frozen=True)
class LibraryModel:
    """One model on this computer. Empty and None: unknown."""

    file: InstalledModel
    """Path, name, quantisation, size, and whether it is linked, missing or the starter."""
    family: str
    kind: Kind
    parameters: int | None
    licence: str
    commercial: Commercial
    licence_url: str
    licence_note: str
    """The conditions, in a sentence."""
    place: Place
    hash_state: HashState
    sha256: str
    """As recorded."""
    found_sha256: str
    """Of a changed file: what it is now; empty until it was read."""
    recorded: datetime | None
    verified: datetime | None
    """When it was last read again and found to be the same."""
    source: str
    """Such as ``owner/name@commit`` of a pull, ``imported``, or the program whose file it is."""
    last_used: datetime | None
    speed: Speed | None
    """Measured here."""
    selected: bool
    """It answers; of embedding models: it makes the vectors."""
    catalogue_id: str
    """The catalogue's entry of the same hash."""

    @property
    def path(self) -> Path:
        """Of the (first) file."""
        return self.file.path


def listed(
    model: InstalledModel,
    facts: Facts,
    record: FileRecord | None,
    catalogue: Catalogue,
    starter: Starter,
    *,
    place: Place,
    speed: Speed | None,
    selected: bool,
) -> LibraryModel:
    """All of that about ``model`` as one row."""
    sha256 = record.sha256 if record else ""
    entry = catalogue.by_sha256(sha256) if sha256 else None
    like = entry or _of_source(catalogue, record, model)
    licence, commercial, url, note = _licence(model, facts, record, like, starter)
    return LibraryModel(
        file=model,
        family=like.family if like else _family(model, facts, catalogue),
        kind="embedding" if model.embeds or facts.embeds else "chat",
        parameters=(like.parameters if like else None) or facts.parameters or None,
        licence=licence,
        commercial=commercial,
        licence_url=url,
        licence_note=note,
        place=place,
        hash_state=_hash_state(model, record, published=entry is not None or sha256 == starter.sha256),
        sha256=sha256,
        found_sha256=record.found_sha256 if record else "",
        recorded=record.recorded if record else None,
        verified=record.verified if record else None,
        source=(record.source if record else "") or model.owner,
        last_used=record.used if record else None,
        speed=speed,
        selected=selected,
        catalogue_id=entry.id if entry else "",
    )


def like_entry(
    catalogue: Catalogue, model: InstalledModel, record: FileRecord | None
) -> CatalogueEntry | None:
    """The catalogue's entry for this file, or for the same model in another file."""
    return (
        (catalogue.by_sha256(record.sha256) if record and record.sha256 else None)
        or _of_source(catalogue, record, model)
        or next((entry for entry in catalogue.entries if _plain(entry.name) == _plain(model.name)), None)
    )


def _hash_state(model: InstalledModel, record: FileRecord | None, *, published: bool) -> HashState:
    if model.missing:
        return HashState.MISSING
    if record is None or not record.sha256:
        return HashState.NEVER
    if record.found_sha256:
        return HashState.CHANGED
    with suppress(ModelNotFound):
        # Another time with the same size is mostly a copy; it is compared when it is next loaded.
        if record.size != state(model.path)[0]:
            return HashState.CHANGED
    return HashState.VERIFIED if record.verified or published else HashState.RECORDED


def _licence(
    model: InstalledModel,
    facts: Facts,
    record: FileRecord | None,
    entry: CatalogueEntry | None,
    starter: Starter,
) -> tuple[str, Commercial, str, str]:
    """Name, commercial use, link and note."""
    if entry:
        licence = entry.licence
        return licence.spdx or licence.name, licence.commercial, licence.url or "", licence.note
    if model.starter:
        return starter.licence, _commercial(starter.licence), "", ""
    name = facts.licence or (record.licence if record else "")
    return name, _commercial(name), facts.licence_url, ""


def _commercial(licence: str) -> Commercial:
    """What the name of a well-known licence tells."""
    name = licence.strip().lower().replace(" ", "-")
    if "-nc" in name or "non-commercial" in name or "noncommercial" in name:
        return "no"
    if _PERMISSIVE.match(name):
        return "yes"
    return "conditions" if _CONDITIONS.match(name) else "unknown"


def _of_source(
    catalogue: Catalogue, record: FileRecord | None, model: InstalledModel
) -> CatalogueEntry | None:
    """The entry that names the repository and the file that this one was fetched from."""
    repository = record.source.partition("@")[0].casefold() if record else ""
    if not repository:
        return None
    for entry in catalogue.entries:
        names = {PurePosixPath(file.name).name for file in entry.files}
        if entry.repository.casefold() == repository and model.path.name in names:
            return entry
    return None


def _family(model: InstalledModel, facts: Facts, catalogue: Catalogue) -> str:
    """The longest family of the catalogue that the name begins with; else what the header says."""
    names = [_plain(model.name), _plain(facts.base_name)]
    families = {entry.family for entry in catalogue.entries}
    fitting = [family for family in families if any(name.startswith(_plain(family)) for name in names)]
    return max(fitting, key=len, default=facts.base_name or facts.architecture)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
