"""Numbers of lists and headings as Word shows them: “9.4”, “(a)”, “iv.”. The file holds only the rules."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from localai_app.documents.readers.docx_styles import ParagraphStyle
from localai_app.documents.readers.ooxml import Element, attribute, child, children, is_on, number, value

_LEVELS = 9
_MAX_LINKS = 8
"""Lists that refer to each other; files can make circles."""
_PLACE = re.compile(r"%([1-9])")
BULLET = "•"
_ROMAN = (
    *((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl")),
    *((10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i")),
)
_ALPHABETS = {
    "lowerLetter": "abcdefghijklmnopqrstuvwxyz",
    "upperLetter": "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "russianLower": "абвгдежзиклмнопрстуфхцчшщыэюя",
    "russianUpper": "АБВГДЕЖЗИКЛМНОПРСТУФХЦЧШЩЫЭЮЯ",
    "aiueo": "アイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワヲン",
    "iroha": "イロハニホヘトチリヌルヲワカヨタレソツネナラムウヰノオクヤマケフコエテアサキユメミシヱヒモセス",
    "hebrew2": "אבגדהוזחטיכלמנסעפצקרשת",
    "arabicAlpha": "أبتثجحخدذرزسشصضطظعغفقكلمنهوي",
    "ganada": "가나다라마바사아자차카타파하",
}
_CHINESE = "〇一二三四五六七八九"
_CHINESE_KINDS = frozenset(
    (
        *("chineseCounting", "chineseCountingThousand", "ideographDigital", "japaneseCounting"),
        *("japaneseDigitalTenThousand", "taiwaneseCounting", "taiwaneseCountingThousand", "koreanDigital2"),
    )
)


@dataclass(frozen=True)
class Level:
    """How one level of a list is numbered."""

    start: int = 1
    kind: str = "decimal"
    text: str = ""
    """The label, with ``%1`` for the number of the first level."""
    suffix: str = "tab"
    restart: int | None = None
    """Number (from 1) of the level that restarts this one; 0 for none; None for any above."""
    legal: bool = False
    """All numbers in it are shown as decimals."""
    style: str = ""
    """The paragraph style that goes with it."""


@dataclass
class _Counter:
    values: list[int | None] = field(default_factory=lambda: [None] * _LEVELS)
    started: set[tuple[str, int]] = field(default_factory=set)
    """Lists whose own start value was used, by level."""


class Numbering:
    """The lists of one document, counted as its paragraphs go by."""

    def __init__(self, root: Element | None) -> None:
        """Of the root of the numbering part; None for a document without one."""
        parts = [] if root is None else list(root)
        self._abstract: dict[str, Element] = {}
        self._by_style: dict[str, str] = {}
        self._nums: dict[str, Element] = {}
        for part in parts:
            if (num := attribute(part, "w:abstractNumId")) and num not in self._abstract:
                self._abstract[num] = part
                if link := value(part, "w:styleLink"):
                    self._by_style[link] = num
            if num := attribute(part, "w:numId"):
                self._nums[num] = part
        self._levels: dict[str, list[Level]] = {}
        self._starts: dict[str, dict[int, int]] = {}
        self._counters: dict[str, _Counter] = {}

    def level_of(self, list_id: str, style_id: str, style: ParagraphStyle) -> int:
        """The level that a style without one of its own has in its list."""
        if style.level is not None:
            return style.level
        levels = self._levels_of(list_id)
        return next((at for at, level in enumerate(levels) if style_id and level.style == style_id), 0)

    def label(self, list_id: str, at: int) -> str:
        """Count a paragraph of level ``at`` (from 0); its label with what divides it from the text."""
        levels = self._levels_of(list_id)
        if not 0 <= at < len(levels):
            return ""
        counter = self._counters.setdefault(self._abstract_of(list_id), _Counter())
        self._count(counter, list_id, levels, at)
        level = levels[at]
        if level.kind == "bullet":
            return f"{BULLET} "

        def shown(match: re.Match[str]) -> str:
            which = int(match[1]) - 1
            other = levels[which] if which < len(levels) else Level()
            counted = counter.values[which]
            kind = "decimal" if level.legal else other.kind
            return spelled(other.start if counted is None else counted, kind)

        text = _PLACE.sub(shown, level.text)
        return text + ("" if level.suffix == "nothing" or not text.strip() else " ")

    def _count(self, counter: _Counter, list_id: str, levels: list[Level], at: int) -> None:
        starts = self._starts.get(list_id, {})
        counted = counter.values[at]
        if at in starts and (list_id, at) not in counter.started:
            counter.started.add((list_id, at))
            counter.values[at] = starts[at]
        elif counted is None:
            counter.values[at] = levels[at].start
        else:
            counter.values[at] = counted + 1
        for below in range(at + 1, len(levels)):
            restart = levels[below].restart
            if restart is None or (restart and at + 1 <= restart):
                counter.values[below] = None

    def _abstract_of(self, list_id: str) -> str:
        """The definition behind a list, through the style that it may be linked to."""
        abstract = value(self._nums.get(list_id), "w:abstractNumId") if list_id in self._nums else ""
        for _ in range(_MAX_LINKS):
            element = self._abstract.get(abstract)
            link = value(element, "w:numStyleLink")
            if not link or link not in self._by_style:
                break
            abstract = self._by_style[link]
        return abstract

    def _levels_of(self, list_id: str) -> list[Level]:
        if list_id not in self._levels:
            self._levels[list_id] = self._read_levels(list_id)
        return self._levels[list_id]

    def _read_levels(self, list_id: str) -> list[Level]:
        num = self._nums.get(list_id)
        abstract = self._abstract.get(self._abstract_of(list_id))
        if num is None or abstract is None:
            return []
        levels = [Level() for _ in range(_LEVELS)]
        for element in children(abstract, "w:lvl"):
            at = number(attribute(element, "w:ilvl"), -1)
            if 0 <= at < _LEVELS:
                levels[at] = _level(element)
        starts = self._starts.setdefault(list_id, {})
        for override in children(num, "w:lvlOverride"):
            at = number(attribute(override, "w:ilvl"), -1)
            if not 0 <= at < _LEVELS:
                continue
            own = child(override, "w:lvl")
            if own is not None:
                levels[at] = _level(own)
            if start := value(override, "w:startOverride"):
                starts[at] = number(start, 1)
        return levels


def _level(element: Element) -> Level:
    restart = value(element, "w:lvlRestart")
    kind = value(element, "w:numFmt")
    alternative = child(element, "mc:AlternateContent")
    if not kind and alternative is not None:  # formats that only newer versions know
        formats = (attribute(each, "w:format") for each in alternative.iter())
        padded = next((said for said in formats if said.startswith("0")), "")
        kind = "0" * len(padded.partition(",")[0])  # “001, 002, …”
    return Level(
        number(value(element, "w:start"), 1),
        kind or "decimal",
        value(element, "w:lvlText"),
        value(element, "w:suff") or "tab",
        number(restart) if restart else None,
        is_on(child(element, "w:isLgl")),
        value(element, "w:pStyle"),
    )


def spelled(count: int, kind: str) -> str:
    """The number in one of Word's number formats; as a decimal in those that are not known."""
    if count < 0 or kind == "none":
        return "" if kind == "none" else str(count)
    if kind in ("lowerRoman", "upperRoman"):
        return _roman(count).upper() if kind == "upperRoman" else _roman(count)
    if kind in _ALPHABETS:
        return _lettered(count, _ALPHABETS[kind])
    if kind == "decimalZero" or kind.startswith("00"):
        return f"{count:0{2 if kind == 'decimalZero' else len(kind)}}"
    if kind == "ordinal":
        return f"{count}{_ordinal_ending(count)}"
    if kind.startswith("decimalEnclosedCircle") and 1 <= count <= 20:
        return chr(0x245F + count)
    if kind == "numberInDash":
        return f"- {count} -"
    if kind in _CHINESE_KINDS and 0 < count < 100:
        return _chinese(count)
    return str(count)


def _roman(count: int) -> str:
    if not 0 < count < 4000:
        return str(count)
    text = ""
    for worth, letters in _ROMAN:
        text += letters * (count // worth)
        count %= worth
    return text


def _lettered(count: int, letters: str) -> str:
    """After the last letter come doubled ones: z, aa, bb."""
    if not 0 < count <= 30 * len(letters):
        return str(count)
    repeats, at = divmod(count - 1, len(letters))
    return letters[at] * (repeats + 1)


def _ordinal_ending(count: int) -> str:
    if count % 100 in (11, 12, 13):
        return "th"
    return {1: "st", 2: "nd", 3: "rd"}.get(count % 10, "th")


def _chinese(count: int) -> str:
    tens, ones = divmod(count, 10)
    text = "" if not tens else "十" if tens == 1 else f"{_CHINESE[tens]}十"
    return text + (_CHINESE[ones] if ones or not tens else "")


NOTE_FORMATS: Mapping[str, str] = {"footnote": "decimal", "endnote": "lowerRoman"}
"""How Word numbers notes where the document does not say."""
