"""Numbers and amounts of money as the world writes them: 1.234,56 · 1,234.56 · 1 234,56 · 1'234.50.

Libraries for prices were looked at (price-parser, babel): they drop the sign, or guess what “1.234” is
without saying that it is a guess. Here it is told by the document's other numbers, else by its language, else
it is in doubt.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from localai_app.documents.quotes import Span


def _set(table: str) -> frozenset[str]:
    return frozenset(table.split())


_SPACES = "\u0020\u00a0\u2009\u202f"
_DIGITS = rf"\d{{1,3}}(?:[{_SPACES}'’]\d{{3}})+(?:[.,]\d+)?(?!\d)|\d+(?:[.,'’]\d+)*|[.,]\d+"
_SIGN = "-\u2212\u2013"
_NUMBER = re.compile(rf"(?<![\w.,])(?P<digits>{_DIGITS})(?!\d)")
_GROUPS = re.compile(r"\d{1,3}(?:\d{3})*")
_MOST_DIGITS = 24

_SCALES = {
    **dict.fromkeys(("thousand", "tausend", "mille", "mil", "duizend", "k"), 10**3),
    **dict.fromkeys(
        ("million", "millions", "millionen", "mio", "mn", "millones", "milioni", "miljoen"), 10**6
    ),
    **dict.fromkeys(("billion", "billions", "bn", "milliarden", "mrd", "milliards", "miljard"), 10**9),
    **dict.fromkeys(("lakh", "lakhs"), 10**5),
    **dict.fromkeys(("crore", "crores"), 10**7),
}
_SCALE = re.compile(rf"[{_SPACES}]?({'|'.join(sorted(_SCALES, key=len, reverse=True))})\b\.?", re.IGNORECASE)

# Without ALL and TOP, which are words that stand before numbers.
_CODES = _set(
    "AED AFN AMD AOA ARS AUD AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP "
    "CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD GBP GEL GHS GMD GNF GTQ GYD HKD HNL HTG HUF "
    "IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KRW KWD KZT LAK LBP LKR LRD LYD MAD MDL MGA MKD MMK MNT "
    "MOP MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF "
    "SAR SBD SCR SDG SEK SGD SOS SRD SYP SZL THB TJS TMT TND TRY TTD TWD TZS UAH UGX USD UYU UZS VES VND XAF "
    "XCD XOF XPF YER ZAR ZMW"
)
_SIGNS = {
    "€": "EUR",
    "£": "GBP",
    "₹": "INR",
    "₽": "RUB",
    "₺": "TRY",
    "₩": "KRW",
    "₪": "ILS",
    "₴": "UAH",
    "₫": "VND",
    "₦": "NGN",
    "₱": "PHP",
    "円": "JPY",
    "元": "CNY",
    "R$": "BRL",
    "US$": "USD",
    "C$": "CAD",
    "CA$": "CAD",
    "A$": "AUD",
    "AU$": "AUD",
    "NZ$": "NZD",
    "HK$": "HKD",
    "S$": "SGD",
    "Rs.": "INR",
    "Rs": "INR",
    "zł": "PLN",
    "Kč": "CZK",
    "Ft": "HUF",
    "Fr.": "CHF",
    "SFr.": "CHF",
    # Several countries write theirs so: it stays as it is on the page.
    "$": "$",
    "¥": "¥",
    "kr": "kr",
    "kr.": "kr",
}
SHARED_SIGNS = {
    "$": ("USD", "CAD", "AUD", "NZD", "HKD", "SGD", "MXN", "ARS", "CLP", "COP", "TWD"),
    "¥": ("JPY", "CNY"),
    "kr": ("SEK", "NOK", "DKK", "ISK"),
    "Rs": ("INR", "PKR", "LKR", "NPR", "MUR"),
    "£": ("GBP", "EGP", "LBP"),
}
"""What one sign may stand for."""
_NAMES = {
    **dict.fromkeys(("us dollar", "us dollars", "u.s. dollars", "united states dollars"), "USD"),
    **dict.fromkeys(("canadian dollar", "canadian dollars"), "CAD"),
    **dict.fromkeys(("australian dollar", "australian dollars"), "AUD"),
    **dict.fromkeys(("euro", "euros"), "EUR"),
    **dict.fromkeys(("pound sterling", "pounds sterling", "british pounds"), "GBP"),
    **dict.fromkeys(("swiss franc", "swiss francs", "schweizer franken"), "CHF"),
    **dict.fromkeys(("indian rupee", "indian rupees"), "INR"),
    **dict.fromkeys(("japanese yen", "yen"), "JPY"),
}
_CURRENCY = "|".join(re.escape(sign) for sign in sorted([*_SIGNS, *_CODES], key=len, reverse=True))
_BEFORE = re.compile(
    rf"(?:(?<![^\W\d_])(?P<currency>{_CURRENCY})|(?P<open>\()|(?P<sign>[{_SIGN}]))[{_SPACES}]?$"
)
_AFTER = re.compile(
    rf"[{_SPACES}]?(?:(?P<currency>{_CURRENCY})(?![^\W\d_])|(?P<close>\))|(?P<sign>[-\u2212])(?!\w))"
)


@dataclass(frozen=True)
class Number:
    """``text[span]`` is a number, with its sign and currency."""

    value: Decimal
    span: Span
    currency: str = ""
    """ISO 4217, or the sign where it stands for several; empty: none beside it."""
    is_unsure: bool = False
    """Its one separator may be a decimal one or not, and nothing tells."""


def currency_of(text: str) -> str:
    """The currency that ``text`` names and nothing else: “EUR”, “€”, “US Dollars”; empty for none."""
    text = " ".join(text.split())
    return text if text in _CODES else _SIGNS.get(text) or _NAMES.get(text.casefold(), "")


def signs_of(currency: str) -> list[str]:
    """How pages may write an ISO currency."""
    signs = [sign for sign, code in _SIGNS.items() if code == currency]
    signs += [sign for sign, codes in SHARED_SIGNS.items() if currency in codes]
    return list(dict.fromkeys([currency, *signs]))


def numbers(text: str, decimal: str = "") -> Iterator[Number]:
    """The numbers of ``text``. ``decimal`` is the separator that the document uses, where that is known."""
    yield from numbers_within(text, (0, len(text)), decimal)


def numbers_within(text: str, span: Span, decimal: str = "") -> Iterator[Number]:
    """The numbers of ``text[span]``, with the sign and currency that stand around them in ``text``."""
    for match in _NUMBER.finditer(text[span[0] : span[1]]):
        read = _read(match["digits"], decimal)
        if read is None:
            continue
        value, is_unsure = read
        start, end = span[0] + match.start(), span[0] + match.end()
        if scale := _SCALE.match(text, end):
            value, end = value * _SCALES[scale[1].casefold()], scale.end()
        yield _with_surroundings(text, Number(value, (start, end), is_unsure=is_unsure))


def decimal_of(texts: Sequence[str]) -> str:
    """The decimal separator that the numbers of ``texts`` tell; empty where none or both do."""
    found = {"": 0, ".": 0, ",": 0}
    for text in texts:
        for match in _NUMBER.finditer(text):
            found[_certain_decimal(match["digits"])] += 1
    commas, points = found[","], found["."]
    # A stray one (“1.5” beside two hundred of “1,50”) does not turn the others.
    if commas > 5 * points:
        return ","
    return "." if points > 5 * commas else ""


def _certain_decimal(digits: str) -> str:
    """The decimal separator of a number of which only one reading is possible."""
    points, commas = digits.count("."), digits.count(",")
    if points and commas:
        last = "." if digits.rfind(".") > digits.rfind(",") else ","
        return last if digits.count(last) == 1 else ""
    if points + commas != 1:
        return ""
    separator = "." if points else ","
    head, _, tail = digits.partition(separator)
    # Of “12.05” it could be a time or a section: money has two digits behind it in any country.
    return separator if len(tail) == 2 and head else ""


def _read(digits: str, decimal: str) -> tuple[Decimal, bool] | None:
    """The value, and whether another reading is as good; None where it is no number (a date, a version)."""
    plain = re.sub(rf"[{_SPACES}'’]", "", digits)
    if len(plain) > _MOST_DIGITS or not _is_grouped(re.split(r"[.,]", digits)[0], "'’"):
        return None
    separators = [character for character in plain if character in ".,"]
    if not separators:
        return Decimal(plain), False
    last = separators[-1]
    kinds = set(separators)
    if len(kinds) == 2:
        whole, _, fraction = plain.rpartition(last)
        grouping = next(iter(kinds - {last}))
        if last in whole or not _is_grouped(whole, grouping):
            return None
        return Decimal(f"{whole.replace(grouping, '')}.{fraction}"), False
    if len(separators) > 1:
        return (Decimal(plain.replace(last, "")), False) if _is_grouped(plain, last) else None
    whole, _, fraction = plain.partition(last)
    fractional = Decimal(f"{whole or 0}.{fraction}")
    could_be_grouped = len(fraction) == 3 and 1 <= len(whole) <= 3 and whole.lstrip("0") == whole
    if not could_be_grouped or len(plain) != len(digits):
        return fractional, False
    if not decimal:
        # Both are read so somewhere; thousands are the more frequent.
        return Decimal(whole + fraction), True
    return (fractional, False) if last == decimal else (Decimal(whole + fraction), False)


def _is_grouped(digits: str, separators: str) -> bool:
    """Whether ``digits`` are in groups of three, or as in India: 12,34,567."""
    first, *groups = re.split(f"[{re.escape(separators)}]", digits)
    if not groups:
        return True
    thousands = 1 <= len(first) <= 3 and all(len(group) == 3 for group in groups)
    lakhs = 1 <= len(first) <= 2 and all(len(group) == 2 for group in groups[:-1]) and len(groups[-1]) == 3
    return thousands or lakhs


def _with_surroundings(text: str, number: Number) -> Number:
    """``number`` with the sign, brackets and currency that stand around it."""
    start, end = number.span
    value, currency = number.value, ""
    opened = False
    for _ in range(3):
        match = _BEFORE.search(text[max(start - 6, 0) : start])
        if match is None:
            break
        if match["sign"]:
            at = start - len(match[0])
            # “10-20” is a range, “INV-7” a number of another kind.
            if (at and (text[at - 1].isalnum() or text[at - 1] in ").")) or value < 0:
                break
            value = -value
        elif match["open"]:
            opened = True
        elif currency:
            break
        else:
            currency = _currency(match["currency"])
        start -= len(match[0])
    for _ in range(2):
        match = _AFTER.match(text, end)
        if match is None:
            break
        if match["close"]:
            if not opened:
                break
            value, opened = -abs(value), False
        elif match["sign"]:
            if value < 0 or match[0] != match["sign"]:
                break
            value = -value
        elif currency:
            break
        else:
            currency = _currency(match["currency"])
        end = match.end()
    if opened:
        start = number.span[0]
        currency = currency if currency and end > number.span[1] else ""
    return Number(value, (start, end), currency, number.is_unsure)


def _currency(sign: str) -> str:
    return _SIGNS.get(sign, sign)


def shown(value: Decimal, places: int = 0) -> str:
    """“4,018.22”: with at least ``places`` decimals."""
    exponent = value.as_tuple().exponent
    decimals = -exponent if isinstance(exponent, int) else 0
    return f"{value:,.{max(decimals, places, 0)}f}"
