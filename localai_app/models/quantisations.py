"""The GGUF files of a repository as choices: split files as one, by quantisation, each in a sentence."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from localai_app.models.pulls import PullFile

_PART = re.compile(r"-(\d{5})-of-(\d{5})$")
_QUANTISATION = re.compile(
    r"(?:^|[-._ /])((?:UD-)?(?:I?Q\d(?:_[0-9A-Z]+)*|TQ\d_\d|MXFP4(?:_MOE)?|BF16|F16|FP16|F32|FP32))"
    r"(?=$|[-._ /])",
    re.IGNORECASE,
)
_BITS = {
    "1": "about 1.8 bits per weight: an emergency; expect nonsense.",
    "2": "about 2.7 bits per weight: noticeably worse answers; only where nothing larger fits.",
    "3": "about 3.7 bits per weight: weaker answers, for when memory is short.",
    "4": "about 4.8 bits per weight: the usual choice; close to the original in a third of its size.",
    "5": "about 5.6 bits per weight: a little better than 4 bits, a little larger and slower.",
    "6": "about 6.6 bits per weight: hardly to be told from the original.",
    "8": "about 8.5 bits per weight: as good as the original in half its size.",
}
_RECOMMENDED = ("Q4_K_M", "Q4_K_S", "MXFP4", "MXFP4_MOE", "Q4_0", "Q5_K_M", "Q4_1", "IQ4_XS", "Q8_0")


@dataclass(frozen=True)
class Choice:
    """One model that can be fetched from a repository."""

    name: str
    """The file's, without its part number."""
    quantisation: str
    """Such as ``Q4_K_M``; empty where unknown."""
    files: tuple[PullFile, ...]
    """All parts in their order."""
    size: int
    """Bytes of all files."""
    explanation: str
    """A sentence for who chooses."""
    recommended: bool = False
    """The best choice for most; at most one."""


def choices(files: Iterable[PullFile]) -> list[Choice]:
    """What ``files`` of a repository offer, the smallest first.

    Not offered: split models with a part missing, multimodal projectors, what is no GGUF.
    """
    groups: dict[tuple[str, int], dict[int, PullFile]] = {}
    for file in files:
        if not file.name.lower().endswith(".gguf") or "mmproj" in file.name.lower() or file.size <= 0:
            continue
        stem = file.name[:-5]
        part = _PART.search(stem)
        base, number, count = (stem[: part.start()], int(part[1]), int(part[2])) if part else (stem, 1, 1)
        groups.setdefault((base, count), {})[number] = file
    found = []
    for (base, count), parts in groups.items():
        if sorted(parts) != list(range(1, count + 1)):
            continue
        quantisation = quantisation_of(base)
        ordered = tuple(parts[number] for number in sorted(parts))
        size = sum(file.size for file in ordered)
        found.append(Choice(f"{base}.gguf", quantisation, ordered, size, explain(quantisation)))
    found.sort(key=lambda choice: (choice.size, choice.name))
    best = next((c for name in _RECOMMENDED for c in found if c.quantisation == name), None)
    return [
        Choice(c.name, c.quantisation, c.files, c.size, c.explanation, recommended=c is best) for c in found
    ]


def quantisation_of(name: str) -> str:
    """The quantisation that a file's name (without its ending) tells; empty for none."""
    found = _QUANTISATION.findall(name)
    return found[-1].upper() if found else ""


def explain(quantisation: str) -> str:
    """What a quantisation means for the answers, in a sentence."""
    name = quantisation.upper().removeprefix("UD-")
    if name in ("F16", "FP16", "BF16"):
        return f"{name}: 16 bits per weight: the original, twice as large as Q8_0 and no better to read."
    if name in ("F32", "FP32"):
        return f"{name}: 32 bits per weight: larger than the original and no better."
    if name.startswith("MXFP4"):
        return "MXFP4: about 4.3 bits per weight: as this model was trained; nothing is lost."
    if name.startswith("TQ"):
        return f"{name}: three values per weight, for models that were trained so."
    digit = re.match(r"I?Q(\d)", name)
    if digit and digit[1] in _BITS:
        return f"{quantisation.upper()}: {_BITS[digit[1]]}"
    return "The file does not say how it is quantised."
