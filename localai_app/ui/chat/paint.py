"""What is painted behind the transcript's text: bubbles, code cards, quotation bars, rules, bullets."""

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QPainter, QPen, QTextBlock, QTextDocument

from localai_app.ui.chat.formats import BULLET, QUOTE_DEPTH, RULE
from localai_app.ui.chat.message_document import BUBBLE_INSET, Entry, MessageDocument
from localai_app.ui.theme import Theme


class Backdrop:
    """Paints one entry at a time; ``painter`` is in the document's coordinates."""

    def __init__(self, document: QTextDocument, content: MessageDocument, theme: Theme) -> None:
        self._document, self._content, self._theme = document, content, theme

    def paint(self, painter: QPainter, entry: Entry, first: QTextBlock, bottom: float) -> None:
        """Paint behind ``entry``: blocks from ``first`` on, down to ``bottom``."""
        if entry.bubble is not None:
            self._paint_bubble(painter, entry)
            return
        for code in self._content.code_of(entry):
            px = self._theme.px
            painter.setPen(QPen(self._theme.color("line"), 1))
            painter.setBrush(self._theme.color("code"))
            painter.drawRoundedRect(
                self._content.rect(code.frame).adjusted(0.5, 0.5, -0.5, -0.5), px(8), px(8)
            )
        block, last = entry.frame.firstCursorPosition().block(), entry.frame.lastPosition()
        if first.position() > block.position():
            block = first
        layout = self._document.documentLayout()
        while block.isValid() and block.position() <= last:
            rect = layout.blockBoundingRect(block)
            if rect.top() > bottom:
                break
            self._paint_block(painter, block, rect)
            block = block.next()

    def _paint_bubble(self, painter: QPainter, entry: Entry) -> None:
        assert entry.bubble is not None
        px, lift = self._theme.px, self._content.formats.lift
        rect = self._content.rect(entry.bubble).adjusted(-px(BUBBLE_INSET), lift, px(BUBBLE_INSET), lift)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._theme.color("soft"))
        painter.drawRoundedRect(rect, px(14), px(14))

    def _paint_block(self, painter: QPainter, block: QTextBlock, rect: QRectF) -> None:
        px, formats, form = self._theme.px, self._content.formats, block.blockFormat()
        lines = max(1, block.layout().lineCount()) * formats.line_height
        for level in range(form.intProperty(QUOTE_DEPTH)):
            bar = QRectF(level * px(16), rect.top() + formats.lift, px(3), lines)
            painter.fillRect(bar, formats.line)
        bullet = form.intProperty(BULLET)
        if bullet:
            left = rect.left() + block.layout().lineAt(0).naturalTextRect().left()
            self._paint_bullet(painter, QPointF(left, rect.top()), bullet)
        if form.boolProperty(RULE):
            painter.fillRect(QRectF(0, rect.center().y(), self._content.column, 1), formats.line)

    def _paint_bullet(self, painter: QPainter, line: QPointF, depth: int) -> None:
        """A dot before the line that begins at ``line``; a ring one level deeper."""
        size, formats = self._theme.px(5), self._content.formats
        middle = line.y() + formats.lift + formats.line_height / 2
        painter.setPen(QPen(self._theme.color("text"), 1))
        painter.setBrush(self._theme.color("text") if depth % 2 else Qt.BrushStyle.NoBrush)
        painter.drawEllipse(QRectF(line.x() - self._theme.px(14), middle - size / 2, size, size))
