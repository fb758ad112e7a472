"""Text of drawings that Word, Excel and PowerPoint share: paragraphs, charts, SmartArt."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from localai_app.documents.document import CELL, BlockKind
from localai_app.documents.readers.docx_numbering import spelled
from localai_app.documents.readers.lines import Line
from localai_app.documents.readers.number_format import formatted
from localai_app.documents.readers.office_math import equation
from localai_app.documents.readers.ooxml import (
    Element,
    Package,
    attribute,
    child,
    children,
    chosen,
    descendants,
    name,
    number,
)
from localai_app.documents.readers.parts import Piece, shown
from localai_app.documents.readers.symbols import unhidden

_AUTO_NUMBERS = {
    "arabic": "decimal",
    "alphaLc": "lowerLetter",
    "alphaUc": "upperLetter",
    "romanLc": "lowerRoman",
    "romanUc": "upperRoman",
}
_AUTO_ENDINGS = (("ParenBoth", "({})"), ("ParenR", "{})"), ("Period", "{}."), ("Plain", "{}"))
REFERRED = frozenset({"c:chart", "cx:chart", "dgm:relIds"})
"""Elements of a drawing that refer to a part with its text."""
_NOT_CONTENT = frozenset({"pres", "sibTrans", "parTrans"})
"""Points of a SmartArt's data that only lay it out."""


@dataclass
class Paragraph:
    """One paragraph of a drawing's text."""

    line: Line
    level: int
    """From 1."""
    bullet: bool = False
    """It says itself that it has a bullet or a number."""


@dataclass
class _Counting:
    """Automatic numbers of a text, by level."""

    counts: dict[int, tuple[str, int]] = field(default_factory=dict)

    def label(self, level: int, properties: Element | None) -> str:
        auto = child(properties, "a:buAutoNum")
        self.counts = {
            at: count for at, count in self.counts.items() if at < level or (at == level and auto is not None)
        }
        if auto is None:
            return ""
        kind = attribute(auto, "type", "arabicPeriod")
        before, count = self.counts.get(level, ("", 0))
        count = count + 1 if before == kind else number(attribute(auto, "startAt"), 1)
        self.counts[level] = (kind, count)
        for ending, shape in _AUTO_ENDINGS:
            if kind.endswith(ending):
                return (
                    shape.format(spelled(count, _AUTO_NUMBERS.get(kind.removesuffix(ending), "decimal")))
                    + " "
                )
        return f"{count}. "


def paragraphs(body: Element, package: Package, part: str) -> Iterator[Paragraph]:
    """The paragraphs of a text body (``a:txBody`` and its like), empty ones too."""
    counting = _Counting()
    for element in children(body, "a:p"):
        properties = child(element, "a:pPr")
        level = number(attribute(properties, "lvl")) + 1
        line = Line()
        _runs(element, line, package, part)
        bullet = properties is not None and any(
            True for _ in children(properties, "a:buChar", "a:buAutoNum", "a:buBlip")
        )
        if line and (label := counting.label(level, properties)):
            numbered = Line()
            numbered.write(label)
            numbered.add(line)
            line = numbered
        yield Paragraph(line, level, bullet)


def plain(body: Element, package: Package, part: str) -> Line:
    """All paragraphs of a text body that have text, one on a line."""
    whole = Line()
    for paragraph in paragraphs(body, package, part):
        if paragraph.line:
            whole.write("\n" if whole else "")
            whole.add(paragraph.line)
    return whole


def referred(element: Element, package: Package, part: str) -> Iterator[Piece]:
    """The text of what a drawing refers to or holds: a chart, a diagram, a text body."""
    kind = name(element)
    if kind.endswith(":txBody"):
        yield plain(element, package, part).piece(BlockKind.TEXT_BOX)
        return
    key = "r:dm" if kind == "dgm:relIds" else "r:id"
    relationship = package.relationships(part).get(attribute(element, key))
    if relationship is None or relationship.external:
        return
    root = package.part(relationship.target)
    if root is None:
        return
    if kind == "c:chart":
        yield from _chart(root, package, relationship.target)
    elif kind == "cx:chart":
        yield from _new_chart(root)
    else:
        yield _diagram(root, package, relationship.target)


def shapes(root: Element, package: Package, part: str) -> Iterator[Piece]:
    """The texts of all shapes, charts and diagrams below ``root``, and the pictures' alternative texts."""
    for element in root:
        kind = name(element)
        if kind == "mc:AlternateContent":
            branch = chosen(element)
            yield from shapes(branch, package, part) if branch is not None else ()
        elif kind in REFERRED or kind.endswith(":txBody"):
            yield from referred(element, package, part)
        elif kind.endswith(":cNvPr") or kind == "cNvPr":
            if said := alternative(element):
                yield said
        else:
            if kind == "a:blip":
                yield Piece(BlockKind.TEXT_BOX, "", images=1)
            yield from shapes(element, package, part)


def alternative(properties: Element) -> Piece | None:
    """What a shape's non-visual properties say that it shows."""
    said = " ".join((attribute(properties, "descr") or attribute(properties, "title")).split())
    return Piece(BlockKind.TEXT_BOX, f"[Picture: {shown(said)}]") if said else None


def _runs(element: Element, line: Line, package: Package, part: str) -> None:
    for each in element:
        kind = name(each)
        if kind in ("a:r", "a:fld"):
            _run(each, line, package, part)
        elif kind == "a:br":
            line.write("\n")
        elif kind in ("m:oMath", "m:oMathPara"):
            equation(each, line, lambda inner, to: _runs(inner, to, package, part))
        elif kind == "mc:AlternateContent":
            branch = chosen(each)
            if branch is not None:
                _runs(branch, line, package, part)
        elif not kind.endswith("Pr"):
            _runs(each, line, package, part)


def _run(run: Element, line: Line, package: Package, part: str) -> None:
    text = "".join(each.text or "" for each in children(run, "a:t")).replace("\v", "\n")
    properties = child(run, "a:rPr")
    font = child(properties, "a:sym")
    if font is None and properties is not None:
        font = child(properties, "a:latin")
    line.write(unhidden(text, attribute(font, "typeface")))
    link = child(properties, "a:hlinkClick")
    target = package.relationships(part).get(attribute(link, "r:id"))
    if target and target.external and text.strip():
        bare = target.target.partition("://")[2].rstrip("/") or target.target.removeprefix("mailto:")
        if bare.lower() not in text.lower():
            line.write(f" ({target.target})")


# ---------------------------------------------------------------- charts and diagrams


def _chart(root: Element, package: Package, part: str) -> Iterator[Piece]:
    """Title, axes, and the numbers as a table: one column for each series."""
    for title in descendants(root, "c:title"):
        text = _rich(title, package, part)
        if text:
            yield text.piece(BlockKind.TEXT_BOX)
    series = list(descendants(root, "c:ser"))
    if not series:
        return
    names = [" ".join(_points(child(each, "c:tx")).values()) for each in series]
    columns: list[dict[int, str]] = []
    categories: dict[int, str] = {}
    for each in series:
        categories = categories or _points(_first(each, "c:cat", "c:xVal"))
        columns.append(_points(_first(each, "c:val", "c:yVal")))
    rows = [CELL.join(["", *names])] if any(names) else []
    rows += (
        CELL.join([categories.get(at, ""), *(column.get(at, "") for column in columns)])
        for at in sorted({*categories, *(at for column in columns for at in column)})
    )
    table = Line()
    table.write("\n".join(rows))
    yield table.piece(BlockKind.TABLE)
    for box in descendants(root, "c:dLbl"):
        label = _rich(box, package, part)
        if label:
            yield label.piece(BlockKind.TEXT_BOX)


def _rich(element: Element, package: Package, part: str) -> Line:
    """The text of a title or label: written into it, or stored from the sheet."""
    body = child(element, "c:tx", "c:rich")
    if body is not None:
        return plain(body, package, part)
    line = Line()
    line.write(" ".join(_points(child(element, "c:tx")).values()))
    return line


def _first(element: Element, *names: str) -> Element | None:
    return next(children(element, *names), None)


def _points(element: Element | None) -> dict[int, str]:
    """The stored values by position; those of several levels (year, month) joined."""
    if element is None:
        return {}
    code = next((each.text or "" for each in descendants(element, "c:formatCode")), "General")
    numeric = next(descendants(element, "c:numCache", "c:numLit"), None) is not None
    found: dict[int, str] = {}
    for point in descendants(element, "c:pt"):
        stored = child(point, "c:v")
        text = ((stored.text if stored is not None else "") or "").strip()
        at = number(attribute(point, "idx"))
        told = formatted(text, attribute(point, "formatCode") or code) if numeric else text
        found[at] = f"{told} {found[at]}" if at in found else told
    if not found and (literal := child(element, "c:v")) is not None:
        found[0] = (literal.text or "").strip()
    return {at: text.replace("\n", " ") for at, text in found.items()}


def _new_chart(root: Element) -> Iterator[Piece]:
    """Charts of Office 2016 (waterfall, treemap …): each dimension is a line."""
    line = Line()
    for data in descendants(root, "cx:strDim", "cx:numDim"):
        line.write("\n" if line else "")
        line.write(CELL.join((point.text or "").strip() for point in descendants(data, "cx:pt")))
    yield line.piece(BlockKind.TABLE)


def _diagram(root: Element, package: Package, part: str) -> Piece:
    """The texts of a SmartArt, one on a line."""
    line = Line()
    for point in descendants(root, "dgm:pt"):
        body = child(point, "dgm:t")
        if attribute(point, "type") in _NOT_CONTENT or body is None:
            continue
        text = plain(body, package, part)
        if text:
            line.write("\n" if line else "")
            line.add(text)
    return line.piece(BlockKind.TEXT_BOX)
