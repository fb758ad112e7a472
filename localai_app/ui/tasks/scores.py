"""How a classification's labels share the model's probability: one bar each."""

from collections.abc import Callable, Mapping

from PySide6.QtCore import QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QAbstractButton, QSizePolicy, QVBoxLayout, QWidget

from localai_app.ui.documents.words import number
from localai_app.ui.tasks.words import tr
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button

SHOWN = 5
"""Labels that are shown at first: the likeliest."""


class ScoreRow(QAbstractButton):
    """A label, its bar and its share; a click chooses the label."""

    def __init__(self, theme: Theme, name: str, share: float) -> None:
        super().__init__()
        self._theme, self.name, self.share = theme, name, share
        self.setText(name)
        self.setAccessibleName(tr("{0}, {1} %").format(name, _percent(share)))
        self.setToolTip(tr("Choose “{0}”").format(name))
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self.updateGeometry)

    def sizeHint(self) -> QSize:
        """One line."""
        return QSize(self._theme.px(160), self._theme.px(26))

    def paintEvent(self, event: QPaintEvent) -> None:
        """Label, bar, share."""
        px, theme = self._theme.px, self._theme
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        whole = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        if self.underMouse() or self.hasFocus():
            focused = self.hasFocus()
            painter.setPen(QPen(theme.color("accent")) if focused else Qt.PenStyle.NoPen)
            painter.setBrush(Qt.BrushStyle.NoBrush if focused else theme.color("hover"))
            painter.drawRoundedRect(whole, px(6), px(6))
        inside = self.rect().adjusted(px(6), 0, -px(6), 0)
        figures, line = theme.mono(12), theme.font(13)
        percent = tr("{0} %").format(_percent(self.share))
        right = QFontMetrics(figures).horizontalAdvance(tr("{0} %").format("100"))
        label_width = inside.width() * 45 // 100
        painter.setFont(line)
        painter.setPen(theme.color("text"))
        shown = QFontMetrics(line).elidedText(self.name, Qt.TextElideMode.ElideRight, label_width - px(6))
        middle = int(Qt.AlignmentFlag.AlignVCenter)
        painter.drawText(inside, middle | int(Qt.AlignmentFlag.AlignLeft), shown)
        painter.setFont(figures)
        painter.setPen(theme.color("dim"))
        painter.drawText(inside, middle | int(Qt.AlignmentFlag.AlignRight), percent)
        bar = QRect(
            inside.left() + label_width,
            self.height() // 2 - px(2),
            inside.width() - label_width - right - px(10),
            px(5),
        )
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.color("line"))
        painter.drawRoundedRect(bar, px(2), px(2))
        filled = round(bar.width() * min(max(self.share, 0.0), 1.0))
        if filled:
            painter.setBrush(theme.color("accent"))
            painter.drawRoundedRect(
                QRect(bar.topLeft(), QSize(max(filled, px(2)), bar.height())), px(2), px(2)
            )
        painter.end()


class Scores(QWidget):
    """The likeliest labels; the rest on request."""

    chosen = Signal(str)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._scores: list[tuple[str, float]] = []
        self.rows: list[ScoreRow] = []
        self.more = Button(theme, "", look="link")
        self.more.clicked.connect(lambda: self._fill(len(self._scores)))
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(0)
        self._column.addWidget(self.more, 0, Qt.AlignmentFlag.AlignLeft)

    def show_scores(self, scores: Mapping[str, float]) -> None:
        """Show ``scores``, the greatest first; none hides the list."""
        self._scores = sorted(scores.items(), key=lambda each: -each[1])
        # One more than what is shown at first is shown at once: a button takes as much room.
        self._fill(len(self._scores) if len(self._scores) <= SHOWN + 1 else SHOWN)
        self.setVisible(bool(self._scores))

    def _fill(self, shown: int) -> None:
        for row in self.rows:
            self._column.removeWidget(row)
            row.hide()
            row.deleteLater()
        self.rows = [ScoreRow(self._theme, *each) for each in self._scores[:shown]]
        for place, row in enumerate(self.rows):
            row.clicked.connect(self._chooser(row.name))
            self._column.insertWidget(place, row)
        left = len(self._scores) - shown
        self.more.setVisible(left > 0)
        self.more.set_text(tr("Show all {0} labels").format(number(len(self._scores))))

    def _chooser(self, name: str) -> Callable[[], None]:
        return lambda: self.chosen.emit(name)


def _percent(share: float) -> str:
    """Whole per cents; what is neither none nor all is never shown as such."""
    percent = round(share * 100)
    if percent == 0 and share > 0.0005:
        return "<1"
    return ">99" if percent == 100 and share < 0.9995 else str(percent)
