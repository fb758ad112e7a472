"""Office Open XML packages (ECMA-376, transitional and strict): parts, relationships, properties.

XML is parsed without entities, without the network, and refused where it declares a document type.
Names of elements and attributes are written with the prefixes of `_NAMESPACES`, in either spelling of
the standard: ``w:p`` is a paragraph in strict files too.
"""

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias
from urllib.parse import unquote

from lxml import etree

from localai_app.documents.document import Facts, OutlineItem
from localai_app.documents.readers.archive import Archive, damaged, too_large
from localai_app.documents.readers.refused import ReadRefused
from localai_app.documents.reading import SAVE_ANEW, Limits

Element: TypeAlias = etree._Element

MAX_TREE = 64 * 1024 * 1024
"""Bytes of a part that is held as a tree, which takes about eight times as much memory."""
MAX_DEPTH = 250
"""Of nested elements."""
_OFFICE = "http://schemas.openxmlformats.org/"
_STRICT = "http://purl.oclc.org/ooxml/"
_MICROSOFT = "http://schemas.microsoft.com/office/"
_NAMESPACES: Mapping[str, tuple[str, ...]] = {
    "w": (f"{_OFFICE}wordprocessingml/2006/main", f"{_STRICT}wordprocessingml/main"),
    "s": (f"{_OFFICE}spreadsheetml/2006/main", f"{_STRICT}spreadsheetml/main"),
    "p": (f"{_OFFICE}presentationml/2006/main", f"{_STRICT}presentationml/main"),
    "r": (f"{_OFFICE}officeDocument/2006/relationships", f"{_STRICT}officeDocument/relationships"),
    "m": (f"{_OFFICE}officeDocument/2006/math", f"{_STRICT}officeDocument/math"),
    "a": (f"{_OFFICE}drawingml/2006/main", f"{_STRICT}drawingml/main"),
    "c": (f"{_OFFICE}drawingml/2006/chart", f"{_STRICT}drawingml/chart"),
    "dgm": (f"{_OFFICE}drawingml/2006/diagram", f"{_STRICT}drawingml/diagram"),
    "wp": (f"{_OFFICE}drawingml/2006/wordprocessingDrawing", f"{_STRICT}drawingml/wordprocessingDrawing"),
    "xdr": (f"{_OFFICE}drawingml/2006/spreadsheetDrawing", f"{_STRICT}drawingml/spreadsheetDrawing"),
    "pic": (f"{_OFFICE}drawingml/2006/picture", f"{_STRICT}drawingml/picture"),
    "cx": (f"{_MICROSOFT}drawing/2014/chartex",),
    "mc": (f"{_OFFICE}markup-compatibility/2006",),
    "rel": (f"{_OFFICE}package/2006/relationships",),
    "w14": (f"{_MICROSOFT}word/2010/wordml",),
    "w15": (f"{_MICROSOFT}word/2012/wordml",),
    "tc": (f"{_MICROSOFT}spreadsheetml/2018/threadedcomments",),
    "p188": (f"{_MICROSOFT}powerpoint/2018/8/main",),
    "v": ("urn:schemas-microsoft-com:vml",),
    "o": ("urn:schemas-microsoft-com:office:office",),
    "cp": (f"{_OFFICE}package/2006/metadata/core-properties",),
    "dc": ("http://purl.org/dc/elements/1.1/",),
    "dcterms": ("http://purl.org/dc/terms/",),
}
_PREFIXES = {uri: prefix for prefix, uris in _NAMESPACES.items() for uri in uris}
_SAFE = {
    **dict.fromkeys(("resolve_entities", "load_dtd", "huge_tree"), False),
    **dict.fromkeys(("no_network", "remove_comments", "remove_pis"), True),
}
"""How every part is parsed: what it says is its own, and is text."""
_WHOLE = re.compile(r"\s*[+-]?\d+\s*", re.ASCII)
_ISO_DATE = re.compile(r"\d{4}(-\d\d(-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?)?)?", re.ASCII)
_BEFORE_ROOT = 4096
_MAX_PROPERTY = 500
_MAX_OUTLINE = 2_000


# ---------------------------------------------------------------- elements


def name(element: Element) -> str:
    """``w:p``; the bare local name where the namespace is none of ours."""
    return _short(element.tag)


def child(element: Element | None, *names: str) -> Element | None:
    """The first child of that name; with several names, of the last along that path."""
    found = element
    for step in names:
        if found is None:
            return None
        found = next(found.iterchildren(*spellings(step)), None)
    return found


def children(element: Element, *names: str) -> Iterator[Element]:
    """Children of any of these names."""
    yield from element.iterchildren(*(full for each in names for full in spellings(each)))


def descendants(element: Element, *names: str) -> Iterator[Element]:
    """The element and all below it of any of these names, in the document's order."""
    yield from element.iter(*(full for each in names for full in spellings(each)))


def attribute(element: Element | None, key: str, default: str = "") -> str:
    """The attribute's value, or ``default`` where the element or the attribute is not there."""
    if element is not None:
        for full in spellings(key):
            value = element.get(full)
            if value is not None:
                return str(value)
    return default


def value(element: Element | None, *path: str) -> str:
    """``w:val`` of the child at that path; empty where there is none."""
    return attribute(child(element, *path), "w:val")


def is_on(element: Element | None) -> bool:
    """Whether a property such as ``<w:b/>`` is there and not switched off."""
    return element is not None and attribute(element, "w:val", "1") not in ("0", "false", "off")


def number(text: str, default: int = 0) -> int:
    """The whole number that ``text`` says; ``default`` for anything else."""
    if len(text) < 12 and (text.isdigit() or _WHOLE.fullmatch(text)) and text.isascii():
        return int(text)
    return default


def chosen(alternatives: Element) -> Element | None:
    """Of an ``mc:AlternateContent`` the one branch to read: the first that has something in it."""
    branches = list(children(alternatives, "mc:Choice", "mc:Fallback"))
    return next((branch for branch in branches if _has_content(branch)), branches[0] if branches else None)


def parse(data: bytes) -> Element:
    """The root of an XML part; raise `ReadRefused` for a broken, hostile or huge one."""
    if len(data) > MAX_TREE:
        raise too_large()
    _refuse_document_type(data[:_BEFORE_ROOT])
    try:
        root = etree.fromstring(data, etree.XMLParser(**_SAFE))
    except (etree.XMLSyntaxError, ValueError) as error:
        raise damaged() from error
    if root is None:
        raise damaged()
    if root.getroottree().docinfo.internalDTD is not None:
        raise _hostile()
    _refuse_depth(root)
    return root


def stream(archive: Archive, part: str, *names: str) -> Iterator[Element]:
    """The elements of these names of a part, each when it is complete; raise `ReadRefused`, `KeyError`."""
    with archive.open(part) as beginning:
        _refuse_document_type(beginning.read(_BEFORE_ROOT))
    tags = [full for each in names for full in spellings(each)]
    with archive.open(part) as source:
        try:
            for at, (_, element) in enumerate(etree.iterparse(source, events=("end",), tag=tags, **_SAFE)):
                if not at and element.getroottree().docinfo.internalDTD is not None:
                    raise _hostile()
                yield element
        except (etree.XMLSyntaxError, ValueError) as error:
            raise damaged() from error


def _refuse_document_type(beginning: bytes) -> None:
    """Raise `ReadRefused` when the first bytes of an XML part, in any encoding, declare a document type."""
    if b"<!DOCTYPE" in beginning.replace(b"\0", b""):
        raise _hostile()


def _refuse_depth(root: Element) -> None:
    """What walks the tree is recursive."""
    depth = 0
    for event, _ in etree.iterwalk(root, events=("start", "end")):
        depth += 1 if event == "start" else -1
        if depth > MAX_DEPTH:
            raise ReadRefused("broken", "The file is nested too deeply.", SAVE_ANEW)


def _hostile() -> ReadRefused:
    return ReadRefused(
        "broken",
        "The file declares a document type, which Office files never do; it may be an attack.",
        "If you trust it, open it in the program that made it, save it anew, and add that.",
    )


def _has_content(branch: Element) -> bool:
    return any(
        name(element) in ("w:t", "a:t", "w:txbxContent", "a:blip", "c:chart", "v:imagedata", "m:t")
        or name(element).endswith((":txBody", ":relIds"))
        for element in branch.iter()
    )


@lru_cache(4096)
def _short(tag: str) -> str:
    uri, _, local = tag.removeprefix("{").rpartition("}")
    prefix = _PREFIXES.get(uri)
    return f"{prefix}:{local}" if prefix else local


@lru_cache(4096)
def spellings(short: str) -> tuple[str, ...]:
    """The full names, with their namespaces, that ``w:p`` may stand for."""
    prefix, _, local = short.rpartition(":")
    return tuple(f"{{{uri}}}{local}" for uri in _NAMESPACES[prefix]) if prefix else (short,)


# ---------------------------------------------------------------- packages


@dataclass(frozen=True)
class Relationship:
    """What one part says of another."""

    kind: str
    """The last word of its type: ``styles``, ``hyperlink``, ``image``."""
    target: str
    """A part's name, or an address where it is external."""
    external: bool


class Package:
    """The parts of an Office file and how they hang together."""

    def __init__(self, data: bytes, limits: Limits) -> None:
        """Raise `ReadRefused` for what is no package."""
        self.archive = Archive(data, limits)
        self.warnings: dict[str, None] = {}
        """Lines for the person; each once, in order."""
        self._relationships: dict[str, dict[str, Relationship]] = {}

    def main(self, root: str, program: str) -> tuple[str, Element]:
        """Name and root of the main part; raise `ReadRefused` when that is no ``root`` of a ``program``."""
        target = next(self.related("", "officeDocument"), "")
        if not target or target not in self.archive:
            raise ReadRefused("format", f"This is no {program} file, or an incomplete one.", SAVE_ANEW)
        element = parse(self.archive.read(target))
        if name(element) != root:
            raise ReadRefused("format", f"This is no {program} file.", "Give it the ending of its format.")
        return target, element

    def part(self, target: str) -> Element | None:
        """The root of a part beside the main one; None, with a warning, when it is missing or broken."""
        try:
            return parse(self.archive.read(target))
        except KeyError:
            self.warn(f"A part of the file is missing; what it held was not read. {SAVE_ANEW}")
        except ReadRefused as refusal:
            if refusal.refused.code == "limit":
                raise
            self.warn(f"A part of the file is damaged; what it holds was not read. {SAVE_ANEW}")
        return None

    def related_part(self, source: str, kind: str) -> Element | None:
        """The one part of that kind that ``source`` refers to; None where it refers to none."""
        target = next(self.related(source, kind), None)
        return self.part(target) if target else None

    def related(self, source: str, kind: str) -> Iterator[str]:
        """Names of the parts of that kind that ``source`` refers to; the package itself is ````."""
        for relationship in self.relationships(source).values():
            if relationship.kind == kind and not relationship.external:
                yield relationship.target

    def relationships(self, source: str) -> Mapping[str, Relationship]:
        """What ``source`` refers to, by id."""
        if source not in self._relationships:
            self._relationships[source] = self._read_relationships(source)
        return self._relationships[source]

    def warn(self, line: str) -> None:
        """Tell the person of something that was not read."""
        self.warnings.setdefault(line)

    def leave_out(self, what: str) -> None:
        """Tell the person of a file inside the file."""
        self.warn(f"{what} inside the file was not read. Save it as a file of its own, and add that.")

    def facts(self, file_format: str, outline: Iterable[OutlineItem] = ()) -> Facts:
        """What the file says of itself."""
        core = self.related_part("", "core-properties")
        found = {} if core is None else {name(each): (each.text or "").strip() for each in core}
        return Facts(
            file_format,
            0,
            found.get("dc:title", "")[:_MAX_PROPERTY],
            found.get("dc:creator", "")[:_MAX_PROPERTY],
            _date(found.get("dcterms:created", "")),
            tuple(outline)[:_MAX_OUTLINE],
            tuple(self.warnings),
        )

    def _read_relationships(self, source: str) -> dict[str, Relationship]:
        folder, _, base = source.rpartition("/")
        path = f"{folder}/_rels/{base}.rels".lstrip("/")
        root = self.part(path) if path in self.archive else None
        found = {}
        for element in root if root is not None else ():
            external = attribute(element, "TargetMode").lower() == "external"
            target = attribute(element, "Target")
            found[attribute(element, "Id")] = Relationship(
                attribute(element, "Type").rpartition("/")[2],
                target if external else _resolved(folder, target),
                external,
            )
        return found


def _date(text: str) -> str:
    """``text`` where it is a date in ISO 8601, as the standard demands; else empty."""
    return text if _ISO_DATE.fullmatch(text) else ""


def _resolved(folder: str, target: str) -> str:
    """The name of the part; ``../`` leads no further than the package's root."""
    target = unquote(target).replace("\\", "/").partition("#")[0]
    joined = target if target.startswith("/") else f"{folder}/{target}"
    return posixpath.normpath(f"/{joined}").lstrip("/")
