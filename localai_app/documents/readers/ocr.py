"""Reads pictures of pages: PNG, JPEG, TIFF of many pages, BMP, GIF, WebP.

Pillow decodes them, `Recogniser` reads them; where its component is not installed they are refused.
"""

import io
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from localai_app.documents.document import Facts, Page, TextSource
from localai_app.documents.readers.refused import ReadRefused
from localai_app.documents.reading import MAX_PIXELS, Finished, Job, PageRead, ReadAnswer, Rendered, Started
from localai_app.documents.recognition import MISSING, MISSING_HINT, available

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

    from localai_app.documents.readers.scan_text import RecognisedPage

Recognise = Callable[[tuple[int, int, bytes]], "RecognisedPage"]
"""From width, height and rows of pixels of three bytes, red first."""

_Made = TypeVar("_Made")

_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP")
_MOST_PIXELS = 100_000_000
"""Of one picture; A3 at 600 dpi has 70 million."""
_LONGEST_SIDE = 4_000
"""Pixels that a picture is reduced to before it is read: A4 at 340 dpi."""
_LOWEST_DPI, _HIGHEST_DPI = 60, 2_400
"""What a picture may say of itself and be believed."""
_ASSUMED_DPI = 96
_HINT = "Open it in a picture viewer, save it anew as PNG, and add that."


def recogniser() -> Recognise | None:
    """What reads pictures of text; None where that component is not installed.

    Its networks, and the code that runs them, are loaded with the first picture.
    """
    if not available():
        return None
    loaded: list[Recognise] = []

    def recognise(image: tuple[int, int, bytes]) -> "RecognisedPage":
        if not loaded:
            from localai_app.documents.readers.recogniser import Recogniser  # noqa: PLC0415 - 0.7 seconds

            loaded.append(Recogniser().recognise)
        return loaded[0](image)

    return recognise


def prepare() -> None:
    """Load what is needed while files can still be opened."""
    from PIL import (  # noqa: F401, PLC0415 - not before somebody reads a picture
        BmpImagePlugin,
        GifImagePlugin,
        ImageOps,
        JpegImagePlugin,
        PngImagePlugin,
        TiffImagePlugin,
        WebPImagePlugin,
    )


def read(data: bytes, job: Job, recognise: Recognise | None = None) -> Iterator[ReadAnswer]:
    """Yield the text of each picture in ``data``; raise `ReadRefused`."""
    if recognise is None:
        raise ReadRefused("format", MISSING, MISSING_HINT)
    file = _File(data)
    yield Started("image", file.pages)
    for number in range(1, file.pages + 1):
        if number not in job.skip_pages:
            yield PageRead(_page(number, file.picture(number), recognise))
    yield Finished(Facts("image", file.pages))


def _page(number: int, picture: "Picture", recognise: Recognise) -> Page:
    width, height = _points(picture)
    if max(picture.size) > _LONGEST_SIDE:
        picture.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
    found = recognise((*picture.size, picture.tobytes()))
    return Page(
        number,
        found.text,
        blocks=found.blocks,
        marks=found.marks,
        boxes=found.boxes,
        width=width,
        height=height,
        source=TextSource.NONE if found.unread and not found.text else TextSource.OCR,
        confidence=found.confidence,
        unread=found.unread,
    )


class Renderer:
    """Shows the pictures of a file."""

    def __init__(self, data: bytes, password: str = "") -> None:
        """Raise `ReadRefused` for what is no picture; none is encrypted."""
        del password
        self._file = _File(data)
        self.pages = self._file.pages

    def render(self, page: int, scale: float) -> Rendered:
        """Page ``page``, ``scale`` pixels per point."""
        picture = self._file.picture(page)
        width, height = (max(1, round(points * scale)) for points in _points(picture))
        if width * height > MAX_PIXELS:
            raise ReadRefused("limit", "The page is too large to be drawn at this scale.", "Zoom out.")
        picture = picture.resize((width, height))
        return Rendered(page, width, height, picture.tobytes())


class _File:
    """A file of one picture or, TIFF alone, of many."""

    def __init__(self, data: bytes) -> None:
        prepare()
        from PIL import Image  # noqa: PLC0415 - not before somebody reads a picture

        Image.MAX_IMAGE_PIXELS = _MOST_PIXELS
        self._image = _decoded(lambda: Image.open(io.BytesIO(data), formats=_FORMATS))
        many = self._image.format == "TIFF"
        self.pages = _decoded(lambda: int(getattr(self._image, "n_frames", 1))) if many else 1

    def picture(self, number: int) -> "Picture":
        """Picture ``number`` as it is meant to be seen, in colours; raise `ReadRefused`."""
        if not 1 <= number <= self.pages:
            raise ReadRefused("broken", "The file has no such page.", _HINT)
        return _decoded(lambda: self._flat(number))

    def _flat(self, number: int) -> "Picture":
        from PIL import Image, ImageOps  # noqa: PLC0415 - as above

        self._image.seek(number - 1)
        if self._image.width * self._image.height > _MOST_PIXELS:
            raise Image.DecompressionBombError
        dpi = self._image.info.get("dpi")
        image = ImageOps.exif_transpose(self._image)
        if image.mode.startswith(("I", "F")):
            image = _in_eight_bits(image)
        if image.has_transparency_data:
            image = image.convert("RGBA")
            paper = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(paper, image)
        flat = image.convert("RGB")
        flat.info = {"dpi": dpi}
        return flat


def _in_eight_bits(image: "Picture") -> "Picture":
    """A grey picture of more bits, from its darkest to its lightest."""
    fine = image.convert("F")
    low, high = fine.getextrema()
    assert isinstance(low, float)
    assert isinstance(high, float)
    factor = 255 / max(high - low, 1.0)
    return fine.point(lambda value: value * factor - low * factor).convert("L")


def _points(picture: "Picture") -> tuple[float, float]:
    """Its width and height on paper."""
    said = picture.info.get("dpi")
    across, down = said if isinstance(said, tuple) and len(said) == 2 else (0, 0)
    known = all(_LOWEST_DPI <= dpi <= _HIGHEST_DPI for dpi in (across, down))
    if not known:
        across = down = _ASSUMED_DPI
    return float(picture.width * 72 / across), float(picture.height * 72 / down)


def _decoded(decode: Callable[[], _Made]) -> _Made:
    """What ``decode`` makes; raise `ReadRefused` for a broken or a huge picture."""
    from PIL import Image  # noqa: PLC0415 - as above

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return decode()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        message = f"The picture has more than {_MOST_PIXELS // 1_000_000} million pixels."
        raise ReadRefused("limit", message, "Save it smaller and add that.") from None
    except (OSError, ValueError, SyntaxError):
        raise ReadRefused("broken", "The picture is damaged, or of an unknown kind.", _HINT) from None
