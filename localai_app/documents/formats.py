"""The formats that can be read, with the names and endings that people know; imports no parser."""

from pathlib import PurePath

FORMATS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("pdf", "PDF", (".pdf",)),
    ("docx", "Word document", (".docx", ".docm", ".dotx", ".dotm")),
    ("xlsx", "Excel workbook", (".xlsx", ".xlsm", ".xltx", ".xltm")),
    ("csv", "Table as text", (".csv", ".tsv", ".tab")),
    ("pptx", "PowerPoint presentation", (".pptx", ".pptm", ".ppsx", ".ppsm", ".potx", ".potm")),
    ("eml", "E-mail", (".eml", ".mht", ".mhtml")),
    ("msg", "Outlook e-mail", (".msg",)),
    ("rtf", "Rich text", (".rtf",)),
    ("html", "Web page", (".html", ".htm", ".xhtml")),
    ("md", "Markdown", (".md", ".markdown")),
    ("image", "Picture", (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif")),
    (
        "txt",
        "Plain text",
        (
            *(".txt", ".text", ".log", ".rst", ".adoc", ".org", ".tex", ".srt", ".vtt"),
            *(".json", ".jsonl", ".ndjson", ".xml", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".conf"),
            *(".py", ".js", ".ts", ".java", ".c", ".h", ".cpp", ".hpp", ".cs", ".go", ".rs", ".rb", ".php"),
            *(".swift", ".kt", ".scala", ".r", ".sql", ".sh", ".bat", ".ps1", ".css", ".diff", ".patch"),
        ),
    ),
)
"""Each as in `Facts.format`: what people call it, and the endings of its files."""

SUPPORTED = frozenset(ending for _, _, endings in FORMATS for ending in endings)
"""Endings of files that are worth a try; what a file really is only its bytes tell."""

OLD_OR_OTHER = {
    **dict.fromkeys((".doc", ".dot"), "an old Word document"),
    **dict.fromkeys((".xls", ".xlt"), "an old Excel workbook"),
    **dict.fromkeys((".ppt", ".pps", ".pot"), "an old PowerPoint presentation"),
    ".xlsb": "a binary Excel workbook",
    **dict.fromkeys((".odt", ".ott"), "an OpenDocument text"),
    ".ods": "an OpenDocument spreadsheet",
    ".odp": "an OpenDocument presentation",
    ".epub": "an e-book",
    ".pages": "a Pages document",
    ".numbers": "a Numbers spreadsheet",
    ".key": "a Keynote presentation",
    **dict.fromkeys((".mbox", ".pst", ".ost"), "a mailbox"),
}
"""What people add and nobody here reads: their reader says what to do, so they are not passed over."""


def format_by_name(name: str) -> str:
    """The format that the ending of ``name`` speaks for; empty for an unknown one."""
    ending = PurePath(name).suffix.lower()
    return next((key for key, _, endings in FORMATS if ending in endings), "")


def title_of(kind: str) -> str:
    """What people call ``kind``, which is as `Facts.format`."""
    return next((title for key, title, _ in FORMATS if key == kind), kind)
