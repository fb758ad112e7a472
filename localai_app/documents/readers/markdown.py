"""Reads Markdown: its text as it was written, its structure from a CommonMark parser."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from localai_app.documents.document import BlockKind, Facts, Mark, MarkKind
from localai_app.documents.readers.encoding import decode
from localai_app.documents.readers.parts import Piece, parts, shown
from localai_app.documents.reading import Finished, Job, PageRead, ReadAnswer, Started

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_TITLE = re.compile(r"^title\s*:\s*[\"']?(.+?)[\"']?\s*$", re.MULTILINE | re.IGNORECASE)
_FRONT_MATTER = re.compile(r"\A---[^\S\n]*\n(.*?\n)(?:---|\.\.\.)[^\S\n]*(?:\n|\Z)", re.DOTALL)


def prepare() -> None:
    """Load what is needed while files can still be opened."""
    _parser()


def read(data: bytes, job: Job) -> Iterator[ReadAnswer]:
    """Yield the source text in parts; comments, which no reader of the rendered page sees, are hidden."""
    yield Started("md", 0)
    decoded = decode(data)
    text = shown(decoded.text)
    pieces = list(_pieces(text))
    yield from map(PageRead, parts(pieces))
    yield Finished(Facts("md", 0, _title(text, pieces), warnings=decoded.warnings))


def _parser() -> "MarkdownIt":
    from markdown_it import MarkdownIt  # noqa: PLC0415 - for this format alone

    # Blocks are all that is wanted; what stands inside a line is kept as it is.
    parser = MarkdownIt("commonmark").enable("table")
    parser.core.ruler.enableOnly(["normalize", "block"])
    return parser


def _pieces(text: str) -> Iterator[Piece]:
    lines = text.split("\n")
    start = 0
    if match := _FRONT_MATTER.match(text):
        start = match[0].count("\n")
        yield Piece(BlockKind.FIELD, "\n".join(lines[:start]))
    body = "\n".join(lines[start:])
    done = 0
    for kind, level, first, end in _spans(_parser().parse(body)):
        if first < done:
            continue
        # What no block holds, such as the targets of links, is text all the same.
        yield _piece(BlockKind.PARAGRAPH, lines[start + done : start + first])
        yield _piece(kind, lines[start + first : start + end], level)
        done = end
    yield _piece(BlockKind.PARAGRAPH, lines[start + done :])


def _spans(tokens: "list[Token]") -> Iterator[tuple[BlockKind, int, int, int]]:
    """Kind, level, first line and the line behind the last, of each block without blocks inside it."""
    lists = 0
    for token in tokens:
        if token.type in ("bullet_list_open", "ordered_list_open"):
            lists += 1
        elif token.type in ("bullet_list_close", "ordered_list_close"):
            lists -= 1
        if not token.map:
            continue
        first, end = token.map
        if token.type == "heading_open":
            yield BlockKind.HEADING, int(token.tag[1]), first, end
        elif token.type == "table_open":
            yield BlockKind.TABLE, 0, first, end
        elif token.type in ("fence", "code_block"):
            yield BlockKind.CODE, 0, first, end
        elif token.type in ("paragraph_open", "html_block"):
            yield (BlockKind.LIST_ITEM, lists, first, end) if lists else (BlockKind.PARAGRAPH, 0, first, end)


def _piece(kind: BlockKind, lines: list[str], level: int = 0) -> Piece:
    text = "\n".join(lines)
    comments = () if kind is BlockKind.CODE else _COMMENT.finditer(text)
    marks = (Mark(MarkKind.HIDDEN, match.start(), match.end(), "a comment") for match in comments)
    return Piece(kind, text, level, tuple(marks))


def _title(text: str, pieces: list[Piece]) -> str:
    if (front := _FRONT_MATTER.match(text)) and (match := _TITLE.search(front[1])):
        return match[1]
    first = next((piece.text for piece in pieces if piece.kind is BlockKind.HEADING and piece.level == 1), "")
    return first.lstrip("#").partition("\n")[0].strip(" #")
