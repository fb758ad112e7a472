"""Lists as models write them: one thing per line, with or without numbers, now and then round in circles."""

import re
import unicodedata
from dataclasses import dataclass

from localai_app.documents import citing
from localai_app.documents.quotes import units, words
from localai_app.tasks.task import Written

_THINKING = re.compile(r"\A\s*<think>.*?(?:</think>|\Z)\s*", re.DOTALL)
_ITEM = re.compile(r"\s*(?:(?:[-*+–·]|\(?\d{1,3}[.)])\s+|[•‣▪]\s*|(?=\[\d))(?P<text>.*)")
_NUMBERED = re.compile(
    r"\s*[-*•]?\s*(?:\(?(?P<number>\d{1,3})[.):]|\[(?P<marker>\d{1,3})\]:?)\s+(?P<text>.*)"
)
_EMPHASIS = re.compile(r"\*\*|__|`|^#+\s+")
_JOINERS = "\u200c\u200d"
_ONE_POINT = 2
"""Sentences of an item that are one point; of a longer one, each is."""


@dataclass(frozen=True)
class Item:
    """One thing of a list."""

    text: str
    """In plain words, without the numbers that it cites."""
    numbers: tuple[int, ...] = ()
    """That it cites: [2], [1, 4]."""


@dataclass(frozen=True)
class Listed:
    """A list that a model wrote."""

    items: tuple[Item, ...]
    """No two alike, and none that was cut off."""
    repeats: bool
    """It says the same again: more of it would bring nothing new."""


def listed(written: Written) -> Listed:
    """The items of what a model wrote; without any sign of a list, its lines."""
    lines = [line for line in without_thinking(written.text).splitlines() if line.strip()]
    begun = [match["text"] for line in lines if (match := _ITEM.fullmatch(line))]
    pieces = [piece for line in begun or lines for piece in _points(line)]
    found: dict[tuple[str, ...], Item] = {}
    repeats = False
    for at, piece in enumerate(pieces):
        item = _item(piece)
        key = tuple(word.folded for word in words(item.text))
        if not any(word.weight for word in words(item.text)) or item.text.endswith((":", "：")):
            continue
        cut_off = written.incomplete and at == len(pieces) - 1
        if key in found or (cut_off and any(other[: len(key)] == key for other in found)):
            repeats = True
        elif not cut_off:
            found[key] = item
    return Listed(tuple(found.values()), repeats)


def numbered(written: Written) -> dict[int, str]:
    """What a model wrote after each number; what was cut off is left away."""
    lines = [line for line in without_thinking(written.text).splitlines() if line.strip()]
    if written.incomplete:
        lines = lines[:-1]
    found: dict[int, str] = {}
    for line in lines:
        if match := _NUMBERED.fullmatch(line):
            number = int(match["number"] or match["marker"])
            text = _plain(match["text"])
        else:
            item = _item(line)
            number, text = (item.numbers or (0,))[0], item.text.removeprefix("- ")
        if number and text:
            found.setdefault(number, text)
    return found


def without_thinking(text: str) -> str:
    """``text`` without the reasoning that it begins with."""
    return _THINKING.sub("", text, count=1)


def _points(item: str) -> list[str]:
    """An item as it is, or its sentences where it has many."""
    spans = units(item)
    return [item] if len(spans) <= _ONE_POINT else [item[start:end] for start, end in spans]


def _item(text: str) -> Item:
    numbers = (number for marker in citing.markers(text) for number in marker.numbers)
    return Item(_plain(citing.without_markers(text)), tuple(dict.fromkeys(numbers)))


def _plain(text: str) -> str:
    """One line without emphasis."""
    return one_line(_EMPHASIS.sub("", text))


def one_line(text: str) -> str:
    """``text`` without line breaks, and without characters that nobody sees or that turn the direction of
    what stands around them; joiners stay, for they shape words."""
    return " ".join("".join(map(_seen, text)).split())


def _seen(character: str) -> str:
    if character.isprintable() or character in _JOINERS:
        return character
    return "" if unicodedata.category(character) == "Cf" else " "
