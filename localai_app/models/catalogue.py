"""The catalogue of models: its values, how a file becomes them, and how they are searched.

Nothing in it is guessed: what was not seen in a public source is None or empty, and a field that was
inferred (from the model's name, from a sibling) is named in `CatalogueEntry.inferred`. A catalogue is
data from elsewhere even when it is signed: each entry is checked field by field, and one that fails is
left out and named. Reading the file and its signature is `catalogue_file`'s.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import PurePosixPath
from typing import Annotated, Literal

import msgspec

from localai_app.errors import CatalogueError

SCHEMA = 1
"""Of the file; another one is refused."""
MAX_ENTRIES = 5000

Kind = Literal["chat", "embedding"]
Ability = Literal["vision", "thinking", "tools"]
Commercial = Literal["yes", "no", "conditions", "unknown"]
SortKey = Literal["catalogue", "name", "size", "speed", "fit"]

_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
_Note = Annotated[str, msgspec.Meta(max_length=600)]
_Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
_Commit = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{40}$")]
_Link = Annotated[str, msgspec.Meta(pattern=r"^https://[^\s]+$", max_length=400)]
_Repository = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$", max_length=200)]
_Size = Annotated[int, msgspec.Meta(gt=0, lt=2**45)]
_Count = Annotated[int, msgspec.Meta(gt=0, lt=2**45)]
_Small = Annotated[int, msgspec.Meta(gt=0, lt=2**20)]
_Language = Annotated[str, msgspec.Meta(pattern="^[a-z]{2,3}$")]


@dataclass(frozen=True)
class CatalogueFile:
    """One file of a model; a split model has several, in their order."""

    name: _Text
    """Path inside the repository."""
    size: _Size | None = None
    """Bytes."""
    sha256: _Sha256 | None = None
    """None where no source was good enough to pin it: the hub's own hash counts then."""


@dataclass(frozen=True)
class Licence:
    """Under what the weights may be used."""

    name: _Text
    commercial: Commercial
    spdx: _Text | None = None
    url: _Link | None = None
    note: _Note = ""
    """The conditions, in a sentence."""


@dataclass(frozen=True)
class LayerGroup:
    """Layers of one kind of attention."""

    layers: _Small
    kv_heads: _Small
    head_length: _Small
    windowed: bool = False
    """Sees a sliding window only."""


@dataclass(frozen=True)
class Shape:
    """What the catalogue knows of a model's inside; None where it knows nothing."""

    layers: _Small | None = None
    attention_layers: _Small | None = None
    """Of a hybrid model: layers that have keys and values; the others keep a state."""
    kv_heads: _Small | None = None
    head_length: _Small | None = None
    kv_bytes_per_token: _Count | None = None
    """f16, of the layers that see everything."""
    groups: tuple[LayerGroup, ...] = ()
    """Where layers differ; says more than `kv_heads`."""
    latent_length: _Small | None = None
    """Of one compressed row per token and layer (latent attention)."""
    dimensions: _Small | None = None
    """Of an embedding model's vectors."""


@dataclass(frozen=True)
class CatalogueEntry:
    """A model that can be got."""

    id: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,119}$")]
    name: _Text
    family: _Text
    kind: Kind
    repository: _Repository
    files: Annotated[tuple[CatalogueFile, ...], msgspec.Meta(min_length=1, max_length=100)]
    quantisation: _Text
    licence: Licence
    revision: _Commit | None = None
    """None where none was seen: the one that is found when pulling is pinned."""
    parameters: _Count | None = None
    active_parameters: _Count | None = None
    """Used for each token, where that is fewer than all."""
    context_length: _Count | None = None
    languages: tuple[_Language, ...] = ()
    languages_stated: _Note = ""
    """The publisher's words where it names a number instead of a list, such as ``29+ languages``."""
    abilities: tuple[Ability, ...] = ()
    sampling: dict[str, float] = field(default_factory=dict)
    """Recommended values, by the names of `protocol.Sampling`."""
    template_sha256: _Sha256 | None = None
    """Of the chat template in the file."""
    shape: Shape = Shape()
    publisher: _Note = ""
    """Who made the file: the model's publisher, or who quantised it."""
    evidence: Literal["A", "B", "C", ""] = ""
    """How well the hash is known: A from several sources, B from one, C and empty not well enough."""
    inferred: tuple[_Text, ...] = ()
    """Fields that follow from the name or from a sibling."""
    recommended: bool = False
    """The catalogue's maker thinks it a good choice for everyday questions."""
    note: _Note = ""
    """A doubt that the reader should know."""

    @property
    def size(self) -> int | None:
        """Bytes of all files; None where one is unknown."""
        sizes = [file.size for file in self.files]
        return None if None in sizes else sum(size or 0 for size in sizes)

    @property
    def pinned(self) -> bool:
        """Whether revision and hashes are known beforehand."""
        return self.revision is not None and all(file.sha256 for file in self.files)

    def speaks(self, language: str) -> bool | None:
        """Whether it knows a language (two-letter code); None where its publisher does not say."""
        if self.languages:
            return language.lower() in self.languages
        return None


@dataclass(frozen=True)
class Catalogue:
    """A catalogue as it was read."""

    version: int
    published: date
    expires: date
    entries: tuple[CatalogueEntry, ...]
    dropped: tuple[str, ...] = ()
    """One line for each entry that failed its check."""

    def entry(self, entry_id: str) -> CatalogueEntry | None:
        """The entry of that id."""
        return next((entry for entry in self.entries if entry.id == entry_id), None)

    def by_sha256(self, sha256: str) -> CatalogueEntry | None:
        """The entry whose only or first file has that hash."""
        return next((entry for entry in self.entries if entry.files[0].sha256 == sha256), None)

    def of_file(self, repository: str, name: str) -> CatalogueEntry | None:
        """The entry that has the file ``name`` of that repository."""
        return next(
            (
                entry
                for entry in self.entries
                if entry.repository.casefold() == repository.casefold()
                and any(file.name == name for file in entry.files)
            ),
            None,
        )


class _Head(msgspec.Struct):
    schema: int
    version: Annotated[int, msgspec.Meta(ge=1, lt=2**53)]
    published: date
    expires: date
    models: Annotated[list[msgspec.Raw], msgspec.Meta(max_length=MAX_ENTRIES)]


class _Schema(msgspec.Struct):
    schema: int


def parse(data: bytes) -> Catalogue:
    """The catalogue in ``data`` (JSON); raise `CatalogueError` for what is none.

    Entries that fail their check are left out and told in `Catalogue.dropped`.
    """
    try:
        schema = msgspec.json.decode(data, type=_Schema).schema
        if schema != SCHEMA:
            raise CatalogueError(
                f"The catalogue is of schema {schema}; this version of the app reads schema {SCHEMA}.",
                "Install a newer version of the app." if schema > SCHEMA else "Get a newer catalogue.",
            )
        head = msgspec.json.decode(data, type=_Head)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CatalogueError(f"This is no model catalogue: {_reason(error)}.", "Get it again.") from None
    entries: dict[str, CatalogueEntry] = {}
    dropped: list[str] = []
    for number, raw in enumerate(head.models, 1):
        try:
            entry = msgspec.json.decode(raw, type=CatalogueEntry)
            if entry.id in entries:
                raise msgspec.ValidationError("its id comes twice")
            _check(entry)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            dropped.append(f"Entry {number} of the catalogue is left out: {_reason(error)}.")
        else:
            entries[entry.id] = entry
    return Catalogue(head.version, head.published, head.expires, tuple(entries.values()), tuple(dropped))


_SAMPLING: Mapping[str, tuple[float, float]] = {
    "temperature": (0, 5),
    "top_k": (0, 10_000),
    "top_p": (0, 1),
    "min_p": (0, 1),
    "repeat_penalty": (0, 5),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
    "max_tokens": (0, 2**20),
}


def _check(entry: CatalogueEntry) -> None:
    """Raise `msgspec.ValidationError` for what types cannot say."""
    for file in entry.files:
        path = PurePosixPath(file.name)
        if path.is_absolute() or {"..", "."} & set(file.name.split("/")) or "\\" in file.name:
            raise msgspec.ValidationError("a file's name leads out of the repository")
        if path.suffix.lower() != ".gguf" or not file.name.isprintable():
            raise msgspec.ValidationError("a file is not named .gguf")
    for name, value in entry.sampling.items():
        low, high = _SAMPLING.get(name, (1, 0))
        if not low <= value <= high:
            raise msgspec.ValidationError(f"“{name[:40]}” of its sampling is unknown or out of range")
    if entry.active_parameters and entry.parameters and entry.active_parameters > entry.parameters:
        raise msgspec.ValidationError("it has more active parameters than parameters")
    texts = (entry.name, entry.family, entry.quantisation, entry.note, entry.licence.name, entry.licence.note)
    if not all(text.isprintable() for text in texts):
        raise msgspec.ValidationError("a text holds control characters")


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    return text[:200] if text.isprintable() else "it is not text"


# ---------------------------------------------------------------- searching


@dataclass(frozen=True)
class Wanted:
    """What a person looks for; empty fields do not matter."""

    text: str = ""
    """Words that name, family, repository, file or quantisation hold, all of them."""
    families: tuple[str, ...] = ()
    """Beginnings of family names: ``qwen`` finds ``Qwen3.5`` too."""
    abilities: tuple[Ability, ...] = ()
    """All of them."""
    language: str = ""
    """Two-letter code. A model of which only a number of languages is stated is not left out."""
    licence: str = ""
    """Part of the licence's name or its SPDX id."""
    commercial: tuple[Commercial, ...] = ()
    kind: Kind | None = None
    largest: int | None = None
    """Bytes of all files at most."""


def search(entries: Iterable[CatalogueEntry], wanted: Wanted) -> list[CatalogueEntry]:
    """The entries that are ``wanted``, in their order."""
    return [entry for entry in entries if _matches(entry, wanted)]


def sort(
    entries: Sequence[CatalogueEntry],
    key: SortKey,
    *,
    speed: Callable[[CatalogueEntry], float] = lambda entry: 0.0,
    fit: Callable[[CatalogueEntry], int] = lambda entry: 0,
) -> list[CatalogueEntry]:
    """``entries`` by ``key``: names and sizes upwards, speed downwards, the best fit (highest ``fit``) first.

    What is unknown comes last.
    """
    orders: dict[SortKey, Callable[[CatalogueEntry], tuple[object, ...]]] = {
        "catalogue": lambda entry: (),
        "name": lambda entry: (entry.name.casefold(),),
        "size": lambda entry: (entry.size is None, entry.size or 0),
        "speed": lambda entry: (-speed(entry),),
        "fit": lambda entry: (-fit(entry),),
    }
    return sorted(entries, key=orders[key])


def families(entries: Iterable[CatalogueEntry]) -> list[str]:
    """Family names in the catalogue's order, each once."""
    return list(dict.fromkeys(entry.family for entry in entries))


def _matches(entry: CatalogueEntry, wanted: Wanted) -> bool:
    hay = " ".join(
        (entry.name, entry.family, entry.repository, entry.quantisation, *(f.name for f in entry.files))
    ).casefold()
    licence = f"{entry.licence.name} {entry.licence.spdx or ''}".casefold()
    language = wanted.language.lower()
    return (
        all(word in hay for word in wanted.text.casefold().split())
        and (not wanted.families or entry.family.casefold().startswith(_folded(wanted.families)))
        and set(wanted.abilities) <= set(entry.abilities)
        and (not language or bool(entry.speaks(language)) or bool(entry.languages_stated))
        and wanted.licence.casefold() in licence
        and (not wanted.commercial or entry.licence.commercial in wanted.commercial)
        and wanted.kind in (None, entry.kind)
        and (wanted.largest is None or (entry.size is not None and entry.size <= wanted.largest))
    )


def _folded(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(text.casefold() for text in texts)
