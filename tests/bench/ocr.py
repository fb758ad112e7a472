"""Text recognition against tesseract: characters wrong, and seconds of processor time for a page.

Pages are drawn here from a text whose words are known: clean, noisy, askew, at 150 to 300 dots per inch. Both
readers get the same pictures, on one thread, in turn. Then one paragraph in every language that the component
names, and in some that it must refuse. Fonts are those of the machine; a language without one is left out.
"""

import os
import shutil
import subprocess
import tempfile
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from localai_app.documents import recognition
from tests.bench import report
from tests.bench.languages import REFUSED, SAMPLES

ROOT = Path(__file__).resolve().parents[2]
LATIN = ("LiberationSerif-Regular.ttf", "DejaVuSerif.ttf", "times.ttf", "Times New Roman.ttf")
NOTO = ("NotoSansHebrew-Regular.ttf", "NotoSansDevanagari-Regular.ttf", "NotoSansThai-Regular.ttf")
WIDE = ("DejaVuSans.ttf", *NOTO, "NotoSansCJK-Regular.ttc", "Arial Unicode.ttf", *LATIN)
A4 = (8.27, 11.69)
NOISE = 12.0


@dataclass(frozen=True)
class Drawn:
    """A page and what stands on it."""

    picture: Image.Image
    text: str


def draw(text: str, font_file: str, dpi: int, *, points: float = 10.5, askew: float = 0.0) -> Drawn:
    """``text`` on a noisy A4 page."""
    font = ImageFont.truetype(font_file, round(points * dpi / 72))
    margin, pitch = round(0.9 * dpi), round(1.45 * points * dpi / 72)
    width, height = (round(side * dpi) for side in A4)
    picture = Image.new("L", (width, height), 255)
    pen = ImageDraw.Draw(picture)
    spaced = " " in text[:40]
    lines: list[str] = []
    line = ""
    for word in text.split(" ") if spaced else text:
        longer = f"{line} {word}" if spaced and line else line + word
        if font.getlength(longer) > width - 2 * margin:
            lines.append(line)
            longer = word
        line = longer
    lines = [*lines, line][: (height - 2 * margin) // pitch]
    for number, line in enumerate(lines):
        pen.text((margin, margin + number * pitch), line, font=font, fill=20)
    if askew:
        picture = picture.rotate(askew, Image.Resampling.BICUBIC, fillcolor=255)
    picture = picture.filter(ImageFilter.GaussianBlur(0.6))
    noise = np.random.default_rng(1).normal(0, NOISE, (height, width))
    grey = (np.asarray(picture) + noise).clip(0, 255).astype(np.uint8)
    return Drawn(Image.fromarray(grey).convert("RGB"), (" " if spaced else "").join(lines))


def error_rate(wanted: str, got: str) -> float:
    """Insertions, deletions and substitutions per character of ``wanted``; all white space is alike."""
    a, b = (np.array([ord(c) for c in _plain(text)]) for text in (wanted, got))
    row = np.arange(len(b) + 1)
    for number, code in enumerate(a, start=1):
        best = np.minimum(row[:-1] + (b != code), row[1:] + 1)
        steps = np.concatenate(([number], best)) - np.arange(len(b) + 1)
        row = np.minimum.accumulate(steps) + np.arange(len(b) + 1)
    return float(row[-1]) / max(1, len(a))


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).split())


def ours() -> Callable[[Drawn], str]:
    """Recognises with the component, on one thread."""
    from localai_app.documents.readers import scan_models
    from localai_app.documents.readers.recogniser import Recogniser

    scan_models.MOST_THREADS = 1
    recogniser = Recogniser()
    return lambda page: recogniser.recognise((*page.picture.size, page.picture.tobytes())).text


def tesseract(page: Drawn) -> str:
    """Recognises with tesseract's English model, on one thread."""
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        page.picture.save(file.name, dpi=(200, 200))
        environment = {**os.environ, "OMP_THREAD_LIMIT": "1"}
        command = ["tesseract", file.name, "-", "-l", "eng"]
        run = subprocess.run(command, capture_output=True, check=True, env=environment)
    return run.stdout.decode()


def measured(read: Callable[[Drawn], str], page: Drawn) -> tuple[float, float]:
    """Error rate, and seconds of processor time with those of processes that it started."""
    before = sum(os.times()[:4])
    text = read(page)
    return error_rate(page.text, text), sum(os.times()[:4]) - before


def prose() -> str:
    """A page of this repository's own prose, without its markup."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    words = [word.strip("`*|#") for word in text.split()]
    return " ".join(word for word in words if word.isascii() and word and not set(word) <= set("-→"))[:9_000]


def font_for(text: str, names: tuple[str, ...]) -> str | None:
    """A font of the machine that has all characters of ``text``."""
    for name in names:
        try:
            font = ImageFont.truetype(name, 20)
        except OSError:
            continue
        missing = bytes(font.getmask("\uffff"))
        if all(bytes(font.getmask(c)) != missing for c in set(text) if not c.isspace()):
            return name
    return None


def on_pages(read: Callable[[Drawn], str], rival: Callable[[Drawn], str] | None) -> list[report.Row]:
    """English pages of several makes, against the rival."""
    text = prose()
    font = font_for("Aa", LATIN)
    assert font, "no font to draw pages with"
    rows = []
    for name, dpi, points, askew in (
        ("150 dpi", 150, 10.5, 0.0),
        ("200 dpi", 200, 10.5, 0.0),
        ("300 dpi", 300, 10.5, 0.0),
        ("200 dpi, 7 points", 200, 7.0, 0.0),
        ("200 dpi, 3° askew", 200, 10.5, 3.0),
    ):
        page = draw(text, font, dpi, points=points, askew=askew)
        wrong, seconds = measured(read, page)
        theirs = measured(rival, page) if rival else (None, None)
        for measure, mine, other, unit, target in (
            ("characters wrong", 100 * wrong, theirs[0] and 100 * theirs[0], "%", 1.0),
            ("processor time", seconds, theirs[1], "s/page", None),
        ):
            value = round(mine, 2)
            rounded = None if other is None else round(other, 2)
            rows.append(
                report.Row(
                    f"{measure}, {name}", value, unit, "lower", target, "tesseract 'eng'", value, rounded
                )
            )
    return rows


def in_languages(read: Callable[[Drawn], str]) -> list[report.Row]:
    """The worst of the languages that are named, and how many others are refused."""
    rows, refused, shown = [], 0, 0
    for language in recognition.LANGUAGES:
        font = font_for(SAMPLES[language], WIDE)
        if font is None:
            print(f"no font for {language}")
            continue
        page = draw(SAMPLES[language], font, recognition.DPI)
        wrong = round(100 * error_rate(page.text, read(page)), 2)
        rows.append(report.Row(f"characters wrong, {language}", wrong, "%", "lower", 2.0, "", wrong, None))
    for language, text in REFUSED.items():
        if font := font_for(text, WIDE):
            shown += 1
            refused += read(draw(text, font, recognition.DPI)) == ""
        else:
            print(f"no font for {language}")
    share = refused / shown if shown else 0.0
    rows.append(
        report.Row("pages in other languages refused", share, "share", "higher", 1.0, "", share, None)
    )
    return rows


def main() -> None:
    """Measure and report."""
    if not recognition.available():
        raise SystemExit("text recognition is not installed (the extra `ocr`)")
    here = shutil.which("tesseract") is not None
    if not here:
        print("tesseract is not installed (Debian: tesseract-ocr): no rival")
    read = ours()
    report.write("ocr", [*on_pages(read, tesseract if here else None), *in_languages(read)])


if __name__ == "__main__":
    main()
