"""Where sentences end, in any language."""

import re
from collections.abc import Iterator

# Shortenings that end in a point and are usually followed by more of the sentence.
_LIST = """
abs adj al anm anon approx apt art arts aufl ausg av bd bzw ca cap cf chap cl co col corp dept dipl dr
dra dres e.g ed eds eg esp etc evtl exc ff fig figs fl fn gem gen ggf gov hon hr hrsg i.e ie inc incl
ing inkl insb jr lit lt ltd max med mgr mio mlle mm mme mr mrs ms mt mtl mwst no nos nr nrn num núm op p
pag para paras pp prof pt pts pág rd ref rep resp rev rs rz s sec sect sen seq sog sr sra st std str
subj tab tel u.a usw v vgl vol vs z.b zit zzgl г гг гл д др им млн млрд п пп рис см ст стр т.д т.е т.п
тыс ул
"""
_SHORTENINGS = frozenset(_LIST.split())
_END = re.compile(
    r"[.!?…؟۔।॥]+[\"'”’»)\]]*(?=\s)"  # then a space
    r"|[。！？｡]+[”’」』）)\"]*"  # or nothing at all
    r"|\n\s*\n"
)
_LAST_WORD = re.compile(r"[^\s(\[\"'“„«]+$")


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Spans of the sentences of ``text``, without the white space between them."""
    start = 0
    for end in _END.finditer(text):
        if _ends_sentence(text, end):
            yield from _span(text, start, end.end())
            start = end.end()
    yield from _span(text, start, len(text))


def _span(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    part = text[start:end]
    inner = part.strip()
    if inner:
        start += len(part) - len(part.lstrip())
        yield start, start + len(inner)


def _ends_sentence(text: str, end: re.Match[str]) -> bool:
    if end[0][0] != ".":
        return True
    following = text[end.end() : end.end() + 40].lstrip()
    if following[:1].islower():
        return False
    if len(end[0]) > 1:
        return True
    last = _LAST_WORD.search(text, max(end.start() - 24, 0), end.start())
    word = last[0].casefold() if last else ""
    # Initials, “§ 9.”, «3. Oktober»; but a year ends a sentence.
    is_short = len(word) <= 2 and (word.isdigit() or len(word) == 1)
    return not is_short and word not in _SHORTENINGS
