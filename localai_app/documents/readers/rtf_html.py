"""Takes the web page out of rich text that Outlook wrapped it into (MS-OXRTFEX)."""

from localai_app.documents.readers.rtf_tokens import CHARACTERS, SYMBOLS, codec_of_page, tokens

_NOT_OF_THE_PAGE = frozenset({"fonttbl", "colortbl", "stylesheet", "mhtmltag", "generator", "pntext", "info"})


def html_in(data: bytes) -> str:
    """The web page that Outlook wrapped into rich text; empty where it is plain rich text."""
    if b"\\fromhtml" not in data[:4096]:
        return ""
    codec, pieces, pending = "cp1252", [], b""
    stack: list[tuple[bool, bool]] = []
    tag, hidden = False, False
    """Inside a tag of the page; inside what only rich text needs."""
    begins, swallow, depth_skipped = False, 0, 0
    for token in tokens(data):
        if depth_skipped:
            depth_skipped += {"{": 1, "}": -1}.get(token.brace, 0)
            continue
        if token.text and (tag or not hidden):
            pending += token.text[swallow:]
            swallow = max(0, swallow - len(token.text))
            continue
        if pending:
            pieces.append(pending.decode(codec, "replace"))
            pending = b""
        if token.brace == "{":
            stack.append((tag, hidden))
            begins = True
            continue
        if token.brace == "}":
            tag, hidden = stack.pop() if stack else (False, False)
        elif token.symbol == "*" and begins:
            continue
        elif token.word == "htmltag":
            tag = True
        elif begins and token.word in _NOT_OF_THE_PAGE:
            depth_skipped = 1
            stack.pop()
        elif token.word == "htmlrtf":
            hidden = token.number != 0
        elif token.word == "ansicpg":
            codec = codec_of_page(token.number or 0)
        elif tag or not hidden:
            if token.word == "u" and token.number is not None:
                pieces.append(chr(token.number % 65536))
                swallow = 1
            elif token.word in ("par", "line"):
                pieces.append("\n")
            else:
                pieces.append(CHARACTERS.get(token.word, "") or SYMBOLS.get(token.symbol, ""))
        begins = False
    pieces.append(pending.decode(codec, "replace"))
    return "".join(pieces).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
