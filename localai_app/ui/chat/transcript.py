"""The transcript: one read-only text browser over the messages of the shown path.

Each message is a frame of the document; bubbles and code cards are painted under the text, buttons
are real widgets over it. The text of one document gives selection, copy, find and screen readers for
free. Nothing in it can load anything: `loadResource` answers every request with an empty image, links
are never followed here, and the markdown writer can make neither images nor raw HTML.
"""

import bisect
from collections.abc import Callable, Sequence
from dataclasses import replace

from PySide6.QtCore import QElapsedTimer, QEvent, QPoint, QRectF, Qt, QTimer, QUrl, Signal
from PySide6.QtGui import (
    QAction,
    QContextMenuEvent,
    QImage,
    QKeyEvent,
    QPainter,
    QPaintEvent,
    QResizeEvent,
    QTextOption,
    QWheelEvent,
)
from PySide6.QtWidgets import QApplication, QFrame, QMenu, QTextBrowser, QTextEdit, QWidget

from localai_app.chat.conversation import Message, Role
from localai_app.documents.grounding import Price
from localai_app.ui.chat.cards import SourceCards
from localai_app.ui.chat.formats import CITATION
from localai_app.ui.chat.markdown import LINE_BREAK
from localai_app.ui.chat.message_document import Entry, MessageDocument
from localai_app.ui.chat.overlay_layer import OverlayLayer
from localai_app.ui.chat.overlays import CAN_CONTINUE, StatusLine
from localai_app.ui.chat.paint import Backdrop
from localai_app.ui.chat.thinking import split_thinking
from localai_app.ui.clipboard import put_on_clipboard
from localai_app.ui.jobs import Jobs
from localai_app.ui.theme import COLUMN, Theme
from localai_app.ui.widgets.buttons import Button
from localai_app.ui.widgets.padlock import Lock, Locks

SHOWN = 200
"""Messages in the document; more come with "Show earlier"."""
AT_ONCE = 8
"""Messages built before the first paint; the rest follow in slices."""
SLICE_MS = 8
LONG = 40
"""Messages from which a narrower column waits until the window's edge rests."""
REFIT_MS = 80
AT_BOTTOM = 32
"""Pixels from the end that still count as being there."""


def _drawn(message: Message) -> tuple[object, ...]:
    """What of a message shows in the document: when it is other, it is written anew."""
    coverage = message.record.coverage if message.record else None
    return message.id, message.text, message.status, message.citations, coverage


class Transcript(QTextBrowser):
    """Shows the messages of one conversation and the answer that is being written."""

    regenerate_requested = Signal(int)
    continue_requested = Signal(int)
    edit_requested = Signal(int)
    """The person wants to edit this question (or the question of this answer)."""
    branch_requested = Signal(int)
    feedback_given = Signal(int, int)
    details_requested = Signal(int)
    link_activated = Signal(str)
    citation_activated = Signal(int, int)
    """(message, which of its citations)."""
    price_wanted = Signal(int)
    """What reading every page for this answer would cost shall be told to `show_prices`."""
    every_page_requested = Signal(int)
    """Answer again from every page."""
    zoom_requested = Signal(int)

    def __init__(self, theme: Theme, jobs: Jobs, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.content = MessageDocument(self.document(), theme, jobs, self)
        self.locks: Locks | None = None
        """What policy locks of it; None: nothing."""
        self.overlays = OverlayLayer(self, self.content, theme)
        self._backdrop = Backdrop(self.document(), self.content, theme)
        self._earlier: list[Message] = []
        """Messages of the path that are not in the document, oldest first."""
        self._wanted = SHOWN
        self.status: tuple[str, float | None] = ("", None)
        """What the model does now: words, and how much of it is done (0 to 1)."""
        self.prices: dict[int, list[Price]] = {}
        """What asking costs, by answer."""
        self._following = True
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setOpenLinks(False)
        self.setUndoRedoEnabled(False)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        # The column's width, not the widget's: a wide window can be resized without a new layout.
        self.setLineWrapMode(QTextEdit.LineWrapMode.FixedPixelWidth)
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextBrowserInteraction | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self.setAccessibleName(self.tr("Conversation"))
        self.document().setDocumentMargin(0)
        self.jump_button = Button(
            theme, self.tr("Jump to latest"), look="round", icon="arrow-down", size=15, parent=self
        )
        self.jump_button.hide()
        self.jump_button.clicked.connect(self.scroll_to_end)
        self._slices = self._timer(0, self._fill_slice)
        self._slices.setSingleShot(False)
        self._arrange = self._timer(0, self.arrange)
        self._refit = self._timer(REFIT_MS, self._set_column)
        self.anchorClicked.connect(self._activate)
        bar = self.verticalScrollBar()
        bar.rangeChanged.connect(self._keep_end)
        bar.valueChanged.connect(self._note_position)
        bar.sliderMoved.connect(self._leave_end)
        bar.sliderReleased.connect(self._leave_end)
        theme.changed.connect(self._retheme)
        self.content.clear()

    # ------------------------------------------------------------ what the page calls

    @property
    def messages(self) -> list[Message]:
        """Messages in the document, oldest first."""
        return [entry.message for entry in self.content.entries]

    @property
    def following(self) -> bool:
        """True while new text keeps the end in view."""
        return self._following

    def show_path(self, messages: Sequence[Message]) -> None:
        """Show ``messages``; those that are shown already stay as they are."""
        messages = list(messages)
        kept = self._common(messages)
        if not kept:
            self._rebuild(messages)
            return
        self.content.break_live()
        for entry in self.content.entries[kept:]:
            self.overlays.forget(entry.message.id)
        self.content.drop_from(kept)
        first = len(self._earlier)
        for entry, message in zip(self.content.entries, messages[first:], strict=False):
            if entry.message != message:
                # An edited question has a branch line now: its footer takes room.
                grown = len(entry.message.sibling_ids) != len(message.sibling_ids)
                entry.message = message
                self.overlays.forget(message.id)
                if grown and message.role is Role.USER:
                    self.content.refill(entry)
        # The last answer's line offers more than others': it is made anew when the path grows.
        self.overlays.forget(self.content.entries[-1].message.id)
        for message in messages[first + kept :]:
            self.content.append(message)
        self._refresh()

    def begin_answer(self, message: Message) -> None:
        """Stream into the last message, which must be ``message``."""
        self.status = (self.tr("waiting…"), None)
        self.overlays.forget(message.id)
        self.content.begin_live(message)
        self.scroll_to_end()
        self._refresh()

    def append_text(self, text: str) -> None:
        """More of the answer."""
        if self.content.live is None or not text:
            return
        if self.content.feed(text):
            self.overlays.forget(self.messages[-1].id)
        self._refresh()

    def show_status(self, text: str, fraction: float | None = None) -> None:
        """Say under the answer what the model does; ``fraction`` 0 to 1 adds a bar."""
        self.status = (text, fraction)
        line = self.overlays.widget(self.messages[-1].id, "status") if self.messages else None
        if isinstance(line, StatusLine):
            line.show_status(text, fraction)

    def end_answer(self, message: Message) -> None:
        """The answer is complete as ``message``."""
        if self.content.live is None or self.messages[-1].id != message.id:
            return
        self.overlays.forget(message.id)
        self.content.end_live(message)
        self._refresh()

    def reveal(self, message_id: int, words: Sequence[str] = ()) -> None:
        """Bring a message into view and mark ``words`` in it."""
        while self._earlier and self.content.entry(message_id) is None:
            self._prepend(self._earlier.pop())
        entry = self.content.entry(message_id)
        if entry is None:
            return
        self._following = False
        self.setExtraSelections(self.content.marks(entry, words))
        top = self.content.rect(entry.frame).top()
        self.verticalScrollBar().setValue(round(top) - self._theme.px(40))
        self._refresh()

    def show_prices(self, message_id: int, prices: list[Price]) -> None:
        """Say under an answer what other ways of asking cost."""
        self.prices[message_id] = prices
        cards = self.overlays.widget(message_id, "cards")
        if isinstance(cards, SourceCards):
            cards.show_prices(prices)

    def scroll_to_end(self) -> None:
        """Show the newest text and stay with it."""
        self._following = True
        self._keep_end()

    def last_id(self, role: Role) -> int | None:
        """Id of the last message of ``role``."""
        return next((message.id for message in reversed(self.messages) if message.role is role), None)

    def toggle_thought(self, message_id: int) -> None:
        """Fold or unfold what the model thought."""
        entry = self.content.entry(message_id)
        assert entry is not None, "no such message"
        self.overlays.forget(message_id)
        self.content.toggle_thought(entry)
        self._refresh()

    def load_earlier(self) -> None:
        """Show more of what came before."""
        self._following = False
        self._wanted = len(self.content.entries) + SHOWN
        self._slices.start()

    # ------------------------------------------------------------ building

    def _timer(self, milliseconds: int, act: Callable[[], None]) -> QTimer:
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.setInterval(milliseconds)
        timer.timeout.connect(act)
        return timer

    def _common(self, messages: list[Message]) -> int:
        """How many entries stay when ``messages`` is shown."""
        first = len(self._earlier)
        if [message.id for message in messages[:first]] != [message.id for message in self._earlier]:
            return 0
        kept = 0
        for entry, message in zip(self.content.entries, messages[first:], strict=False):
            shown = entry.message
            if _drawn(shown) != _drawn(message):
                break
            kept += 1
        return kept

    def _rebuild(self, messages: list[Message]) -> None:
        self._slices.stop()
        self.overlays.clear()
        self.setExtraSelections([])
        self._following = True
        self._wanted = SHOWN
        self.content.clear()
        self._earlier = messages[:-AT_ONCE]
        for message in messages[-AT_ONCE:]:
            self.content.append(message)
        self._refresh()
        if self._earlier:
            self._slices.start()

    def _prepend(self, message: Message) -> None:
        moved = self.content.prepend(message)
        if not self._following:
            self.verticalScrollBar().setValue(self.verticalScrollBar().value() + moved)

    def _fill_slice(self) -> None:
        """Build earlier messages until the slice is used up; the view stays where it is."""
        timer = QElapsedTimer()
        timer.start()
        while self._earlier and len(self.content.entries) < self._wanted and timer.elapsed() < SLICE_MS:
            self._prepend(self._earlier.pop())
        if not self._earlier or len(self.content.entries) >= self._wanted:
            self._slices.stop()
            self.content.set_head(60 if self._earlier else 22)
        self._refresh()

    def _retheme(self) -> None:
        self._set_column()
        self._fit_margins()
        messages, live = self._earlier + self.messages, self.content.live is not None
        text, status = self.content.live_text, self.status
        self._rebuild(messages)
        if live:
            self.begin_answer(replace(messages[-1], text=text))
            self.status = status

    # ------------------------------------------------------------ placing

    def arrange(self) -> None:
        """Put the buttons where the text is now."""
        earlier = 0 if self._slices.isActive() else len(self._earlier)
        self.overlays.place(self.visible(margin=self.viewport().height() / 2), earlier)
        bar = self.verticalScrollBar()
        away = bar.maximum() - bar.value() > self.viewport().height() // 3
        self.jump_button.setVisible(away and not self._following)
        if self.jump_button.isVisible():
            size = self.jump_button.sizeHint()
            top = self.height() - size.height() - self._theme.px(10)
            self.jump_button.setGeometry((self.width() - size.width()) // 2, top, size.width(), size.height())
            self.jump_button.raise_()

    def visible(self, margin: float = 0) -> list[Entry]:
        """Entries that are in view, or less than ``margin`` pixels from it."""
        layout = self.document().documentLayout()
        top = self.verticalScrollBar().value() - margin
        bottom = top + self.viewport().height() + 2 * margin
        entries = self.content.entries
        first = bisect.bisect_left(
            entries, top, key=lambda entry: layout.frameBoundingRect(entry.frame).bottom()
        )
        shown = []
        for entry in entries[first:]:
            if layout.frameBoundingRect(entry.frame).top() > bottom:
                break
            shown.append(entry)
        return shown

    def _refresh(self) -> None:
        self._arrange.start()
        self.viewport().update()

    def _fit_margins(self) -> None:
        """Keep the column centred, whatever the scroll bar takes."""
        bar = self.verticalScrollBar()
        column = self._room()
        left = max(0, (self.width() - column) // 2)
        taken = bar.width() if bar.isVisible() else 0
        self.setViewportMargins(left, 0, max(0, self.width() - left - column - taken), 0)
        if column != self.content.column:
            if self.content.column and len(self.content.entries) > LONG:
                self._refit.start()
            else:
                self._set_column()

    def _room(self) -> int:
        return min(self._theme.px(COLUMN), self.width() - 2 * self._theme.px(20))

    def _set_column(self) -> None:
        """Lay the text out in the column that there is room for."""
        self.content.column = self._room()
        self.setLineWrapColumnOrWidth(self.content.column)
        self.content.fit_bubbles()
        self._keep_end()
        self._arrange.start()

    # ------------------------------------------------------------ copying and asking

    def copy_message(self, message_id: int) -> bool:
        """Put a message's own text (markdown, for an answer) on the clipboard; whether it may be there."""
        message = next(message for message in self.messages if message.id == message_id)
        answer = split_thinking(message.text).text if message.role is Role.ASSISTANT else message.text
        return put_on_clipboard(answer)

    def copy_code(self, entry: Entry, number: int) -> bool:
        """Put the entry's code block ``number``, as it stands now, on the clipboard; whether it may be
        there."""
        frame = self.content.code_of(entry)[number].frame
        lines, block = [], frame.firstCursorPosition().block().next()
        while block.isValid() and block.position() <= frame.lastPosition():
            lines.append(block.text())
            block = block.next()
        return put_on_clipboard("\n".join(lines))

    def menu(self, entry: Entry | None) -> QMenu:
        """What can be done with a message and with what is selected."""
        menu = QMenu(self)

        def offer(text: str, act: Callable[[], object], lock: Lock | None = None) -> None:
            action = QAction(text, menu)
            action.triggered.connect(lambda _checked=False: act())
            menu.addAction(action)
            if self.locks is not None and lock is not None:
                self.locks.mark(menu, action, lock)

        selection = self.textCursor().selectedText().replace("\u2029", "\n").replace(LINE_BREAK, "\n")
        if selection:
            offer(self.tr("Copy selection"), lambda: put_on_clipboard(selection), Lock.COPY)
        if entry is None:
            return menu
        message = entry.message
        offer(self.tr("Copy message"), lambda: self.copy_message(message.id), Lock.COPY)
        menu.addSeparator()
        if message.role is Role.USER:
            offer(self.tr("Edit"), lambda: self.edit_requested.emit(message.id))
            return menu
        offer(self.tr("Answer again"), lambda: self.regenerate_requested.emit(message.id))
        offer(self.tr("Edit the question"), lambda: self.edit_requested.emit(message.id))
        if entry is self.content.entries[-1] and message.status in CAN_CONTINUE:
            offer(self.tr("Continue"), lambda: self.continue_requested.emit(message.id))
        if message.record is not None:
            menu.addSeparator()
            offer(self.tr("How this answer was made"), lambda: self.details_requested.emit(message.id))
        return menu

    def _activate(self, url: QUrl) -> None:
        address = url.toString()
        if address.startswith(CITATION):
            message_id, _, index = address.removeprefix(CITATION).partition(":")
            self.citation_activated.emit(int(message_id), int(index))
        else:
            self.link_activated.emit(address)

    # ------------------------------------------------------------ scrolling

    def _keep_end(self) -> None:
        if self._following:
            bar = self.verticalScrollBar()
            bar.setValue(bar.maximum())

    def _note_position(self, value: int) -> None:
        if value >= self.verticalScrollBar().maximum() - AT_BOTTOM:
            self._following = True
        self._arrange.start()

    def _leave_end(self) -> None:
        """The person moved: follow only while the end is in view."""
        bar = self.verticalScrollBar()
        self._following = bar.value() >= bar.maximum() - AT_BOTTOM
        self._arrange.start()

    # ------------------------------------------------------------ Qt

    def loadResource(self, kind: int, name: QUrl | str) -> QImage:
        """Nothing: no text may make this window read a file or a share."""
        return QImage()

    def event(self, event: QEvent) -> bool:
        """Scroll when the wheel turns beside the column, too."""
        if event.type() == QEvent.Type.Wheel:
            return bool(QApplication.sendEvent(self.viewport(), event))
        return super().event(event)

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Ctrl and wheel zoom."""
        if event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self.zoom_requested.emit(1 if event.angleDelta().y() > 0 else -1)
            event.accept()
            return
        super().wheelEvent(event)
        self._leave_end()

    def focusNextPrevChild(self, forward: bool) -> bool:
        """Tab goes from link to link in the text; from a button over it, to the next button."""
        if self.hasFocus():
            return super().focusNextPrevChild(forward)
        return QWidget.focusNextPrevChild(self, forward)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Keys that scroll stop the following."""
        super().keyPressEvent(event)
        self._leave_end()

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """The menu of the message under the pointer, or of the last one when a key asked."""
        entry = self.content.entries[-1] if self.content.entries else None
        if event.reason() == QContextMenuEvent.Reason.Mouse:
            y = self.viewport().mapFromGlobal(event.globalPos()).y() + self.verticalScrollBar().value()
            near = (e for e in self.visible() if self.content.rect(e.frame).contains(1, y))
            entry = next(near, None)
        menu = self.menu(entry)
        if not menu.isEmpty():
            menu.exec(event.globalPos())
        menu.deleteLater()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Centre the column."""
        super().resizeEvent(event)
        self._fit_margins()
        self._keep_end()
        self._arrange.start()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Bubbles, cards, bars and rules first, then the text over them, then the caret."""
        scrolled = self.verticalScrollBar().value()
        painter = QPainter(self.viewport())
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.translate(0, -scrolled)
        first = self.cursorForPosition(QPoint(0, 0)).block()
        for entry in self.visible():
            self._backdrop.paint(painter, entry, first, scrolled + self.viewport().height())
        painter.end()
        super().paintEvent(event)
        if self.content.live is not None and self.content.writes_text:
            rect = self.cursorRect(self.content.live.caret)
            height, width = self._theme.px(16), self._theme.px(3)
            painter = QPainter(self.viewport())
            caret = QRectF(rect.left() + 1, rect.bottom() - height - 1, width, height)
            painter.fillRect(caret, self._theme.color("text"))
            painter.end()
