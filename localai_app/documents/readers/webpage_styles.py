"""Tells which elements of a web page its styles hide from people."""

import re
from dataclasses import dataclass
from typing import Any

_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")
_SELECTOR = re.compile(r"([a-z][\w-]*)?(?:\.([\w-]+))?(?:#([\w-]+))?", re.IGNORECASE)
_ZERO = r"(?:0+|0*\.0+|0*1|0*\.\d+)(?:px|pt|em|rem|%)?"
_HIDING = tuple(
    (re.compile(rf"(?:^|;)\s*(?:{pattern})", re.IGNORECASE), why)
    for pattern, why in (
        (r"display\s*:\s*none", "not displayed"),
        (r"mso-hide\s*:\s*all", "not displayed"),
        (r"visibility\s*:\s*(?:hidden|collapse)", "not visible"),
        (rf"font-size\s*:\s*{_ZERO}\s*(?:;|!|$)", "tiny letters"),
        (r"opacity\s*:\s*(?:0|0?\.0\d*|0%)\s*(?:;|!|$)", "transparent"),
        (r"color\s*:\s*transparent", "transparent"),
        (
            r"(?:left|top|text-indent|margin-left|margin-top)\s*:\s*-\d{3,}\s*(?:px|em|pt|rem)",
            "outside the page",
        ),
    )
)
"""Declarations that hide, and how."""
_COLOUR = re.compile(r"(?:^|;)\s*color\s*:\s*([^;!]+)", re.I)
_BACKGROUND = re.compile(r"(?:^|;)\s*background(?:-color)?\s*:\s*([^;!]+)", re.I)
_WHITE = frozenset({"white", "#fff", "#ffffff", "#fefefe", "rgb(255,255,255)", "rgba(255,255,255,1)"})
_MAX_RULES = 5_000


@dataclass(frozen=True)
class Styles:
    """The rules of a page that hide, by the simplest kind of selector: a tag, class or id."""

    rules: dict[tuple[str, str, str], str]
    dark: bool
    """Whether white letters may stand on another background anywhere."""

    @classmethod
    def of(cls, root: Any) -> "Styles":
        """The styles of the page ``root``."""
        sheet = "\n".join("".join(style.itertext()) for style in root.iter("style"))
        rules: dict[tuple[str, str, str], str] = {}
        for selectors, body in _RULE.findall(_at_top(_COMMENT.sub("", sheet)))[:_MAX_RULES]:
            if why := _why_hidden(body):
                for selector in selectors.split(","):
                    if (match := _SELECTOR.fullmatch(selector.strip())) and match[0]:
                        rules[match[1] or "", match[2] or "", match[3] or ""] = why
        inline = " ".join(element.get("style") for element in root.iter() if element.get("style"))
        dark = "background" in sheet or "background" in inline or root.find(".//*[@bgcolor]") is not None
        return cls(rules, dark)

    def hides(self, element: Any) -> str:
        """Why people do not see ``element``; empty where they do."""
        if element.get("hidden") is not None:
            return "not displayed"
        style = element.get("style")
        if style and (why := _why_hidden(style) or self._white_on_white(style)):
            return why
        if element.tag == "font" and (element.get("color") or "").strip().lower() in _WHITE and not self.dark:
            return "white letters"
        if not self.rules or not isinstance(element.tag, str):
            return ""
        classes = ["", *(element.get("class") or "").split()[:20]]
        for tag in ("", element.tag):
            for name in classes:
                for identity in {"", element.get("id") or ""}:
                    if why := self.rules.get((tag, name, identity), ""):
                        return why
        return ""

    def _white_on_white(self, style: str) -> str:
        colour, background = _COLOUR.search(style), _BACKGROUND.search(style)
        if not colour:
            return ""
        letters = colour[1].replace(" ", "").lower()
        if background:
            behind = background[1].replace(" ", "").lower()
            return "letters in the colour of the page" if letters == behind else ""
        return "white letters" if letters in _WHITE and not self.dark else ""


def _why_hidden(style: str) -> str:
    return next((why for pattern, why in _HIDING if pattern.search(style)), "")


def _at_top(sheet: str) -> str:
    """The rules for every screen: those inside ``@media`` and its like are left out."""
    kept: list[str] = []
    depth, start, in_at_rule = 0, 0, False
    for match in re.finditer(r"[{}]|@[\w-]+", sheet):
        if match[0] == "{":
            depth += 1
        elif match[0] == "}":
            depth = max(0, depth - 1)
            if in_at_rule and depth == 0:
                start, in_at_rule = match.end(), False
        elif depth == 0 and not in_at_rule:
            kept.append(sheet[start : match.start()])
            in_at_rule = True
            end = re.compile(r"[{;]").search(sheet, match.end())
            if end and end[0] == ";":
                start, in_at_rule = end.end(), False
    if not in_at_rule:
        kept.append(sheet[start:])
    return "".join(kept)
