"""Numbers, dates and texts as a spreadsheet shows them, by its number format codes (ECMA-376, 18.8.31).

Written here, because no maintained library does it: those that read workbooks give bare values, and the
one port of SheetJS's formatter has rested since 2020. What depends on the system's language (the short
date) is shown in ISO form. A code that cannot be followed shows the bare value.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from fractions import Fraction
from functools import lru_cache

BUILT_IN = {
    **{0: "General", 1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 9: "0%", 10: "0.00%", 11: "0.00E+00"},
    **{12: "# ?/?", 13: "# ??/??", 14: "yyyy-mm-dd", 15: "d-mmm-yy", 16: "d-mmm", 17: "mmm-yy"},
    **{18: "h:mm AM/PM", 19: "h:mm:ss AM/PM", 20: "h:mm", 21: "h:mm:ss", 22: "yyyy-mm-dd h:mm"},
    **{37: "#,##0;-#,##0", 38: "#,##0;-#,##0", 39: "#,##0.00;-#,##0.00", 40: "#,##0.00;-#,##0.00"},
    **{41: "#,##0;-#,##0;-", 42: "#,##0;-#,##0;-", 43: "#,##0.00;-#,##0.00;-", 44: "#,##0.00;-#,##0.00;-"},
    **{45: "mm:ss", 46: "[h]:mm:ss", 47: "mm:ss.0", 48: "##0.0E+0", 49: "@"},
    **dict.fromkeys((*range(27, 32), 36, *range(50, 55), 57, 58), "yyyy-mm-dd"),
    **dict.fromkeys((32, 33, 34, 35, 55, 56), "h:mm:ss"),
}
"""Formats that a file names by number alone."""

_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July", "August"),
    *("September", "October", "November", "December"),
)
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MAX_CODE = 512
_MAX_PLACES = 30
_LAST_DAY = 2_958_466
"""The day after 9999-12-31."""
_TOKEN = re.compile(
    r'"(?P<quoted>[^"]*)"?'
    r"|\\(?P<escaped>.)"
    r"|_(?P<space>.)"
    r"|\*(?P<fill>.)"
    r"|\[(?P<bracket>[^\]]*)\]"
    r"|(?P<general>General)"
    r"|(?P<half>AM/PM|A/P|上午/下午)"
    r"|(?P<exponent>E[+-])"
    r"|(?P<date>y+|m+|d+|h+|s+|b+|e+|g+)"
    r"|(?P<digit>[0#?])"
    r"|(?P<point>\.)"
    r"|(?P<comma>,)"
    r"|(?P<percent>%)"
    r"|(?P<slash>/)"
    r"|(?P<text>@)"
    r"|(?P<plain>.)",
    re.IGNORECASE | re.DOTALL,
)
_PLAIN = re.compile(r'(?:0|(#,##0))(\.0{1,15})?(?:(%)|(\\?\s?"[^"%;]*"))?')
_CONDITION = re.compile(r"^(<=|>=|<>|<|>|=)\s*(-?\d+(?:\.\d+)?)$")
_COLOUR = re.compile(r"^(?:black|blue|cyan|green|magenta|red|white|yellow|color\s*\d+)$", re.IGNORECASE)
_COMPARES = {
    "<": lambda left, right: left < right,
    ">": lambda left, right: left > right,
    "=": lambda left, right: left == right,
    "<=": lambda left, right: left <= right,
    ">=": lambda left, right: left >= right,
    "<>": lambda left, right: left != right,
}
_EXACT = Context(prec=80, rounding=ROUND_HALF_UP)
_SHOWN = Context(prec=15, rounding=ROUND_HALF_UP)
_WIDE = Context(prec=450, rounding=ROUND_HALF_UP)
_UNITS = tuple(Decimal(1).scaleb(-places) for places in range(_MAX_PLACES + 1))
_LONG_DATE, _TIME = "yyyy-mm-dd", "h:mm:ss"


@dataclass(frozen=True)
class _Section:
    """One of the parts of a code that semicolons divide."""

    tokens: tuple[tuple[str, str], ...]
    condition: tuple[str, Decimal] | None = None
    is_date: bool = False


@lru_cache(16_384)
def formatted(value: str, code: str, *, epoch_1904: bool = False) -> str:
    """The stored number ``value`` as ``code`` shows it; ``value`` itself when it is no number."""
    if len(code) > _MAX_CODE:
        return value
    try:
        number = Decimal(value)
    except InvalidOperation:
        return value
    if not number.is_finite() or abs(number.adjusted()) > 400:
        return value
    if plain := _plain(code):
        return _plainly(number, *plain)
    try:
        return _by_section(number, _sections(code), epoch_1904)
    except (ArithmeticError, ValueError, OverflowError):
        return general(number)


def formatted_text(text: str, code: str) -> str:
    """A text as ``code`` shows it: most show it as it is."""
    sections = _sections(code) if len(code) <= _MAX_CODE else ()
    section = sections[3] if len(sections) > 3 else sections[-1] if sections else None
    if section is None or not any(kind == "text" for kind, _ in section.tokens):
        return "" if len(sections) > 3 else text
    return "".join(text if kind == "text" else _literal(kind, said) for kind, said in section.tokens)


def general(number: Decimal) -> str:
    """As the format General shows it: up to 11 characters wide, no superfluous zeros."""
    if number == 0:
        return "0"
    exponent = number.adjusted()
    if -5 <= exponent <= 10:
        places = max(0, 10 - max(exponent, 0) - (1 if exponent < 10 else 0))
        rounded = _rounded(number, places)
        text = f"{rounded:f}"
        return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"
    mantissa, _, power = f"{number:.5E}".partition("E")
    return f"{mantissa.rstrip('0').rstrip('.')}E{power[0]}{power[1:].zfill(2)}"


@lru_cache(512)
def _plain(code: str) -> tuple[str, int, str] | None:
    """What most codes come to: grouping, places and what stands behind; None for all others."""
    match = _PLAIN.fullmatch(code)
    if not match:
        return None
    return (
        "," if match[1] else "",
        max(0, len(match[2] or "") - 1),
        match[3] or re.sub(r'[\\"]', "", match[4] or ""),
    )


def _plainly(number: Decimal, grouping: str, places: int, suffix: str) -> str:
    rounded = _rounded(number * 100 if suffix == "%" else number, places)
    return f"{abs(rounded) if rounded == 0 else rounded:{grouping}f}{suffix}"


def _by_section(number: Decimal, sections: tuple[_Section, ...], epoch_1904: bool) -> str:
    section, negative_is_said = _choose(number, sections)
    if section is None:
        return general(number)
    if section.is_date:
        return _date(number, section, epoch_1904)
    shown = abs(number)
    text = _number(shown, section)
    return text if negative_is_said or number >= 0 or not _nonzero(text) else f"-{text}"


def _nonzero(text: str) -> bool:
    """Excel shows no minus before what rounds to zero."""
    return any(character in "123456789" for character in text) or not any(
        character.isdigit() for character in text
    )


def _choose(number: Decimal, sections: tuple[_Section, ...]) -> tuple[_Section | None, bool]:
    """The section for ``number``, and whether it says by itself that the number is negative."""
    if any(section.condition for section in sections):
        for at, section in enumerate(sections[:3]):
            if section.condition is None:
                return section, at > 0 and sections[0].condition is None
            sign, limit = section.condition
            if _COMPARES[sign](number, limit):
                return section, sign in ("<", "<=") and limit <= 0
        return sections[-1], False
    if len(sections) > 2 and number == 0:
        return sections[2], True
    if len(sections) > 1 and number < 0:
        return sections[1], True
    return sections[0], False


@lru_cache(512)
def _sections(code: str) -> tuple[_Section, ...]:
    found: list[list[tuple[str, str]]] = [[]]
    for match in _TOKEN.finditer(code):
        kind = match.lastgroup or "plain"
        said = match[kind]
        if kind == "plain" and said == ";":
            found.append([])
        else:
            found[-1].append((kind, said))
    return tuple(_section(tokens) for tokens in found[:4])


def _section(tokens: list[tuple[str, str]]) -> _Section:
    condition = None
    kept: list[tuple[str, str]] = []
    for kind, said in tokens:
        if kind != "bracket":
            kept.append((kind, said))
        elif match := _CONDITION.match(said.strip()):
            condition = (match[1], Decimal(match[2]))
        elif said.startswith("$"):
            currency, _, language = said[1:].partition("-")
            kept.append(("quoted", currency))
            if language.upper() in ("F800", "F400"):  # the system's long date and time
                system = _LONG_DATE if language.upper() == "F800" else _TIME
                return _Section(tuple(_raw(system)), condition, is_date=True)
        elif re.fullmatch(r"h+|m+|s+", said, re.IGNORECASE):
            kept.append(("elapsed", said.lower()))
        elif not _COLOUR.match(said) and not said.lower().startswith("dbnum"):
            kept.append(("quoted", ""))
    is_date = any(kind in ("date", "half", "elapsed") for kind, _ in kept) and not any(
        kind == "general" for kind, _ in kept
    )
    if is_date:
        kept = _minutes(kept)
    return _Section(tuple(kept), condition, is_date)


def _raw(code: str) -> list[tuple[str, str]]:
    return _minutes([(match.lastgroup or "plain", match[0]) for match in _TOKEN.finditer(code)])


def _minutes(tokens: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """An ``m`` behind hours or before seconds is minutes."""
    parts = [(at, said.lower()) for at, (kind, said) in enumerate(tokens) if kind in ("date", "elapsed")]
    result = list(tokens)
    for position, (at, said) in enumerate(parts):
        if tokens[at][0] == "date" and said in ("m", "mm"):
            before = parts[position - 1][1] if position else ""
            after = parts[position + 1][1] if position + 1 < len(parts) else ""
            if before.startswith("h") or after.startswith("s"):
                result[at] = ("minute", said)
    return result


# ---------------------------------------------------------------- numbers


def _number(number: Decimal, section: _Section) -> str:
    kinds = [kind for kind, _ in section.tokens]
    if "general" in kinds:
        return "".join(
            general(number) if kind == "general" else _literal(kind, said) for kind, said in section.tokens
        )
    if "digit" not in kinds:
        return "".join(
            general(number) if kind == "text" else _literal(kind, said) for kind, said in section.tokens
        )
    number = number * (Decimal(100) ** kinds.count("percent"))
    if "slash" in kinds and _is_fraction(kinds):
        return _fraction(number, section)
    last_digit = len(kinds) - 1 - kinds[::-1].index("digit")
    point = kinds.index("point") if "point" in kinds else None
    scale = 0
    for at in range(last_digit + 1, len(kinds)):
        if kinds[at] != "comma":
            break
        scale += 1
    if point is not None and point > 0 and kinds[point - 1] == "comma":
        scale += 1
    number = number.scaleb(-3 * min(scale, 5), _EXACT)
    if "exponent" in kinds:
        return _scientific(number, section)
    whole_end = point if point is not None else len(kinds)
    grouped = any(
        kind == "comma" and "digit" in kinds[:at] and "digit" in kinds[at + 1 : whole_end]
        for at, kind in enumerate(kinds[:whole_end])
    )
    places = min(_MAX_PLACES, kinds[whole_end:].count("digit"))
    rounded = f"{_rounded(number, places):f}"
    whole, _, decimals = rounded.partition(".")
    return _fill(section, whole_end, whole if whole != "0" else "", decimals, grouped=grouped)


def _fill(section: _Section, whole_end: int, whole: str, decimals: str, *, grouped: bool) -> str:
    """Put digits into their places; literals between them stay where they are."""
    places = [said for kind, said in section.tokens[:whole_end] if kind == "digit"]
    needed = next((len(places) - at for at, place in enumerate(places) if place == "0"), 0)
    blanks = next((len(places) - at for at, place in enumerate(places) if place in "0?"), 0)
    digits = whole.rjust(needed, "0")
    digits = digits.rjust(blanks)
    texts: list[str] = []
    position = 0
    written = False
    remaining = len(places)
    behind = list(decimals)
    asked = [said for kind, said in section.tokens[whole_end:] if kind == "digit"]
    while behind and len(behind) == len(asked) and asked[-1] == "#" and behind[-1] == "0":
        behind.pop()
        asked.pop()
    at_decimal = 0
    for at, (kind, said) in enumerate(section.tokens):
        if kind == "digit" and at < whole_end:
            remaining -= 1
            take = len(digits) - remaining if not written else position + 1
            take = max(position, min(len(digits), take))
            texts.append(_grouped(digits, position, take) if grouped else digits[position:take])
            written = True
            position = take
        elif kind == "digit":
            if at_decimal < len(behind):
                zero = asked[at_decimal] == "?" and not any(each != "0" for each in behind[at_decimal:])
                texts.append(" " if zero else behind[at_decimal])
            at_decimal += 1
        elif kind == "point":
            if not written:
                texts.append(digits)
                written, position = True, len(digits)
            texts.append("." if behind or any(each == "0" for each in asked) or not asked else "")
        elif kind != "comma":
            texts.append(_literal(kind, said))
    return "".join(texts).strip()


def _grouped(digits: str, start: int, end: int) -> str:
    """``digits[start:end]`` with a comma behind every digit that thousands follow."""
    return "".join(
        digits[at]
        + ("," if (len(digits) - at - 1) % 3 == 0 and at + 1 < len(digits) and digits[at].isdigit() else "")
        for at in range(start, end)
    )


def _scientific(number: Decimal, section: _Section) -> str:
    at = next(index for index, (kind, _) in enumerate(section.tokens) if kind == "exponent")
    before = [said if kind == "digit" else kind for kind, said in section.tokens[:at]]
    point = before.index("point") if "point" in before else len(before)
    whole_places = max(1, sum(1 for each in before[:point] if each in "0#?"))
    places = min(_MAX_PLACES, sum(1 for each in before[point:] if each in "0#?"))
    exponent = number.adjusted() if number else 0
    if whole_places > 1:
        exponent -= exponent % whole_places
    mantissa = _rounded(number.scaleb(-exponent, _EXACT), places)
    if mantissa and mantissa.adjusted() >= whole_places:
        exponent += whole_places if whole_places > 1 else 1
        mantissa = _rounded(number.scaleb(-exponent, _EXACT), places)
    text = f"{mantissa:f}"
    width = sum(1 for kind, _ in section.tokens[at:] if kind == "digit")
    sign = "-" if exponent < 0 else "+" if section.tokens[at][1].endswith("+") else ""
    prefix = "".join(
        _literal(kind, said) for kind, said in section.tokens[:at] if kind not in ("digit", "point")
    )
    tail = [(kind, said) for kind, said in section.tokens[at + 1 :] if kind != "digit"]
    suffix = "".join(_literal(kind, said) for kind, said in tail)
    return f"{prefix}{text}E{sign}{str(abs(exponent)).zfill(width)}{suffix}".strip()


def _is_fraction(kinds: list[str]) -> bool:
    at = kinds.index("slash")
    return "digit" in kinds[:at]


def _fraction(number: Decimal, section: _Section) -> str:
    tokens = section.tokens
    at = next(index for index, (kind, _) in enumerate(tokens) if kind == "slash")
    behind = [(kind, said) for kind, said in tokens[at + 1 :]]
    fixed = re.match(r"\d+", "".join(said for _, said in behind))
    before = 0  # places of the numerator
    index = at - 1
    while index >= 0 and tokens[index][0] == "digit":
        before += 1
        index -= 1
    has_whole = any(kind == "digit" for kind, _ in tokens[: index + 1])
    whole = int(number) if has_whole else 0
    rest = number - whole
    if fixed and int(fixed[0]) > 0:
        below = int(fixed[0])
        above = int(_rounded(rest * below, 0))
    else:
        width = max(1, sum(1 for kind, _ in behind if kind == "digit"))
        nearest = Fraction(rest).limit_denominator(10 ** min(width, 6) - 1)
        above, below = nearest.numerator, nearest.denominator
    if has_whole and above >= below:
        whole, above = whole + above // below, above % below
    if not has_whole:
        return f"{above}/{below}"
    return f"{whole or ''} {above}/{below}".strip() if above else str(whole)


def _rounded(number: Decimal, places: int) -> Decimal:
    # A stored 1.005 is the binary number a little below; 15 digits are what a spreadsheet shows.
    return _SHOWN.create_decimal(number).quantize(_UNITS[places], context=_WIDE)


def _literal(kind: str, said: str) -> str:
    if kind in ("quoted", "escaped", "plain"):
        return said
    if kind in ("percent", "slash", "point", "date", "comma"):
        return said if kind != "percent" else "%"
    return " " if kind == "space" else ""


# ---------------------------------------------------------------- dates


def as_datetime(number: Decimal, *, epoch_1904: bool) -> datetime:
    """The moment that a serial number is; raise `ValueError` for none."""
    if not 0 <= number < _LAST_DAY:
        raise ValueError
    if epoch_1904:
        base = datetime(1904, 1, 1)
    else:
        # Excel counts a 29 February 1900 that never was.
        base = datetime(1899, 12, 31) if number < 60 else datetime(1899, 12, 30)
    return base + timedelta(milliseconds=int((number * 86_400_000).to_integral_value(ROUND_HALF_UP)))


def _date(number: Decimal, section: _Section, epoch_1904: bool) -> str:
    if number < 0 and not any(kind == "elapsed" for kind, _ in section.tokens):
        raise ValueError
    sign = "-" if number < 0 else ""
    number = abs(number)
    tokens = section.tokens
    thousandths = _subseconds(tokens)
    moment = as_datetime(number, epoch_1904=epoch_1904)
    unit = 1_000_000 // 10**thousandths
    moment += timedelta(microseconds=unit // 2)
    moment -= timedelta(microseconds=moment.microsecond % unit)
    twelve = any(kind == "half" for kind, _ in tokens)
    texts: list[str] = []
    in_fraction = False
    for kind, said in tokens:
        if kind == "date":
            texts.append(_date_part(said.lower(), moment, twelve=twelve))
        elif kind == "minute":
            texts.append(f"{moment.minute:0{len(said)}}")
        elif kind == "elapsed":
            texts.append(_elapsed(number, said))
        elif kind == "half":
            half = "AM" if moment.hour < 12 else "PM"
            texts.append(half if len(said) > 3 else half[0].lower() if said.islower() else half[0])
        elif kind == "digit" and in_fraction:
            in_fraction = False
            texts.append(f"{moment.microsecond:06}"[:thousandths])
        elif kind == "point":
            texts.append(".")
            in_fraction = thousandths > 0
            continue
        elif kind not in ("digit", "general", "text", "exponent"):
            texts.append(_literal(kind, said))
    return sign + "".join(texts).strip()


def _subseconds(tokens: tuple[tuple[str, str], ...]) -> int:
    """Digits behind the seconds, 3 at most."""
    kinds = [kind for kind, _ in tokens]
    if "point" not in kinds:
        return 0
    count = 0
    for kind in kinds[kinds.index("point") + 1 :]:
        if kind != "digit":
            break
        count += 1
    return min(count, 3)


def _elapsed(number: Decimal, said: str) -> str:
    seconds = int((number * 86_400).to_integral_value(ROUND_HALF_UP))
    amount = {"h": seconds // 3600, "m": seconds // 60, "s": seconds}[said[0]]
    return f"{amount:0{len(said)}}"


def _date_part(said: str, moment: datetime, *, twelve: bool) -> str:
    letter, width = said[0], len(said)
    if letter in "ye":
        return f"{moment.year:04}" if width > 2 or letter == "e" else f"{moment.year % 100:02}"
    if letter == "b":
        return str(moment.year + 543)
    if letter == "m":
        month = _MONTHS[moment.month - 1]
        if width > 2:
            return {3: month[:3], 5: month[0]}.get(width, month)
        return f"{moment.month:0{width}}"
    if letter == "d":
        day = _DAYS[moment.weekday()]
        return {3: day[:3]}.get(width, day) if width > 2 else f"{moment.day:0{width}}"
    if letter == "h":
        return f"{((moment.hour - 1) % 12 + 1) if twelve else moment.hour:0{min(width, 2)}}"
    if letter == "s":
        return f"{moment.second:0{min(width, 2)}}"
    return ""
