"""Documents are read, indexed and asked with the real reader, embedding model and starter model."""

import re
import threading
import time
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from localai_app.app import App, open_app
from localai_app.chat.conversation import Message, Parameters, Status
from localai_app.chat.service import Gathering, TextDelta, Turn, TurnFinished
from localai_app.documents.document import State
from localai_app.documents.grounding import Mode, Sources
from localai_app.paths import Paths

LEASE = """# Lease of the flat in Harbour Street 7

The monthly rent is 940 euros. It is due on the third working day of each month.

The tenant may keep one dog. Cats need the written consent of the landlord.

The deposit is 2,820 euros and is returned within six months after the tenant has moved out.
"""
pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

FILLER = "The {0} of house {1} is cleaned on every {2}. Whoever finds it dirty tells the caretaker.\n\n"
ROOMS = ("staircase", "cellar", "yard", "roof", "garage", "laundry")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")


@pytest.fixture
def app(tmp_path: Path, starter_model: Path, minilm: Path) -> Iterator[App]:
    models = tmp_path / "models"
    models.mkdir()
    for model in (starter_model, minilm):
        (models / model.name).symlink_to(model)
    paths = Paths(
        data=tmp_path / "data", config=tmp_path / "config", cache=tmp_path / "cache", models=(models,)
    )
    (tmp_path / "lease.md").write_text(LEASE)
    rules = (FILLER.format(ROOMS[at % 6], at, DAYS[at % 5]) for at in range(60))
    (tmp_path / "rules.txt").write_text("".join(rules))
    with open_app(paths) as app:
        added = app.documents.add([tmp_path / "lease.md", tmp_path / "rules.txt"])
        assert app.documents.wait(120)
        assert all(app.documents.document(number).state is State.READY for number in added.documents)
        yield app


def ask(app: App, question: str, mode: Mode) -> Message:
    conversation = app.chat.create(Sources(mode=mode))
    app.chat.set_parameters(conversation.id, Parameters(max_tokens=48))
    answer = run(app.chat.send(conversation.id, question))
    assert answer.status in (Status.COMPLETE, Status.CUT_OFF), answer.error
    check(app, answer)
    return answer


def run(turn: Turn) -> Message:
    *_, last = turn
    assert isinstance(last, TurnFinished)
    return last.answer


def check(app: App, answer: Message) -> None:
    """What is shown as verified stands on its page; nothing of the app's own code is used."""

    def plain(text: str) -> str:
        return re.sub(r"\W+", " ", unicodedata.normalize("NFKC", text)).strip()

    for citation in answer.citations:
        if not citation.document_id:
            continue
        page = app.documents.page(citation.document_id, citation.page).text
        assert citation.quotation == page[citation.start : citation.end]
        if citation.verified:
            assert plain(citation.quotation)
            assert plain(citation.quotation) in plain(page)


def test_a_question_is_answered_from_the_passages_that_a_search_finds(app: App) -> None:
    answer = ask(app, "How much is the monthly rent?", Mode.SEARCH)
    assert answer.record is not None
    assert answer.record.coverage is not None
    assert answer.record.coverage.mode is Mode.SEARCH
    assert any(given.document_name == "lease.md" for given in answer.given)
    assert answer.record.sampler["temperature"] == 0


def test_every_page_is_read_while_a_chat_goes_on(app: App) -> None:
    """And the chat does not wait for the reading to end."""
    reading = threading.Event()
    answers: list[Message] = []

    def read() -> None:
        conversation = app.chat.create(Sources(mode=Mode.EXHAUSTIVE))
        app.chat.set_parameters(conversation.id, Parameters(max_tokens=32))
        for event in app.chat.send(conversation.id, "How much is the deposit?"):
            if isinstance(event, Gathering) and event.stage == "reading":
                reading.set()
            if isinstance(event, TurnFinished):
                answers.append(event.answer)

    thread = threading.Thread(target=read)
    thread.start()
    assert reading.wait(60)
    conversation = app.chat.create()
    app.chat.set_parameters(conversation.id, Parameters(max_tokens=8))
    assert any(isinstance(event, TextDelta) for event in app.chat.send(conversation.id, "Say hello."))
    assert thread.is_alive(), "the chat waited for the reading"
    thread.join(300)
    (answer,) = answers
    assert answer.status in (Status.COMPLETE, Status.CUT_OFF), answer.error
    assert answer.record is not None
    coverage = answer.record.coverage
    assert coverage is not None
    assert coverage.mode is Mode.EXHAUSTIVE
    pages = sum(document.pages for document in app.documents.documents())
    assert (coverage.pages_used, coverage.pages) == (pages, pages)
    check(app, answer)


def test_stop_ends_reading_every_page(app: App) -> None:
    turn = app.chat.send(app.chat.create(Sources(mode=Mode.EXHAUSTIVE)).id, "How much is the rent?")
    stopped = 0.0
    for event in turn:
        if isinstance(event, Gathering) and not stopped:
            stopped = time.monotonic()
            turn.stop()
        elif isinstance(event, TurnFinished):
            assert time.monotonic() - stopped < 2  # a tenth of a second on a quiet machine
            assert event.answer.status is Status.STOPPED
    assert stopped
