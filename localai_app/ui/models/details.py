"""A look into a model file: what is known of it, its header, its tensors and its chat template."""

from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, QSortFilterProxyModel, Qt
from PySide6.QtGui import QSyntaxHighlighter, QTextCharFormat, QTextDocument
from PySide6.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QLineEdit,
    QPlainTextEdit,
    QScrollArea,
    QStackedWidget,
    QTabBar,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from localai_app.models.library import LibraryModel, ModelDetails
from localai_app.ui.chat.highlight import Span, highlight
from localai_app.ui.models import words
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button
from localai_app.ui.widgets.labels import label, restyle, selectable

Index = QModelIndex | QPersistentModelIndex


class DetailsDialog(QDialog):
    """Everything can be selected and copied."""

    def __init__(self, theme: Theme, parent: QWidget, model: LibraryModel, details: ModelDetails) -> None:
        super().__init__(parent)
        self._theme = theme
        px = theme.px
        self.setWindowTitle(model.file.name)
        self.tabs = QTabBar()
        self.tabs.setDrawBase(False)
        self.tabs.setExpanding(False)
        self.tabs.setAccessibleName(self.tr("What is shown"))
        self.pages = QStackedWidget()
        self.tabs.currentChanged.connect(self.pages.setCurrentIndex)
        self._add(self.tr("About"), self._about(model, details))
        metadata = [(row.key, row.type, row.value) for row in details.metadata]
        titles = (self.tr("Key"), self.tr("Kind"), self.tr("Value"))
        self._add(self.tr("Metadata ({0})").format(len(metadata)), self._table(titles, metadata))
        tensors = [
            (tensor.name, tensor.type, " × ".join(str(n) for n in tensor.shape), words.size(tensor.size))
            for tensor in details.tensors
        ]
        titles4 = (self.tr("Tensor"), self.tr("Type"), self.tr("Shape"), self.tr("Size"))
        self._add(self.tr("Tensors ({0})").format(len(tensors)), self._table(titles4, tensors))
        self._add(self.tr("Chat template"), self._template(details))
        close = Button(theme, self.tr("Close"))
        close.clicked.connect(self.accept)
        foot = QHBoxLayout()
        foot.addStretch(1)
        foot.addWidget(close)
        column = QVBoxLayout(self)
        column.setContentsMargins(px(20), px(18), px(20), px(16))
        column.setSpacing(px(10))
        column.addWidget(label(model.file.name, "title"))
        column.addWidget(self.tabs)
        column.addWidget(self.pages, 1)
        column.addLayout(foot)
        available = self.screen().availableGeometry()
        self.resize(min(px(760), available.width() - 40), min(px(560), available.height() - 60))
        self.tabs.setFocus()

    def _add(self, title: str, page: QWidget) -> None:
        # The page first: the first tab becomes the current one as soon as it is there.
        self.pages.addWidget(page)
        self.tabs.addTab(title)

    # ------------------------------------------------------------ pages

    def _about(self, model: LibraryModel, details: ModelDetails) -> QWidget:
        px, file = self._theme.px, model.file
        place = {
            "models folder": self.tr("in the models folder"),
            "machine-wide": self.tr("for everybody on this computer"),
            "linked": self.tr("linked, used where it lies"),
        }[model.place]
        hashed = words.hash_cell(model)
        rows = [
            (self.tr("Family"), model.family),
            (self.tr("Architecture"), details.architecture),
            (self.tr("Parameters"), words.parameters(model.parameters)),
            (self.tr("Quantisation"), file.quantisation),
            (self.tr("Size"), words.size(file.size)),
            (
                self.tr("Licence"),
                f"{model.licence} · {words.commercial(model.commercial)}" if model.licence else "",
            ),
            ("", model.licence_note),
            ("", model.licence_url),
            (self.tr("From"), model.source),
            (self.tr("File"), f"{file.path} ({place})"),
            (self.tr("SHA-256"), model.sha256),
            (self.tr("Now"), model.found_sha256),
            (self.tr("State"), " · ".join(filter(None, (hashed.text, hashed.under)))),
            (self.tr("Chat template"), self._template_words(details)),
        ]
        grid = QGridLayout()
        grid.setHorizontalSpacing(px(20))
        grid.setVerticalSpacing(px(8))
        grid.setColumnStretch(1, 1)
        for number, (name, value) in enumerate((name, value) for name, value in rows if value):
            # A zero-width space lets a long hash or path wrap anywhere.
            shown = (
                value if " " in value else "\u200b".join(value[at : at + 8] for at in range(0, len(value), 8))
            )
            text = selectable(label(shown, wrap=True))
            text.setAccessibleName(value)
            grid.addWidget(label(name, "dim"), number, 0, Qt.AlignmentFlag.AlignTop)
            grid.addWidget(text, number, 1)
        inside = QWidget()
        inside.setProperty("look", "plain")
        column = QVBoxLayout(inside)
        column.setContentsMargins(0, px(8), px(8), 0)
        column.addLayout(grid)
        column.addStretch(1)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setWidget(inside)
        area.setAccessibleName(self.tr("About"))
        return area

    def _table(self, titles: Sequence[str], rows: Sequence[tuple[str, ...]]) -> QWidget:
        page = QWidget()
        source = _Table(titles, rows, page)
        sieve = QSortFilterProxyModel(page)
        sieve.setSourceModel(source)
        sieve.setFilterKeyColumn(-1)
        sieve.setFilterCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        field = QLineEdit()
        field.setPlaceholderText(self.tr("Find"))
        field.setAccessibleName(self.tr("Find in the table"))
        field.setClearButtonEnabled(False)
        field.textChanged.connect(sieve.setFilterFixedString)
        view = QTableView()
        view.setModel(sieve)
        view.setProperty("look", "table")
        view.setAccessibleName(", ".join(titles))
        view.setShowGrid(False)
        view.setCornerButtonEnabled(False)
        view.setWordWrap(False)
        view.setTabKeyNavigation(False)
        view.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        view.verticalHeader().hide()
        view.verticalHeader().setDefaultSectionSize(self._theme.px(28))
        head = view.horizontalHeader()
        head.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        head.setHighlightSections(False)
        head.setStretchLastSection(True)
        head.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        for section, width in enumerate((270, 116, 130)[: len(titles) - 1]):
            head.resizeSection(section, self._theme.px(width))
        column = QVBoxLayout(page)
        column.setContentsMargins(0, self._theme.px(4), 0, 0)
        column.addWidget(field)
        column.addWidget(view, 1)
        return page

    def _template(self, details: ModelDetails) -> QWidget:
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(0, self._theme.px(4), 0, 0)
        column.addWidget(label(self._template_words(details), "dim", wrap=True))
        if details.template:
            self.template = self._text(details.template, "jinja", self.tr("Chat template"))
            column.addWidget(self.template, 2)
        if details.template_diff:
            column.addWidget(label(self.tr("DIFFERENCES FROM THE CATALOGUE’S"), "section"))
            self.diff = self._text(details.template_diff, "diff", self.tr("Differences"))
            column.addWidget(self.diff, 1)
        if not details.template:
            column.addStretch(1)
        return page

    def _template_words(self, details: ModelDetails) -> str:
        return {
            "none": self.tr("None: it is a base model that goes on writing, or it makes vectors."),
            "unknown": self.tr("The catalogue knows no template of this file to compare it with."),
            "same": self.tr("The same as in the catalogue."),
            "different": self.tr(
                "Another one than in the catalogue: its maker changed how messages are put to the model."
            ),
        }[details.template_state]

    def _text(self, text: str, language: str, name: str) -> QPlainTextEdit:
        edit = QPlainTextEdit()
        edit.setReadOnly(True)
        edit.setTabChangesFocus(True)
        edit.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        edit.setFont(self._theme.mono(12.5))
        edit.setAccessibleName(name)
        restyle(edit, look="field")
        edit.setPlainText(text)
        _Colours(self._theme, edit.document(), highlight(text, language), language)
        return edit


class _Table(QAbstractTableModel):
    """Texts in columns."""

    def __init__(self, titles: Sequence[str], rows: Sequence[tuple[str, ...]], parent: QWidget) -> None:
        super().__init__(parent)
        self._titles, self._rows = titles, rows

    def rowCount(self, parent: Index | None = None) -> int:
        """Number of rows."""
        return 0 if parent is not None and parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index | None = None) -> int:
        """Number of columns."""
        return 0 if parent is not None and parent.isValid() else len(self._titles)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """The text; all of it as a tooltip."""
        if index.isValid() and role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return self._rows[index.row()][index.column()]
        return None

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """The titles."""
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return self._titles[section]
        return None


class _Colours(QSyntaxHighlighter):
    """Colours that were worked out before."""

    def __init__(self, theme: Theme, document: QTextDocument, spans: Sequence[Span], language: str) -> None:
        super().__init__(document)
        self._theme, self._diff = theme, language == "diff"
        self._spans: dict[int, list[Span]] = {}
        for span in spans:
            self._spans.setdefault(span.line, []).append(span)
        theme.changed.connect(self.rehighlight)

    def highlightBlock(self, text: str) -> None:
        """One line."""
        if self._diff:
            token = {"+": "ok", "-": "bad", "@": "dim"}.get(text[:1], "")
            if token:
                self._colour(0, len(text.encode("utf-16-le")) // 2, token)
            return
        for span in self._spans.get(self.currentBlock().blockNumber(), ()):
            self._colour(span.start, span.length, span.token)

    def _colour(self, start: int, length: int, token: str) -> None:
        colour = QTextCharFormat()
        colour.setForeground(self._theme.color(token))
        self.setFormat(start, length, colour)
