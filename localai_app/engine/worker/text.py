"""Token bytes → text that may be shown: whole characters only, stop strings never leak."""

import codecs
from collections.abc import Sequence


class TextStream:
    """Reassembles one answer.

    A character split across tokens is held until it is whole; bytes that can never become one are
    shown as U+FFFD. Text that may be the beginning of a stop string is held until it is or is not.
    """

    def __init__(self, stop: Sequence[str] = ()) -> None:
        self._stop = [text for text in stop if text]
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self.stopped = False
        """Whether a stop string came; nothing is given out after it."""

    def feed(self, piece: bytes) -> str:
        """Add the bytes of one token; the text that may be shown now."""
        if self.stopped:
            return ""
        self._held += self._decoder.decode(piece)
        ends = [(position, stop) for stop in self._stop if (position := self._held.find(stop)) >= 0]
        if ends:
            self.stopped = True
            return self._give(min(ends)[0])
        return self._give(len(self._held) - self._possible_beginning())

    def finish(self) -> str:
        """The text that was held for a stop string that never came; half a character is dropped."""
        if self.stopped:
            return ""
        return self._give(len(self._held))

    def _possible_beginning(self) -> int:
        """Length of the longest end of the held text that begins a stop string."""
        return max(
            (
                length
                for stop in self._stop
                for length in range(1, min(len(stop), len(self._held) + 1))
                if self._held.endswith(stop[:length])
            ),
            default=0,
        )

    def _give(self, length: int) -> str:
        text, self._held = self._held[:length], self._held[length:]
        return text
