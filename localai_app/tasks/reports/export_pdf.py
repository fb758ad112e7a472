"""The report of a run as PDF/A-2, for archives.

Typst sets it: it shapes Arabic and Indic letters, orders text from right to left, breaks Chinese and takes
from the system's fonts those that have the letters, and it is one library without a program beside it. What
it is given of a document is data, never markup. What no font of this computer can show is refused by PDF/A;
it then stands in the report by its number, “[U+1F600]”, and the report says so.
"""

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any

from localai_app.errors import LocalAIError
from localai_app.store.harmless import in_order, printable
from localai_app.tasks.reports import report
from localai_app.tasks.reports.report import Block, Facts, Heading, Line, Table
from localai_app.tasks.run import Item, Run

_FAMILIES = (
    *("Noto Sans", "Segoe UI", "Helvetica Neue", "Arial", "Liberation Sans", "DejaVu Sans"),
    *("Noto Sans CJK SC", "Microsoft YaHei", "PingFang SC", "Noto Sans Arabic", "Libertinus Serif"),
)
"""In this order, of those that are there; the last one comes with Typst."""
_LONGEST_TITLE = 300
_LONG_WORD = re.compile(r"\S{40}(?=\S)")
_BREAK = "\u200b"
_NOT_SHOWN = re.compile(r"the text `\"((?:[^\"\\]|\\.)*)\"` could not be displayed")
_ESCAPE = re.compile(r"\\u\{([0-9a-f]+)\}|\\(.)", re.DOTALL)
_JOINERS = "\u200d\ufe0e\ufe0f"
_MOST_ROUNDS = 40
"""Each finds characters that cannot be shown; nearly all come in the first."""

_TEMPLATE = """
#let report = json(bytes(sys.inputs.report))
#set document(title: report.title)
#set text(font: report.fonts, size: 8.5pt)
#set par(leading: 0.5em)
#set page(paper: "a4", flipped: true, margin: (x: 18mm, y: 16mm),
  footer: context align(center, text(size: 7.5pt, fill: luma(90))[
    #report.title — #counter(page).display() / #counter(page).final().first()]))
#show heading: it => block(sticky: true, above: 1.3em, below: 0.6em,
  text(size: (16pt, 12pt, 10pt, 9pt).at(calc.min(it.level, 4) - 1), fill: rgb("#2E2A5C"), it.body))
#let warn(content) = text(fill: rgb("#9A3412"), weight: "bold", content)
#let cells(row) = row.map(cell => [#cell])
#for block-of in report.blocks {
  if block-of.is == "heading" { heading(level: block-of.level, block-of.text) }
  if block-of.is == "line" { par(if block-of.warning { warn(block-of.text) } else [#block-of.text]) }
  if block-of.is == "facts" {
    grid(columns: (20%, 80%), row-gutter: 0.45em, column-gutter: 0.5em,
      ..block-of.rows.map(row => (strong(row.at(0)), [#row.at(1)])).flatten())
  }
  if block-of.is == "table" {
    table(columns: block-of.widths.map(share => share * 1fr), stroke: 0.4pt + luma(190), inset: 3.5pt,
      fill: (_, y) => if y == 0 { rgb("#ECEBF5") },
      table.header(..block-of.head.map(cell => strong(cell))),
      ..block-of.rows.map(cells).flatten())
  }
}
"""


def write(run: Run, items: Sequence[Item]) -> bytes:
    """The bytes of the file; raise `LocalAIError` where it cannot be set."""
    blocks = [*report.blocks(run, items)]
    written = int((run.finished or run.created).timestamp())
    shown = _Shown()
    for _ in range(_MOST_ROUNDS):
        content = _set(run.title, [*blocks[:1], *shown.note(), *blocks[1:]], shown, written)
        if content is not None:
            return content
    raise _failure()


class _Shown:
    """What the fonts of this computer can show, as far as is known."""

    def __init__(self) -> None:
        self._missing: set[str] = set()

    def text(self, text: str) -> str:
        """``text`` with the number of what cannot be shown in its place."""
        text = _LONG_WORD.sub(rf"\g<0>{_BREAK}", in_order(printable(text)))
        if self._missing.isdisjoint(text):
            return text
        # What joins emoji to one picture means nothing behind a number.
        some = re.compile(f"([{re.escape(''.join(self._missing))}])[{_JOINERS}]*")
        return some.sub(lambda found: f"[U+{ord(found[1]):04X}]", text)

    def lacks(self, texts: Iterable[str]) -> bool:
        """Learn that ``texts``, each of a letter and its accents, cannot be shown; whether that is news."""
        found = {one for text in texts for one in _not_shown(text)} - self._missing
        pictures = {one for one in found if one not in _JOINERS}
        self._missing |= pictures or found
        return bool(found)

    def note(self) -> Iterator[Block]:
        """What a reader has to know."""
        if self._missing:
            words = "No font of the computer that wrote this report can show some characters"
            yield Line(f"{words}: their numbers stand in their place, U+{ord(min(self._missing)):04X}.", True)


def _not_shown(text: str) -> str:
    """Which of a letter and its accents cannot be shown, most likely: the accents."""
    return "".join(one for one in text[1:] if unicodedata.category(one)[0] in "MC") or text


def _set(title: str, blocks: Sequence[Block], shown: _Shown, written: int) -> bytes | None:
    """The report as PDF; None where characters cannot be shown that were not known before."""
    import typst  # noqa: PLC0415 - a large library that only this needs

    fonts = _fonts()
    there = set(fonts.families())
    given = {
        "title": shown.text(title)[:_LONGEST_TITLE],
        "fonts": [family for family in _FAMILIES if family in there],
        "blocks": [_plain(block, shown) for block in blocks],
    }
    compiler = typst.Compiler(font_paths=fonts, sys_inputs={"report": json.dumps(given)})
    try:
        content = compiler.compile(
            _TEMPLATE.encode(), format="pdf", pdf_standards=["a-2b"], timestamp=written
        )
    except typst.TypstError as error:
        texts = (_ESCAPE.sub(_unescaped, text) for text in _NOT_SHOWN.findall(error.diagnostic))
        if not shown.lacks(texts):
            raise _failure() from error
        return None
    assert isinstance(content, bytes)
    return content


def _plain(block: Block, shown: _Shown) -> dict[str, Any]:
    """A block as the template takes it."""

    def row(cells: Sequence[str]) -> list[str]:
        return [shown.text(cell) for cell in cells]

    match block:
        case Heading():
            return {"is": "heading", "level": block.level, "text": shown.text(block.text)}
        case Line():
            return {"is": "line", "warning": block.warning, "text": shown.text(block.text)}
        case Facts():
            return {"is": "facts", "rows": [row(pair) for pair in block.pairs if pair[1]]}
        case Table():
            rows = [row(cells) for cells in block.rows]
            return {"is": "table", "head": row(block.head), "widths": block.widths, "rows": rows}


@cache
def _fonts() -> Any:
    """Those of the system and of Typst; looking for them takes a moment."""
    import typst  # noqa: PLC0415 - as above

    return typst.Fonts()


def _unescaped(found: re.Match[str]) -> str:
    return chr(int(found[1], 16)) if found[1] else found[2]


def _failure() -> LocalAIError:
    return LocalAIError("The report cannot be written as PDF.", "Export it as Word or Markdown instead.")
