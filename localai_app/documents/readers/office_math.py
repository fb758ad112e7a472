"""Equations of Office (OMML) as a line of text: “(a+b)/2”, “x^2”, “∑_(i=1)^n x_i”."""

from collections.abc import Callable

from localai_app.documents.readers.lines import Line
from localai_app.documents.readers.ooxml import Element, attribute, child, children, name

Other = Callable[[Element, Line], None]
"""Writes an element that is none of the equation's own, such as a tracked change around some of it."""

_ACCENTS = {
    "\u0302": "^",
    "\u0303": "~",
    "\u0304": "¯",
    "\u0305": "¯",
    "\u0307": "˙",
    "\u0308": "¨",
    "\u20d7": "⃗",
    "\u2192": "⃗",
}
_PROPERTIES = frozenset({"m:argPr", "m:ctrlPr", "m:rPr", "m:sSubPr", "m:fPr"})
_SIMPLE = frozenset(".,°′%!²³")
"""Beside letters and digits: what asks for no brackets."""


def equation(element: Element, line: Line, other: Other) -> None:
    """Write the equation ``element``, an ``m:oMath`` or ``m:oMathPara``, at the end of ``line``."""
    _Writer(other).content(element, line)


class _Writer:
    def __init__(self, other: Other) -> None:
        self._other = other
        self._known: dict[str, Callable[[Element, Line], None]] = {
            "m:t": lambda element, line: line.write(element.text or ""),
            "m:f": self._fraction,
            "m:sSup": lambda element, line: self._script(element, line, after=("m:sup",)),
            "m:sSub": lambda element, line: self._script(element, line, after=("m:sub",)),
            "m:sSubSup": lambda element, line: self._script(element, line, after=("m:sub", "m:sup")),
            "m:sPre": lambda element, line: self._script(element, line, before=("m:sub", "m:sup")),
            "m:limLow": lambda element, line: self._script(element, line, limits={"m:lim": "_"}),
            "m:limUpp": lambda element, line: self._script(element, line, limits={"m:lim": "^"}),
            "m:rad": self._root,
            "m:nary": self._operator,
            "m:d": self._delimited,
            "m:func": self._function,
            "m:m": lambda element, line: self._rows(element, line, "m:mr"),
            "m:eqArr": lambda element, line: self._rows(element, line, "m:e"),
            "m:acc": self._accent,
            "m:bar": self._accent,
            "m:groupChr": self._accent,
        }

    def content(self, element: Element, line: Line) -> None:
        """All children, one after the other."""
        first = True
        for each in element:
            kind = name(each)
            if kind in _PROPERTIES or kind.endswith("Pr"):
                continue
            if kind == "m:oMath" and not first:
                line.write("\n")  # one below the other in a paragraph of equations
            first = False
            known = self._known.get(kind)
            if known:
                known(each, line)
            elif kind.startswith("m:"):
                self.content(each, line)
            else:
                self._other(each, line)

    def _argument(self, element: Element, kind: str) -> Line:
        inner = Line()
        argument = child(element, kind)
        if argument is not None:
            self.content(argument, inner)
        return inner

    def _bracketed(self, argument: Line, line: Line) -> None:
        """In brackets, unless it is one number or letter."""
        text = argument.text
        plain = len(text) <= 1 or all(each.isalnum() or each in _SIMPLE for each in text)
        line.write("" if plain else "(")
        line.add(argument)
        line.write("" if plain else ")")

    def _fraction(self, element: Element, line: Line) -> None:
        no_bar = attribute(child(element, "m:fPr", "m:type"), "m:val") == "noBar"
        line.write("(" if no_bar else "")
        self._bracketed(self._argument(element, "m:num"), line)
        line.write("¦" if no_bar else "/")
        self._bracketed(self._argument(element, "m:den"), line)
        line.write(")" if no_bar else "")

    def _script(
        self,
        element: Element,
        line: Line,
        *,
        before: tuple[str, ...] = (),
        after: tuple[str, ...] = (),
        limits: dict[str, str] | None = None,
    ) -> None:
        self._scripts(element, line, before)
        base = self._argument(element, "m:e")
        if after:
            self._bracketed(base, line)
        else:
            line.add(base)
        self._scripts(element, line, after)
        for kind, sign in (limits or {}).items():
            line.write(sign)
            self._bracketed(self._argument(element, kind), line)

    def _scripts(self, element: Element, line: Line, kinds: tuple[str, ...]) -> None:
        for kind in kinds:
            argument = self._argument(element, kind)
            if argument.length:
                line.write("_" if kind == "m:sub" else "^")
                self._bracketed(argument, line)

    def _root(self, element: Element, line: Line) -> None:
        degree = self._argument(element, "m:deg").text
        line.write({"": "√", "3": "∛", "4": "∜"}.get(degree, f"√[{degree}]") + "(")
        line.add(self._argument(element, "m:e"))
        line.write(")")

    def _operator(self, element: Element, line: Line) -> None:
        line.write(attribute(child(element, "m:naryPr", "m:chr"), "m:val", "∫"))
        self._scripts(element, line, ("m:sub", "m:sup"))
        argument = self._argument(element, "m:e")
        line.write(" " if argument.length else "")
        line.add(argument)

    def _delimited(self, element: Element, line: Line) -> None:
        properties = child(element, "m:dPr")

        def sign(kind: str, default: str) -> str:
            found = child(properties, kind)
            return default if found is None else attribute(found, "m:val")

        line.write(sign("m:begChr", "("))
        for at, each in enumerate(children(element, "m:e")):
            line.write(sign("m:sepChr", "|") if at else "")
            self.content(each, line)
        line.write(sign("m:endChr", ")"))

    def _function(self, element: Element, line: Line) -> None:
        line.add(self._argument(element, "m:fName"))
        argument = self._argument(element, "m:e")
        line.write("" if argument.text.startswith(("(", "[", "{")) else " ")
        line.add(argument)

    def _rows(self, element: Element, line: Line, kind: str) -> None:
        line.write("[" if kind == "m:mr" else "")
        for at, row in enumerate(children(element, kind)):
            line.write("; " if at else "")
            if kind == "m:e":
                self.content(row, line)
                continue
            for column, cell in enumerate(children(row, "m:e")):
                line.write(", " if column else "")
                self.content(cell, line)
        line.write("]" if kind == "m:mr" else "")

    def _accent(self, element: Element, line: Line) -> None:
        """A bar, a brace or an accent over or under something."""
        kind = name(element)
        default = {"m:acc": "\u0302", "m:bar": "\u0305", "m:groupChr": "⏟"}[kind]
        found = attribute(child(element, f"{kind}Pr", "m:chr"), "m:val", default)
        self._bracketed(self._argument(element, "m:e"), line)
        line.write(_ACCENTS.get(found, found))
