"""Keeps the buttons over the transcript's text where they belong, for the messages in view only."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Qt
from PySide6.QtWidgets import QToolButton, QWidget

from localai_app.chat.conversation import Role
from localai_app.ui.chat.cards import SourceCards, cards_height
from localai_app.ui.chat.message_document import Entry, MessageDocument
from localai_app.ui.chat.overlays import MessageActions, StatusLine, ThoughtButton
from localai_app.ui.theme import Theme
from localai_app.ui.widgets.buttons import Button
from localai_app.ui.widgets.padlock import Lock

if TYPE_CHECKING:
    from localai_app.ui.chat.transcript import Transcript

Key = tuple[int, str, int]
"""Message, kind of widget, number among those of its kind."""


class OverlayLayer(QObject):
    """Makes widgets as messages come into view and forgets them as they leave it."""

    def __init__(self, transcript: "Transcript", content: MessageDocument, theme: Theme) -> None:
        super().__init__(transcript)
        self._transcript, self._content, self._theme = transcript, content, theme
        self._widgets: dict[Key, QWidget] = {}

    def widget(self, message_id: int, kind: str, number: int = 0) -> QWidget | None:
        """The widget of a message: ``actions``, ``status``, ``cards``, ``thought`` or ``code``."""
        return self._widgets.get((message_id, kind, number))

    def clear(self) -> None:
        """Forget all."""
        for key in list(self._widgets):
            self._forget(key)

    def forget(self, message_id: int) -> None:
        """Forget the widgets of a message; they are made anew when it is in view."""
        for key in [key for key in self._widgets if key[0] == message_id]:
            self._forget(key)

    def place(self, entries: list[Entry], earlier: int) -> None:
        """Put widgets over ``entries``, the messages in view or near it.

        ``earlier``: how many messages the button at the top offers; 0 shows no button.
        """
        wanted: set[Key] = set()
        before = set(self._widgets)
        for entry in entries:
            self._place_entry(entry, wanted)
        if earlier:
            self._place_earlier(earlier, wanted)
        for key in [key for key in self._widgets if key not in wanted]:
            self._forget(key)
        if not wanted <= before:
            self._order()

    def _order(self) -> None:
        """Let Tab go through the widgets as the eye does: after the text, from the top, from the left."""
        before: QWidget = self._transcript
        for widget in sorted(self._widgets.values(), key=lambda each: (each.y(), each.x())):
            for part in (widget, *widget.findChildren(QWidget)):
                if part.focusPolicy() & Qt.FocusPolicy.TabFocus:
                    QWidget.setTabOrder(before, part)
                    before = part

    def _place_entry(self, entry: Entry, wanted: set[Key]) -> None:
        px, message, content = self._theme.px, entry.message, self._content
        layout = self._transcript.document().documentLayout()
        scrolled = self._transcript.verticalScrollBar().value()
        if message.role is Role.ASSISTANT or len(message.sibling_ids) > 1:
            footer = layout.blockBoundingRect(entry.frame.lastCursorPosition().block())
            kind = "status" if content.is_live(entry) else "actions"
            make = self._make_status if kind == "status" else lambda: self._make_actions(entry)
            line = self._get((message.id, kind, 0), make, wanted)
            line.setGeometry(0, round(footer.top()) - scrolled + px(2), content.column, px(30))
        if entry.has_cards:
            self._place_cards(entry, wanted)
        if entry.has_thought:
            button = self._get((message.id, "thought", 0), lambda: self._make_thought(entry), wanted)
            assert isinstance(button, ThoughtButton)
            top = layout.blockBoundingRect(entry.frame.firstCursorPosition().block()).top()
            button.fit(0, round(top) - scrolled, px(32))
        for number, code in enumerate(content.code_of(entry)):
            copy = self._get((message.id, "code", number), partial(self._make_copy, entry, number), wanted)
            rect, size = content.rect(code.frame), copy.sizeHint()
            left = round(rect.right()) - size.width() - px(6)
            copy.setGeometry(left, round(rect.top()) - scrolled + px(10), size.width(), size.height())

    def _place_cards(self, entry: Entry, wanted: set[Key]) -> None:
        """What a grounded answer rests on, in the room before the last line."""
        room = entry.frame.lastCursorPosition().block().previous()
        rect = self._transcript.document().documentLayout().blockBoundingRect(room)
        cards = self._get((entry.message.id, "cards", 0), lambda: self._make_cards(entry), wanted)
        top = round(rect.top()) - self._transcript.verticalScrollBar().value()
        cards.setGeometry(0, top, self._content.column, self._theme.px(cards_height(entry.message)))

    def _place_earlier(self, earlier: int, wanted: set[Key]) -> None:
        button = self._get((0, "earlier", earlier), lambda: self._make_earlier(earlier), wanted)
        size = button.sizeHint()
        left = (self._content.column - size.width()) // 2
        top = self._theme.px(12) - self._transcript.verticalScrollBar().value()
        button.setGeometry(left, top, size.width(), size.height())

    def _get(self, key: Key, make: Callable[[], QWidget], wanted: set[Key]) -> QWidget:
        wanted.add(key)
        widget = self._widgets.get(key)
        if widget is None:
            widget = self._widgets[key] = make()
            widget.show()
        return widget

    def _forget(self, key: Key) -> None:
        widget = self._widgets.pop(key)
        widget.hide()
        widget.deleteLater()

    def _make_status(self) -> StatusLine:
        line = StatusLine(self._theme, self._transcript.viewport())
        line.show_status(*self._transcript.status)
        return line

    def _make_actions(self, entry: Entry) -> MessageActions:
        transcript, number = self._transcript, entry.message.id
        last = entry is self._content.entries[-1]
        line = MessageActions(self._theme, entry.message, transcript.viewport(), last=last)
        line.branch_requested.connect(transcript.branch_requested)
        line.copy_requested.connect(lambda: transcript.copy_message(number))
        line.regenerate_requested.connect(lambda: transcript.regenerate_requested.emit(number))
        line.continue_requested.connect(lambda: transcript.continue_requested.emit(number))
        line.edit_requested.connect(lambda: transcript.edit_requested.emit(number))
        line.details_requested.connect(lambda: transcript.details_requested.emit(number))
        line.feedback_given.connect(lambda value: transcript.feedback_given.emit(number, value))
        if transcript.locks is not None and line.copy_button is not None:
            transcript.locks.hold(line.copy_button, Lock.COPY)
        return line

    def _make_cards(self, entry: Entry) -> SourceCards:
        transcript, number = self._transcript, entry.message.id
        last = entry is self._content.entries[-1]
        cards = SourceCards(self._theme, entry.message, transcript.viewport(), last=last)
        cards.citation_chosen.connect(lambda index: transcript.citation_activated.emit(number, index))
        cards.every_page_requested.connect(lambda: transcript.every_page_requested.emit(number))
        if number in transcript.prices:
            cards.show_prices(transcript.prices[number])
        elif last:
            transcript.price_wanted.emit(number)
        return cards

    def _make_thought(self, entry: Entry) -> ThoughtButton:
        seconds = self._content.thought_seconds(entry)
        if self._content.thinking and self._content.is_live(entry):
            text = self.tr("Thinking…")
        elif seconds is not None:
            text = self.tr("Thought for {0} s").format(max(1, seconds))
        else:
            text = self.tr("Thought")
        unfolded = self._content.unfolded(entry)
        button = ThoughtButton(self._theme, text, self._transcript.viewport(), unfolded=unfolded)
        button.clicked.connect(lambda: self._transcript.toggle_thought(entry.message.id))
        return button

    def _make_copy(self, entry: Entry, number: int) -> QToolButton:
        button = QToolButton(self._transcript.viewport())
        button.setProperty("look", "code")
        button.setText(" " + self.tr("Copy"))
        button.setIcon(self._theme.icon("copy"))
        button.setIconSize(self._theme.icon_size(14))
        button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        button.setAccessibleName(self.tr("Copy this code"))
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        button.setCursor(Qt.CursorShape.PointingHandCursor)

        def copy() -> None:
            if self._transcript.copy_code(entry, number):
                button.setText(" " + self.tr("Copied"))
                button.setIcon(self._theme.icon("check", "ok"))

        button.clicked.connect(copy)
        if self._transcript.locks is not None:
            self._transcript.locks.hold(button, Lock.COPY)
        return button

    def _make_earlier(self, earlier: int) -> Button:
        text = self.tr("Show earlier messages ({0})").format(earlier)
        button = Button(self._theme, text, look="round", parent=self._transcript.viewport())
        button.clicked.connect(self._transcript.load_earlier)
        return button
