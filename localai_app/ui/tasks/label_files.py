"""Labels from a file: a table's first two columns, or one label a line."""

import csv
from pathlib import Path

from localai_app.errors import UsageError

LARGEST = 1_000_000
"""Bytes: a set of labels is far smaller."""
MOST_LINES = 1000
_HEADS = {"label", "labels", "name", "class", "category"}
_DELIMITERS = "\t;,"


def read_labels(path: Path) -> list[tuple[str, str]]:
    """(name, when it fits) of each line that has a name, twins left out; raise `UsageError`."""
    try:
        if path.stat().st_size > LARGEST:
            raise UsageError("The file is too large for a set of labels.", "Choose another file.")
        text = _text(path.read_bytes())
    except OSError as error:
        raise UsageError(f"The file cannot be read: {error.strerror or error}.") from None
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise UsageError("There are no labels in the file.", "Write one a line.")
    if len(lines) > MOST_LINES:
        raise UsageError(f"The file has {len(lines):,} lines.", "Choose a file with one label a line.")
    delimiter = _delimiter(lines, table=path.suffix.lower() in (".csv", ".tsv"))
    try:
        rows = (
            list(csv.reader(lines, delimiter=delimiter, strict=True))
            if delimiter
            else [[line] for line in lines]
        )
    except csv.Error as error:
        raise UsageError(f"The file is not a table: {error}.", "Write one label a line.") from None
    cells = [[" ".join(cell.split()) for cell in (*row, "", "")[:2]] for row in rows]
    if len(cells) > 1 and cells[0][0].casefold() in _HEADS:
        del cells[0]
    found: dict[str, tuple[str, str]] = {}
    for name, said in cells:
        if name:
            found.setdefault(name.casefold(), (name, said))
    return list(found.values())


def _text(raw: bytes) -> str:
    """Spreadsheets write UTF-8 or UTF-16 with a mark, or the Western code page of Windows."""
    if b"\0" in raw and not raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UsageError("The file is not text.", "Save it as CSV or as plain text.")
    encodings = ("utf-16",) if raw.startswith((b"\xff\xfe", b"\xfe\xff")) else ("utf-8-sig", "cp1252")
    for encoding in encodings:
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise UsageError("The file is not text.", "Save it as CSV or as plain text, in UTF-8.")


def _delimiter(lines: list[str], *, table: bool) -> str:
    """The first that stands in every line; in plain text only a tab, for sentences have commas."""
    for each in _DELIMITERS if table else "\t":
        if all(each in line for line in lines):
            return each
    if not table:
        return ""
    return max(_DELIMITERS, key=lambda each: sum(each in line for line in lines))
