"""How runs, their documents and their prices are said in the window."""

from datetime import datetime, timedelta
from typing import Literal

from PySide6.QtCore import QCoreApplication, QDateTime, QLocale

from localai_app.tasks.run import Item, ItemState, Run, RunProgress, RunState, TaskPrice
from localai_app.tasks.task import Doubt, needs_review
from localai_app.ui.documents import words

Tone = Literal["text", "dim", "ok", "warn", "bad"]

ICONS = {
    "summarise": "text-align-start",
    "extract": "table-properties",
    "classify": "tags",
    "answer": "message-circle-question-mark",
}
FORMATS = ("xlsx", "csv", "json", "md", "docx", "pdf")
"""In the order of the menu."""

number = words.number
documents = words.documents


def tr(text: str) -> str:
    """``text`` in the person's language."""
    return QCoreApplication.translate("Tasks", text)


def icon(kind: str) -> str:
    """Of a kind of task."""
    return ICONS.get(kind, "list-checks")


def format_name(fmt: str) -> str:
    """``Excel (XLSX)``."""
    return {
        "xlsx": tr("Excel (XLSX)"),
        "csv": tr("Table (CSV)"),
        "json": tr("JSON"),
        "md": tr("Markdown"),
        "docx": tr("Report, Word (DOCX)"),
        "pdf": tr("Report, PDF"),
    }[fmt]


# ---------------------------------------------------------------- times


def clock(when: datetime) -> str:
    """``16:40`` today, ``Sat 16:40`` within a week, else with the date."""
    local, now = when.astimezone(), datetime.now().astimezone()
    days = (local.date() - now.date()).days
    pattern = "HH:mm" if days == 0 else "ddd HH:mm" if 0 < days < 7 else "d MMM HH:mm"
    return QLocale().toString(QDateTime.fromSecsSinceEpoch(round(local.timestamp())), pattern)


def done_at(seconds: float, begin: datetime | None = None) -> str:
    """``done at 16:40``: in ``seconds``, counted from ``begin`` (else from now)."""
    start = begin if begin is not None else datetime.now().astimezone()
    return tr("done at {0}").format(clock(start + timedelta(seconds=seconds)))


# ---------------------------------------------------------------- runs


def state(run: Run) -> tuple[str, Tone]:
    """The state of a run in words, and the token it is drawn in."""
    match run.state:
        case RunState.WAITING if run.settings.not_before is not None and _later(run.settings.not_before):
            return tr("begins at {0}").format(clock(run.settings.not_before)), "dim"
        case RunState.WAITING:
            return tr("waiting for its turn"), "dim"
        case RunState.RUNNING:
            return tr("running"), "ok"
        case RunState.PAUSED:
            return tr("paused"), "warn"
        case RunState.STOPPED:
            return tr("stopped"), "warn"
    if run.to_review:
        return tr("done, {0} to review").format(number(run.to_review)), "warn"
    return tr("done"), "ok"


def _later(when: datetime) -> bool:
    return when > datetime.now().astimezone()


def so_far(run: Run) -> str:
    """``115 of 186``."""
    return tr("{0} of {1}").format(number(run.done + run.failed), number(run.documents))


def left(run: Run, progress: RunProgress) -> str:
    """``18 min left · done at 16:40``, or the state where nothing moves."""
    if run.state is not RunState.RUNNING or progress.run_id != run.id:
        said = state(run)[0]
        if run.state is RunState.DONE and run.finished is not None:
            said = tr("done {0}").format(clock(run.finished))
        return said
    if progress.seconds_left is None:
        return tr("time left is being measured")
    shown = tr("{0} left").format(words.duration(progress.seconds_left))
    return f"{shown} · {done_at(progress.seconds_left)}"


def left_in_short(run: Run, progress: RunProgress) -> str:
    """``18 min left``; empty while it is not known."""
    if progress.run_id != run.id or progress.seconds_left is None:
        return ""
    return tr("{0} left").format(words.duration(progress.seconds_left))


def fraction(run: Run, progress: RunProgress) -> float:
    """How far a run is, steps within documents counted where they are known."""
    if run.state is RunState.DONE:
        return 1.0
    counted = (run.done + run.failed) / max(1, run.documents)
    return max(counted, progress.fraction) if progress.run_id == run.id else counted


# ---------------------------------------------------------------- documents of a run


def doubt(one: Doubt) -> str:
    """A doubt in two or three words."""
    short = {
        "sum_differs": tr("total ≠ sum of lines"),
        "not_verified": tr("not found on the page"),
        "conflict": tr("several values"),
        "unsure": tr("low confidence"),
        "bad_checksum": tr("check digits are wrong"),
        "missing": tr("a value is missing"),
        "scan": tr("scan"),
        "injection": tr("text speaks to the model"),
    }
    return short.get(one.code) or one.words


def item_state(item: Item) -> tuple[str, Tone]:
    """The state of a document in a run, and the token it is drawn in."""
    match item.state:
        case ItemState.WAITING:
            return tr("waiting"), "dim"
        case ItemState.RUNNING:
            return tr("in work"), "text"
        case ItemState.ERASED:
            return tr("the document was erased"), "dim"
        case ItemState.FAILED:
            unread = item.coverage is not None and item.coverage.read == 0
            said = tr("not read: {0}") if unread else tr("failed: {0}")
            return said.format(item.error), "bad"
    open_doubts = doubts(item)
    if open_doubts:
        first, more = doubt(open_doubts[0]), len(open_doubts) - 1
        return (tr("{0} and {1} more").format(first, number(more)) if more else first), "warn"
    findings = item.outcome.findings if item.outcome else ()
    if any(item.decision(one.key) for one in findings):
        return tr("reviewed"), "ok"
    # Of a summary in another language the app knows the places, and cannot compare the words.
    compared = all(evidence.verified for one in findings for evidence in one.evidence)
    return (tr("checked"), "ok") if compared else (tr("not checked"), "dim")


def doubts(item: Item) -> list[Doubt]:
    """Of findings that nobody has decided on, each of a kind once."""
    found: dict[str, Doubt] = {}
    for finding in item.outcome.findings if item.outcome else ():
        if needs_review(finding) and item.decision(finding.key) is None:
            for one in finding.doubts:
                found.setdefault(one.code, one)
    return list(found.values())


def entries(amount: int) -> str:
    """``3 entries``."""
    return words.count(amount, tr("1 entry"), tr("{0} entries"))


def item_read(item: Item) -> str:
    """``3 of 3 pages``; empty before it was worked on."""
    return item.coverage.words if item.coverage is not None else ""


def item_unread(item: Item) -> str:
    """What was not read, and why, one line each."""
    covered = item.coverage
    if covered is None:
        return ""
    return "\n".join(f"{covered.unit} {page}: {why}" for page, why in covered.unread)


# ---------------------------------------------------------------- prices


def about(seconds: float) -> str:
    """``about 40 s``, ``about 12 min``, ``about 2 h``, as exact as an estimate is."""
    if seconds < 90:
        return tr("about {0} s").format(max(1, round(seconds)))
    if seconds < 90 * 60:
        return tr("about {0} min").format(round(seconds / 60))
    hours = seconds / 3600
    return tr("about {0} h").format(QLocale().toString(round(hours * 2) / 2, "g", 3))


def price(cost: TaskPrice, begin: datetime | None = None) -> str:
    """``186 documents, 412 pages: about 2 h, done at 16:40``; ``begin``: it waits until then."""
    line = ", ".join((documents(cost.documents), words.pages(cost.pages)))
    if cost.seconds is None:
        return line
    return f"{line}: {about(cost.seconds)}, {done_at(cost.seconds, begin)}"


def not_ready(cost: TaskPrice) -> str:
    """What cannot be worked on as it is; empty where all can."""
    if not cost.not_ready:
        return ""
    name, why = cost.not_ready[0]
    more = len(cost.not_ready) - 1
    line = tr("Not ready: {0}. {1}").format(name, why)
    others = words.count(more, tr("1 more is not ready."), tr("{0} more are not ready."))
    return f"{line} {others}" if more else line
