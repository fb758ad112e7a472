"""A layout that breaks into lines like text."""

from PySide6.QtCore import QPoint, QRect, QSize, Qt
from PySide6.QtWidgets import QLayout, QLayoutItem, QSizePolicy, QWidget


class FlowLayout(QLayout):
    """Widgets from left to right, the next line where they do not fit; one may take the rest of its line."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._items: list[QLayoutItem] = []
        self.setContentsMargins(0, 0, 0, 0)

    def addItem(self, item: QLayoutItem) -> None:
        """Put ``item`` at the end."""
        self._items.append(item)

    def count(self) -> int:
        """Number of items."""
        return len(self._items)

    def itemAt(self, index: int) -> QLayoutItem | None:
        """The item at ``index``; None where there is none."""
        return self._items[index] if 0 <= index < len(self._items) else None

    def takeAt(self, index: int) -> QLayoutItem | None:
        """Take the item at ``index`` away."""
        return self._items.pop(index) if 0 <= index < len(self._items) else None

    def expandingDirections(self) -> Qt.Orientation:
        """It takes no more room than it needs."""
        return Qt.Orientation(0)

    def hasHeightForWidth(self) -> bool:
        """More lines where it is narrow."""
        return True

    def heightForWidth(self, width: int) -> int:
        """Of all lines."""
        return self._arrange(QRect(0, 0, width, 0), move=False)

    def sizeHint(self) -> QSize:
        """All in one line; what it gets less is made up by more lines."""
        sizes = [item.sizeHint() for item in self._items if not item.isEmpty()]
        width = sum(size.width() for size in sizes) + max(0, self.spacing()) * max(0, len(sizes) - 1)
        return QSize(width, max((size.height() for size in sizes), default=0))

    def minimumSize(self) -> QSize:
        """Of the largest item."""
        size = QSize()
        for item in self._items:
            size = size.expandedTo(item.minimumSize())
        return size

    def setGeometry(self, rect: QRect) -> None:
        """Arrange the items in ``rect``."""
        super().setGeometry(rect)
        self._arrange(rect, move=True)

    def _arrange(self, rect: QRect, *, move: bool) -> int:
        gap = max(0, self.spacing())
        lines: list[list[QLayoutItem]] = [[]]
        used = 0
        for item in self._items:
            widget = item.widget()
            if widget is not None and widget.isHidden():
                continue
            width = min(item.sizeHint().width(), rect.width())
            if lines[-1] and used + gap + width > rect.width():
                lines.append([])
                used = 0
            used += width + (gap if lines[-1] else 0)
            lines[-1].append(item)
        top = rect.top()
        for line in lines:
            widths = [min(item.sizeHint().width(), rect.width()) for item in line]
            rest = rect.width() - sum(widths) - gap * (len(line) - 1)
            left = rect.left()
            height = max((item.sizeHint().height() for item in line), default=0)
            for item, width in zip(line, widths, strict=True):
                widget = item.widget()
                grows = (
                    widget is not None
                    and widget.sizePolicy().horizontalPolicy() == QSizePolicy.Policy.Expanding
                )
                wide = width + (max(0, rest) if grows else 0)
                if move:
                    y = top + (height - item.sizeHint().height()) // 2
                    item.setGeometry(QRect(QPoint(left, y), QSize(wide, item.sizeHint().height())))
                left += wide + gap
            top += height + gap
        return max(0, top - gap - rect.top())
