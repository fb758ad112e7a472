"""The one style sheet. Widgets choose with the property ``look``; nothing is styled elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from string import Template
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from localai_app.ui.theme import Tokens

_SHEET = Template("""
* { outline: none; }
QWidget { color: $text; }
QMainWindow, QDialog, QWidget[look="page"] { background: $background; }
QToolTip { background: $surface; color: $text; border: 1px solid $line; padding: ${p4}px ${p6}px; }
QLabel { background: transparent; }
QLabel[look="dim"] { color: $dim; font-size: ${f13}px; }
QLabel[look="title"] { font-size: ${f18}px; font-weight: 600; }
QLabel[look="hero"] { font-size: ${f24}px; font-weight: 600; }
QLabel[look="strong"] { font-weight: 600; }
QLabel[look="banner"] { background: $code; color: $text; border-bottom: 1px solid $line; font-size: ${f12}px;
    font-weight: 600; padding: ${p3}px ${p8}px; }
QLabel[look="badge"] { background: $code; color: $dim; border-radius: ${r6}px; padding: ${p3}px ${p8}px;
    font-size: ${f12}px; font-weight: 600; }
QLabel[look="section"] { color: $dim; font-size: ${f11}px; font-weight: 600; }
QLabel[look="bad"] { color: $bad; }
QLabel[look="warn"] { color: $warn; font-size: ${f13}px; }
QLabel[look="ok"] { color: $ok; font-size: ${f13}px; }
QLabel[look="key"] { background: $code; border: 1px solid $line; border-radius: ${r6}px;
    padding: ${p2}px ${p8}px; font-size: ${f13}px; }
QLabel[look="badge-ok"], QLabel[look="badge-warn"], QLabel[look="badge-bad"] { background: $code;
    border-radius: ${r6}px; padding: ${p2}px ${p8}px; font-size: ${f12}px; font-weight: 600; color: $warn; }
QLabel[look="badge-ok"] { color: $ok; background: $soft; }
QLabel[look="badge-bad"] { color: $bad; }

QFrame[look="header"] { background: $background; border: none; border-bottom: 1px solid $line; }
QFrame[look="rail"] { background: $side; border: none; border-right: 1px solid $line; }
QFrame[look="sidebar"] { background: $background; border: none; border-right: 1px solid $line; }
QFrame[look="panel"] { background: $background; border: none; border-left: 1px solid $line; }
QFrame[look="panel-below"] { background: $background; border: none; border-top: 1px solid $line; }
QFrame[look="card"] { background: $surface; border: 1px solid $line; border-radius: ${r12}px; }
QFrame[look="recommended"] { background: $surface; border: 1px solid $accent; border-radius: ${r12}px; }
QFrame[look="composer"] { background: $surface; border: 1px solid $line; border-radius: ${r14}px; }
QFrame[look="composer"][focused="true"] { border: 1px solid $accent; }
QFrame[look="notice"] { background: $soft; border: none; border-radius: ${r8}px; }
QFrame[look="notice-bad"] { background: $surface; border: 1px solid $bad; border-radius: ${r8}px; }
QFrame[look="toast"] { background: $surface; border: 1px solid $line; border-radius: ${r8}px; }
QFrame[look="rule"] { background: $line; border: none; max-height: 1px; min-height: 1px; }
QFrame[look="popup"] { background: $surface; border: 1px solid $line; border-radius: ${r12}px; }

QFrame[look="chip"] { background: $soft; border: none; border-radius: ${chip}px; }
QFrame[look="chip-quiet"] { background: transparent; border: none; }
QFrame[look="chip-warn"] { background: transparent; border: 1px solid $warn; border-radius: ${chip}px; }
QFrame[look="chip"] QLabel { color: $accent; font-size: ${f13}px; font-weight: 600; }
QFrame[look="chip-quiet"] QLabel { color: $dim; font-size: ${f13}px; }
QFrame[look="chip-warn"] QLabel { color: $warn; font-size: ${f13}px; font-weight: 600; }

QPushButton, QToolButton[look="button"] { background: $surface; border: 1px solid $line; border-radius: ${r8}px;
    padding: ${p6}px ${p14}px; font-weight: 500; min-height: ${p18}px; }
QPushButton:hover, QToolButton[look="button"]:hover { background: $hover; }
QPushButton:focus, QToolButton[look="button"]:focus { border: 1px solid $accent; background: $soft; }
QPushButton:disabled { color: $dim; }
QPushButton[look="primary"] { background: $accent; color: $on_accent; border: 2px solid $accent;
    font-weight: 600; padding: ${p5}px ${p12}px; }
QPushButton[look="primary"]:hover { background: $accent_hover; border-color: $accent_hover; }
QPushButton[look="primary"]:focus { border: 2px solid $text; }
QPushButton[look="primary"]:disabled { background: $hover; border-color: $hover; color: $dim; }
QPushButton[look="bad"] { color: $bad; }
QPushButton[look="flat"] { background: transparent; border: 1px solid transparent; color: $dim; text-align: left;
    padding: ${p6}px ${p8}px; font-weight: 400; }
QPushButton[look="flat"]:hover { background: $hover; color: $text; }
QPushButton[look="flat"]:focus { border: 1px solid $accent; }
QPushButton[look="link"] { background: transparent; border: 1px solid transparent; border-radius: ${r6}px;
    color: $accent; padding: ${p2}px ${p6}px; font-weight: 600; }
QPushButton[look="link"]:hover { background: $hover; }
QPushButton[look="link"]:focus { border: 1px solid $accent; }
QPushButton[look="example"] { background: $surface; border: 1px solid $line; border-radius: ${r12}px;
    padding: 0; min-height: ${p116}px; font-weight: 400; }
QPushButton[look="example"]:hover { background: $soft; }
QPushButton[look="example"]:checked { border: 2px solid $accent; background: $soft; }
QPushButton[look="example"]:focus { border: 1px solid $accent; background: $soft; }
QPushButton[look="example"]:checked:focus { border: 2px solid $text; }
QPushButton[look="model"] { padding: ${p4}px ${p10}px; font-weight: 600; font-size: ${f13h}px; text-align: left; }
QPushButton[look="round"] { background: $surface; border: 1px solid $line; border-radius: ${pill}px;
    padding: 0 ${p14}px; min-height: ${p30}px; max-height: ${p30}px; font-size: ${f13}px; }
QPushButton[look="chip-button"] { background: transparent; border: 1px solid $line; border-radius: ${r8}px;
    color: $dim; padding: ${p4}px ${p10}px; font-weight: 400; font-size: ${f13}px; text-align: left; }
QPushButton[look="chip-button"]:hover { background: $hover; }
QPushButton[look="chip-button"]:focus { border: 1px solid $accent; }
QPushButton[look="state"] { background: $soft; border: 1px solid transparent; border-radius: ${chip}px;
    color: $accent; padding: ${p3}px ${p10}px; min-height: 0; font-weight: 600; font-size: ${f13}px; }
QPushButton[look="state"]:hover { border: 1px solid $line; }
QPushButton[look="state"]:focus { border: 1px solid $accent; }
QPushButton[look="toggle"] { padding: ${p5}px ${p8}px; font-size: ${f13}px; }
QPushButton[look="toggle"]:checked { background: $soft; color: $accent; }

QToolButton { background: transparent; border: 1px solid transparent; border-radius: ${r6}px; padding: ${p3}px;
    color: $dim; }
QToolButton:hover { background: $hover; }
QToolButton:pressed { background: $line; }
QToolButton:focus { border: 1px solid $accent; }
QToolButton:checked { background: $soft; }
QToolButton::menu-indicator { image: none; width: 0; }
QToolButton[look="rail"] { border-radius: ${r10}px; font-size: ${f11}px; padding: ${p6}px 0 ${p5}px 0; color: $dim; }
QToolButton[look="rail"]:checked { background: $soft; color: $accent; font-weight: 600; }
QToolButton[look="code"] { font-size: ${f12}px; padding: ${p2}px ${p6}px; }
QToolButton[look="code"]:hover { color: $text; }

QLineEdit, QSpinBox, QDoubleSpinBox, QComboBox { background: $surface; border: 1px solid $line;
    border-radius: ${r8}px; padding: ${p5}px ${p8}px; selection-background-color: $accent;
    selection-color: $on_accent; min-height: ${p20}px; }
QLineEdit:focus, QSpinBox:focus, QDoubleSpinBox:focus, QComboBox:focus, QPlainTextEdit[look="field"]:focus {
    border: 1px solid $accent; }
QLineEdit[look="inline"] { border: 1px solid $accent; border-radius: ${r6}px; padding: 0 ${p6}px; min-height: 0; }
QAbstractSpinBox QLineEdit { background: transparent; border: none; padding: 0 ${p4}px; min-height: 0; }
QSpinBox[unset="true"], QDoubleSpinBox[unset="true"], QLineEdit[unset="true"] { color: $dim; }
QSpinBox::up-button, QSpinBox::down-button, QDoubleSpinBox::up-button, QDoubleSpinBox::down-button {
    width: 0; border: none; }
QComboBox::drop-down { border: none; width: ${p24}px; }
QComboBox::down-arrow { image: none; width: 0; height: 0; }
QComboBox QAbstractItemView { background: $surface; border: 1px solid $line; border-radius: ${r8}px;
    padding: ${p4}px; selection-background-color: $soft; selection-color: $text; }
QPlainTextEdit, QTextBrowser { background: transparent; border: none; selection-background-color: $accent;
    selection-color: $on_accent; }
QLineEdit, QPlainTextEdit { placeholder-text-color: $dim; }
QPlainTextEdit[look="field"] { background: $surface; border: 1px solid $line; border-radius: ${r8}px;
    padding: ${p4}px ${p6}px; }
QTextBrowser:focus, QPlainTextEdit:focus { border: none; }

QListView { background: transparent; border: none; }
QListView[look="table"], QTableView[look="table"] { background: $surface; border: 1px solid $line;
    border-radius: ${r12}px; }
QTableView { selection-background-color: $soft; selection-color: $text; font-size: ${f13}px; }
QTableView::item { padding: 0 ${p8}px; border: none; }
QHeaderView { background: transparent; border: none; }
QHeaderView::section { background: transparent; border: none; border-bottom: 1px solid $line; color: $dim;
    padding: ${p6}px ${p8}px; font-size: ${f12}px; font-weight: 600; }
QTabBar { background: transparent; border: none; font-weight: 600; }
QTabBar::tab { background: transparent; border: none; border-bottom: 2px solid transparent; color: $dim;
    padding: ${p6}px ${p4}px; margin-right: ${p18}px; }
QTabBar::tab:selected { color: $text; border-bottom: 2px solid $accent; }
QTabBar::tab:hover { color: $text; }
QTabBar:focus::tab:selected { color: $accent; }
QScrollArea, QScrollArea > QWidget > QWidget[look="plain"] { background: transparent; border: none; }
QAbstractScrollArea::corner { background: transparent; border: none; }
QSplitter::handle { background: transparent; }
QMenu { background: $surface; border: 1px solid $line; border-radius: ${r8}px; padding: ${p4}px; }
QMenu::item { padding: ${p6}px ${p24}px ${p6}px ${p8}px; border-radius: ${r6}px; }
QMenu::item:selected { background: $soft; }
QMenu::item:disabled { color: $dim; }
QMenu::indicator { width: 0; height: 0; }
QMenu::icon { padding-left: ${p8}px; }
QMenu::separator { height: 1px; background: $line; margin: ${p4}px ${p8}px; }

QScrollBar:vertical { background: transparent; width: ${p10}px; margin: 0; border: none; }
QScrollBar::handle:vertical { background: $line; border-radius: ${p3}px; min-height: ${p30}px;
    margin: ${p2}px; }
QScrollBar::handle:vertical:hover { background: $dim; }
QScrollBar:horizontal { background: transparent; height: ${p10}px; margin: 0; border: none; }
QScrollBar::handle:horizontal { background: $line; border-radius: ${p3}px; min-width: ${p30}px; margin: ${p2}px; }
QScrollBar::add-line, QScrollBar::sub-line { width: 0; height: 0; }
QScrollBar::add-page, QScrollBar::sub-page { background: transparent; }

QProgressBar { background: $line; border: none; border-radius: 2px; max-height: 4px; min-height: 4px; }
QProgressBar::chunk { background: $accent; border-radius: 2px; }
QRadioButton, QCheckBox { spacing: ${p8}px; padding: ${p3}px; border: 1px solid transparent; border-radius: ${r6}px; }
QRadioButton::indicator { width: ${ring}px; height: ${ring}px; border: 1px solid $dim; border-radius: ${r8}px;
    background: $surface; }
QRadioButton::indicator:checked { width: ${p6}px; height: ${p6}px; border: ${p5}px solid $accent; }
QCheckBox::indicator { width: ${ring}px; height: ${ring}px; border: 1px solid $dim; border-radius: ${p3}px;
    background: $surface; }
QCheckBox::indicator:checked { border: 1px solid $accent; background: $accent; }
QCheckBox::indicator:disabled { border: 1px solid $line; }
QRadioButton:focus, QCheckBox:focus { border: 1px solid $accent; }
""")  # noqa: E501

_SIZES = (2, 3, 4, 5, 6, 8, 10, 12, 14, 18, 20, 24, 30, 116)


def stylesheet(tokens: Tokens, px: Callable[[float], int]) -> str:
    """The sheet for ``tokens``, with design pixels turned into real ones by ``px``."""
    values: dict[str, str | int] = {name: getattr(tokens, name) for name in tokens.names()}
    values |= {f"p{size}": px(size) for size in _SIZES}
    values |= {f"r{radius}": px(radius) for radius in (6, 8, 10, 12, 14, 16)}
    values |= {"f11": px(11.5), "f12": px(12), "f13": px(13), "f13h": px(13.5), "f18": px(18), "f24": px(24)}
    circle = 2 * px(8)
    # Half of what is rounded to a circle or a pill; one pixel more and Qt draws square corners.
    values |= {"chip": px(11), "pill": (px(30) + 2) // 2, "radio": circle // 2}
    values |= {"ring": circle - 2, "dot": circle - 2 * px(5)}
    return _SHEET.substitute(values)
