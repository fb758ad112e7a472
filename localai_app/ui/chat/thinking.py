"""Splits what a reasoning model thinks from what it says."""

from dataclasses import dataclass

_OPEN, _CLOSE = "<think>", "</think>"


@dataclass(frozen=True)
class Answer:
    """The two parts of a reply."""

    thought: str | None
    """None where the model did not think aloud."""
    text: str
    thinking: bool = False
    """The thought has not ended yet."""


def split_thinking(reply: str) -> Answer:
    """``reply`` in its two parts; a template may have opened the thought already."""
    begins = reply.lstrip()
    close = reply.find(_CLOSE)
    if begins.startswith(_OPEN):
        start = reply.index(_OPEN) + len(_OPEN)
        if close < 0:
            return Answer(reply[start:].strip(), "", thinking=True)
        return Answer(reply[start:close].strip() or None, reply[close + len(_CLOSE) :].lstrip())
    if close >= 0:
        return Answer(reply[:close].strip() or None, reply[close + len(_CLOSE) :].lstrip())
    if begins and _OPEN.startswith(begins):
        return Answer(None, "", thinking=True)
    return Answer(None, reply)
