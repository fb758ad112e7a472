"""Lucide icons, drawn from their SVG at whatever size, pixel ratio and colour is asked for."""

from collections.abc import Callable
from functools import lru_cache

from PySide6.QtCore import QByteArray, QPoint, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QIcon, QIconEngine, QPainter, QPixmap
from PySide6.QtSvg import QSvgRenderer

from localai_app.paths import resources

_clones: list["IconEngine"] = []
"""Qt owns what `IconEngine.clone` returns but does not keep its Python half alive; icons are few."""


@lru_cache(maxsize=128)
def _renderer(name: str, color: str) -> QSvgRenderer:
    source = (resources() / "icons" / f"{name}.svg").read_text(encoding="utf-8")
    # Lucide draws a 24 grid with stroke 2; at 18 px that looks heavy beside regular text.
    tinted = source.replace("currentColor", color).replace('stroke-width="2"', 'stroke-width="1.75"')
    return QSvgRenderer(QByteArray(tinted.encode()))


@lru_cache(maxsize=512)
def icon_pixmap(name: str, color: str, side: int, ratio: float) -> QPixmap:
    """The icon ``name`` in ``color`` (``#RRGGBB``), ``side`` logical pixels wide at ``ratio``."""
    pixels = max(1, round(side * ratio))
    pixmap = QPixmap(pixels, pixels)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    _renderer(name, color).render(painter, QRectF(0, 0, pixels, pixels))
    painter.end()
    pixmap.setDevicePixelRatio(ratio)
    return pixmap


class IconEngine(QIconEngine):
    """Draws one icon; its colour is looked up at each drawing, so a theme change needs no new icon.

    A checked button draws in the accent colour.
    """

    def __init__(self, name: str, color: Callable[[str], QColor], token: str) -> None:
        super().__init__()
        self._name = name
        self._color = color
        self._token = token

    def clone(self) -> QIconEngine:
        """A copy that Qt owns."""
        copy = IconEngine(self._name, self._color, self._token)
        _clones.append(copy)
        return copy

    def paint(self, painter: QPainter, rect: QRect, mode: QIcon.Mode, state: QIcon.State) -> None:
        """Draw into ``rect``."""
        side = min(rect.width(), rect.height())
        pixmap = self._pixmap(side, painter.device().devicePixelRatio(), mode, state)
        corner = QPoint(rect.x() + (rect.width() - side) // 2, rect.y() + (rect.height() - side) // 2)
        painter.drawPixmap(corner, pixmap)

    def pixmap(self, size: QSize, mode: QIcon.Mode, state: QIcon.State) -> QPixmap:
        """The icon at ``size`` physical pixels."""
        return self._pixmap(min(size.width(), size.height()), 1.0, mode, state)

    def scaledPixmap(self, size: QSize, mode: QIcon.Mode, state: QIcon.State, scale: float) -> QPixmap:
        """The icon at ``size`` physical pixels for a screen of ratio ``scale``."""
        return self._pixmap(round(min(size.width(), size.height()) / scale), scale, mode, state)

    def _pixmap(self, side: int, ratio: float, mode: QIcon.Mode, state: QIcon.State) -> QPixmap:
        token = "accent" if state == QIcon.State.On else self._token
        color = self._color(token)
        if mode == QIcon.Mode.Disabled:
            color = self._color("dim")
        return icon_pixmap(self._name, color.name(), side, ratio)
