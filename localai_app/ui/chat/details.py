"""How an answer came about: what would be needed to make it again."""

from PySide6.QtCore import QDateTime, Qt
from PySide6.QtWidgets import QDialog, QGridLayout, QHBoxLayout, QVBoxLayout, QWidget

from localai_app.chat.conversation import Message
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button
from localai_app.ui.widgets.labels import label, selectable


class AnswerDetails(QDialog):
    """The answer's record, in plain words; everything can be selected and copied."""

    def __init__(self, theme: Theme, message: Message, parent: QWidget) -> None:
        super().__init__(parent)
        px, record = theme.px, message.record
        assert record is not None
        self.setWindowTitle(self.tr("How this answer was made"))
        rows = [
            (self.tr("Model"), record.model_name),
            (self.tr("Model file (SHA-256)"), record.model_sha256),
            (self.tr("Device"), record.device),
            (self.tr("Engine"), record.engine_build),
            (self.tr("Chat template (SHA-256)"), record.template_sha256 or self.tr("none: a base model")),
            (self.tr("Sampling"), ", ".join(f"{name} {value}" for name, value in record.sampler.items())),
            (
                self.tr("Written"),
                self.locale().toString(QDateTime.fromSecsSinceEpoch(int(message.created.timestamp()))),
            ),
        ]
        if message.stats is not None:
            number = self.locale().toString
            stats = message.stats
            read = self.tr("{0} tokens, {1} of them from the cache")
            rows.insert(
                3, (self.tr("Prompt"), read.format(number(stats.prompt_tokens), number(stats.reused_tokens)))
            )
        if record.left_out:
            rows.append(
                (
                    self.tr("Left out"),
                    self.tr("{0} earlier messages did not fit").format(len(record.left_out)),
                )
            )
        if record.coverage is not None:
            rows.append((self.tr("Documents"), record.coverage.words))
        grid = QGridLayout()
        grid.setHorizontalSpacing(px(20))
        grid.setVerticalSpacing(px(8))
        grid.setColumnStretch(1, 1)
        for row, (name, value) in enumerate(rows):
            text = selectable(label(value, wrap=True))
            grid.addWidget(label(name, "dim"), row, 0, Qt.AlignmentFlag.AlignTop)
            grid.addWidget(text, row, 1)
        close = Button(theme, self.tr("Close"))
        close.clicked.connect(self.accept)
        foot = QHBoxLayout()
        foot.addStretch(1)
        foot.addWidget(close)
        column = QVBoxLayout(self)
        column.setContentsMargins(px(20), px(18), px(20), px(16))
        column.setSpacing(px(14))
        column.addWidget(label(self.tr("How this answer was made"), "title"))
        column.addLayout(grid)
        column.addLayout(foot)
        self.setMinimumWidth(px(560))
        close.setDefault(True)
