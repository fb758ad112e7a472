"""Make the program's icon for Windows, all sizes in one file, from the drawing that Linux uses.

usage: make_icon.py FILE
"""

import io
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent.parent
DRAWING = ROOT / "packaging" / "linux" / "localai-app.svg"
SIZES = (256, 128, 64, 48, 32, 24, 16)


def make_icon(file: Path) -> None:
    """Write the icon; the same drawing gives the same bytes."""
    largest, *others = pictures(SIZES)
    file.parent.mkdir(parents=True, exist_ok=True)
    largest.save(file, format="ICO", sizes=[(size, size) for size in SIZES], append_images=others)


def pictures(sizes: Iterable[int]) -> list[Image.Image]:
    """The drawing in these sizes."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from PySide6.QtCore import QBuffer, QIODevice  # noqa: PLC0415 - after its platform is chosen
    from PySide6.QtGui import QImage, QPainter  # noqa: PLC0415
    from PySide6.QtSvg import QSvgRenderer  # noqa: PLC0415

    drawing = QSvgRenderer(str(DRAWING))
    drawn: list[Image.Image] = []
    for size in sizes:
        image = QImage(size, size, QImage.Format.Format_ARGB32)
        image.fill(0)
        painter = QPainter(image)
        drawing.render(painter)
        painter.end()
        buffer = QBuffer()
        buffer.open(QIODevice.OpenModeFlag.WriteOnly)
        image.save(buffer, "PNG")  # type: ignore[call-overload]  # its stub says bytes, it takes a str
        drawn.append(Image.open(io.BytesIO(buffer.data().data())))
    return drawn


if __name__ == "__main__":
    make_icon(Path(sys.argv[1]))
