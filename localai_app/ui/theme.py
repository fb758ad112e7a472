"""Colours, sizes and fonts: the one place that decides how the window looks.

Widgets are handed a `Theme` and ask it for tokens, pixel sizes and icons; when the person or the
system changes theme or zoom, `Theme.changed` fires and everything is drawn again.
"""

from dataclasses import dataclass, fields
from typing import Literal, cast

from PySide6.QtCore import QObject, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFont, QFontDatabase, QFontInfo, QGuiApplication, QIcon, QPalette
from PySide6.QtWidgets import QApplication

from localai_app.ui.icons import IconEngine
from localai_app.ui.stylesheet import stylesheet

Mode = Literal["system", "light", "dark"]
MODES: tuple[Mode, ...] = ("system", "light", "dark")

ZOOM_STEPS = (0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 1.75, 2.0)

DESIGN_SIZE = 14
"""Body text in the design, in pixels; all other design sizes are relative to it."""

COLUMN = 720
"""Widest column of text, in design pixels."""


@dataclass(frozen=True)
class Tokens:
    """Every colour in use, as ``#RRGGBB``."""

    background: str
    side: str
    surface: str
    hover: str
    line: str
    text: str
    dim: str
    accent: str
    accent_hover: str
    on_accent: str
    soft: str
    ok: str
    warn: str
    bad: str
    code: str
    mark: str
    syntax_keyword: str
    syntax_string: str
    syntax_number: str
    syntax_comment: str
    syntax_name: str

    def names(self) -> list[str]:
        """Names of all tokens."""
        return [field.name for field in fields(self)]


LIGHT = Tokens(
    background="#F7F7F5",
    side="#EFEFEC",
    surface="#FFFFFF",
    hover="#ECECE8",
    line="#E2E1DC",
    text="#1D1D1B",
    dim="#6B6A66",
    accent="#2F5D50",
    accent_hover="#264C41",
    on_accent="#FFFFFF",
    soft="#E6EEEA",
    ok="#2E7D4F",
    warn="#9A6700",
    bad="#B3261E",
    code="#F2F1ED",
    mark="#FFE9A8",
    syntax_keyword="#8A3A7A",
    syntax_string="#2D6A3E",
    syntax_number="#9A4A00",
    syntax_comment="#6B6A66",
    syntax_name="#1F5A94",
)

DARK = Tokens(
    background="#1B1C1C",
    side="#222424",
    surface="#272929",
    hover="#303333",
    line="#363838",
    text="#ECECE8",
    dim="#A3A39D",
    accent="#7FB8A4",
    accent_hover="#93C7B5",
    on_accent="#10201B",
    soft="#2A3833",
    ok="#7CC79A",
    warn="#E0B252",
    bad="#F2938C",
    code="#202222",
    mark="#5C4A12",
    syntax_keyword="#D6A2CF",
    syntax_string="#9CCB9A",
    syntax_number="#E3B07A",
    syntax_comment="#A3A39D",
    syntax_name="#8FBCE8",
)


class Theme(QObject):
    """The look in force. One instance per application, handed to every widget that draws."""

    changed = Signal()
    """Colours or sizes are different now."""

    def __init__(self, application: QApplication, mode: Mode = "system", zoom: float = 1.0) -> None:
        super().__init__(application)
        self._application = application
        self._mode: Mode = mode
        self._zoom = zoom
        self._icons: dict[tuple[str, str], QIcon] = {}
        system = QFontInfo(QFontDatabase.systemFont(QFontDatabase.SystemFont.GeneralFont)).pixelSize()
        # Reading text below 14 px tires; desktops that ask for more get more.
        self._base = min(max(system, DESIGN_SIZE), 18)
        self._hints = QGuiApplication.styleHints()
        self._hints.colorSchemeChanged.connect(self._follow_system)
        self._apply()

    @property
    def mode(self) -> Mode:
        """What the person chose."""
        return self._mode

    @property
    def dark(self) -> bool:
        """True while the dark tokens are in force."""
        if self._mode == "system":
            return bool(self._hints.colorScheme() == Qt.ColorScheme.Dark)
        return self._mode == "dark"

    @property
    def tokens(self) -> Tokens:
        """The colours in force."""
        return DARK if self.dark else LIGHT

    @property
    def zoom(self) -> float:
        """Text size chosen by the person; 1.0 is the system's own."""
        return self._zoom

    def set_mode(self, mode: Mode) -> None:
        """Use ``mode`` from now on."""
        if mode != self._mode:
            self._mode = mode
            self._apply()

    def set_zoom(self, zoom: float) -> None:
        """Draw text ``zoom`` times its normal size, clamped to what `ZOOM_STEPS` spans."""
        zoom = min(max(zoom, ZOOM_STEPS[0]), ZOOM_STEPS[-1])
        if zoom != self._zoom:
            self._zoom = zoom
            self._apply()

    def step_zoom(self, direction: int) -> None:
        """One step larger (1), smaller (-1) or back to normal (0)."""
        if direction == 0:
            self.set_zoom(1.0)
            return
        nearest = min(range(len(ZOOM_STEPS)), key=lambda index: abs(ZOOM_STEPS[index] - self._zoom))
        self.set_zoom(ZOOM_STEPS[min(max(nearest + direction, 0), len(ZOOM_STEPS) - 1)])

    def px(self, design: float) -> int:
        """``design`` pixels of the drawn screens, at this font size and zoom."""
        return max(1, round(design * self._zoom * self._base / DESIGN_SIZE))

    def color(self, token: str) -> QColor:
        """The token ``token`` as a colour."""
        return QColor(cast(str, getattr(self.tokens, token)))

    def font(self, design: float = DESIGN_SIZE, *, weight: QFont.Weight = QFont.Weight.Normal) -> QFont:
        """The system's interface font at ``design`` size."""
        font = QFontDatabase.systemFont(QFontDatabase.SystemFont.GeneralFont)
        font.setPixelSize(self.px(design))
        font.setWeight(weight)
        return font

    def mono(self, design: float = 13) -> QFont:
        """The system's fixed-width font at ``design`` size."""
        font = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont)
        font.setPixelSize(self.px(design))
        return font

    def icon(self, name: str, tint: str = "dim") -> QIcon:
        """A Lucide icon that is tinted with the token ``tint`` of whatever theme is in force when drawn."""
        key = (name, tint)
        if key not in self._icons:
            self._icons[key] = QIcon(IconEngine(name, self.color, tint))
        return self._icons[key]

    def icon_size(self, design: float = 18) -> QSize:
        """Size of an icon that is ``design`` pixels wide in the drawn screens."""
        return QSize(self.px(design), self.px(design))

    def _follow_system(self) -> None:
        if self._mode == "system":
            self._apply()

    def _apply(self) -> None:
        self._application.setFont(self.font())
        self._application.setPalette(self._palette())
        self._application.setStyleSheet(stylesheet(self.tokens, self.px))
        self.changed.emit()

    def _palette(self) -> QPalette:
        role, palette = QPalette.ColorRole, QPalette()
        for name, token in (
            (role.Window, "background"),
            (role.Base, "surface"),
            (role.AlternateBase, "side"),
            (role.ToolTipBase, "surface"),
            (role.Button, "surface"),
            (role.WindowText, "text"),
            (role.Text, "text"),
            (role.ButtonText, "text"),
            (role.ToolTipText, "text"),
            (role.BrightText, "bad"),
            (role.PlaceholderText, "dim"),
            (role.Highlight, "accent"),
            (role.HighlightedText, "on_accent"),
            (role.Link, "accent"),
            (role.LinkVisited, "accent"),
            (role.Accent, "accent"),
            (role.Light, "surface"),
            (role.Midlight, "line"),
            (role.Mid, "line"),
            (role.Dark, "dim"),
            (role.Shadow, "line"),
        ):
            palette.setColor(name, self.color(token))
        for name in (role.WindowText, role.Text, role.ButtonText):
            palette.setColor(QPalette.ColorGroup.Disabled, name, self.color("dim"))
        return palette
