"""Real recognition of small pictures, drawn here, so that what stands in them and where is known."""

import importlib.util
import io
import re
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from localai_app.documents import recognition
from localai_app.documents.document import TextSource
from localai_app.documents.readers import ocr
from localai_app.documents.readers.dispatch import delivered
from localai_app.documents.readers.refused import ReadRefused
from localai_app.documents.reading import Finished, Job, Limits, PageRead, Started

needs_component = pytest.mark.skipif(
    not recognition.available(), reason="text recognition is not installed (the extra `ocr`)"
)

LINES = ("The lease ends on 31 March 2027.", "Payment is due within thirty days.")


def drawn(lines=LINES, size=26, width=560):
    """A picture of ``lines``, and where each word stands on it."""
    font = ImageFont.load_default(size)
    picture = Image.new("RGB", (width, 30 + len(lines) * 2 * size), "white")
    pen = ImageDraw.Draw(picture)
    places = {}
    for number, line in enumerate(lines):
        for word in re.finditer(r"\S+", line):
            x, y = 20 + font.getlength(line[: word.start()]), 15 + number * 2 * size
            pen.text((x, y), word[0], font=font, fill="black")
            alone = Image.new("L", picture.size)
            ImageDraw.Draw(alone).text((x, y), word[0], font=font, fill=255)
            places[word[0]] = alone.getbbox()
    return picture, places


@cache
def recogniser():
    from localai_app.documents.readers.recogniser import Recogniser

    return Recogniser()


def recognised(picture):
    return recogniser().recognise((*picture.size, picture.convert("RGB").tobytes()))


def encoded(*pictures, kind="PNG", **options):
    file = io.BytesIO()
    more = {"save_all": True, "append_images": pictures[1:]} if len(pictures) > 1 else {}
    pictures[0].save(file, kind, **more, **options)
    return file.getvalue()


def word_box(page, word, picture):
    start = page.text.index(word)
    boxes = np.frombuffer(page.boxes, "<u2").reshape(-1, 4)[start : start + len(word)] / 65535
    assert boxes.any(axis=1).all()
    scale = (picture.width, picture.height) * 2
    return np.concatenate([boxes.min(axis=0)[:2], boxes.max(axis=0)[2:]]) * scale


class FakeRecogniser:
    """Answers with the size of what it is shown."""

    def __init__(self):
        self.seen = []

    def __call__(self, image):
        width, height, rgb = image
        assert len(rgb) == 3 * width * height
        self.seen.append((width, height, rgb[:3]))
        fields = {"blocks": (), "marks": (), "boxes": b"", "confidence": 0.9, "unread": ""}
        return SimpleNamespace(text=f"{width}x{height}", **fields)


def read(data, recognise=None, **more):
    job = Job("", 0, **more)
    return list(delivered(ocr.read(data, job, recognise or FakeRecogniser()), job))


# ---------------------------------------------------------------- recognition


@needs_component
def test_words_are_read_and_their_boxes_lie_on_them():
    picture, places = drawn()
    page = recognised(picture)
    assert page.text.split() == " ".join(LINES).split()
    assert page.confidence > 0.9
    assert page.unread == ""
    assert len(page.boxes) == 8 * len(page.text)
    for word, (left, top, right, bottom) in places.items():
        box = word_box(page, word, picture)
        assert box[[0, 2]] == pytest.approx((left, right), abs=4), word
        assert top - 16 < box[1] < top + 3, word  # as high as the line
        assert bottom - 3 < box[3] < bottom + 16, word


@needs_component
@pytest.mark.parametrize("turn", [Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_90])
def test_turned_page_is_read_and_boxes_lie_where_it_shows_them(turn):
    picture, places = drawn()
    turned = picture.transpose(turn)
    page = recognised(turned)
    assert page.text.split() == " ".join(LINES).split()
    left, top, right, bottom = places["lease"]
    if turn is Image.Transpose.ROTATE_180:
        expected = picture.width - right, picture.height - bottom, picture.width - left, picture.height - top
    else:
        expected = top, picture.width - right, bottom, picture.width - left
    assert word_box(page, "lease", turned) == pytest.approx(expected, abs=4)


@needs_component
def test_page_that_lies_askew_is_read():
    picture, _ = drawn()
    page = recognised(picture.rotate(4, expand=True, fillcolor="white", resample=Image.Resampling.BICUBIC))
    assert page.text.split() == " ".join(LINES).split()


@needs_component
@pytest.mark.parametrize(
    "line", ["Общество обязано оплатить", "Η εταιρεία υποχρεούται", "Բոլոր մարդիկ ծնվում են"]
)
def test_page_in_unknown_letters_is_refused_and_languages_are_named(line):
    font = _font_for(line)
    picture = Image.new("RGB", (520, 130), "white")
    pen = ImageDraw.Draw(picture)
    for y in (15, 70):
        pen.text((20, y), line, font=font, fill="black")
    page = recognised(picture)
    assert page.text == ""
    assert page.boxes == b""
    assert "could not be recognised" in page.unread
    assert "English" in page.unread
    assert "Japanese" in page.unread


def _font_for(line):
    """A font that has the letters; Pillow's own has Latin ones alone."""
    debian = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"
    for name in (debian, "DejaVuSans.ttf", "Arial.ttf", "arial.ttf"):
        try:
            font = ImageFont.truetype(name, 26)
        except OSError:
            continue
        missing = bytes(font.getmask("\uffff"))
        if all(bytes(font.getmask(character)) != missing for character in line if character != " "):
            return font
    pytest.skip("no font with Greek, Cyrillic and Armenian letters is installed")


@needs_component
def test_unknown_lines_are_left_out_of_a_page_and_told():
    picture, _ = drawn((*LINES, LINES[0], LINES[1]))
    wide = Image.new("RGB", (picture.width, picture.height + 60), "white")
    wide.paste(picture)
    font = _font_for("Съешь ещё этих мягких")
    ImageDraw.Draw(wide).text((20, picture.height), "Съешь ещё этих мягких", font=font, fill="black")
    page = recognised(wide)
    assert page.text.split() == " ".join([*LINES, *LINES]).split()
    assert page.unread.startswith("The page is a picture; 1 of its 5 lines")


@needs_component
def test_blurred_page_is_refused_not_garbled():
    from PIL import ImageFilter

    picture, _ = drawn()
    page = recognised(picture.filter(ImageFilter.GaussianBlur(5)))
    assert page.text == ""


@needs_component
def test_picture_without_text_is_empty_and_not_unread():
    page = recognised(Image.new("RGB", (300, 200), "white"))
    assert (page.text, page.unread) == ("", "")


@needs_component
@pytest.mark.parametrize("size", [(1, 1), (3, 900), (900, 3), (40, 12)])
def test_tiny_picture_is_read_without_error(size):
    assert recognised(Image.new("RGB", size, "white")).text == ""


# ---------------------------------------------------------------- image files


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP"])
def test_every_kind_of_picture_is_decoded(kind):
    started, page, finished = read(encoded(Image.new("RGB", (96, 48), "white"), kind=kind))
    assert started == Started("image", 1)
    assert isinstance(page, PageRead)
    assert page.page.text == "96x48"
    assert page.page.source is TextSource.OCR
    assert isinstance(finished, Finished)
    assert finished.facts.pages == 1


def test_tiff_of_many_pages_is_read_page_by_page_and_some_are_skipped():
    data = encoded(*(Image.new("RGB", (50 + n, 20), "white") for n in range(4)), kind="TIFF")
    answers = read(data, skip_pages=(2,))
    assert answers[0] == Started("image", 4)
    assert [a.page.number for a in answers[1:-1]] == [1, 3, 4]
    assert [a.page.text for a in answers[1:-1]] == ["50x20", "52x20", "53x20"]
    with pytest.raises(ReadRefused) as refused:
        read(data, limits=Limits(pages=3))
    assert refused.value.refused.code == "limit"


def test_photograph_is_turned_as_its_camera_says():
    exif = Image.Exif()
    exif[0x0112] = 6
    answers = read(encoded(Image.new("RGB", (96, 48), "white"), kind="JPEG", exif=exif, dpi=(96, 96)))
    assert answers[1].page.text == "48x96"
    assert (answers[1].page.width, answers[1].page.height) == (36, 72)


def test_paper_size_follows_the_resolution_that_the_file_states():
    page = read(encoded(Image.new("L", (200, 100), 255), dpi=(200, 200)))[1].page
    assert (page.width, page.height) == (pytest.approx(72, abs=0.1), pytest.approx(36, abs=0.1))


def test_transparent_picture_stands_on_white_paper():
    fake = FakeRecogniser()
    read(encoded(Image.new("RGBA", (20, 20), (0, 0, 0, 0))), fake)
    assert fake.seen[0][2] == b"\xff\xff\xff"


def test_sixteen_bits_are_brought_down_to_eight():
    fake = FakeRecogniser()
    values = np.full((10, 10), 40_000, np.uint16)
    values[5:] = 1_000
    read(encoded(Image.fromarray(values)), fake)
    assert fake.seen[0][2] == b"\xff\xff\xff"


def test_picture_with_too_many_pixels_is_refused_unseen():
    fake = FakeRecogniser()
    bomb = encoded(Image.new("1", (11_000, 10_000)))
    assert len(bomb) < 100_000
    with pytest.raises(ReadRefused, match="more than 100 million pixels") as refused:
        read(bomb, fake)
    assert refused.value.refused.code == "limit"
    assert fake.seen == []


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\nrubbish", encoded(Image.new("L", (90, 90)))[:60]])
def test_damaged_picture_is_refused(data):
    with pytest.raises(ReadRefused) as refused:
        read(data)
    assert refused.value.refused.code == "broken"


def test_missing_component_is_said_in_one_line(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(recognition, "find_spec", lambda name: None if name == "rapidocr" else find(name))
    assert not recognition.available()
    assert ocr.recogniser() is None
    with pytest.raises(ReadRefused, match="not installed") as refused:
        list(ocr.read(encoded(Image.new("L", (9, 9))), Job("", 0), ocr.recogniser()))
    assert "localai-app[ocr]" in refused.value.refused.hint


def test_pictures_are_drawn_for_the_viewer():
    renderer = ocr.Renderer(encoded(Image.new("RGB", (96, 48), "red")))
    drawn_page = renderer.render(1, 2.0)
    assert renderer.pages == 1
    assert (drawn_page.width, drawn_page.height, drawn_page.rgb[:3]) == (144, 72, b"\xff\x00\x00")
    with pytest.raises(ReadRefused, match="too large"):
        renderer.render(1, 5_000.0)


# ---------------------------------------------------------------- the confined reader


@needs_component
@pytest.mark.timeout(300)
def test_confined_reader_recognises_a_picture_without_a_socket_or_a_file():
    from localai_app.documents import reader_process
    from localai_app.documents.reading import Job

    picture, _ = drawn()
    data = encoded(picture)
    answers = list(reader_process.read(data, Job("scan.png", len(data), ocr=True)))
    assert answers[1].page.text.split() == " ".join(LINES).split()


def test_nothing_that_reports_to_its_maker_is_installed():
    if importlib.util.find_spec("onnxruntime") is None:
        pytest.skip("text recognition is not installed (the extra `ocr`)")
    from importlib.metadata import version

    assert tuple(map(int, version("onnxruntime").split(".")[:2])) < (1, 29)
