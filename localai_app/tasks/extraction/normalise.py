"""A field's value as it stands on the page → the form that tables and programs compare: ISO dates, numbers.

The page's own words are kept beside it (`Finding.original`). What can be read in two ways is read in the
likelier one and is in doubt; what cannot be read at all stays as it is on the page and is in doubt.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from localai_app.documents.quotes import Span, words
from localai_app.tasks.extraction import normalise_dates, normalise_numbers
from localai_app.tasks.extraction.fields import Field, FieldType
from localai_app.tasks.extraction.normalise_dates import DateOrder
from localai_app.tasks.lists import one_line
from localai_app.tasks.task import Doubt, Scalar

_PATTERN_SECONDS = 0.2
_ENOUGH_TEXT = 200_000
"""Characters of a document that tell its conventions."""


def _set(table: str) -> frozenset[str]:
    return frozenset(table.split())


_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.)+[^\W\d_]{2,24}(?![\w-])")
_IBAN = re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?:[ \u00a0]?[A-Z0-9]){11,30}(?!\w)")
_IBAN_FORM = re.compile(r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}")
# Characters of each country's IBAN, by the register. (schwifty knows more, but brings pycountry: LGPL.)
_IBAN_LENGTHS = {
    pair[:2]: int(pair[2:])
    for pair in _set(
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 "
        "EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 "
        "JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 "
        "NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 "
        "TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30"
    )
}
_YES = _set("yes ja oui sí si sì sim true wahr vrai verdadero vero waar verdadeiro y x ✓ ✔ ☑ ☒")
_NO = _set("no nein non nee não nao false falsch faux falso onwaar n ☐")


@dataclass(frozen=True)
class Conventions:
    """How a document writes dates and numbers."""

    dates: DateOrder
    decimal: str
    """“.” or “,”; empty where nothing tells."""
    currency: str
    """The only one beside its numbers; empty for none or several."""
    language: str


@dataclass(frozen=True)
class Normal:
    """A value in the form that is compared."""

    value: Scalar
    shown: str
    doubts: tuple[Doubt, ...] = ()


def conventions_of(texts: Sequence[str], language: str) -> Conventions:
    """What the ``texts`` of a document and its language tell about how it writes dates and numbers."""
    told: list[str] = []
    room = _ENOUGH_TEXT
    for text in texts:
        told.append(text[:room])
        room -= len(told[-1])
    decimal = normalise_numbers.decimal_of(told)
    used = {number.currency for text in told for number in normalise_numbers.numbers(text)} - {""}
    return Conventions(
        dates=normalise_dates.order_of(told, language),
        decimal=decimal or _DECIMALS.get(language, ""),
        currency=used.pop() if len(used) == 1 else "",
        language=language,
    )


_DECIMALS = {
    "en": ".",
    **dict.fromkeys(("de", "fr", "es", "it", "nl", "pt", "pl", "ru", "cs", "da", "sv"), ","),
}


def normalise(field: Field, text: str, span: Span, conventions: Conventions) -> Normal:
    """The value that ``text[span]`` gives for ``field``; what is around it may say its sign and currency."""
    own = one_line(text[span[0] : span[1]])
    match field.type:
        case FieldType.DATE:
            normal = _date(own, conventions)
        case FieldType.NUMBER | FieldType.AMOUNT:
            normal = _number(field.type, text, span, conventions)
        case FieldType.IBAN:
            normal = _iban(own)
        case FieldType.EMAIL:
            email = _EMAIL.search(own)
            normal = (
                Normal(email[0].lower(), email[0].lower()) if email else _unread(own, "an e-mail address")
            )
        case FieldType.LONG_TEXT:
            whole = text[span[0] : span[1]].strip()
            normal = Normal(whole, whole)
        case _:
            named = normalise_numbers.currency_of(own) or own
            normal = Normal(named, named)
    if field.pattern and not _matches(field.pattern, own):
        doubt = Doubt("pattern", f"“{_short(own)}” does not have the form that is asked for.")
        normal = Normal(normal.value, normal.shown, (*normal.doubts, doubt))
    return normal


def spans(kind: FieldType, text: str, conventions: Conventions) -> Iterator[Span]:
    """Where ``text`` has something that by its form is a value of that type."""
    match kind:
        case FieldType.DATE:
            yield from (
                one.span for one in normalise_dates.dates(text, conventions.dates, conventions.language)
            )
        case FieldType.NUMBER | FieldType.AMOUNT:
            yield from (one.span for one in normalise_numbers.numbers(text, conventions.decimal))
        case FieldType.IBAN:
            yield from (span for match in _IBAN.finditer(text) if (span := _iban_span(match)))
        case FieldType.EMAIL:
            yield from (match.span() for match in _EMAIL.finditer(text))
        case _:
            return


def answer_of(text: str) -> bool | None:
    """The yes or no that ``text`` ends with, in one of seven languages; None where it does not.

    “Deductible: No” says no whatever a model makes of it.
    """
    said = text.casefold().replace("[x]", "x").split()
    last = said[-1].strip(".,;:!()[]") if said else ""
    beside = text.rstrip(" .!").casefold().removesuffix(last).rstrip()
    # At the end of a sentence “no” may negate anything.
    if len(said) > 1 and not beside.endswith((":", "|", "?")):
        return None
    return True if last in _YES else False if last in _NO else None


# ---------------------------------------------------------------- each type


def _date(own: str, conventions: Conventions) -> Normal:
    found = list(normalise_dates.dates(own, conventions.dates, conventions.language))
    if not found:
        return _unread(own, "a date")
    first = min(found, key=lambda one: (len(one.iso) < len("2000-01-01"), one.span))
    doubts = []
    if first.is_unsure:
        order = "the day first" if conventions.dates.day_first else "the month first"
        doubts.append(
            Doubt("ambiguous", f"“{_short(own)}” is read with {order}; it may be the other way round.")
        )
    if len(first.iso) < len("2000-01-01"):
        doubts.append(Doubt("incomplete", f"“{_short(own)}” gives no day."))
    if len({one.iso for one in found}) > 1:
        doubts.append(Doubt("ambiguous", f"“{_short(own)}” holds more than one date."))
    return Normal(first.iso, first.iso, tuple(doubts))


def _number(kind: FieldType, text: str, span: Span, conventions: Conventions) -> Normal:
    own = one_line(text[span[0] : span[1]])
    found = list(normalise_numbers.numbers_within(text, span, conventions.decimal))
    is_amount = kind is FieldType.AMOUNT
    if is_amount and len(found) > 1:
        found = [one for one in found if one.currency] or found
    if not found:
        return _unread(own, "an amount" if is_amount else "a number")
    first = found[0]
    doubts = []
    if first.is_unsure:
        doubts.append(
            Doubt("ambiguous", f"The mark in “{_short(own)}” may be a decimal or a thousands mark.")
        )
    if len({one.value for one in found}) > 1:
        doubts.append(Doubt("ambiguous", f"“{_short(own)}” holds more than one number."))
    value = float(first.value)
    if not is_amount:
        whole = int(first.value) if first.value == int(first.value) else value
        return Normal(whole, normalise_numbers.shown(first.value), tuple(doubts))
    currency = first.currency or conventions.currency
    return Normal(value, f"{normalise_numbers.shown(first.value, 2)} {currency}".rstrip(), tuple(doubts))


def _iban(own: str) -> Normal:
    match = _IBAN.search(own.upper())
    span = _iban_span(match) if match else None
    compact = re.sub(r"\W", "", own.upper()[span[0] : span[1]] if span else own.upper())
    grouped = " ".join(compact[at : at + 4] for at in range(0, len(compact), 4))
    if not _is_iban(compact):
        return Normal(compact, grouped, (Doubt("bad_checksum", f"“{_short(own)}” is no valid IBAN."),))
    return Normal(compact, grouped)


def _iban_span(match: re.Match[str]) -> Span | None:
    """The part of a match that is an IBAN: a word of capitals behind it may look like more of it."""
    start, text = match.start(), match[0]
    most = _IBAN_LENGTHS.get(text[:2])
    if most is None:
        return None
    count = 0
    for at, character in enumerate(text):
        count += character.isalnum()
        if count == most:
            return start, start + at + 1
    return match.span()


def _is_iban(compact: str) -> bool:
    """Length and checksum, by ISO 13616."""
    if not _IBAN_FORM.fullmatch(compact) or len(compact) != _IBAN_LENGTHS.get(compact[:2]):
        return False
    return int("".join(str(int(one, 36)) for one in compact[4:] + compact[:4])) % 97 == 1


def _matches(pattern: str, value: str) -> bool:
    import regex  # noqa: PLC0415 - the window starts without it

    try:
        return regex.fullmatch(pattern, value, timeout=_PATTERN_SECONDS) is not None
    except TimeoutError:
        return False


def _unread(own: str, what: str) -> Normal:
    return Normal(own, own, (Doubt("not_read", f"“{_short(own)}” could not be read as {what}."),))


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}…"


def folded(text: str) -> str:
    """What two writings of the same words have in common."""
    return " ".join(word.folded for word in words(text) if not word.is_article)
