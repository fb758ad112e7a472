"""Excel workbooks (.xlsx, .xlsm; macros are never looked at): sheets as tables of what the cells show.

One page is one sheet; a long sheet is several, of at most `ROWS` rows or `LENGTH` characters. Rows that the
file itself keeps in sight (frozen panes, print titles) stand again at the top of each further page, as they
do on the screen. A table is a run of rows without an empty row between; its columns are those that hold
something, so that cells far away cost nothing. A formula is shown by its stored value, by its own text
where none is stored. What is hidden is there, and marked.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from localai_app.documents.document import CELL, BlockKind, Mark, MarkKind, Page, PageKind, TextSource
from localai_app.documents.readers import drawing
from localai_app.documents.readers.docx_notes import comment_head
from localai_app.documents.readers.lines import Line
from localai_app.documents.readers.ooxml import (
    Element,
    Package,
    attribute,
    child,
    children,
    descendants,
    name,
    number,
)
from localai_app.documents.readers.parts import Piece, hidden, whole
from localai_app.documents.readers.xlsx_cells import Cells, Row, Surroundings, place
from localai_app.documents.reading import Finished, Job, PageRead, ReadAnswer, Started

ROWS = 500
"""Rows of a page."""
LENGTH = 50_000
"""Characters of a page, after which it ends with the row in hand."""
_EMPTY_CELLS = 20
"""For each cell that holds something: as many empty ones may be laid out beside it."""
_MAX_REPEATED = 2_000
"""Characters of rows that are repeated."""
_HEADER_CODE = re.compile(r'&(?:"[^"]*"|K[0-9A-Fa-f]{6}|K\d\d[+-]\d{3}|\d+|[LCRPNDTFAZGBIUSXYEHO]|&)')
_TITLE_ROWS = re.compile(r"\$?(\d{1,7}):\$?(\d{1,7})$")


def read(data: bytes, job: Job) -> Iterator[ReadAnswer]:
    """The workbook's sheets; raise `ReadRefused` when it cannot be read. Pictures are counted, not read."""
    package = Package(data, job.limits)
    main, root = package.main("s:workbook", "Excel")
    yield Started("xlsx", 0)
    workbook = _Workbook(package, main, root)
    yield from map(PageRead, workbook.pages())
    yield Finished(package.facts("xlsx"))


@dataclass(frozen=True)
class _Sheet:
    name: str
    part: str
    """Empty where the file has none for it."""
    hidden: bool
    title_rows: int
    """Rows at the top that are printed on every sheet of paper."""


class _Workbook:
    def __init__(self, package: Package, main: str, root: Element) -> None:
        self._package = package
        properties = child(root, "s:workbookPr")
        epoch_1904 = attribute(properties, "date1904") in ("1", "true")
        self._cells = Cells(package, main, epoch_1904=epoch_1904)
        self._sheets = list(_sheets(package, main, root))
        self._people = _people(package, main)
        self._count = 0

    def pages(self) -> Iterator[Page]:
        """The sheets in order."""
        for sheet in self._sheets:
            for page in self._sheet(sheet):
                self._count = page.number
                yield page

    def _sheet(self, sheet: _Sheet) -> Iterator[Page]:
        if sheet.part not in self._package.archive:
            yield Page(
                self._count + 1,
                "",
                PageKind.SHEET,
                sheet.name,
                source=TextSource.NONE,
                unread="The file does not hold this sheet.",
            )
            return
        around = Surroundings(kept_in_sight=sheet.title_rows)
        comments = _Comments(self._package, sheet.part, self._people)
        making = _Making(sheet, comments)
        for row in self._cells.rows(sheet.part, around):
            if making.is_full:
                yield making.page(self._count + 1, last=False)
            making.add(row, keep=row.number <= around.kept_in_sight)
        making.end(self._last(sheet, around))
        if around.without_value_count:
            shown = ", ".join(around.without_value)
            more = " …" if around.without_value_count > len(around.without_value) else ""
            self._package.warn(
                f"Sheet “{sheet.name}”: {around.without_value_count:,} formulas have no stored value; "
                f"the formula is shown instead ({shown}{more}). Open it in Excel, save it anew, and add that."
            )
        yield making.page(self._count + 1, last=True)

    def _last(self, sheet: _Sheet, around: Surroundings) -> Iterator[Piece]:
        """What is on a sheet beside its cells."""
        related = self._package.relationships(sheet.part).get(around.drawing)
        root = self._package.part(related.target) if related and not related.external else None
        if related and root is not None:
            yield from drawing.shapes(root, self._package, related.target)
        told: set[str] = set()
        for kind, codes in ((BlockKind.HEADER, around.headers), (BlockKind.FOOTER, around.footers)):
            for code in codes:
                text = " ".join(_HEADER_CODE.sub(_header_code, code).split())
                if text and text not in told:
                    told.add(text)
                    yield Piece(kind, text)


class _Making:
    """The page in hand."""

    def __init__(self, sheet: _Sheet, comments: "_Comments") -> None:
        self._sheet = sheet
        self._comments = comments
        self._repeated: list[Row] = []
        self._pieces: list[Piece] = []
        self._block: list[Row] = []
        self._rows = self._length = 0
        self._first = self._last = 0
        self._is_first_page = True

    @property
    def is_full(self) -> bool:
        """Whether the next row belongs to another page."""
        return self._rows >= ROWS or self._length >= LENGTH

    def add(self, row: Row, *, keep: bool) -> None:
        """Put the row on the page; ``keep`` to repeat it on those that follow."""
        if self._block and row.number != self._last + 1:
            self._end_block()
        if not self._rows:
            self._first = row.number
            self._block += [] if self._is_first_page else self._repeated
        if keep and self._is_first_page:
            length = sum(len(cell.text) for each in (*self._repeated, row) for cell in each.cells)
            self._repeated += [row] if length <= _MAX_REPEATED else []
        self._block.append(row)
        self._last = row.number
        self._rows += 1
        self._length += sum(len(cell.text) + len(CELL) for cell in row.cells)

    def end(self, last: Iterator[Piece]) -> None:
        """All rows are there; ``last`` follows them."""
        self._end_block()
        self._pieces += self._comments.up_to(None)
        self._pieces += last

    def page(self, page_number: int, *, last: bool) -> Page:
        """The page, done; the next begins."""
        self._end_block()
        label = self._sheet.name
        if not (last and self._is_first_page) and self._rows:
            label += f", rows {self._first}–{self._last}"
        pieces = self._pieces
        if self._sheet.hidden:
            pieces = [hidden(each, "hidden sheet") for each in pieces]
        self._pieces, self._rows, self._length, self._is_first_page = [], 0, 0, False
        return whole(pieces, number=page_number, kind=PageKind.SHEET, label=label)

    def _end_block(self) -> None:
        if self._block:
            self._pieces.append(_table(self._block))
            self._pieces += self._comments.up_to(self._last)
            self._block = []


def _table(rows: list[Row]) -> Piece:
    """Rows as lines; where hardly any cell holds something, only those that do."""
    columns = sorted({cell.column for row in rows for cell in row.cells})
    filled = sum(len(row.cells) for row in rows)
    dense = len(columns) * len(rows) <= _EMPTY_CELLS * filled
    position = {column: at for at, column in enumerate(columns)}
    line = Line()
    for at, row in enumerate(rows):
        line.write("\n" if at else "")
        start = line.length
        done = 0
        texts: list[str] = []
        length = 0
        for index, cell in enumerate(row.cells):
            steps = (position[cell.column] - done if dense else 1) if index else position[cell.column] * dense
            gap = CELL * max(steps, 1 if index else 0)
            done = position[cell.column]
            texts += (gap, cell.text)
            length += len(gap) + len(cell.text)
            if cell.hidden:
                end = start + length
                line.marks.append(Mark(MarkKind.HIDDEN, end - len(cell.text), end, cell.hidden))
        line.write("".join(texts))
        if row.hidden:
            line.mark(MarkKind.HIDDEN, start, row.hidden)
    return line.piece(BlockKind.TABLE)


def _sheets(package: Package, main: str, root: Element) -> Iterator[_Sheet]:
    relationships = package.relationships(main)
    titles: dict[int, int] = {}
    for defined in descendants(root, "s:definedName"):
        if attribute(defined, "name") == "_xlnm.Print_Titles":
            match = _TITLE_ROWS.search((defined.text or "").strip())
            if match and match[1] == "1" and int(match[2]) <= 10:
                titles[number(attribute(defined, "localSheetId"), -1)] = int(match[2])
    found = child(root, "s:sheets")
    for at, element in enumerate(children(found, "s:sheet") if found is not None else ()):
        related = relationships.get(attribute(element, "r:id"))
        yield _Sheet(
            attribute(element, "name").strip() or f"Sheet{at + 1}",
            related.target if related and not related.external else "",
            attribute(element, "state") in ("hidden", "veryHidden"),
            titles.get(at, 0),
        )


class _Comments:
    """The comments on a sheet's cells, old ones (notes) and threads."""

    def __init__(self, package: Package, part: str, people: dict[str, str]) -> None:
        found: list[tuple[int, int, Piece]] = []
        threaded: set[str] = set()
        for target in package.related(part, "threadedComment"):
            root = package.part(target)
            for element in children(root, "tc:threadedComment") if root is not None else ():
                reference = attribute(element, "ref")
                threaded.add(reference)
                by = people.get(attribute(element, "personId"), "")
                date = attribute(element, "dT")[:16].replace("T", " ")
                text = next((each.text or "" for each in children(element, "tc:text")), "")
                reply = bool(attribute(element, "parentId"))
                found.append(
                    (
                        *place(reference),
                        _comment(reference, ", ".join(filter(None, (by, date))), text, reply=reply),
                    )
                )
        for target in package.related(part, "comments"):
            root = package.part(target)
            if root is None:
                continue
            authors = [(each.text or "").strip() for each in descendants(root, "s:author")]
            for element in descendants(root, "s:comment"):
                reference = attribute(element, "ref")
                if reference in threaded:  # an old note stands in for the thread, for old programs
                    continue
                at = number(attribute(element, "authorId"), -1)
                by = authors[at] if 0 <= at < len(authors) else ""
                text = "".join(
                    each.text or ""
                    for each in descendants(element, "s:t")
                    if (parent := each.getparent()) is None or name(parent) != "s:rPh"
                )
                found.append(
                    (*place(reference), _comment(reference, by, text.strip().removeprefix(f"{by}:").strip()))
                )
        self._waiting = sorted(found, key=lambda each: each[:2])
        self._told = 0

    def up_to(self, row: int | None) -> list[Piece]:
        """Those on rows up to ``row``, or all, that were not told yet."""
        start = self._told
        while self._told < len(self._waiting) and (row is None or self._waiting[self._told][0] <= row):
            self._told += 1
        return [piece for _, _, piece in self._waiting[start : self._told]]


def _comment(reference: str, by: str, text: str, *, reply: bool = False) -> Piece:
    head = comment_head(by, "", reply=reply)
    line = Line()
    line.write(f"{head} on {reference}: {text}")
    return line.piece(BlockKind.COMMENT)


def _people(package: Package, main: str) -> dict[str, str]:
    """Names of those who wrote in threads, by id."""
    root = package.related_part(main, "person")
    return (
        {attribute(each, "id"): attribute(each, "displayName") for each in root} if root is not None else {}
    )


def _header_code(match: re.Match[str]) -> str:
    """What a code in a header or footer leaves: a gap between left, middle and right; most nothing."""
    code = match[0][1:]
    return {"L": " ", "C": " ", "R": " ", "&": "&"}.get(code, "")
