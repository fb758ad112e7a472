"""Turns bytes into text, whatever their encoding, and says so where that was a guess."""

import codecs
import encodings.aliases
import re
from dataclasses import dataclass

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SAMPLE = 256 * 1024
"""Bytes that a guess looks at."""
_ESCAPES = re.compile(rb"\x1b\$[@B]|\x1b\([BIJ]")
_IN_XML = re.compile(rb"\s*<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([\w.:-]{1,40})", re.IGNORECASE)
_REPLACED = "\ufffd"
_KANA, _HANGUL = re.compile("[\u3041-\u30fe]"), re.compile("[\uac00-\ud7a3]")
_WESTERN = frozenset("äöüÄÖÜßéèêëÉÈÊàâáÀÁÂåÅæÆøØíîïìÍóòôÓúùûÚñÑçÇãœ€£§°µ²½·«»‹›„“”‘’–—…•©®™´¡¿¨ªº\xa0\xad")
_WITHOUT_ALIAS = (
    *("cp720", "cp737", "cp856", "cp874", "cp875", "cp1006", "koi8_t", "koi8_u"),
    *("utf_8_sig", "raw_unicode_escape"),
)
_GUESSES = [
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "cp874"),
    *("iso8859_2", "iso8859_5", "iso8859_6", "iso8859_7", "iso8859_8", "koi8_r", "koi8_u"),
    *("cp437", "cp850", "cp852", "cp866", "mac_roman", "mac_cyrillic"),
    *("gb18030", "big5", "cp932", "euc_jp", "cp949"),
]
"""What people's old files are in; fewer to choose from is fewer wrong guesses."""
_AS_SEEN = {
    **dict.fromkeys(("ascii", "latin-1", "iso8859-1"), "cp1252"),
    **dict.fromkeys(("gb2312", "gbk"), "gb18030"),
    **dict.fromkeys(("ks-c-5601-1987", "euc-kr"), "cp949"),
    "shift-jis": "cp932",
    "tis-620": "cp874",
    "iso8859-9": "cp1254",
}
"""What files in the left encoding are written in; the right one holds all of it (WHATWG's table)."""


@dataclass(frozen=True)
class Decoded:
    """Text, and how sure it is."""

    text: str
    encoding: str
    warnings: tuple[str, ...] = ()
    """One line for the person where a character may be wrong."""


def decode(data: bytes, declared: str = "") -> Decoded:
    """The text of ``data``; ``declared`` is what the file says its encoding is, which may be a lie.

    A byte order mark is believed, then UTF-8 that is whole, then what was declared, then a guess.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _as(data[len(mark) :], encoding)
    if wide := _without_mark(data):
        return _as(data, wide)
    declared = known(declared)
    if _ESCAPES.search(data[:_SAMPLE]) and not declared.startswith("utf"):
        return _as(data, "iso2022_jp_2")
    try:
        return Decoded(data.decode("utf-8"), "utf-8")
    except UnicodeDecodeError as error:
        # Cut off in the middle of a character, or one bad byte in a long text, is UTF-8 all the same.
        if _is_mostly_utf8(data, error):
            return _as(data, "utf-8")
    if declared and not declared.startswith("utf"):
        decoded = _as(data, declared)
        if not decoded.warnings:
            return decoded
    return _guess(data)


def declared_in_xml(data: bytes) -> str:
    """The encoding that the first line of an XML file names; empty for none."""
    match = _IN_XML.match(data[:300])
    return match[1].decode("ascii") if match else ""


def known(name: str) -> str:
    """The codec that is meant by ``name``, as browsers take it; empty for none that decodes text."""
    try:
        codec = codecs.lookup(name.strip().strip("\"'"))
    except (LookupError, ValueError, UnicodeError):
        return ""
    if not codec._is_text_encoding or codec.name in (
        "idna",
        "punycode",
        "unicode_escape",
        "utf-7",
        "undefined",
    ):
        return ""
    canonical = codec.name.replace("_", "-")
    return _AS_SEEN.get(canonical, codec.name)


def load_codecs() -> None:
    """Load every codec there is, and what guesses: afterwards there may be no file to load one from."""
    import charset_normalizer  # noqa: F401, PLC0415 - loads its tables

    for name in {*encodings.aliases.aliases.values(), *_WITHOUT_ALIAS}:
        known(name)


def _as(data: bytes, encoding: str) -> Decoded:
    try:
        return Decoded(data.decode(encoding), encoding)
    except UnicodeDecodeError:
        text = data.decode(encoding, "replace")
    bad = text.count(_REPLACED)
    warning = (
        f"{bad:,} of its characters could not be read as {encoding}; each is shown as {_REPLACED}. "
        "If words look wrong, save it as UTF-8 and add it again."
    )
    return Decoded(text, encoding, (warning,))


def _without_mark(data: bytes) -> str:
    """UTF-16 or UTF-32 by where the zeros are; empty for neither."""
    sample = data[: _SAMPLE // 4 * 4].rstrip(b"\0")  # a file may be filled up with zeros
    if len(sample) < 3 or 4 * sample.count(b"\0") < len(sample):
        return ""
    zeros = [sample[position::4].count(b"\0") / max(1, len(sample) // 4) for position in range(4)]
    full = [share > 0.9 for share in zeros]
    if full[2] and full[3] and not full[0]:
        return "utf-32-le"
    if full[0] and full[1] and not full[3]:
        return "utf-32-be"
    even, odd = zeros[0] + zeros[2], zeros[1] + zeros[3]
    return "utf-16-le" if odd > even else "utf-16-be"


def _is_mostly_utf8(data: bytes, error: UnicodeDecodeError) -> bool:
    if error.start >= len(data) - 3:
        return error.start > 0 and any(byte >= 0x80 for byte in data[: error.start])
    text = data[:_SAMPLE].decode("utf-8", "replace")
    good = sum(character > "\x7f" for character in text) - text.count(_REPLACED)
    return good >= 20 * text.count(_REPLACED)


def _guess(data: bytes) -> Decoded:
    if _is_western(data[:_SAMPLE]):
        return _doubtful(_as(data, "cp1252"))
    if eastern := _eastern(data[:_SAMPLE]):
        return _doubtful(_as(data, eastern))
    from charset_normalizer import from_bytes  # noqa: PLC0415 - most files need no guess

    best = from_bytes(data[:_SAMPLE], cp_isolation=_GUESSES).best()
    encoding = known(best.encoding) if best else ""
    if not encoding or encoding.startswith("utf"):
        encoding = "cp1252"
    decoded = _as(data, encoding)
    if decoded.warnings and encoding != "latin-1":
        decoded = _as(data, "cp1252") if encoding != "cp1252" else decoded
    return _doubtful(decoded)


def _doubtful(decoded: Decoded) -> Decoded:
    if decoded.warnings:
        return decoded
    warning = (
        f"The file does not say how its letters are stored; read as {decoded.encoding}. "
        "If letters look wrong, save it as UTF-8 and add it again."
    )
    return Decoded(decoded.text, decoded.encoding, (warning,))


def _eastern(data: bytes) -> str:
    """The Japanese or Korean encoding in which it is full of kana or hangul; empty for neither."""
    for encoding, script in (("euc_jp", _KANA), ("cp932", _KANA), ("cp949", _HANGUL)):
        text = data.decode(encoding, "replace")
        strange = [character for character in text if character > "\x7f"]
        if 50 * text.count(_REPLACED) < len(strange) < 4 * len(script.findall(text)):
            return encoding
    return ""


def _is_western(data: bytes) -> bool:
    """Whether it reads well in Western European letters: few accents, and none but the usual ones.

    A general guess needs more text than a short note has, and calls it Czech or Greek as happily.
    """
    text = data.decode("cp1252", "replace")
    accents = [character for character in text if character > "\x7f"]
    letters = sum(character.isalpha() for character in text)
    return 2 * sum(map(str.isalpha, accents)) < letters and _WESTERN.issuperset(accents)
