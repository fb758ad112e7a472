"""Text formats of the transcript, built from the theme."""

from PySide6.QtCore import Qt
from PySide6.QtGui import QFont, QFontMetricsF, QTextBlockFormat, QTextCharFormat, QTextFormat, QTextLength

from localai_app.ui.theme import Theme

QUOTE_DEPTH = int(QTextFormat.Property.UserProperty.value) + 1
"""Block property: how many quotation bars the transcript paints beside the block."""
RULE = int(QTextFormat.Property.UserProperty.value) + 2
"""Block property: the block is a horizontal rule."""
BULLET = int(QTextFormat.Property.UserProperty.value) + 3
"""Block property: how deep the list is whose bullet stands before the block."""

CITATION = "citation:"
"""What the address of a link to a citation begins with; ``MESSAGE:INDEX`` follows. No text can make one,
for of its own links only https ones stay."""

HEADING_SIZES = {1: 18.0, 2: 16.5, 3: 15.0}


class Formats:
    """Block and character formats at the theme's present colours and sizes."""

    def __init__(self, theme: Theme) -> None:
        px = theme.px
        self.px = px
        self.line_height = px(21)
        self.indent = px(22)
        self.body = self._character(theme.font(), theme, "text")
        self.dim = self._character(theme.font(), theme, "dim")
        self.bad = self._character(theme.font(), theme, "bad")
        self.small = self._character(theme.font(12), theme, "dim")
        self.mono = self._character(theme.mono(), theme, "text")
        self.inline_code = self._character(theme.mono(), theme, "text")
        self.inline_code.setBackground(theme.color("hover" if theme.dark else "code"))
        self.table_head = self._character(theme.font(13, weight=QFont.Weight.DemiBold), theme, "dim")
        self.accent = theme.color("accent")
        self.soft = theme.color("soft")
        self.line = theme.color("line")
        self.lift = max(0.0, (self.line_height - QFontMetricsF(theme.font()).height()) / 2)
        """Qt puts all of a line's extra height above its text; what is painted behind moves by half."""
        self._theme = theme

    def paragraph(
        self, *, top: float = 0, bottom: float = 8, left: float = 0, indent: int = 0
    ) -> QTextBlockFormat:
        """A paragraph with margins in design pixels, ``indent`` list levels deep."""
        block = QTextBlockFormat()
        block.setTopMargin(self.px(top) if top else 0)
        block.setBottomMargin(self.px(bottom) if bottom else 0)
        block.setLeftMargin(self.px(left) if left else 0)
        block.setIndent(indent)
        block.setLineHeight(self.line_height, QTextBlockFormat.LineHeightTypes.MinimumHeight.value)
        return block

    def spacer(self, height: float) -> QTextBlockFormat:
        """An empty block of exactly ``height`` design pixels; 0 leaves one pixel."""
        block = QTextBlockFormat()
        pixels = self.px(height) if height else 1
        block.setLineHeight(pixels, QTextBlockFormat.LineHeightTypes.FixedHeight.value)
        return block

    def spacer_text(self) -> QTextCharFormat:
        """Characters of a spacer: as small as can be, or the empty line is taller than the block."""
        text = QTextCharFormat()
        font = QFont()
        font.setPixelSize(1)
        text.setFont(font)
        return text

    def code_line(self) -> QTextBlockFormat:
        """A line of a code block."""
        block = QTextBlockFormat()
        block.setLineHeight(self.px(20), QTextBlockFormat.LineHeightTypes.MinimumHeight.value)
        return block

    def heading(self, level: int) -> tuple[QTextBlockFormat, QTextCharFormat]:
        """Formats of a heading of ``level`` 1 to 6."""
        block = self.paragraph(top=10 if level < 3 else 6, bottom=6)
        block.setHeadingLevel(level)
        font = self._theme.font(HEADING_SIZES.get(level, 14.0), weight=QFont.Weight.DemiBold)
        return block, self._character(font, self._theme, "text")

    def link(self, base: QTextCharFormat, href: str) -> QTextCharFormat:
        """``base`` as a link to ``href``."""
        text = QTextCharFormat(base)
        text.setAnchor(True)
        text.setAnchorHref(href)
        text.setForeground(self.accent)
        text.setFontUnderline(True)
        return text

    def citation(self, base: QTextCharFormat, address: str) -> QTextCharFormat:
        """``base`` as a link to a citation."""
        text = QTextCharFormat(base)
        text.setAnchor(True)
        text.setAnchorHref(address)
        text.setForeground(self.accent)
        text.setBackground(self.soft)
        text.setFontWeight(QFont.Weight.DemiBold)
        return text

    def full_width(self) -> QTextLength:
        """All of the column."""
        return QTextLength(QTextLength.Type.PercentageLength, 100)

    @staticmethod
    def _character(font: QFont, theme: Theme, token: str) -> QTextCharFormat:
        text = QTextCharFormat()
        text.setFont(font)
        text.setForeground(theme.color(token))
        return text


ALIGNMENTS = {
    "text-align:left": Qt.AlignmentFlag.AlignLeft,
    "text-align:center": Qt.AlignmentFlag.AlignHCenter,
    "text-align:right": Qt.AlignmentFlag.AlignRight,
}
"""markdown-it's table alignments in Qt's words."""
