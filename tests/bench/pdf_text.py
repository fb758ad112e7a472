"""PDF text: are the words right, by pdftotext's; how fast, against pdfminer.six, pypdf and pdftotext.

Words are compared page by page as bags, which is blind to their order but to nothing else. Where the two
differ it is mostly pdftotext that is off: it writes “s olar s ystem” for small capitals, turns Arabic
ligatures round, reads mirrored text backwards and takes letters set apart for words. Files that are
locked or that pdftotext itself cannot read are left out. Speed is in pages per second of processor time,
so that what else the machine does counts less.
"""

import io
import os
import re
import resource
import shutil
import subprocess
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pypdf
from pdfminer.high_level import extract_text

from localai_app.documents.document import BlockKind, Page
from localai_app.documents.readers import pdf
from localai_app.documents.readers.refused import ReadRefused
from localai_app.documents.reading import Job, PageRead
from tests.bench import report

RUNS = 3
FOR_SPEED = 5
"""Contracts, of medium length."""
NOT_ON_PAPER = {BlockKind.FIELD, BlockKind.COMMENT, BlockKind.TEXT_BOX}
"""What pdftotext takes for no text of the page, or draws elsewhere."""
_WORD = re.compile(r"\w+")
_DIVIDED = re.compile(r"(\w+)[-\u00ad\u2010]\s*\n(\w+)")


def read(data: bytes) -> list[Page]:
    """Our pages."""
    return [answer.page for answer in pdf.read(data, Job("", 0)) if isinstance(answer, PageRead)]


def bag(text: str) -> Counter[str]:
    """Its words and how often each stands there."""
    return Counter(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))


def pdftotext(path: Path) -> list[str]:
    """Its text of each page."""
    command = ["pdftotext", "-q", "-enc", "UTF-8", str(path), "-"]
    done = subprocess.run(command, capture_output=True, check=False, timeout=120)
    return done.stdout.decode("utf-8", "replace").split("\f")


def compare(path: Path) -> tuple[int, int, int] | None:
    """(words of both, words of pdftotext, our words); None for a file that is left out."""
    try:
        ours = read(path.read_bytes())
    except ReadRefused:
        return None
    theirs = pdftotext(path)
    both = asked = said = 0
    for page in ours:
        blocks = (block for block in page.blocks if block.kind not in NOT_ON_PAPER)
        mine = bag("\n".join(page.text[block.start : block.end] for block in blocks))
        text = theirs[page.number - 1] if page.number <= len(theirs) else ""
        other = bag(_joined(text, mine))
        both += (mine & other).total()
        asked += other.total()
        said += mine.total()
    return both, asked, said


def _joined(text: str, known: Counter[str]) -> str:
    """``text`` with the words joined that pdftotext left divided at a line's end and that we know whole."""

    def whole(match: re.Match[str]) -> str:
        word = match[1] + match[2]
        return word if word.casefold() in known else match[0]

    return _DIVIDED.sub(whole, text)


def words(name: str, files: Sequence[Path], target: float | None) -> list[report.Row]:
    """Recall and precision over all words of a set."""
    compared = [one for one in map(compare, files) if one is not None]
    both, asked, said = (sum(one[part] for one in compared) for part in range(3))
    return [
        report.Row(
            f"{name}: {measure} of words, {len(compared)} of {len(files)} files",
            round(both / max(1, of), 4), "share", "higher", target, "words of pdftotext", both, of,
        )
        for measure, of in (("recall", asked), ("precision", said))
    ]  # fmt: skip


def pages_per_second(count: int, work: Callable[[], object]) -> float:
    """Of processor time, that of child processes included."""
    started = _processor_time()
    work()
    return count / (_processor_time() - started)


def _processor_time() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def speed(files: Sequence[Path]) -> list[report.Row]:
    """Pages/s against each rival."""
    contents = [path.read_bytes() for path in files]
    count = sum(len(read(data)) for data in contents)

    def with_pypdf() -> None:
        for data in contents:
            for page in pypdf.PdfReader(io.BytesIO(data)).pages:
                page.extract_text()

    ours, miner, other, poppler = report.in_turn(
        RUNS,
        lambda: pages_per_second(count, lambda: [read(data) for data in contents]),
        lambda: pages_per_second(count, lambda: [extract_text(io.BytesIO(data)) for data in contents]),
        lambda: pages_per_second(count, with_pypdf),
        lambda: pages_per_second(count, lambda: [pdftotext(path) for path in files]),
    )
    name = f"PDF pages/s of processor time, {count} pages of contracts, ours with boxes and blocks"
    return [
        report.ratio(name, ours, miner, target=5, rival="pdfminer.six"),
        report.ratio(name, ours, other, target=None, rival="pypdf"),
        report.ratio(name, ours, poppler, target=None, rival="pdftotext (no boxes, no blocks)"),
    ]


def main() -> None:
    """Measure and report."""
    folder = os.environ.get("LOCALAI_APP_EVAL")
    if not folder:
        print("pdf_text: left out, LOCALAI_APP_EVAL does not name the folder of the evaluation sets")
        return
    if not shutil.which("pdftotext"):
        print("pdf_text: left out, pdftotext is not here (Debian: apt-get install poppler-utils)")
        return
    contracts = sorted(Path(folder, "cuad").glob("*.pdf"))
    rows = words("contracts", contracts, 0.99)
    rows += words("awkward files", sorted(Path(folder, "awkward").glob("*/*.pdf")), None)
    by_size = sorted(contracts, key=lambda path: path.stat().st_size)
    middle = len(by_size) // 2
    rows += speed(by_size[middle : middle + FOR_SPEED])
    report.write("pdf_text", rows)


if __name__ == "__main__":
    main()
