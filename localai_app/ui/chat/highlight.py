"""Syntax colours of code blocks; Qt-free, run in a pool thread."""

from dataclasses import dataclass

from pygments.lexers import get_lexer_by_name
from pygments.token import Comment, Keyword, Name, Number, Operator, String, _TokenType
from pygments.util import ClassNotFound

_TOKENS = (
    (Comment, "syntax_comment"),
    (Keyword, "syntax_keyword"),
    (Operator.Word, "syntax_keyword"),
    (String, "syntax_string"),
    (Number, "syntax_number"),
    (Name.Function, "syntax_name"),
    (Name.Class, "syntax_name"),
    (Name.Builtin, "syntax_name"),
    (Name.Decorator, "syntax_name"),
    (Name.Tag, "syntax_name"),
    (Name.Attribute, "syntax_number"),
)

LONGEST = 60_000
"""Characters beyond which code stays in one colour."""


@dataclass(frozen=True)
class Span:
    """``length`` UTF-16 units from ``start`` of line ``line`` take the colour of theme token ``token``."""

    line: int
    start: int
    length: int
    token: str


def highlight(text: str, language: str) -> list[Span]:
    """Coloured spans of ``text``; none for an unknown ``language``. Lines count from 0."""
    if len(text) > LONGEST:
        return []
    try:
        lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return []
    spans: list[Span] = []
    line = column = 0
    for kind, value in lexer.get_tokens(text):
        token = _theme_token(kind)
        for number, part in enumerate(value.split("\n")):
            if number:
                line, column = line + 1, 0
            length = len(part.encode("utf-16-le", "surrogatepass")) // 2  # Qt counts UTF-16 units
            if part and token:
                spans.append(Span(line, column, length, token))
            column += length
    return spans


def _theme_token(kind: _TokenType) -> str:
    return next((token for family, token in _TOKENS if kind is family or kind[: len(family)] == family), "")
