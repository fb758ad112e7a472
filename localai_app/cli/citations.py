"""What an answer from documents rests on, in the terminal."""

from typing import Any

from localai_app.chat.conversation import Message
from localai_app.cli.commands import plain
from localai_app.cli.terminal import Terminal
from localai_app.documents.document import Citation
from localai_app.documents.grounding import Gathering, duration

_SHOWN = 300
"""Characters of a quotation."""


def show(terminal: Terminal, answer: Message) -> None:
    """The mode and what was given, and each citation with the page's own words; nothing without documents."""
    if answer.record is None or answer.record.coverage is None:
        return
    terminal.line()
    terminal.line(answer.record.coverage.words)
    for citation in answer.citations:
        terminal.line(line(citation))


def line(citation: Citation) -> str:
    """``[1] lease.pdf, page 3: “The rent is …”``, marked where it is not the model's or not verified."""
    if not citation.document_id:
        return f"[{citation.number}] not verified: there is no passage of that number"
    words = " ".join(citation.quotation.split())
    if len(words) > _SHOWN:
        words = words[: _SHOWN - 1] + "…"
    marks = ("" if citation.verified else " (not verified)") + (
        " (found by the app)" if citation.found else ""
    )
    return f"[{citation.number}] {citation.document_name}, {citation.place}{marks}: “{words}”"


def progress(event: Gathering) -> str:
    """How far the reading before an answer is."""
    if event.stage == "searching":
        return "Searching the documents …"
    left = "" if event.seconds_left is None else f", {duration(event.seconds_left)} left"
    return f"Reading the documents … {event.done} of {event.total} parts{left}"


def report(answer: Message) -> dict[str, Any]:
    """For JSON: mode, coverage and citations; empty without documents."""
    coverage = answer.record.coverage if answer.record else None
    if coverage is None:
        return {}
    return {
        "mode": coverage.mode,
        "coverage": {**plain(coverage), "words": coverage.words},
        "citations": [{**plain(citation), "found": citation.found} for citation in answer.citations],
    }
