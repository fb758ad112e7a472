"""Reads tables that are stored as text: CSV, TSV and their like, whatever divides their cells."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice

from localai_app.documents.document import CELL, BlockKind, Facts
from localai_app.documents.readers.encoding import decode
from localai_app.documents.readers.parts import PART, Piece, parts, shown
from localai_app.documents.reading import Finished, Job, PageRead, ReadAnswer, Started

_DELIMITERS = ",;\t|"
_SAMPLE_ROWS = 200
_LONGEST_HEADER = 1_000
"""Characters; a longer header row is not repeated."""
_NUMBER = re.compile(r"[-+(]?[\d.,'\s€$£%]*\d[\d.,'\s€$£%)]*")


def read(data: bytes, job: Job) -> Iterator[ReadAnswer]:
    """Yield the rows in parts. The header row begins every part, so that a row says what its values are."""
    yield Started("csv", 0)
    decoded = decode(data)
    text = shown(decoded.text)
    csv.field_size_limit(max(csv.field_size_limit(), len(text) + 1))
    rows = _rows(text)
    yield from map(PageRead, parts(_pieces(rows)))
    yield Finished(Facts("csv", 0, warnings=decoded.warnings))


def _rows(text: str) -> Iterator[list[str]]:
    if match := re.match(r"sep=([^\n])\n", text, re.IGNORECASE):  # Excel's own way to say it
        return _parsed(text[match.end() :], match[1])
    return _parsed(text, _delimiter(text))


def _parsed(text: str, delimiter: str) -> Iterator[list[str]]:
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)


def _delimiter(text: str) -> str:
    """The one by which most rows have the same number of cells, and more than one."""
    sample = text[: 256 * 1024]
    best, best_score = ",", 0.0
    for delimiter in _DELIMITERS:
        widths = Counter(len(row) for row in islice(_parsed(sample, delimiter), _SAMPLE_ROWS) if row)
        width, rows = max(widths.items(), key=lambda item: (item[0] > 1, item[1]), default=(1, 0))
        score = rows / max(1, sum(widths.values())) * (1 + min(width, 20) / 100) if width > 1 else 0.0
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _pieces(rows: Iterator[list[str]]) -> Iterator[Piece]:
    first = next((row for row in rows if any(cell.strip() for cell in row)), None)
    if first is None:
        return
    second = next((row for row in rows if any(cell.strip() for cell in row)), None)
    header = _line(first)
    repeated = header if _is_header(first, second) and len(header) <= _LONGEST_HEADER else ""
    lines, length = [header], len(header)
    for row in [second] if second is not None else []:
        lines.append(_line(row))
        length += len(lines[-1])
    for row in rows:
        if not any(cell.strip() for cell in row):
            continue
        line = _line(row)
        if length + len(line) > PART:
            yield Piece(BlockKind.TABLE, "\n".join(lines))
            lines = [repeated] if repeated else []
            length = len(repeated)
        lines.append(line)
        length += len(line) + 1
    yield Piece(BlockKind.TABLE, "\n".join(lines))


def _line(row: list[str]) -> str:
    return CELL.join(" ".join(cell.split()) for cell in row)


def _is_header(first: list[str], second: list[str] | None) -> bool:
    """Whether the first row names its columns: no numbers, no blanks, nothing twice, and rows follow."""
    names = [cell.strip() for cell in first]
    return (
        second is not None
        and len(names) > 1
        and all(names)
        and len(set(names)) == len(names)
        and not any(_NUMBER.fullmatch(name) for name in names)
    )
