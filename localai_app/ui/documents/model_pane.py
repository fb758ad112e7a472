"""What the model saw of a page: its exact text, a legend, and what it was not given."""

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QFrame, QSizePolicy, QVBoxLayout, QWidget

from localai_app.documents.document import MarkKind, Page
from localai_app.ui.documents import words
from localai_app.ui.documents.text_page import MARK_TOKENS, ModelText, tint
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.flow import FlowLayout
from localai_app.ui.widgets.labels import label


class LegendItem(QWidget):
    """A kind of mark as it looks in the text, in its own words."""

    def __init__(self, theme: Theme, kind: MarkKind, amount: int) -> None:
        super().__init__()
        self._theme, self._kind = theme, kind
        self.text = f"{words.mark(kind)} ({words.number(amount)})"
        self.setAccessibleName(self.text)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        """The words and a little ground."""
        px = self._theme.px
        metrics = self.fontMetrics()
        return QSize(metrics.horizontalAdvance(self.text) + px(20), metrics.height() + px(4))

    def paintEvent(self, event: QPaintEvent) -> None:
        """The words on the mark's ground, over the mark's line."""
        theme, px = self._theme, self._theme.px
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(tint(theme, MARK_TOKENS[self._kind]))
        painter.drawRoundedRect(self.rect(), px(6), px(6))
        painter.setPen(theme.color("text"))
        inner = self.rect().adjusted(px(8), 0, -px(8), 0)
        cut = self.fontMetrics().elidedText(self.text, Qt.TextElideMode.ElideRight, inner.width())
        painter.drawText(inner, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, cut)
        painter.setPen(QPen(theme.color(MARK_TOKENS[self._kind]), 1.5, self._line()))
        wide = self.fontMetrics().horizontalAdvance(cut)
        low = inner.center().y() if self._kind is MarkKind.DELETED else self.height() - px(3)
        painter.drawLine(inner.left(), low, inner.left() + wide, low)
        painter.end()

    def _line(self) -> Qt.PenStyle:
        return {
            MarkKind.HIDDEN: Qt.PenStyle.DotLine,
            MarkKind.UNSURE: Qt.PenStyle.DashLine,
        }.get(self._kind, Qt.PenStyle.SolidLine)


class ModelPane(QFrame):
    """Lies beside the page."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self.setProperty("look", "panel")
        self.source = label("", "dim", wrap=True)
        self.unread = label("", "warn", wrap=True)
        self.legend: list[LegendItem] = []
        self._flow_box = QWidget()
        self._flow = FlowLayout(self._flow_box)
        self.text = ModelText(theme)
        self._title = label(self.tr("What the model saw"), "strong")
        self._head = QVBoxLayout()
        for widget in (self._title, self.source, self.unread, self._flow_box):
            self._head.addWidget(widget)
        self._column = QVBoxLayout(self)
        self._column.addLayout(self._head)
        self._column.addWidget(self.text, 1)
        theme.changed.connect(self._fit)
        self._fit()

    def show_page(self, page: Page) -> None:
        """Show what of ``page`` the model is given."""
        self.source.setText(words.source(page))
        missing = [self.tr("Not read: {0}").format(page.unread)] if page.unread else []
        if page.images:
            missing.append(
                words.count(
                    page.images,
                    self.tr("1 picture on it was not read."),
                    self.tr("{0} pictures on it were not read."),
                )
            )
        self.unread.setText(" ".join(missing))
        self.unread.setVisible(bool(missing))
        for item in self.legend:
            self._flow.removeWidget(item)
            item.hide()
            item.deleteLater()
        kinds = [mark.kind for mark in page.marks]
        self.legend = [LegendItem(self._theme, kind, kinds.count(kind)) for kind in MarkKind if kind in kinds]
        for item in self.legend:
            self._flow.addWidget(item)
        self._flow_box.setVisible(bool(self.legend))
        self.text.show_page(page)

    def _fit(self) -> None:
        px = self._theme.px
        self._column.setContentsMargins(0, px(12), 0, 0)
        self._column.setSpacing(px(8))
        self._head.setContentsMargins(px(16), 0, px(16), 0)
        self._head.setSpacing(px(4))
        self._flow.setSpacing(px(6))
