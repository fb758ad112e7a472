"""What an answer from documents rests on, under its text: a card per citation, and one on the coverage.

Heights follow from the message alone, so that the transcript can leave room before a card is made.
"""

from collections.abc import Sequence

from PySide6.QtCore import QPointF, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFont, QPainter, QPaintEvent, QPen, QResizeEvent, QTextLayout, QTextOption
from PySide6.QtWidgets import QAbstractButton, QFrame, QHBoxLayout, QVBoxLayout, QWidget

from localai_app.chat.conversation import Message
from localai_app.documents.document import Citation
from localai_app.documents.grounding import Coverage, Mode, Price
from localai_app.ui.documents import words
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button
from localai_app.ui.widgets.labels import ElidedLabel

WHOLE, LINE, COVERAGE, UNREAD, GAP, TOP = 88, 40, 62, 20, 10, 6
"""Design pixels of a card with its quotation, of one without, of the coverage, of a line more, between cards,
before the first."""
FULL = 4
"""Citations that are shown with their quotation; where there are more, each has a line."""


def cards_height(message: Message) -> int:
    """Design pixels that the cards of ``message`` need; 0 for none."""
    coverage = message.record.coverage if message.record else None
    one = WHOLE if len(message.citations) <= FULL else LINE
    height = len(message.citations) * (one + GAP)
    if coverage is not None:
        height += COVERAGE + GAP + (UNREAD if words.unread(coverage) else 0)
    return height + TOP if height else 0


class CitationCard(QAbstractButton):
    """Number, place, verdict and, where there is room, the quotation; opens the page."""

    def __init__(self, theme: Theme, citation: Citation, parent: QWidget, *, full: bool) -> None:
        super().__init__(parent)
        self._theme, self.citation, self._full = theme, citation, full
        self.verdict = self.tr("verbatim") if citation.verified else self.tr("not verified")
        self.title = f"{citation.document_name}, {citation.place}"
        if not citation.document_id:
            self.title = self.tr("There is no passage {0}").format(citation.number)
            self.setEnabled(False)
        self.setAccessibleName(
            self.tr("Citation {0}: {1}, {2}").format(citation.number, self.title, self.verdict)
        )
        self.setAccessibleDescription(citation.quotation)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setMouseTracking(True)

    def sizeHint(self) -> QSize:
        """As high as the transcript left room for."""
        return QSize(200, self._theme.px(WHOLE if self._full else LINE))

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the card."""
        px, theme = self._theme.px, self._theme
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        ring = "accent" if self.hasFocus() else "line"
        painter.setPen(QPen(theme.color(ring), 1))
        painter.setBrush(theme.color("hover" if self.underMouse() else "surface"))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), px(12), px(12))
        head = QRect(px(12), px(9), self.width() - px(24), px(22))
        badge = self._chip(painter, head, str(self.citation.number), "accent", "soft", right=False)
        verdict = ("✓ " if self.citation.verified else "! ") + self.verdict
        tone, ground = ("ok", "soft") if self.citation.verified else ("warn", "code")
        chip = self._chip(painter, head, verdict, tone, ground, right=True)
        title = QRect(badge.right() + px(8), head.top(), chip.left() - badge.right() - px(16), head.height())
        painter.setFont(theme.font(weight=QFont.Weight.DemiBold))
        painter.setPen(theme.color("text"))
        cut = painter.fontMetrics().elidedText(self.title, Qt.TextElideMode.ElideMiddle, title.width())
        painter.drawText(title, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, cut)
        if self._full:
            below = QRect(px(13), head.bottom() + px(6), self.width() - px(26), px(42))
            self._quotation(painter, below)
        painter.end()

    def _chip(
        self, painter: QPainter, head: QRect, text: str, tone: str, ground: str, *, right: bool
    ) -> QRect:
        px = self._theme.px
        painter.setFont(self._theme.font(12.5, weight=QFont.Weight.DemiBold))
        width = painter.fontMetrics().horizontalAdvance(text) + px(14)
        left = head.right() - width if right else head.left()
        chip = QRect(left, head.center().y() - px(10), width, px(21))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._theme.color(ground))
        painter.drawRoundedRect(chip, px(6), px(6))
        painter.setPen(self._theme.color(tone))
        painter.drawText(chip, Qt.AlignmentFlag.AlignCenter, text)
        return chip

    def _quotation(self, painter: QPainter, area: QRect) -> None:
        """Two lines; the second is cut where there is more."""
        quotation = " ".join(self.citation.quotation.split())
        if not quotation:
            return
        text = f"“{quotation}”"
        if self.citation.found:
            text = self.tr("Found by the app, not named by the model: {0}").format(text)
        font = self._theme.font(13)
        layout = QTextLayout(text, font)
        option = QTextOption()
        option.setWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        layout.setTextOption(option)
        layout.beginLayout()
        first = layout.createLine()
        first.setLineWidth(area.width())
        layout.endLayout()
        painter.setFont(font)
        painter.setPen(self._theme.color("dim"))
        layout.draw(painter, QPointF(area.topLeft()))
        rest = text.encode("utf-16-le")[first.textLength() * 2 :].decode("utf-16-le", "replace").strip()
        if rest:
            metrics = painter.fontMetrics()
            line = metrics.elidedText(rest, Qt.TextElideMode.ElideRight, area.width())
            at = QPointF(area.left(), area.top() + first.height() + metrics.ascent() + self._theme.px(2))
            painter.drawText(at, line)


class CoverageCard(QFrame):
    """How much of the documents the answer rests on, and the way to all of it."""

    every_page_requested = Signal()

    def __init__(self, theme: Theme, coverage: Coverage, parent: QWidget, *, last: bool) -> None:
        super().__init__(parent)
        px = theme.px
        self.setProperty("look", "card")
        self._theme, self._coverage = theme, coverage
        self.title = ElidedLabel(words.coverage(coverage), "strong")
        self.line = ElidedLabel("", "dim")
        self.unread = ElidedLabel(words.unread(coverage), "warn")
        self.button = Button(theme, self.tr("Read every page"), look="link")
        self.button.clicked.connect(self.every_page_requested)
        head = QHBoxLayout()
        head.setSpacing(px(6))
        head.addWidget(self.title, 1)
        head.addWidget(self.button)
        column = QVBoxLayout(self)
        column.setContentsMargins(px(13), px(6), px(7), px(8))
        column.setSpacing(px(1))
        column.addLayout(head)
        column.addWidget(self.line)
        column.addWidget(self.unread)
        # Not before they have a parent: they would flash as windows of their own.
        self.unread.setVisible(bool(self.unread.text()))
        self.button.setVisible(last and coverage.mode is Mode.SEARCH)
        self.show_prices(())

    def show_prices(self, prices: Sequence[Price]) -> None:
        """Say what the ways not taken would cost."""
        covered = self._coverage
        every = next((price for price in prices if price.mode is Mode.EXHAUSTIVE), None)
        if covered.mode is Mode.SEARCH and every is not None:
            parts = [words.pages(every.pages)]
            if every.seconds is not None:
                parts.append(self.tr("about {0}").format(words.duration(every.seconds)))
            self.line.setText(self.tr("Every page instead: {0}").format(", ".join(parts)))
        else:
            self.line.setText(
                self.tr("{0} of {1} given to the model, {2} tokens").format(
                    words.number(covered.pages_used), words.pages(covered.pages), words.number(covered.tokens)
                )
            )

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The button's words give way where the title needs the room."""
        super().resizeEvent(event)
        room = self.width() - self._theme.px(26) - self.title.sizeHint().width()
        text = self.tr("Read every page")
        short = self.button.fontMetrics().horizontalAdvance(text) + self._theme.px(20) > room
        self.button.setText(self.tr("Read all") if short else text)


class SourceCards(QWidget):
    """All cards of one answer."""

    citation_chosen = Signal(int)
    """Which of the answer's citations."""
    every_page_requested = Signal()

    def __init__(self, theme: Theme, message: Message, parent: QWidget, *, last: bool) -> None:
        super().__init__(parent)
        px = theme.px
        self.citations: list[CitationCard] = []
        self.coverage: CoverageCard | None = None
        column = QVBoxLayout(self)
        column.setContentsMargins(0, px(TOP), 0, 0)
        column.setSpacing(px(GAP))
        full = len(message.citations) <= FULL
        for index, citation in enumerate(message.citations):
            card = CitationCard(theme, citation, self, full=full)
            card.setFixedHeight(px(WHOLE if full else LINE))
            card.clicked.connect(lambda _=False, index=index: self.citation_chosen.emit(index))
            self.citations.append(card)
            column.addWidget(card)
        coverage = message.record.coverage if message.record else None
        if coverage is not None:
            self.coverage = CoverageCard(theme, coverage, self, last=last)
            self.coverage.setFixedHeight(px(COVERAGE + (UNREAD if words.unread(coverage) else 0)))
            self.coverage.every_page_requested.connect(self.every_page_requested)
            column.addWidget(self.coverage)
        column.addStretch(1)

    def show_prices(self, prices: Sequence[Price]) -> None:
        """Say what the ways not taken would cost."""
        if self.coverage is not None:
            self.coverage.show_prices(prices)
