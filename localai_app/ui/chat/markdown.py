"""Markdown into a text document, safely.

markdown-it-py parses (raw HTML stays literal text, no linkify); this module walks its tokens and
inserts text with formats. It can insert text, tables, lists and frames, and nothing else: there is
no way from a message to an image, a style sheet or a file. Links keep an address only when it is
https; images become their alternative text.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from markdown_it import MarkdownIt
from markdown_it.token import Token
from PySide6.QtCore import Qt
from PySide6.QtGui import (
    QFont,
    QTextBlockFormat,
    QTextCharFormat,
    QTextCursor,
    QTextFrame,
    QTextFrameFormat,
    QTextList,
    QTextListFormat,
    QTextTable,
    QTextTableCellFormat,
    QTextTableFormat,
)

from localai_app.ui.chat.formats import ALIGNMENTS, BULLET, QUOTE_DEPTH, RULE, Formats

LINE_BREAK = "\u2028"
_CITED = re.compile(r"\[(\d{1,3})\]")


@dataclass(frozen=True)
class CodeBlock:
    """A fenced block as it stands in the document."""

    frame: QTextFrame
    text: str
    language: str


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "linkify": False})
    return parser.enable(["table", "strikethrough"])


def parse(text: str) -> list[Token]:
    """``text`` as block tokens."""
    return _parser().parse(text)


def last_block(tokens: Sequence[Token]) -> int:
    """Index of the token that begins the last top-level block; 0 when there is one or none."""
    for index in range(len(tokens) - 1, -1, -1):
        if tokens[index].level == 0 and tokens[index].nesting >= 0:
            return index
    return 0


class MarkdownWriter:
    """Inserts blocks at ``cursor``, which must stand in an empty block that may be used."""

    def __init__(
        self, cursor: QTextCursor, formats: Formats, citations: Mapping[int, list[str]] | None = None
    ) -> None:
        """``citations``: where each ``[n]`` of the text leads, in their order; other numbers stay text."""
        self.cursor = cursor
        self._citations = citations or {}
        self.code_blocks: list[CodeBlock] = []
        self.open_code = False
        """The last block written is code: more of it may be inserted at the cursor as plain text."""
        self._formats = formats
        self._body = formats.body
        self._fresh = True
        self._lists: list[tuple[QTextListFormat, QTextList | None]] = []
        self._item_pending = False
        self._tight: list[bool] = []
        self._quotes = 0
        self._gap = 0

    def write(self, tokens: Sequence[Token]) -> None:
        """Insert all of ``tokens``."""
        index = 0
        while index < len(tokens):
            index = self._write_one(tokens, index)

    def plain(self, text: str) -> None:
        """Insert ``text`` as it is, after what was written."""
        if self.open_code:
            self.cursor.insertText(text, self._formats.mono)
            return
        if self._fresh:
            self.block(self._formats.paragraph(), self._body)
        self.cursor.insertText(text.replace("\n", LINE_BREAK), self._body)

    def block(self, block: QTextBlockFormat, text: QTextCharFormat) -> None:
        """Begin a block with these formats."""
        self.leave_code()
        if self._gap:
            block.setTopMargin(max(block.topMargin(), self._formats.px(self._gap)))
            self._gap = 0
        if self._quotes:
            block.setLeftMargin(block.leftMargin() + self._quotes * self._formats.px(16))
            block.setProperty(QUOTE_DEPTH, self._quotes)
        if self._fresh:
            self._reset(block, text)
            self._fresh = False
        else:
            self.cursor.insertBlock(block, text)
        self.cursor.setCharFormat(text)

    def end(self) -> int:
        """Leave an empty block that may be used next; its position."""
        self.leave_code()
        if not self._fresh:
            self.cursor.insertBlock(self._formats.spacer(0), self._formats.spacer_text())
            self._fresh = True
        return self.cursor.position()

    def leave_code(self) -> None:
        """Step out of the code block written last."""
        if self.open_code:
            self.open_code = False
            self.cursor.setPosition(self.code_blocks[-1].frame.lastPosition() + 1)
            self._fresh = True

    def _write_one(self, tokens: Sequence[Token], index: int) -> int:
        token = tokens[index]
        kind = token.type
        if kind == "paragraph_open":
            self._paragraph(tokens[index + 1])
            return index + 3
        if kind == "heading_open":
            block, text = self._formats.heading(int(token.tag[1:]))
            self.block(block, text)
            self._inline(tokens[index + 1].children or [], text)
            return index + 3
        if kind in ("fence", "code_block"):
            self._code(token.content.removesuffix("\n"), token.info.strip().split(" ")[0])
        elif kind in ("bullet_list_open", "ordered_list_open"):
            self._open_list(token, tokens, index)
        elif kind in ("bullet_list_close", "ordered_list_close"):
            self._lists.pop()
            self._tight.pop()
            if not self._lists:
                self._gap = 6
        elif kind == "list_item_open":
            self._item_pending = True
        elif kind == "list_item_close" and self._item_pending:
            self._list_block()
        elif kind == "blockquote_open":
            self._quotes += 1
        elif kind == "blockquote_close":
            self._quotes -= 1
        elif kind == "hr":
            block = self._formats.spacer(17)
            block.setProperty(RULE, True)
            self.block(block, self._formats.spacer_text())
        elif kind == "table_open":
            return self._table(tokens, index)
        return index + 1

    def _paragraph(self, inline: Token) -> None:
        if self._lists and self._item_pending:
            self._list_block()
        else:
            bottom = 3 if self._lists else 8
            self.block(self._formats.paragraph(bottom=bottom, indent=len(self._lists)), self._body)
        self._inline(inline.children or [], self._body)

    def _open_list(self, token: Token, tokens: Sequence[Token], index: int) -> None:
        form = QTextListFormat()
        form.setIndent(len(self._lists) + 1)
        if token.type == "ordered_list_open":
            form.setStyle(QTextListFormat.Style.ListDecimal)
            form.setStart(int(token.attrs.get("start", 1)))
        else:
            # Painted by the transcript: Qt sets its own bullets too near the text.
            form.setStyle(QTextListFormat.Style.ListStyleUndefined)
        tight = any(later.hidden for later in tokens[index : index + 6] if later.type == "paragraph_open")
        self._lists.append((form, None))
        self._tight.append(tight)

    def _list_block(self) -> None:
        """Begin a block with a bullet or number."""
        self._item_pending = False
        form, made = self._lists[-1]
        block = self._formats.paragraph(bottom=3 if self._tight[-1] else 6)
        if form.style() == QTextListFormat.Style.ListStyleUndefined:
            block.setProperty(BULLET, len(self._lists))
        self.block(block, self._body)
        if made is None:
            self._lists[-1] = (form, self.cursor.createList(form))
        else:
            made.add(self.cursor.block())

    def _code(self, text: str, language: str) -> None:
        self._before_frame()
        px = self._formats.px
        form = QTextFrameFormat()
        form.setTopMargin(px(6))
        form.setBottomMargin(px(10))
        form.setLeftMargin(len(self._lists) * self._formats.indent + self._quotes * px(16))
        form.setPadding(px(12))
        frame = self.cursor.insertFrame(form)
        # Never frame.document(): PySide ties the document's wrapper to the frame's life.
        after = frame.lastCursorPosition()
        after.setPosition(frame.lastPosition() + 1)
        after.setBlockFormat(self._formats.spacer(0))
        after.setBlockCharFormat(self._formats.spacer_text())
        self.cursor = frame.firstCursorPosition()
        # The language's line also carries the copy button that lies over the frame.
        head = self._formats.spacer(20)
        self.cursor.setBlockFormat(head)
        self.cursor.setBlockCharFormat(self._formats.small)
        self.cursor.insertText(language or "text", self._formats.small)
        self.cursor.insertBlock(self._formats.code_line(), self._formats.mono)
        text = text.expandtabs(4)
        self.cursor.insertText(text, self._formats.mono)
        self.code_blocks.append(CodeBlock(frame, text, language))
        self.open_code = True
        self._fresh = False

    def _table(self, tokens: Sequence[Token], index: int) -> int:
        rows: list[list[tuple[Token, str]]] = []
        while tokens[index].type != "table_close":
            token = tokens[index]
            if token.type == "tr_open":
                rows.append([])
            elif token.type in ("th_open", "td_open"):
                rows[-1].append((tokens[index + 1], str(token.attrs.get("style", ""))))
            index += 1
        self._before_frame()
        form = QTextTableFormat()
        form.setBorder(0)
        form.setCellSpacing(0)
        form.setCellPadding(0)
        form.setBorderCollapse(True)
        form.setTopMargin(self._formats.px(4))
        form.setBottomMargin(self._formats.px(10))
        form.setWidth(self._formats.full_width())
        form.setHeaderRowCount(1)
        table = self.cursor.insertTable(len(rows), max(len(row) for row in rows), form)
        for number, row in enumerate(rows):
            self._table_row(table, number, row)
        self.cursor.setPosition(table.lastPosition() + 1)
        self._fresh = True
        return index + 1

    def _table_row(self, table: QTextTable, number: int, row: list[tuple[Token, str]]) -> None:
        px = self._formats.px
        base = self._formats.table_head if number == 0 else self._body
        cell_form = QTextTableCellFormat()
        cell_form.setTopPadding(px(8))
        cell_form.setBottomPadding(px(8))
        cell_form.setLeftPadding(px(10))
        cell_form.setRightPadding(px(10))
        cell_form.setBottomBorder(1)
        cell_form.setBottomBorderStyle(QTextFrameFormat.BorderStyle.BorderStyle_Solid)
        cell_form.setBottomBorderBrush(self._formats.line)
        outside = self.cursor
        for column, (inline, style) in enumerate(row):
            cell = table.cellAt(number, column)
            self.cursor = cell.firstCursorPosition()
            block = self._formats.paragraph(bottom=0)
            block.setAlignment(ALIGNMENTS.get(style, Qt.AlignmentFlag.AlignLeft))
            self.cursor.setBlockFormat(block)
            self._inline(inline.children or [], base)
            # Last: a cell keeps its format where the first block keeps its characters'.
            cell.setFormat(cell_form)
        self.cursor = outside

    def _before_frame(self) -> None:
        """A frame needs a block before it: squash the empty one, or let it follow the text."""
        self.leave_code()
        if self._lists and self._item_pending:
            self._list_block()
        elif self._fresh:
            self._reset(self._formats.spacer(0), self._formats.spacer_text())

    def _reset(self, block: QTextBlockFormat, text: QTextCharFormat) -> None:
        """Give the empty block at the cursor other formats; a list it was in lets it go."""
        former = self.cursor.currentList()
        if former is not None:
            former.remove(self.cursor.block())
        self.cursor.setBlockFormat(block)
        self.cursor.setBlockCharFormat(text)

    def _text(self, text: str, form: QTextCharFormat) -> None:
        """Insert text; a number that is cited becomes a link."""
        at = 0
        for match in _CITED.finditer(text) if self._citations else ():
            number = int(match[1])
            if number in self._citations:
                self.cursor.insertText(text[at : match.start()], form)
                places = self._citations[number]
                address = places.pop(0) if len(places) > 1 else places[0]
                self.cursor.insertText(match[0], self._formats.citation(form, address))
                at = match.end()
        self.cursor.insertText(text[at:], form)

    def _inline(self, children: Sequence[Token], base: QTextCharFormat) -> None:
        stack = [base]
        for token in children:
            kind = token.type
            if kind == "text":
                self._text(token.content, stack[-1])
            elif kind in ("softbreak", "hardbreak"):
                self.cursor.insertText(LINE_BREAK, stack[-1])
            elif kind == "code_inline":
                self.cursor.insertText(token.content, self._formats.inline_code)
            elif kind in ("strong_open", "em_open", "s_open"):
                text = QTextCharFormat(stack[-1])
                if kind == "strong_open":
                    text.setFontWeight(QFont.Weight.DemiBold)
                elif kind == "em_open":
                    text.setFontItalic(True)
                else:
                    text.setFontStrikeOut(True)
                stack.append(text)
            elif kind == "link_open":
                href = str(token.attrs.get("href", ""))
                safe = href.lower().startswith("https://")
                stack.append(self._formats.link(stack[-1], href) if safe else stack[-1])
            elif kind in ("strong_close", "em_close", "s_close", "link_close"):
                stack.pop()
            elif kind == "image":
                self.cursor.insertText(f"[{token.content or 'image'}]", self._formats.dim)
            else:
                self.cursor.insertText(token.content, stack[-1])
