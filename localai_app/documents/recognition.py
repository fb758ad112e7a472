"""Says what the text recognition component can do and whether it is here; it runs in the reader process.

The component is rapidocr with the models that its package brings (PP-OCRv6, small) and onnxruntime. What it
reads was measured with pages made for it (``python -m tests.bench ocr``): `LANGUAGES` names those of which it
gets at least 98 of 100 characters right. Its models know no letters of other scripts, and answer a page in
one with blanks and look-alikes: such a page is refused.
"""

from importlib.util import find_spec

from localai_app.paths import is_packaged

DPI = 200
"""Pixels per inch to draw a page with: 150 misreads small print (7 points), 300 is no better."""

LANGUAGES = (
    *("English", "German", "French", "Spanish", "Portuguese", "Italian", "Catalan", "Dutch"),
    *("Danish", "Swedish", "Norwegian", "Finnish", "Icelandic", "Estonian", "Latvian", "Lithuanian"),
    *("Polish", "Czech", "Slovenian", "Croatian", "Hungarian", "Romanian", "Turkish"),
    *("Indonesian", "Chinese", "Japanese"),
)
"""In English; others are not read."""

MISSING = "Reading text in pictures needs the text recognition component, which is not installed."
MISSING_HINT = (
    "Install the package localai-app-ocr, or ask your administrator for it, and add the file again."
    if is_packaged()
    else "Install it (from a checkout: make ocr; with pip: localai-app[ocr]) and add the file again."
)


def available() -> bool:
    """Whether pictures of text can be read here; nothing of the component is loaded to find out."""
    return find_spec("rapidocr") is not None and find_spec("onnxruntime") is not None


def languages() -> str:
    """“English, German, … and Japanese”."""
    return f"{', '.join(LANGUAGES[:-1])} and {LANGUAGES[-1]}"
