"""How figures and states of documents are said, the same on every page."""

from PySide6.QtCore import QCoreApplication, QLocale

from localai_app.documents.asking import Coverage, Mode, Price
from localai_app.documents.document import Document, MarkKind, Page, PageKind, State, TextSource
from localai_app.documents.service import Added, Work

Tone = str

ICONS = {
    "xlsx": "sheet",
    "csv": "sheet",
    "pptx": "presentation",
    "eml": "mail",
    "msg": "mail",
    "image": "image",
    "html": "file-code",
    "md": "file-code",
}


def tr(text: str) -> str:
    """``text`` in the person's language."""
    return QCoreApplication.translate("Documents", text)


def number(count: int) -> str:
    """``12,400``."""
    return QLocale().toString(count)


def count(amount: int, one: str, many: str) -> str:
    """``1 page`` or ``12 pages``: ``many`` has a ``{0}``."""
    return one if amount == 1 else many.format(number(amount))


def documents(amount: int) -> str:
    """``4 documents``."""
    return count(amount, tr("1 document"), tr("{0} documents"))


def pages(amount: int) -> str:
    """``96 pages``."""
    return count(amount, tr("1 page"), tr("{0} pages"))


def duration(seconds: float) -> str:
    """``40 s``, ``3 min``, ``2 h 5 min``."""
    if seconds < 60:
        return tr("{0} s").format(max(1, round(seconds)))
    minutes = round(seconds / 60)
    if minutes < 60:
        return tr("{0} min").format(minutes)
    return tr("{0} h {1} min").format(minutes // 60, minutes % 60)


# ---------------------------------------------------------------- documents


def icon(document: Document) -> str:
    """The icon of a document's format."""
    return ICONS.get(document.format, "file-text")


def state(document: Document) -> tuple[str, Tone]:
    """The state in one word, and the token it is drawn in; empty once it is ready."""
    return {
        State.WAITING: (tr("waiting"), "dim"),
        State.READING: (tr("reading"), "accent"),
        State.LOCKED: (tr("locked"), "warn"),
        State.FAILED: (tr("failed"), "bad"),
        State.READY: ("", "dim"),
    }[document.state]


def details(document: Document) -> str:
    """A document in a sentence, for its tooltip and for screen readers."""
    parts = [document.name]
    match document.state:
        case State.READY:
            parts.append(
                pages(document.pages)
                if document.pages_read >= document.pages
                else tr("{0} of {1} pages read").format(number(document.pages_read), number(document.pages))
            )
        case State.LOCKED:
            parts.append(tr("locked: needs its password"))
        case State.FAILED:
            parts.append(tr("failed: {0}").format(document.error))
        case _:
            parts.append(state(document)[0])
    if document.path:
        parts.append(document.path)
    return ", ".join(parts)


def added(result: Added) -> str:
    """What came of adding files, in one line."""
    parts = []
    if result.documents:
        parts.append(tr("{0} added.").format(documents(len(result.documents))))
    if result.known:
        parts.append(
            count(len(result.known), tr("1 was here already."), tr("{0} were here already."))
            if result.documents
            else count(
                len(result.known), tr("This document is here already."), tr("All {0} are here already.")
            )
        )
    if result.refused:
        name, why = result.refused[0]
        parts.append(f"{name}: {why}")
        if len(result.refused) > 1:
            parts.append(
                count(len(result.refused) - 1, tr("1 more was refused."), tr("{0} more were refused."))
            )
    return " ".join(parts) or tr("There is no document in it that can be read.")


# ---------------------------------------------------------------- work


def work_title(work: Work) -> str:
    """``Reading 1 of 4``."""
    shown = tr("Paused, {0} of {1} done") if work.paused else tr("Reading {0} of {1}")
    at = work.done if work.paused else min(work.done + 1, work.total)
    return shown.format(number(at), number(work.total))


def work_line(work: Work) -> str:
    """The document in hand, the page, and what is done to it."""
    parts = [work.name] if work.name else []
    if work.page and work.pages:
        parts.append(tr("page {0} of {1}").format(number(work.page), number(work.pages)))
    line = " · ".join(parts)
    stage = {"recognising": tr("scanned: text recognised"), "indexing": tr("made searchable")}.get(work.stage)
    return f"{line}, {stage}" if line and stage else line


def work_left(work: Work) -> str:
    """``2 min left · 14 pages/s``."""
    parts = []
    if work.seconds_left is not None and not work.paused:
        parts.append(tr("{0} left").format(duration(work.seconds_left)))
    if work.pages_per_second and not work.paused:
        digits = 0 if work.pages_per_second >= 10 else 1
        parts.append(tr("{0} pages/s").format(QLocale().toString(work.pages_per_second, "f", digits)))
    return " · ".join(parts)


# ---------------------------------------------------------------- pages


def place(page: Page) -> str:
    """``page 7``, ``sheet Balance``, ``part 2``."""
    return f"{page_kind(page.kind)} {page.label or page.number}"


def page_kind(kind: PageKind) -> str:
    """What the format calls its parts."""
    return {
        PageKind.PAGE: tr("page"),
        PageKind.SHEET: tr("sheet"),
        PageKind.SLIDE: tr("slide"),
        PageKind.PART: tr("part"),
    }[kind]


def mark(kind: MarkKind) -> str:
    """What a mark means."""
    return {
        MarkKind.INSERTED: tr("inserted, not accepted yet"),
        MarkKind.DELETED: tr("deleted, still in the file"),
        MarkKind.HIDDEN: tr("hidden from people"),
        MarkKind.UNSURE: tr("recognised, unsure"),
    }[kind]


def source(page: Page) -> str:
    """Where the page's text comes from."""
    if page.source is TextSource.OCR:
        return tr("Recognised from a picture, {0} % sure.").format(round(page.confidence * 100))
    if page.source is TextSource.NONE:
        return tr("The model was given nothing of this {0}.").format(page_kind(page.kind))
    return tr("The file's own text.")


# ---------------------------------------------------------------- asking


def mode(which: Mode) -> str:
    """A way of asking, in words."""
    return {
        Mode.AUTO: tr("Automatic"),
        Mode.WHOLE: tr("Whole text"),
        Mode.SEARCH: tr("Best passages"),
        Mode.EXHAUSTIVE: tr("Every page"),
    }[which]


def price(cost: Price) -> str:
    """What a way of asking costs: ``96 pages, about 4 min``."""
    if not cost.fits:
        return tr("too long for the model: {0} tokens").format(number(cost.tokens))
    if cost.mode is Mode.SEARCH:
        what = count(cost.passages, tr("1 passage"), tr("{0} passages"))
    else:
        what = pages(cost.pages)
    parts = [what, tr("{0} tokens").format(number(cost.tokens))]
    if cost.seconds is not None:
        parts.append(tr("about {0}").format(duration(cost.seconds)))
    return ", ".join(parts)


def price_in_short(cost: Price) -> str:
    """``about 4 min``, or how much is read where the time is not known."""
    if cost.fits and cost.seconds is not None:
        return tr("about {0}").format(duration(cost.seconds))
    return tr("{0} tokens").format(number(cost.tokens))


def coverage(covered: Coverage) -> str:
    """What an answer rests on, in one line."""
    if covered.mode is Mode.WHOLE:
        return tr("Whole text: {0}, {1} tokens").format(pages(covered.pages_used), number(covered.tokens))
    if covered.mode is Mode.EXHAUSTIVE:
        return tr("Every page: {0} of {1} read").format(number(covered.pages_used), pages(covered.pages))
    return tr("Passages: {0} of {1}").format(number(covered.passages), documents(covered.documents_used))


def unread(covered: Coverage) -> str:
    """What could not be read for an answer; empty when all was."""
    if not covered.unread:
        return ""
    name, why = covered.unread[0]
    more = len(covered.unread) - 1
    line = tr("Not read: {0} ({1})").format(name, why)
    return line + count(more, tr(" and 1 more"), tr(" and {0} more")) if more else line
