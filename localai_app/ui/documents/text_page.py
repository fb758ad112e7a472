"""A page as text: readable, for formats without pages, and exact, as the model was given it.

Text is inserted as text, never as markup, and the readable view loads nothing.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from PySide6.QtCore import Qt, QUrl
from PySide6.QtGui import (
    QColor,
    QFont,
    QImage,
    QResizeEvent,
    QTextBlockFormat,
    QTextCharFormat,
    QTextCursor,
    QTextFrameFormat,
    QTextOption,
    QTextTableCellFormat,
    QTextTableFormat,
)
from PySide6.QtWidgets import QFrame, QPlainTextEdit, QTextBrowser, QTextEdit

from localai_app.documents.document import CELL, Block, BlockKind, Mark, MarkKind, Page
from localai_app.ui.documents import words
from localai_app.ui.theme import COLUMN, Theme
from localai_app.ui.widgets.spans import Units, shown

Span = tuple[int, int]
LINE_BREAK = "\u2028"
MOST_CELLS = 2000
"""Of a table that is laid out as one; larger ones stay lines, or the window would wait for them."""
MARK_TOKENS = {
    MarkKind.INSERTED: "ok",
    MarkKind.DELETED: "bad",
    MarkKind.HIDDEN: "syntax_keyword",
    MarkKind.UNSURE: "warn",
}
ASIDES = (
    BlockKind.FOOTNOTE,
    BlockKind.ENDNOTE,
    BlockKind.COMMENT,
    BlockKind.TEXT_BOX,
    BlockKind.NOTES,
    BlockKind.HEADER,
    BlockKind.FOOTER,
)
"""Blocks that stand beside the text; each is told by name."""


def mark_format(theme: Theme, kind: MarkKind) -> QTextCharFormat:
    """How marked text is drawn: a tint, and a line that tells kinds apart without colour."""
    form = QTextCharFormat()
    form.setBackground(tint(theme, MARK_TOKENS[kind]))
    form.setForeground(theme.color("text"))
    style = QTextCharFormat.UnderlineStyle
    if kind is MarkKind.DELETED:
        form.setFontStrikeOut(True)
    else:
        form.setUnderlineStyle(
            {
                MarkKind.INSERTED: style.SingleUnderline,
                MarkKind.HIDDEN: style.DotLine,
                MarkKind.UNSURE: style.WaveUnderline,
            }[kind]
        )
        form.setUnderlineColor(theme.color(MARK_TOKENS[kind]))
    return form


def tint(theme: Theme, token: str) -> QColor:
    """A ground that text can be read on."""
    ground, color = theme.color("surface"), theme.color(token)
    share = 0.24 if theme.dark else 0.16

    def mixed(of: int, on: int) -> int:
        return round(of * share + on * (1 - share))

    return QColor(
        mixed(color.red(), ground.red()),
        mixed(color.green(), ground.green()),
        mixed(color.blue(), ground.blue()),
    )


class ReadablePage(QTextBrowser):
    """Blocks of a page, laid out to be read."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self.page: Page | None = None
        self._starts: list[int] = []
        self._segments: list[tuple[int, int, int]] = []
        """(start, end, position): this stretch of the page's text begins at that place in the document."""
        self._units = Units("")
        self._fresh = True
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setOpenLinks(False)
        self.setUndoRedoEnabled(False)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self.setAccessibleName(self.tr("Page"))
        self.document().setDocumentMargin(0)
        theme.changed.connect(self._rebuild)

    def show_page(self, page: Page) -> None:
        """Lay out ``page``."""
        self.page = page
        self._units = Units(page.text)
        self._starts, self._segments, self._fresh = [], [], True
        self.setExtraSelections([])
        self.setAccessibleName(words.place(page))
        document = self.document()
        document.clear()
        document.setDefaultFont(self._theme.font())
        cursor = QTextCursor(document)
        cursor.beginEditBlock()
        blocks = page.blocks or ((Block(BlockKind.PARAGRAPH, 0, len(page.text)),) if page.text else ())
        for block in blocks:
            self._write(cursor, page, block)
        cursor.endEditBlock()
        self.verticalScrollBar().setValue(0)

    def show_marks(self, citation: Span | None, hits: Sequence[Span], current: Span | None) -> None:
        """Mark what the page's reader marked, a citation, what was found and which of it is looked at."""
        assert self.page is not None, "no page is shown"
        found = QTextCharFormat()
        found.setBackground(self._theme.color("mark"))
        found.setForeground(self._theme.color("text"))
        looked = QTextCharFormat(found)
        looked.setFontUnderline(True)
        selections = [
            each
            for mark in self.page.marks
            for each in self._selections((mark.start, mark.end), mark_format(self._theme, mark.kind))
        ]
        for span in (*hits, *([citation] if citation else ())):
            selections += self._selections(span, found)
        if current is not None:
            selections += self._selections(current, looked)
        self.setExtraSelections(selections)

    def reveal(self, span: Span) -> None:
        """Bring ``span`` into view."""
        position = self._position(span[0])
        if position is None:
            return
        cursor = QTextCursor(self.document())
        cursor.setPosition(position)
        top = self.cursorRect(cursor).top() + self.verticalScrollBar().value()
        self.verticalScrollBar().setValue(round(top - self.viewport().height() / 3))

    def text_of(self, span: Span) -> str:
        """What the document shows for ``span``."""
        return "".join(each.cursor.selectedText() for each in self._selections(span, QTextCharFormat()))

    # ------------------------------------------------------------ writing

    def _write(self, cursor: QTextCursor, page: Page, block: Block) -> None:
        text = page.text[block.start : block.end]
        rows = [line.split(CELL) for line in text.split("\n")] if block.kind is BlockKind.TABLE else []
        if rows and len({len(row) for row in rows}) == 1 and 1 < len(rows) * len(rows[0]) <= MOST_CELLS:
            self._write_table(cursor, block, rows)
            return
        form, character = self._formats(block)
        if block.kind in ASIDES:
            self._begin(cursor, self._paragraph(bottom=1, left=14), self._character("dim", 12))
            cursor.insertText(_name(block.kind))
        self._begin(cursor, form, character)
        if block.kind is BlockKind.LIST_ITEM and text[:1].isalnum() and not text[:1].isdigit():
            cursor.insertText("•  ")
        self._insert(cursor, block.start, text)

    def _write_table(self, cursor: QTextCursor, block: Block, rows: list[list[str]]) -> None:
        px = self._theme.px
        self._begin(cursor, self._paragraph(bottom=2), self._character("text"))
        form = QTextTableFormat()
        form.setBorder(0)
        form.setCellSpacing(0)
        form.setBorderCollapse(True)
        form.setBottomMargin(px(10))
        table = cursor.insertTable(len(rows), len(rows[0]), form)
        cell_form = QTextTableCellFormat()
        cell_form.setPadding(px(5))
        cell_form.setBottomBorder(1)
        cell_form.setBottomBorderStyle(QTextFrameFormat.BorderStyle.BorderStyle_Solid)
        cell_form.setBottomBorderBrush(self._theme.color("line"))
        offset = block.start
        for row, cells in enumerate(rows):
            for column, text in enumerate(cells):
                cell = table.cellAt(row, column)
                self._insert(cell.firstCursorPosition(), offset, text)
                cell.setFormat(cell_form)
                offset += len(text) + (len(CELL) if column < len(cells) - 1 else 1)
        cursor.setPosition(table.lastPosition() + 1)

    def _begin(self, cursor: QTextCursor, form: QTextBlockFormat, character: QTextCharFormat) -> None:
        if self._fresh:
            cursor.setBlockFormat(form)
            cursor.setBlockCharFormat(character)
            self._fresh = False
        else:
            cursor.insertBlock(form, character)
        cursor.setCharFormat(character)

    def _insert(self, cursor: QTextCursor, start: int, text: str) -> None:
        self._starts.append(start)
        self._segments.append((start, start + len(text), cursor.position()))
        cursor.insertText(shown(text).replace("\n", LINE_BREAK))

    def _formats(self, block: Block) -> tuple[QTextBlockFormat, QTextCharFormat]:
        kind = block.kind
        if kind is BlockKind.HEADING:
            size = {1: 20.0, 2: 17.0, 3: 15.0}.get(block.level, 14.0)
            form = self._paragraph(top=10, bottom=6)
            form.setHeadingLevel(min(max(block.level, 1), 6))
            return form, self._character("text", size, QFont.Weight.DemiBold)
        if kind in (BlockKind.CODE, BlockKind.TABLE):
            form = self._paragraph(bottom=8)
            character = QTextCharFormat()
            character.setFont(self._theme.mono(12.5))
            character.setForeground(self._theme.color("text"))
            return form, character
        if kind is BlockKind.LIST_ITEM:
            return self._paragraph(bottom=3, left=18 * max(1, block.level)), self._character("text")
        if kind in ASIDES:
            return self._paragraph(bottom=8, left=14), self._character("text", 13)
        if kind is BlockKind.FIELD:
            return self._paragraph(bottom=2), self._character("text")
        return self._paragraph(bottom=8), self._character("text")

    def _paragraph(self, *, top: float = 0, bottom: float = 0, left: float = 0) -> QTextBlockFormat:
        px = self._theme.px
        form = QTextBlockFormat()
        form.setTopMargin(px(top) if top else 0)
        form.setBottomMargin(px(bottom) if bottom else 0)
        form.setLeftMargin(px(left) if left else 0)
        form.setLineHeight(px(21), QTextBlockFormat.LineHeightTypes.MinimumHeight.value)
        return form

    def _character(
        self, token: str, size: float = 14, weight: QFont.Weight = QFont.Weight.Normal
    ) -> QTextCharFormat:
        form = QTextCharFormat()
        form.setFont(self._theme.font(size, weight=weight))
        form.setForeground(self._theme.color(token))
        return form

    # ------------------------------------------------------------ places

    def _position(self, offset: int) -> int | None:
        """Where character ``offset`` stands, or the next one that is shown."""
        at = max(0, bisect_right(self._starts, offset) - 1)
        for start, end, position in self._segments[at : at + 2]:
            if offset < end:
                return position + self._units.of(max(offset, start)) - self._units.of(start)
        return None

    def _selections(self, span: Span, form: QTextCharFormat) -> list[QTextEdit.ExtraSelection]:
        made = []
        at = max(0, bisect_right(self._starts, span[0]) - 1)
        for start, end, position in self._segments[at:]:
            if start >= span[1]:
                break
            first, last = max(start, span[0]), min(end, span[1])
            if first >= last:
                continue
            selection = QTextEdit.ExtraSelection()
            selection.cursor = QTextCursor(self.document())
            base = self._units.of(start)
            selection.cursor.setPosition(position + self._units.of(first) - base)
            selection.cursor.setPosition(
                position + self._units.of(last) - base, QTextCursor.MoveMode.KeepAnchor
            )
            selection.format = form
            made.append(selection)
        return made

    def _rebuild(self) -> None:
        self._fit_margins()
        if self.page is not None:
            self.show_page(self.page)

    def _fit_margins(self) -> None:
        side = max(self._theme.px(20), (self.width() - self._theme.px(COLUMN)) // 2)
        self.setViewportMargins(side, self._theme.px(16), side, 0)

    # ------------------------------------------------------------ Qt

    def loadResource(self, kind: int, name: QUrl | str) -> QImage:
        """Nothing: no document may make this window read a file or a share."""
        return QImage()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """A column that can be read, in the middle."""
        super().resizeEvent(event)
        self._fit_margins()


class ModelText(QPlainTextEdit):
    """A page's text exactly as the model was given it, with what people would not see coloured."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self.page: Page | None = None
        self._units = Units("")
        self._spans: tuple[Span | None, tuple[Span, ...]] = (None, ())
        self.setReadOnly(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setUndoRedoEnabled(False)
        self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self.setAccessibleName(self.tr("What the model saw of this page"))
        theme.changed.connect(self._restyle)
        self._restyle()

    def show_page(self, page: Page) -> None:
        """Show the text of ``page``."""
        self.page = page
        self._units = Units(page.text)
        self.setExtraSelections([])
        self.setPlainText(shown(page.text))

    def show_marks(self, citation: Span | None, hits: Iterable[Span]) -> None:
        """Colour the page's own marks, a citation and what was found."""
        self._spans = (citation, tuple(hits))
        if self.page is None:
            return
        found = QTextCharFormat()
        found.setBackground(self._theme.color("mark"))
        found.setForeground(self._theme.color("text"))
        selections = [self._selection((mark.start, mark.end), self._format(mark)) for mark in self.page.marks]
        citations = (citation,) if citation else ()
        selections += [self._selection(span, found) for span in (*self._spans[1], *citations)]
        self.setExtraSelections(selections)

    def reveal(self, span: Span) -> None:
        """Bring ``span`` into view."""
        cursor = QTextCursor(self.document())
        cursor.setPosition(self._units.of(span[0]))
        self.setTextCursor(cursor)
        self.centerCursor()

    def text_of(self, span: Span) -> str:
        """What is shown for ``span``."""
        selection = self._selection(span, QTextCharFormat())
        return selection.cursor.selectedText().replace("\u2029", "\n")

    def _format(self, mark: Mark) -> QTextCharFormat:
        form = mark_format(self._theme, mark.kind)
        form.setToolTip(words.mark(mark.kind) + (f": {mark.note}" if mark.note else ""))
        return form

    def _selection(self, span: Span, form: QTextCharFormat) -> QTextEdit.ExtraSelection:
        selection = QTextEdit.ExtraSelection()
        cursor = QTextCursor(self.document())
        last = self.document().characterCount() - 1
        cursor.setPosition(min(self._units.of(span[0]), last))
        cursor.setPosition(min(self._units.of(span[1]), last), QTextCursor.MoveMode.KeepAnchor)
        selection.cursor, selection.format = cursor, form
        return selection

    def _restyle(self) -> None:
        self.setFont(self._theme.font(13))
        self.document().setDocumentMargin(self._theme.px(16))
        self.show_marks(*self._spans)


def _name(kind: BlockKind) -> str:
    return {
        BlockKind.FOOTNOTE: words.tr("Footnote"),
        BlockKind.ENDNOTE: words.tr("Endnote"),
        BlockKind.COMMENT: words.tr("Comment"),
        BlockKind.TEXT_BOX: words.tr("Text box"),
        BlockKind.NOTES: words.tr("Speaker's notes"),
        BlockKind.HEADER: words.tr("Page header"),
        BlockKind.FOOTER: words.tr("Page footer"),
    }[kind]
