"""Text from anywhere, made harmless for the files that a person opens in other programs."""

import re

# Not allowed in XML, and shown by no program.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_COMPUTED = ("=", "+", "-", "@", "\t", "\r", "\n", "'", "＝", "＋", "－", "＠")
_MARKDOWN = re.compile(r"([\\`*_\[\]<>#!|~&])")
# They turn letters round that read the other way: “exe.fdp” is shown as “pdf.exe”.
_OVERRIDES = re.compile("[\u202d\u202e]")
_ENDS_EMBEDDING, _ENDS_ISOLATE = "\u202c", "\u2069"
_OPENED = {
    **dict.fromkeys("\u202a\u202b", _ENDS_EMBEDDING),
    **dict.fromkeys("\u2066\u2067\u2068", _ENDS_ISOLATE),
}


def printable(text: str) -> str:
    """``text`` with every character that XML or a terminal cannot hold shown as U+FFFD."""
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def one_line(text: str) -> str:
    """``text`` in one printable line that reads in the order in which it is written."""
    return in_order(" ".join(printable(text).split()))


def in_order(text: str) -> str:
    """``text`` without what overrides the order of its letters, and with every direction it sets ended."""
    text = _OVERRIDES.sub("\N{REPLACEMENT CHARACTER}", text)
    opened: list[str] = []
    for character in text:
        if character in _OPENED:
            opened.append(_OPENED[character])
        elif opened and character == opened[-1]:
            opened.pop()
        elif character == _ENDS_ISOLATE and character in opened:
            while opened.pop() != character:  # it ends the embeddings inside, too
                pass
    return text + "".join(reversed(opened))


def markdown_line(text: str) -> str:
    """``text`` in one line that holds no Markdown of its own."""
    return _MARKDOWN.sub(r"\\\1", one_line(text))


def guarded(cell: str) -> str:
    """``cell`` of a CSV file with an apostrophe in front where a spreadsheet would compute it."""
    return f"'{cell}" if cell.lstrip(" ").startswith(_COMPUTED) else cell


def unguarded(cell: str) -> str:
    """What `guarded` was given."""
    return cell.removeprefix("'")
