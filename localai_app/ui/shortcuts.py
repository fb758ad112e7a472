"""All keys on one sheet."""

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QDialog, QGridLayout, QHBoxLayout, QVBoxLayout, QWidget

from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button
from localai_app.ui.widgets.labels import label


class ShortcutSheet(QDialog):
    """What every key does."""

    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        px = theme.px
        self.setWindowTitle(self.tr("Keyboard shortcuts"))
        groups = (
            (
                self.tr("WRITING"),
                (
                    (self.tr("Send"), "Return"),
                    (self.tr("New line"), "Shift+Return"),
                    (self.tr("Stop the answer"), "Esc"),
                    (self.tr("Bring back the last message"), "Up"),
                    (self.tr("Edit the last message"), "Ctrl+E"),
                    (self.tr("Answer again"), "Ctrl+R"),
                ),
            ),
            (
                self.tr("CHATS"),
                (
                    (self.tr("New chat"), "Ctrl+N"),
                    (self.tr("Search everything"), "Ctrl+K"),
                    (self.tr("Rename"), "F2"),
                    (self.tr("Move to the trash (in the list)"), "Del"),
                    (self.tr("Undo moving to the trash, or deleting a model"), "Ctrl+Z"),
                ),
            ),
            (
                self.tr("DOCUMENTS"),
                (
                    (self.tr("Open documents"), "Ctrl+O"),
                    (self.tr("Find in the document, or in all"), "Ctrl+F"),
                    (self.tr("Next found, found before"), "F3, Shift+F3"),
                    (self.tr("Next citation, citation before"), "Alt+Right, Alt+Left"),
                    (self.tr("Turn the page (in the page)"), "PgDown, PgUp"),
                    (self.tr("Zoom the page, fit it (in the page)"), "+, -, 0"),
                ),
            ),
            (
                self.tr("WINDOW"),
                (
                    (self.tr("Choose a model"), "Ctrl+M"),
                    (self.tr("Documents"), "Ctrl+Shift+D"),
                    (self.tr("Tasks"), "Ctrl+Shift+T"),
                    (self.tr("Models"), "Ctrl+Shift+M"),
                    (self.tr("Parameters"), "Ctrl+P"),
                    (self.tr("Show or hide the side"), "Ctrl+B"),
                    (self.tr("Settings"), "Ctrl+,"),
                    (self.tr("Larger, smaller, normal text"), "Ctrl++, Ctrl+-, Ctrl+0"),
                    (self.tr("This sheet"), "F1"),
                ),
            ),
        )
        column = QVBoxLayout(self)
        column.setContentsMargins(px(24), px(20), px(24), px(18))
        column.setSpacing(px(10))
        column.addWidget(label(self.tr("Keyboard shortcuts"), "title"))
        for title, keys in groups:
            column.addSpacing(px(4))
            column.addWidget(label(title, "section"))
            grid = QGridLayout()
            grid.setVerticalSpacing(px(6))
            grid.setColumnStretch(0, 1)
            for row, (name, key) in enumerate(keys):
                grid.addWidget(label(name), row, 0)
                grid.addLayout(self._keys(theme, key), row, 1, Qt.AlignmentFlag.AlignRight)
            column.addLayout(grid)
        close = Button(theme, self.tr("Close"))
        close.clicked.connect(self.accept)
        foot = QHBoxLayout()
        foot.addStretch(1)
        foot.addWidget(close)
        column.addSpacing(px(6))
        column.addLayout(foot)
        self.setMinimumWidth(px(460))

    @staticmethod
    def _keys(theme: Theme, keys: str) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(theme.px(6))
        for key in keys.split(", "):
            native = QKeySequence(key).toString(QKeySequence.SequenceFormat.NativeText)
            row.addWidget(label(native, "key"))
        return row
