"""Splits RTF into its tokens, and knows the encodings that it names."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from localai_app.documents.readers.encoding import known

_TOKEN = re.compile(
    rb"\\([a-zA-Z]{1,32})(-?\d{1,10})? ?|\\'([0-9a-fA-F]{2})|\\([^a-zA-Z])|([{}])|([^\\{}\r\n]+)|[\r\n]+",
    re.DOTALL,
)
CHARACTERS = {
    "tab": "\t", "line": "\n", "lbr": "\n", "softline": "\n", "emdash": "—", "endash": "–", "emspace": " ",
    "enspace": " ", "qmspace": " ", "bullet": "•", "lquote": "‘", "rquote": "’", "ldblquote": "“",
    "rdblquote": "”", "zwj": "\u200d", "zwnj": "\u200c",
}  # fmt: skip
"""What the control words stand for that are one character."""
SYMBOLS = {"~": " ", "_": "‑", "-": "", "{": "{", "}": "}", "\\": "\\", "\n": "\n", "\r": "\n", "\t": "\t"}
"""What the control symbols stand for."""
_CHARSETS = {
    0: "cp1252", 77: "mac_roman", 128: "cp932", 129: "cp949", 130: "johab", 134: "gb18030", 136: "cp950",
    161: "cp1253", 162: "cp1254", 163: "cp1258", 177: "cp1255", 178: "cp1256", 186: "cp1257", 204: "cp1251",
    222: "cp874", 238: "cp1250", 254: "cp437", 255: "cp850",
}  # fmt: skip
"""Of fonts, by number (``\\fcharset``)."""


class Token(NamedTuple):
    """One of: a control ``word`` with its ``number``, ``text``, a ``brace``, or a ``symbol``."""

    word: str = ""
    number: int | None = None
    text: bytes = b""
    brace: str = ""
    symbol: str = ""


def tokens(data: bytes) -> Iterator[Token]:
    """Yield all tokens of ``data``; binary data is stepped over."""
    position, end = 0, len(data)
    while position < end:
        match = _TOKEN.match(data, position)
        if not match:  # a backslash at the very end
            return
        position = match.end()
        word, number, code, symbol, brace, text = match.groups()
        if word:
            name = word.decode("ascii")
            if name == "bin":
                position += max(0, int(number or 0))
                continue
            yield Token(name, int(number) if number else None)
        elif code:
            yield Token(text=bytes((int(code, 16),)))
        elif brace:
            yield Token(brace=brace.decode("ascii"))
        elif text:
            yield Token(text=text)
        elif symbol:
            yield Token(symbol=symbol.decode("latin-1"))


def codec_of_page(number: int) -> str:
    """The codec for a Windows code page; cp1252 where there is none."""
    names = {65001: "utf-8", 10000: "mac_roman", 932: "cp932", 936: "gb18030", 950: "cp950", 0: "cp1252"}
    return names.get(number) or known(f"cp{number}") or "cp1252"


def codec_of_charset(number: int) -> str:
    """The codec for a font's character set; empty where it says nothing."""
    return _CHARSETS.get(number, "")


def characters(data: bytes, codec: str) -> str:
    """The text of ``data``; what is no character in ``codec`` is shown as such."""
    return data.decode(codec, "replace")
