"""Dates as documents write them → ISO 8601.

Numbers divided by marks are read here, because which of them is the day is a question of the document: its
own dates that can be read in one way only tell, else its language; where neither tells, it is in doubt. Names
of months in any language are dateparser's.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING

from localai_app.documents.quotes import Span

if TYPE_CHECKING:
    from dateparser.date import DateDataParser

_NUMERIC = re.compile(
    r"(?<![\d.,/])(?:"
    r"(?P<year>\d{4})(?:\s?[年년]\s?|(?P<mark>[-./]))(?P<month>\d{1,2})(?:\s?[月월]\s?|(?P=mark))(?P<day>\d{1,2})[日일]?"
    r"|(?P<first>\d{1,2})(?P<between>\s?[-./]\s?)(?P<second>\d{1,2})(?P=between)(?P<last>\d{4}|\d{2})"
    r")(?![\d/]|[.,]\d)"
)
_MONTH = r"[^\W\d_]{3,14}"
_LINK = r"(?:\s+(?:de|of|del|di)|\s*,)?"
_NAMED = re.compile(
    rf"(?<!\w)(?:"
    rf"\d{{1,2}}(?:st|nd|rd|th|er|\s?º|\s?ª|\.)?(?:\s+day)?{_LINK}(?:\s*-\s*|\s*){_MONTH}\.?{_LINK}(?:\s*-\s*|\s*)(?:\d{{4}}|\d{{2}})"
    rf"|{_MONTH}\.?\s+\d{{1,2}}(?:st|nd|rd|th)?(?:\s*,\s*|\s+)\d{{4}}"
    rf"|{_MONTH}\.?{_LINK}\s+\d{{4}}"
    rf")(?!\w)",
    re.IGNORECASE,
)
_MONTH_ONLY = re.compile(r"(?<![\d./-])(?P<month>0?[1-9]|1[0-2])[/.-](?P<year>(?:19|20)\d{2})(?![\d./-])")
_FILLER = re.compile(r"\b(?:day|this|the|of)\b", re.IGNORECASE)
_LANGUAGES = ("en", "de", "fr", "es", "it", "nl", "pt", "pl")
"""Tried after the document's own."""
_PIVOT = 69
"""Years of two digits from here on are of the last century, as POSIX has it."""


@dataclass(frozen=True)
class FoundDate:
    """``text[span]`` is a date."""

    iso: str
    """“2023-03-20”; “2023-03” where the page gives no day."""
    span: Span
    is_unsure: bool = False
    """Which number is the day is not certain."""


@dataclass(frozen=True)
class DateOrder:
    """Which number of 3/4/2026 a document means by the day."""

    day_first: bool
    is_known: bool
    """The document's own dates or its language tell; else it is a guess."""


def order_of(texts: Sequence[str], language: str) -> DateOrder:
    """What the dates of ``texts`` tell that can be read in one way; else what ``language`` is used to."""
    day_first = month_first = 0
    for text in texts:
        for match in _NUMERIC.finditer(text):
            if match["first"] and "." not in match["between"]:
                first, second = int(match["first"]), int(match["second"])
                day_first += first > 12 >= second
                month_first += second > 12 >= first
    if bool(day_first) != bool(month_first):
        return DateOrder(bool(day_first), is_known=True)
    if language in ("", "en"):
        # English is written both ways: by most of its writers the month goes first.
        return DateOrder(day_first=language == "", is_known=False)
    return DateOrder(day_first=True, is_known=not day_first)


def dates(text: str, order: DateOrder, language: str = "") -> Iterator[FoundDate]:
    """The dates of ``text``; those in numbers first."""
    taken: list[Span] = []
    for match in _NUMERIC.finditer(text):
        if not _goes_on(match, text) and (found := _numeric(match, order)):
            taken.append(found.span)
            yield found
    for pattern in (_NAMED, _MONTH_ONLY):
        for match in pattern.finditer(text):
            if any(start < match.end() and end > match.start() for start, end in taken):
                continue
            iso = _named(match[0], language) if pattern is _NAMED else _month_only(match)
            if iso:
                taken.append(match.span())
                yield FoundDate(iso, match.span())


def _goes_on(match: re.Match[str], text: str) -> bool:
    """Whether more numbers hang on it by the same hyphens: a telephone's, not a date's."""
    if "-" not in (match["mark"] or match["between"] or ""):
        return False
    return text[: match.start()].endswith("-") or bool(re.match(r"\s?-\s?\d", text[match.end() :]))


def _numeric(match: re.Match[str], order: DateOrder) -> FoundDate | None:
    if match["year"]:
        iso = _iso(int(match["year"]), int(match["month"]), int(match["day"]))
        return FoundDate(iso, match.span()) if iso else None
    first, second, year = int(match["first"]), int(match["second"]), _year(match["last"])
    if "." in match["between"]:
        by_day, by_month = _iso(year, second, first), ""
    else:
        by_day, by_month = _iso(year, second, first), _iso(year, first, second)
    iso = (by_day if order.day_first else by_month) or by_day or by_month
    is_unsure = not order.is_known and bool(by_day and by_month) and by_day != by_month
    return FoundDate(iso, match.span(), is_unsure) if iso else None


def _month_only(match: re.Match[str]) -> str:
    return f"{match['year']}-{int(match['month']):02}"


def _year(digits: str) -> int:
    year = int(digits)
    if len(digits) == 4:
        return year
    return year + (1900 if year >= _PIVOT else 2000)


def _iso(year: int, month: int, day: int) -> str:
    try:
        return date(year, month, day).isoformat()
    except ValueError:
        return ""


@lru_cache(maxsize=4096)
def _named(text: str, language: str) -> str:
    """The date that ``text`` writes with the month's name; empty for none."""
    plain = " ".join(_FILLER.sub(" ", text).replace(" ,", ",").split())
    months = re.findall(_MONTH, plain)
    # dateparser passes over words that it does not know: “5 and 2003” would be May.
    if not any(_parsed(f"1 {word} 2000", language).count("-") == 2 for word in months):
        return ""
    return _parsed(plain, language)


@lru_cache(maxsize=4096)
def _parsed(text: str, language: str) -> str:
    try:
        found = _parser(language).get_date_data(text)
    except (ValueError, OverflowError):
        return ""
    if found.date_obj is None:
        return ""
    day: date = found.date_obj.date()
    # Not strftime: it writes years before 1000 without zeros.
    return day.isoformat() if found.period == "day" else day.isoformat()[:7]


@lru_cache(maxsize=32)
def _parser(language: str) -> "DateDataParser":
    from dateparser.date import DateDataParser  # noqa: PLC0415 - the window starts without it

    known = [one for one in dict.fromkeys((language, *_LANGUAGES)) if one]
    settings = {"PARSERS": ["absolute-time"], "REQUIRE_PARTS": ["month", "year"]}
    return DateDataParser(languages=known, use_given_order=True, settings=settings)
