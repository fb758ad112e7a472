"""The reply that is being written: markdown that keeps up with the stream.

Blocks that are complete are written once and left alone. Only the last block, the tail, is written
anew as it grows; when it is long, more of it is appended as plain text, so the cost of a delivery
does not grow with the reply.
"""

from PySide6.QtGui import QTextCursor, QTextFrame

from localai_app.ui.chat.formats import Formats
from localai_app.ui.chat.markdown import CodeBlock, MarkdownWriter, last_block, parse

SHORT_TAIL = 1200
"""Characters of a tail that is rendered at every delivery."""
LONG_TAIL = 5000
"""Characters beyond which a tail is plain text until its block ends."""


class LiveText:
    """Streams into ``frame``, whose last block stays untouched: it carries the status line."""

    def __init__(self, frame: QTextFrame, start: int, formats: Formats) -> None:
        self._frame = frame
        self._formats = formats
        self._tail = ""
        self._start = frame.firstCursorPosition()
        self._start.setPosition(start)
        self._start.setKeepPositionOnInsert(True)
        self._writer: MarkdownWriter | None = None
        self._done: list[CodeBlock] = []
        self._fence_open = False
        self._held = ""
        """White space at the tail's end: markdown drops it, what is appended needs it."""

    @property
    def code_blocks(self) -> list[CodeBlock]:
        """All code blocks so far, the one being written included."""
        return self._done + (self._writer.code_blocks if self._writer else [])

    @property
    def finished_code(self) -> list[CodeBlock]:
        """Code blocks that no longer change."""
        return self._done

    @property
    def caret(self) -> QTextCursor:
        """Where the next character goes."""
        return self._writer.cursor if self._writer else self._start

    def feed(self, text: str) -> None:
        """Show more of the reply."""
        if not text:
            return
        self._tail += text.replace("\r\n", "\n")
        if self._writer is not None and self._may_append(text):
            self._writer.plain(self._held + text)
            self._held = ""
        else:
            self._render()

    def finish(self) -> None:
        """Render what is still plain."""
        if self._tail:
            self._render()
        if self._writer is not None:
            self._done += self._writer.code_blocks
            self._writer = None

    def _may_append(self, text: str) -> bool:
        assert self._writer is not None
        if self._fence_open:
            # The fence can only end where one of its marks stands.
            return not any(mark in text for mark in "`~\t\r")
        size = len(self._tail)
        if size > SHORT_TAIL and ("\n" not in text or (size > LONG_TAIL and "\n\n" not in text)):
            self._writer.leave_code()
            return True
        return False

    def _render(self) -> None:
        tokens = parse(self._tail)
        edit = QTextCursor(self._start)
        edit.setKeepPositionOnInsert(False)
        edit.beginEditBlock()
        edit.setPosition(self._start.position())
        edit.setPosition(
            self._frame.lastCursorPosition().block().position() - 1, QTextCursor.MoveMode.KeepAnchor
        )
        edit.removeSelectedText()
        writer = MarkdownWriter(edit, self._formats)
        last = last_block(tokens)
        if last:
            writer.write(tokens[:last])
            self._start.setPosition(writer.end())
            self._done += writer.code_blocks
            line = (tokens[last].map or [0])[0]
            self._tail = "\n".join(self._tail.split("\n")[line:])
            writer = MarkdownWriter(writer.cursor, self._formats)
        writer.write(tokens[last:])
        self._fence_open = writer.open_code and _is_open_fence(self._tail)
        self._held = "" if self._fence_open else self._tail[len(self._tail.rstrip()) :]
        if self._fence_open and self._tail.endswith("\n") and writer.code_blocks[-1].text:
            # The last line end is no part of a fence's text, but what comes next begins after it.
            writer.cursor.insertText("\n")
        self._writer = writer
        edit.endEditBlock()


def _is_open_fence(block: str) -> bool:
    """True when ``block`` is a fenced block whose closing line has not come yet."""
    lines = block.strip().split("\n")
    mark = lines[0][:3]
    return mark in ("```", "~~~") and not (len(lines) > 1 and lines[-1].strip().startswith(mark))
