"""How figures and states of models are said, the same on every page."""

from datetime import datetime, timedelta

from PySide6.QtCore import QCoreApplication, QDate, QLocale, QTime

from localai_app.models.catalogue import CatalogueEntry, Commercial
from localai_app.models.catalogue_service import Offer
from localai_app.models.library import HashState, LibraryModel
from localai_app.models.outlook import speed_words
from localai_app.models.progress import Progress
from localai_app.models.pull import Pull, PullState
from localai_app.ui.models.rows import Cell, Tone


def tr(text: str) -> str:
    """``text`` in the person's language."""
    return QCoreApplication.translate("Models", text)


def size(count: int) -> str:
    """Bytes for people: ``2.5 GB``."""
    digits = 1 if count >= 1_000_000 else 0
    return QLocale().formattedDataSize(count, digits, QLocale.DataSizeFormat.DataSizeSIFormat)


def duration(seconds: float) -> str:
    """``40 s``, ``3 min``, ``2 h 5 min``."""
    if seconds < 60:
        return tr("{0} s").format(max(1, round(seconds)))
    minutes = round(seconds / 60)
    if minutes < 60:
        return tr("{0} min").format(minutes)
    return tr("{0} h {1} min").format(minutes // 60, minutes % 60)


def part_of(done: int, total: int) -> str:
    """``1.3 of 2.0 GB``."""
    unit = next((unit for unit in (1e9, 1e6, 1e3) if total >= unit), 1.0)
    digits = 1 if unit >= 1e6 else 0
    return tr("{0} of {1}").format(QLocale().toString(done / unit, "f", digits), size(total))


def done_at(seconds: float) -> str:
    """The time of day in ``seconds``."""
    moment = datetime.now() + timedelta(seconds=seconds)
    return QLocale().toString(QTime(moment.hour, moment.minute), QLocale.FormatType.ShortFormat)


def day(moment: datetime | None) -> str:
    """A day as people say it; empty for None."""
    if moment is None:
        return ""
    local = moment.astimezone().date()
    ago = (datetime.now().astimezone().date() - local).days
    if ago <= 0:
        return tr("today")
    if ago == 1:
        return tr("yesterday")
    return QLocale().toString(QDate(local.year, local.month, local.day), QLocale.FormatType.ShortFormat)


# ---------------------------------------------------------------- licence, fit, speed


def commercial(use: Commercial) -> str:
    """Whether a company may use it."""
    return {
        "yes": tr("commercial use allowed"),
        "no": tr("no commercial use"),
        "conditions": tr("commercial use: conditions"),
        "unknown": tr("commercial use: unknown"),
    }[use]


def licence_cell(name: str, use: Commercial) -> Cell:
    """A licence, and whether a company may use the model."""
    if not name:
        return Cell(tr("Unknown"), tone="dim")
    words = {
        "yes": tr("commercial: yes"),
        "no": tr("commercial: no"),
        "conditions": tr("commercial: conditions"),
        "unknown": tr("commercial: unknown"),
    }
    return Cell(name, words[use])


def licence_name(entry: CatalogueEntry) -> str:
    """Short where there is a short one."""
    return entry.licence.spdx or entry.licence.name


def speed_of(offer: Offer) -> str:
    """``about 12 tokens/s``; empty where nobody can tell."""
    speed = offer.outlook.speed if offer.outlook else None
    if speed is None:
        return ""
    words = speed_words(speed.tokens_per_second)
    return words if speed.measured else tr("about {0}").format(words)


def grade(offer: Offer) -> tuple[str, Tone]:
    """How a model fits here, in a word or two."""
    if not offer.allowed:
        return tr("Not allowed here"), "bad"
    if offer.outlook is None:
        return tr("Size unknown"), "dim"
    grades: dict[str, tuple[str, Tone]] = {
        "fits": (tr("Fits"), "ok"),
        "tight": (tr("Tight"), "warn"),
        "partly on GPU": (tr("Partly on GPU"), "warn"),
        "will not fit": (tr("Will not fit"), "bad"),
    }
    return grades[offer.outlook.fit.grade]


def fit_cell(offer: Offer) -> Cell:
    """The grade with the speed, and the numbers under it."""
    word, tone = grade(offer)
    speed = speed_of(offer)
    if not offer.allowed:
        return Cell(word, tr("your organisation’s rule"), tone, chip=True)
    if offer.outlook is None:
        return Cell(word, tone=tone, chip=True)
    fit = offer.outlook.fit
    numbers = tr("needs {0} free").format(part_of(fit.total, fit.available))
    shown = f"{word} · {speed}" if speed and fit.grade != "will not fit" else word
    return Cell(shown, numbers, tone, chip=True)


def abilities(entry: CatalogueEntry) -> str:
    """What it can besides writing."""
    names = {"vision": tr("pictures"), "thinking": tr("thinks first"), "tools": tr("tools")}
    kinds = [tr("for searching")] if entry.kind == "embedding" else []
    return ", ".join([*kinds, *(names[ability] for ability in entry.abilities)])


def languages(entry: CatalogueEntry) -> str:
    """As far as its publisher says."""
    if entry.languages:
        named = [QLocale.languageToString(QLocale(code).language()) for code in entry.languages]
        return ", ".join(dict.fromkeys(named))
    return entry.languages_stated


def parameters(count: int | None) -> str:
    """``4.2 billion``; empty where unknown."""
    if not count:
        return ""
    if count >= 1e9:
        return tr("{0} billion").format(f"{count / 1e9:.3g}")
    return tr("{0} million").format(f"{count / 1e6:.0f}")


# ---------------------------------------------------------------- what is here


def hash_cell(model: LibraryModel) -> Cell:
    """What is known of a file's hash, in words."""
    when = day(model.verified or model.recorded)
    cells = {
        HashState.NEVER: Cell(tr("Not checked yet"), tone="dim"),
        HashState.RECORDED: Cell(tr("Recorded"), when, "dim"),
        HashState.VERIFIED: Cell(tr("Verified"), when, "ok"),
        HashState.CHANGED: Cell(tr("Changed"), tr("not used until accepted"), "bad"),
        HashState.MISSING: Cell(tr("Not there"), tr("drive not connected?"), "warn"),
    }
    return cells[model.hash_state]


def step(progress: Progress) -> str:
    """What is being done, and how far it is."""
    steps = {
        "copying": tr("Copying"),
        "checking": tr("Checking"),
        "trying": tr("Trying it in a confined process"),
        "deleting": tr("Deleting what was copied"),
    }
    if not progress.total:
        return steps[progress.step] + "…"
    return f"{steps[progress.step]} · {part_of(progress.done, progress.total)}"


# ---------------------------------------------------------------- pulls


def pull_line(pull: Pull) -> str:
    """How far a pull is, in a line."""
    count = part_of(pull.done, pull.total)
    if pull.state is PullState.INSTALLED:
        return tr("Installed · {0} · checked and tried").format(size(pull.total))
    if pull.state is PullState.CHECKING:
        return tr("All of it is here; it is tried in a confined process…")
    if pull.state is PullState.PAUSED:
        return tr("Paused · {0}").format(count)
    if pull.state is PullState.QUEUED:
        return tr("Waiting for its turn · {0}").format(count if pull.done else size(pull.total))
    if pull.state is PullState.CANCELLED:
        return tr("Cancelled")
    if pull.state is PullState.FAILED:
        return tr("Stopped · {0}").format(count)
    parts = [count]
    if pull.note:
        parts.append(pull.note)
    elif pull.speed:
        parts.append(tr("{0}/s").format(size(int(pull.speed))))
        if pull.seconds_left is not None:
            left = tr("{0} left, done at {1}")
            parts.append(left.format(duration(pull.seconds_left), done_at(pull.seconds_left)))
    else:
        parts.append(tr("connecting…"))
    return " · ".join(parts)
