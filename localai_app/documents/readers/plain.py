"""Reads plain text in any encoding: prose, logs, JSON, XML, source code; all of it verbatim."""

import re
from collections.abc import Iterator
from dataclasses import replace

from localai_app.documents.document import BlockKind, Facts
from localai_app.documents.readers.encoding import declared_in_xml, decode
from localai_app.documents.readers.parts import Piece, parts, shown
from localai_app.documents.reading import Finished, Job, PageRead, ReadAnswer, Started

_BLANK = re.compile(r"\n(?:[^\S\n]*\n)+")


def read(data: bytes, job: Job) -> Iterator[ReadAnswer]:
    """Yield the text in parts of about two pages; raise nothing: any bytes are some text."""
    yield Started("txt", 0)
    decoded = decode(data, declared_in_xml(data))
    yield from map(PageRead, parts(map(_indented, paragraphs(shown(decoded.text)))))
    yield Finished(Facts("txt", 0, warnings=decoded.warnings))


def paragraphs(text: str) -> Iterator[Piece]:
    """What stands between blank lines."""
    start = 0
    for blank in _BLANK.finditer(text):
        yield Piece(BlockKind.PARAGRAPH, text[start : blank.start()])
        start = blank.end()
    yield Piece(BlockKind.PARAGRAPH, text[start:])


def _indented(piece: Piece) -> Piece:
    """Where the first line is set in, the other lines' spaces mean something too: it is kept as it is."""
    is_code = piece.text.startswith(("    ", "\t", "{", "<"))
    return replace(piece, kind=BlockKind.CODE) if is_code else piece
