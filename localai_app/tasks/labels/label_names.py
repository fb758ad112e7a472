"""Which of many labels are worth reading out.

How likely a label is as an answer, the model says token by token, and a hundred labels are many tokens. But
a label cannot be likelier than what it begins with, and many begin alike: asking for the beginnings first
tells at a fraction of the tokens which names are worth asking for.
"""

import re
from collections.abc import Sequence

_PIECE = re.compile(r"[^\W_]+(?:['’][^\W_]+)*[\W_]*|[\W_]+")
_AFTER = " _-/.,:;"
"""What divides words of a label; the model may write it as part of the next word."""


def beginnings(names: Sequence[str], most: int) -> dict[str, list[int]]:
    """What ``names`` begin with, each with the places of the names that do: one word, or as many as it takes
    to have at most ``most`` of them together.

    Every name is in one group; a group with one name may go by a part of it.
    """
    pieces = [_PIECE.findall(name) for name in names]
    groups: dict[str, list[int]] = {}

    def divide(places: Sequence[int], words: int) -> None:
        alike: dict[str, list[int]] = {}
        for place in places:
            beginning = "".join(pieces[place][:words]).rstrip(_AFTER)
            whole = len(pieces[place]) <= words or not any(map(str.isalnum, beginning))
            alike.setdefault(names[place] if whole else beginning, []).append(place)
        for beginning, together in alike.items():
            if len(together) > most and any(len(pieces[place]) > words for place in together):
                divide(together, words + 1)
            else:
                groups.setdefault(beginning, []).extend(together)

    divide(range(len(names)), 1)
    return groups


def likeliest(groups: Sequence[Sequence[int]], figures: Sequence[float], most: int) -> list[int]:
    """The names of the likeliest ``groups``, about ``most`` of them and two at least, in the names' order."""
    chosen: list[int] = []
    for at in sorted(range(len(groups)), key=lambda at: (-figures[at], at)):
        if len(chosen) >= 2 and len(chosen) + len(groups[at]) > most:
            break
        chosen += groups[at]
    return sorted(chosen)
