"""Characters of Microsoft's symbol fonts, which hide behind private code points, as Unicode."""

_SYMBOL = dict(
    zip(
        range(0x20, 0x7F),
        " !∀#∃%&∋()∗+,−./0123456789:;<=>?≅ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ[∴]⊥_‾αβχδεφγηιϕκλμνοπθρστυϖωξψζ{|}∼",
        strict=True,
    )
) | dict(
    zip(
        range(0xA1, 0xFF),
        "ϒ′≤⁄∞ƒ♣♦♥♠↔←↑→↓°±″≥×∝∂•÷≠≡≈…⏐⎯↵ℵℑℜ℘⊗⊕∅∩∪⊃⊇⊄⊂⊆∈∉∠∇®©™∏√⋅¬∧∨⇔⇐⇑⇒⇓◊〈®©™∑⎛⎜⎝⎡⎢⎣⎧⎨⎩⎪\uf8ff〉∫⌠⎮⌡⎞⎟⎠⎤⎥⎦⎫⎬⎭",
        strict=True,
    )
)
_WINGDINGS = {
    **{0x21: "✏", 0x22: "✂", 0x28: "☎", 0x2A: "✉", 0x36: "⌛", 0x3A: "🖥", 0x41: "✌", 0x43: "👍"},
    **{0x44: "👎", 0x45: "☜", 0x46: "☞", 0x47: "☝", 0x48: "☟", 0x4A: "☺", 0x4B: "😐", 0x4C: "☹"},
    **{0x4E: "☠", 0x51: "✈", 0x52: "☼", 0x54: "❄", 0x6C: "●", 0x6D: "❍", 0x6E: "■", 0x6F: "□"},
    **{0x71: "❑", 0x72: "❒", 0x73: "⬧", 0x74: "⧫", 0x75: "◆", 0x76: "❖", 0x77: "⬥", 0x78: "☒"},
    **{0x9F: "•", 0xA0: " ", 0xA1: "○", 0xA7: "▪", 0xA8: "◻", 0xAB: "★", 0xB1: "⌖", 0xD8: "➢"},
    **{0xDF: "←", 0xE0: "→", 0xE1: "↑", 0xE2: "↓", 0xE8: "➔", 0xEF: "⇦", 0xF0: "⇨", 0xF1: "⇧"},
    **{0xF2: "⇩", 0xF3: "⬄", 0xFB: "✗", 0xFC: "✓", 0xFD: "☒", 0xFE: "☑"},
    **{0x80 + digit: chr(0x245F + digit) for digit in range(1, 11)},
    **{0x8B + digit: chr(0x2775 + digit) for digit in range(1, 11)},
}
_WINGDINGS_2 = {
    **{0x4F: "✗", 0x50: "✓", 0x51: "☒", 0x52: "☑", 0x53: "☒", 0x54: "☒", 0x97: "●", 0x98: "•"},
    **{0x99: "●", 0xA2: "■", 0xA3: "□", 0x30: "☐"},
}
_WEBDINGS = {0x61: "✓", 0x63: "□", 0x67: "■", 0x6E: "●", 0x72: "✗", 0xFC: "✓"}
_FONTS = {
    "symbol": _SYMBOL,
    "wingdings": _WINGDINGS,
    "wingdings 2": _WINGDINGS_2,
    "webdings": _WEBDINGS,
}


def symbol(code: int, font: str) -> str:
    """The character ``code`` of ``font``; the code point itself where its picture is not known."""
    table = _FONTS.get(font.strip().lower(), {})
    if found := table.get(code & 0xFF if 0xF000 <= code <= 0xF0FF or code < 0x100 else -1):
        return found
    return chr(code) if 0 < code < 0xD800 or 0xE000 <= code < 0x110000 else "\ufffd"


def unhidden(text: str, font: str) -> str:
    """``text`` with the private code points of a symbol font replaced, one character for one."""
    if font and any("\uf000" <= character <= "\uf0ff" for character in text):
        return "".join(
            symbol(ord(character), font)[0] if "\uf000" <= character <= "\uf0ff" else character
            for character in text
        )
    return text
