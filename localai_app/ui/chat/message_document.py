"""Messages as frames of one text document: building, replacing and streaming them.

``root`` holds, for each message, a frame and a spacer. A question's frame holds the bubble and a
footer block, an answer's frame its text and a footer block; the footers are where the transcript
lays its buttons.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from PySide6.QtCore import QObject, QRectF
from PySide6.QtGui import QFontMetricsF, QTextCursor, QTextDocument, QTextFrame, QTextFrameFormat, QTextLayout
from PySide6.QtWidgets import QTextEdit

from localai_app.chat.conversation import Message, Role, Status
from localai_app.ui.chat.cards import cards_height
from localai_app.ui.chat.formats import CITATION, Formats
from localai_app.ui.chat.highlight import Span, highlight
from localai_app.ui.chat.live import LiveText
from localai_app.ui.chat.markdown import LINE_BREAK, CodeBlock, MarkdownWriter, parse
from localai_app.ui.chat.thinking import Answer, split_thinking
from localai_app.ui.jobs import Jobs
from localai_app.ui.theme import Theme

BUBBLE_INSET = 4
"""Design pixels by which a bubble is painted wider than its frame: Qt's padding is the same all round."""


@dataclass(eq=False)
class Entry:
    """A message as it stands in the document."""

    message: Message
    frame: QTextFrame
    bubble: QTextFrame | None = None
    code: list[CodeBlock] = field(default_factory=list)
    has_thought: bool = False
    has_cards: bool = False
    """The block before the last leaves room for cards."""


class MessageDocument(QObject):
    """Writes messages into ``document``; knows nothing of scrolling, painting or buttons."""

    def __init__(self, document: QTextDocument, theme: Theme, jobs: Jobs, parent: QObject) -> None:
        super().__init__(parent)
        self._document, self._theme, self._jobs = document, theme, jobs
        self.formats = Formats(theme)
        self.entries: list[Entry] = []
        self.column = 0
        """Width of the text in pixels."""
        self.live: LiveText | None = None
        """The answer that is being written; always the last entry's."""
        self.live_text = ""
        self._live_answer = Answer(None, "")
        self._live_since = 0.0
        self._unfolded: set[int] = set()
        self._thought_seconds: dict[int, int] = {}

    @property
    def thinking(self) -> bool:
        """True while the answer being written is still a thought."""
        return self.live is not None and self._live_answer.thinking

    @property
    def writes_text(self) -> bool:
        """True while the answer being written has text to put a caret after."""
        return self.live is not None and bool(self._live_answer.text)

    def is_live(self, entry: Entry) -> bool:
        """True for the entry that is being written."""
        return self.live is not None and entry is self.entries[-1]

    def code_of(self, entry: Entry) -> list[CodeBlock]:
        """The entry's code blocks, the one being written included."""
        return self.live.code_blocks if self.live is not None and self.is_live(entry) else entry.code

    def entry(self, message_id: int) -> Entry | None:
        """The entry of a message that is in the document."""
        return next((entry for entry in self.entries if entry.message.id == message_id), None)

    def rect(self, frame: QTextFrame) -> QRectF:
        """Where ``frame`` is in the document, its margins left out."""
        rect = self._document.documentLayout().frameBoundingRect(frame)
        form = frame.frameFormat()
        return rect.adjusted(form.leftMargin(), form.topMargin(), -form.rightMargin(), -form.bottomMargin())

    # ------------------------------------------------------------ whole messages

    def clear(self) -> None:
        """Begin an empty document in the theme's present look."""
        self.live = None
        self.entries.clear()
        self.formats = Formats(self._theme)
        self._document.clear()
        self._document.setIndentWidth(self.formats.indent)
        self._document.setDefaultFont(self._theme.font())
        self.set_head(22)

    def set_head(self, height: float) -> None:
        """Leave ``height`` design pixels above the first message."""
        cursor = QTextCursor(self._document)
        cursor.setBlockFormat(self.formats.spacer(height))
        cursor.setBlockCharFormat(self.formats.spacer_text())

    def append(self, message: Message) -> None:
        """Write a message after the last one."""
        cursor = QTextCursor(self._document)
        cursor.movePosition(QTextCursor.MoveOperation.End)
        self.entries.append(self._insert(cursor, message))

    def prepend(self, message: Message) -> int:
        """Write a message before the first one; by how many pixels that one moved down."""
        layout = self._document.documentLayout()
        anchor = self.entries[0].frame
        before = layout.frameBoundingRect(anchor).top()
        cursor = QTextCursor(self._document)
        cursor.setPosition(0)
        self.entries.insert(0, self._insert(cursor, message))
        return round(layout.frameBoundingRect(anchor).top() - before)

    def drop_from(self, index: int) -> None:
        """Remove the entries from ``index`` on."""
        if index >= len(self.entries):
            return
        cursor = QTextCursor(self._document)
        cursor.setPosition(self.entries[index].frame.firstPosition() - 1)
        cursor.movePosition(QTextCursor.MoveOperation.End, QTextCursor.MoveMode.KeepAnchor)
        cursor.removeSelectedText()
        del self.entries[index:]

    def refill(self, entry: Entry) -> None:
        """Write the entry's message anew."""
        edit = QTextCursor(self._document)
        edit.beginEditBlock()
        self._empty(entry)
        self._fill(entry)
        edit.endEditBlock()

    def fit_bubbles(self) -> None:
        """Move the bubbles to the right edge of a column of another width."""
        edit = QTextCursor(self._document)
        edit.beginEditBlock()
        for entry in self.entries:
            if entry.bubble is not None:
                entry.bubble.setFrameFormat(self._bubble_format(entry.message.text))
        edit.endEditBlock()

    def marks(self, entry: Entry, words: Sequence[str]) -> list[QTextEdit.ExtraSelection]:
        """Selections that mark ``words`` in the entry's text."""
        marks = []
        end = entry.frame.lastPosition()
        for word in words:
            cursor = self._document.find(word, entry.frame.firstPosition())
            while not cursor.isNull() and cursor.position() <= end:
                mark = QTextEdit.ExtraSelection()
                mark.cursor = cursor
                mark.format.setBackground(self._theme.color("mark"))
                marks.append(mark)
                cursor = self._document.find(word, cursor)
        return marks

    # ------------------------------------------------------------ the answer being written

    def begin_live(self, message: Message) -> None:
        """Stream into the last entry, which must be that of ``message``."""
        assert self.entries, "no message to stream into"
        entry = self.entries[-1]
        assert entry.message.id == message.id, "the answer is not the last message"
        entry.message = message
        self.live_text = message.text
        self._live_since = time.monotonic()
        self._fill_live(entry)

    def feed(self, text: str) -> bool:
        """Add to the answer; True when its thought began or ended, so that its button says another thing."""
        assert self.live is not None, "nothing is being written"
        entry = self.entries[-1]
        self.live_text += text
        before, now = self._live_answer, split_thinking(self.live_text)
        self._live_answer = now
        if now.thought is not None and not now.thinking and entry.message.id not in self._thought_seconds:
            self._thought_seconds[entry.message.id] = round(time.monotonic() - self._live_since)
        turned = (before.thinking, before.thought is None) != (now.thinking, now.thought is None)
        if turned or not now.text.startswith(before.text):
            self._fill_live(entry)
        else:
            self.live.feed(now.text[len(before.text) :])
        for block in self.live.finished_code[len(entry.code) :]:
            entry.code.append(block)
            self._color(block)
        return turned

    def end_live(self, message: Message) -> None:
        """The answer is complete as ``message``."""
        assert self.live is not None, "nothing is being written"
        entry, live = self.entries[-1], self.live
        entry.message = message
        self.live = None
        grounded = cards_height(message) > 0
        other = message.text != self.live_text or message.status is Status.FAILED
        if grounded or other or self._live_answer.thinking:
            self.refill(entry)
            return
        live.finish()
        for block in live.finished_code[len(entry.code) :]:
            entry.code.append(block)
            self._color(block)

    def break_live(self) -> None:
        """Show the entry being written as its message stands."""
        if self.live is not None:
            self.live = None
            self.refill(self.entries[-1])

    # ------------------------------------------------------------ thoughts

    def toggle_thought(self, entry: Entry) -> None:
        """Fold or unfold what the model thought."""
        self._unfolded ^= {entry.message.id}
        if self.is_live(entry):
            self._fill_live(entry)
        else:
            self.refill(entry)

    def unfolded(self, entry: Entry) -> bool:
        """True while the entry's thought is shown."""
        return entry.message.id in self._unfolded

    def thought_seconds(self, entry: Entry) -> int | None:
        """How long the model thought, where that was seen."""
        return self._thought_seconds.get(entry.message.id)

    # ------------------------------------------------------------ writing

    def _insert(self, cursor: QTextCursor, message: Message) -> Entry:
        cursor.beginEditBlock()
        frame = cursor.insertFrame(QTextFrameFormat())
        after = QTextCursor(self._document)
        after.setPosition(frame.lastPosition() + 1)
        after.setBlockFormat(self.formats.spacer(18 if message.role is Role.USER else 16))
        after.setBlockCharFormat(self.formats.spacer_text())
        entry = Entry(message, frame)
        self._fill(entry)
        cursor.endEditBlock()
        return entry

    def _fill(self, entry: Entry) -> None:
        if entry.message.role is Role.USER:
            self._fill_question(entry)
        else:
            self._fill_answer(entry)

    def _fill_question(self, entry: Entry) -> None:
        formats, message = self.formats, entry.message
        cursor = entry.frame.firstCursorPosition()
        cursor.setBlockFormat(formats.spacer(0))
        cursor.setBlockCharFormat(formats.spacer_text())
        entry.bubble = cursor.insertFrame(self._bubble_format(message.text))
        inner = entry.bubble.firstCursorPosition()
        inner.setBlockFormat(formats.paragraph(bottom=0))
        inner.setBlockCharFormat(formats.body)
        inner.insertText(message.text.replace("\n", LINE_BREAK), formats.body)
        footer = QTextCursor(self._document)
        footer.setPosition(entry.bubble.lastPosition() + 1)
        footer.setBlockFormat(formats.spacer(30 if len(message.sibling_ids) > 1 else 0))
        footer.setBlockCharFormat(formats.spacer_text())

    def _bubble_format(self, text: str) -> QTextFrameFormat:
        px, column = self._theme.px, max(self.column, 100)
        metrics = QFontMetricsF(self._theme.font())
        # A long line is as wide as can be whatever it measures; measuring all of it would cost.
        natural = max(metrics.horizontalAdvance(line[:200]) for line in text.split("\n")[:60]) + 1
        width = min(natural + 2 * px(14), column * 0.86)
        form = QTextFrameFormat()
        form.setPadding(px(14 - BUBBLE_INSET))
        form.setLeftMargin(column - width + px(BUBBLE_INSET))
        form.setRightMargin(px(BUBBLE_INSET))
        return form

    def _fill_answer(self, entry: Entry) -> None:
        answer = split_thinking(entry.message.text)
        writer = self._begin_answer(entry, answer)
        if answer.text.strip():
            writer.write(parse(answer.text))
        if entry.message.status is Status.FAILED and entry.message.error:
            writer.block(self.formats.paragraph(top=4, bottom=2), self.formats.bad)
            writer.cursor.insertText(entry.message.error.replace("\n", LINE_BREAK))
        entry.code = list(writer.code_blocks)
        for block in entry.code:
            self._color(block)
        # Always a block of its own: Qt gives the empty one after a table no height.
        writer.leave_code()
        height = cards_height(entry.message)
        entry.has_cards = height > 0
        if entry.has_cards:
            writer.cursor.insertBlock(self.formats.spacer(height), self.formats.spacer_text())
        writer.cursor.insertBlock()
        self._set_footer(entry)

    def _begin_answer(self, entry: Entry, answer: Answer) -> MarkdownWriter:
        """Room for the thought's button and, unfolded, the thought; then an empty block."""
        entry.has_thought = answer.thought is not None
        message = entry.message
        cited: dict[int, list[str]] = {}
        for index, each in sorted(enumerate(message.citations), key=lambda pair: pair[1].at):
            if each.document_id and not each.found:
                cited.setdefault(each.number, []).append(f"{CITATION}{message.id}:{index}")
        writer = MarkdownWriter(entry.frame.firstCursorPosition(), self.formats, cited)
        if entry.has_thought:
            writer.block(self.formats.spacer(42), self.formats.spacer_text())
            if self.unfolded(entry) and answer.thought:
                writer.block(self.formats.paragraph(left=14, bottom=12), self.formats.dim)
                writer.cursor.insertText(answer.thought.replace("\n", LINE_BREAK), self.formats.dim)
            writer.end()
        return writer

    def _set_footer(self, entry: Entry) -> None:
        footer = entry.frame.lastCursorPosition()
        footer.setBlockFormat(self.formats.spacer(34))
        footer.setBlockCharFormat(self.formats.spacer_text())

    def _fill_live(self, entry: Entry) -> None:
        """Set the frame up for streaming and show what has come so far."""
        edit = QTextCursor(self._document)
        edit.beginEditBlock()
        self._empty(entry)
        self._live_answer = split_thinking(self.live_text)
        writer = self._begin_answer(entry, self._live_answer)
        start = writer.cursor.position()
        writer.cursor.insertBlock()
        self._set_footer(entry)
        self.live = LiveText(entry.frame, start, self.formats)
        self.live.feed(self._live_answer.text)
        edit.endEditBlock()

    def _empty(self, entry: Entry) -> None:
        entry.code, entry.bubble, entry.has_cards = [], None, False
        cursor = entry.frame.firstCursorPosition()
        cursor.setPosition(entry.frame.lastPosition(), QTextCursor.MoveMode.KeepAnchor)
        cursor.removeSelectedText()

    # ------------------------------------------------------------ syntax colours

    def _color(self, block: CodeBlock) -> None:
        """Ask for syntax colours; they are laid over the text when they come."""
        if block.language:
            job = self._jobs.run(lambda: highlight(block.text, block.language), lane="highlight")
            job.returned.connect(lambda spans: self._apply_colors(block, spans))

    def _apply_colors(self, block: CodeBlock, spans: list[Span]) -> None:
        try:
            line = block.frame.firstCursorPosition().block().next()
        except RuntimeError:  # the frame is gone: its message was replaced meanwhile
            return
        by_line: dict[int, list[QTextLayout.FormatRange]] = {}
        for span in spans:
            part = QTextLayout.FormatRange()
            part.start, part.length = span.start, span.length
            part.format.setForeground(self._theme.color(span.token))
            by_line.setdefault(span.line, []).append(part)
        start, end = line.position(), block.frame.lastPosition()
        number = 0
        while line.isValid() and line.position() <= end:
            if number in by_line:
                line.layout().setFormats(by_line[number])
            number, line = number + 1, line.next()
        self._document.markContentsDirty(start, max(0, end - start))
