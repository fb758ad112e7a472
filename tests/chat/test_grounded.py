"""Answers from documents: what the model is given, what is kept, what is cited."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from localai_app.app import App, open_app
from localai_app.chat.conversation import Message, Parameters, Status
from localai_app.chat.history import History
from localai_app.chat.service import ChatService, Gathering, Grounding, TextDelta, Turn, TurnFinished
from localai_app.documents.asking import Asking
from localai_app.documents.document import Page, Passage, Scope
from localai_app.documents.grounding import NOT_FOUND, Mode, Sources
from localai_app.errors import PolicyRefused
from localai_app.governance.policy import Policy
from localai_app.paths import Paths
from tests.documents.fake_documents import FakeDocuments
from tests.fake_engine import FakeEngine

LEASE = "The rent is 900 euros a month. The tenant may keep one dog."
SEARCH = Sources(mode=Mode.SEARCH)


class GatedDocuments(FakeDocuments):
    """A search that takes as long as the test wants."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()

    def search(self, query: str, scope: Scope = Scope(), limit: int = 10) -> list[Passage]:  # noqa: B008
        self.gate.wait(20)
        return super().search(query, scope, limit)


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine(pieces=("The rent is 900 euros a month [1].",))


@pytest.fixture
def app(tmp_path: Path, engine: FakeEngine) -> Iterator[App]:
    models = tmp_path / "models"
    models.mkdir()
    (models / "Tiny-Q4_0.gguf").write_bytes(b"GGUF")
    paths = Paths(
        data=tmp_path / "data", config=tmp_path / "config", cache=tmp_path / "cache", models=(models,)
    )
    with open_app(paths, engine=engine) as app:
        yield app


@pytest.fixture
def documents() -> GatedDocuments:
    documents = GatedDocuments()
    documents.put("lease.pdf", LEASE)
    documents.put("house.pdf", "Quiet hours begin at 22:00.")
    return documents


def service(app: App, documents: FakeDocuments, policy: Policy | None = None) -> ChatService:
    asking = Asking(documents, app.models, app.engine)
    history = History(app.database)
    return ChatService(
        history, app.models, app.engine, policy or app.policy, app.audit, app.snapshots, asking
    )


@pytest.fixture
def chat(app: App, documents: FakeDocuments) -> ChatService:
    return service(app, documents)


def run(turn: Turn) -> Message:
    *_, last = turn
    assert isinstance(last, TurnFinished)
    return last.answer


def test_an_answer_is_kept_with_what_it_was_given_and_what_it_cites(
    app: App, chat: ChatService, engine: FakeEngine
) -> None:
    conversation = chat.create(SEARCH)
    events = list(chat.send(conversation.id, "How much is the rent?"))
    kinds = [type(event) for event in events]
    assert kinds.index(Gathering) < kinds.index(Grounding) < kinds.index(TextDelta)
    answer = chat.path(conversation.id)[-1]
    assert answer.status is Status.COMPLETE
    assert answer.record is not None
    assert answer.record.coverage is not None
    assert answer.record.coverage.words.startswith("Search: 1 passage of 1 document")
    (given,) = answer.given
    assert (given.document_name, given.page, given.start, given.end) == ("lease.pdf", 1, 0, 30)
    (citation,) = answer.citations
    assert citation.quotation == LEASE[citation.start : citation.end] == "The rent is 900 euros a month."
    assert citation.verified
    kept = app.database.row("SELECT given FROM answer_grounding")
    assert kept is not None
    assert "900 euros" not in kept["given"]


def test_the_model_is_asked_to_answer_from_the_passages_only(chat: ChatService, engine: FakeEngine) -> None:
    run(chat.send(chat.create(SEARCH).id, "How much is the rent?"))
    asked = engine.asked[0]
    assert "[1] lease.pdf, page 1\nThe rent is 900 euros a month." in asked.text
    assert asked.text.index("=====") < asked.text.index("Question: How much is the rent?")
    assert NOT_FOUND in asked.text
    assert "in the language of the question" in asked.text
    assert asked.sampling.temperature == 0
    assert asked.max_tokens > 0
    assert not any(segment.special and "rent" in segment.text for segment in asked.prompt)


def test_a_person_who_sets_a_temperature_gets_it(chat: ChatService, engine: FakeEngine) -> None:
    conversation = chat.create(SEARCH)
    chat.set_parameters(conversation.id, Parameters(temperature=0.7))
    run(chat.send(conversation.id, "How much is the rent?"))
    assert engine.asked[0].sampling.temperature == 0.7


def test_a_model_that_says_the_same_again_and_again_is_stopped(
    app: App, chat: ChatService, engine: FakeEngine
) -> None:
    engine.pieces = ("The rent is ", "900 euros a month [1]. ", "One dog is allowed. ") * 100
    engine.reason = "max_tokens"
    answer = run(chat.send(chat.create(SEARCH).id, "How much is the rent?"))
    assert answer.text == "The rent is 900 euros a month [1]. One dog is allowed."
    assert answer.status is Status.COMPLETE
    assert answer.stats is not None
    assert (answer.stats.stop_reason, answer.stats.output_tokens < 20) == ("repeats", True)
    engine.pieces = ("The rent is 900 euros a month. ",) * 9
    assert run(chat.send(chat.create().id, "Say it nine times.")).text == "".join(engine.pieces)


def test_without_sources_nothing_changes(chat: ChatService, engine: FakeEngine) -> None:
    answer = run(chat.send(chat.create().id, "How much is the rent?"))
    assert engine.asked[0].text == "user: How much is the rent?\nassistant: "
    assert (answer.given, answer.citations) == ((), ())
    assert answer.record is not None
    assert answer.record.coverage is None


def test_whole_documents_begin_every_prompt_alike(chat: ChatService, engine: FakeEngine) -> None:
    conversation = chat.create(Sources())
    run(chat.send(conversation.id, "How much is the rent?"))
    run(chat.send(conversation.id, "And dogs?"))
    first, second = (asked.text for asked in engine.asked)
    assert second.startswith(first)  # all that is evaluated serves again
    assert second.count(LEASE) == 1
    assert "900 euros a month [2]." not in first
    assert second.index("Question: And dogs?") > second.index("a month [1].")


def test_what_was_found_stands_before_the_question_it_was_found_for(
    chat: ChatService, engine: FakeEngine, documents: FakeDocuments
) -> None:
    conversation = chat.create(SEARCH)
    run(chat.send(conversation.id, "How much is the rent?"))
    run(chat.send(conversation.id, "Which hours are quiet?"))
    second = engine.asked[1].text
    assert second.startswith("user: How much is the rent?\nassistant: The rent is 900 euros a month.\n")
    assert "[1] house.pdf" in second
    assert documents.queries[-1] == "How much is the rent?\nWhich hours are quiet?"


def test_where_nothing_is_found_the_model_is_not_asked(chat: ChatService, engine: FakeEngine) -> None:
    answer = run(chat.send(chat.create(SEARCH).id, "Zebras?"))
    assert (answer.text, answer.status, answer.citations) == (NOT_FOUND, Status.COMPLETE, ())
    assert engine.asked == []
    assert answer.record is not None
    assert answer.record.coverage is not None


def test_a_base_model_continues_after_answer_and_stops_before_a_question_of_its_own(
    chat: ChatService, engine: FakeEngine
) -> None:
    engine.chat_template = None
    run(chat.send(chat.create(SEARCH).id, "How much is the rent?"))
    assert engine.asked[0].text.endswith("Question: How much is the rent?\n\nAnswer:")
    assert engine.asked[0].stop == ("\nQuestion:",)


def test_stop_while_the_documents_are_searched(
    chat: ChatService, engine: FakeEngine, documents: GatedDocuments
) -> None:
    documents.gate.clear()
    turn = chat.send(chat.create(SEARCH).id, "How much is the rent?")
    began: list[float] = []
    events = []
    for event in turn:
        events.append(event)
        if isinstance(event, Gathering):
            began.append(time.monotonic())
            turn.stop()
    assert time.monotonic() - began[0] < 1  # the search is still waiting
    documents.gate.set()
    assert isinstance(events[-1], TurnFinished)
    assert events[-1].answer.status is Status.STOPPED
    assert engine.asked == []


def test_documents_that_are_gone_end_the_turn_with_what_to_do(
    chat: ChatService, documents: FakeDocuments
) -> None:
    documents.library.clear()
    answer = run(chat.send(chat.create(SEARCH).id, "How much is the rent?"))
    assert answer.status is Status.FAILED
    assert "no documents" in answer.error


def test_an_answer_goes_on_with_the_passages_it_was_begun_with(
    chat: ChatService, engine: FakeEngine, documents: FakeDocuments
) -> None:
    engine.reason = "max_tokens"
    engine.pieces = ("The rent is",)
    conversation = chat.create(SEARCH)
    begun = run(chat.send(conversation.id, "How much is the rent?"))
    assert begun.status is Status.CUT_OFF
    documents.put("newer.pdf", "rent rent rent: How much is the rent?")
    engine.pieces, engine.reason = (" 900 euros a month [1].",), "end"
    answer = run(chat.continue_answer(begun.id))
    assert "newer.pdf" not in engine.asked[1].text
    assert engine.asked[1].text.endswith("assistant: The rent is")
    (citation,) = answer.citations
    assert citation.verified


def test_an_answer_does_not_go_on_when_its_page_changed(
    chat: ChatService, engine: FakeEngine, documents: FakeDocuments
) -> None:
    engine.reason = "max_tokens"
    engine.pieces = ("The rent is",)
    begun = run(chat.send(chat.create(SEARCH).id, "How much is the rent?"))
    documents.library[1][1][0] = Page(number=1, text=LEASE.replace("900", "950"))
    answer = run(chat.continue_answer(begun.id))
    assert answer.status is Status.FAILED
    assert "has changed" in answer.error
    assert answer.text == "The rent is"


def test_sources_can_be_changed_and_taken_away(chat: ChatService, engine: FakeEngine) -> None:
    conversation = chat.create()
    sources = Sources(Scope(documents=(2,), collections=(7,)), Mode.EXHAUSTIVE)
    assert chat.set_sources(conversation.id, sources).sources == sources
    assert chat.conversation(conversation.id).sources == sources
    assert chat.set_sources(conversation.id, None).sources is None


def test_policy_may_forbid_asking_and_allow_it_without_chatting(app: App, documents: FakeDocuments) -> None:
    chatting = service(app, documents, Policy({"AllowedTasks": ("chat", "documents")}))
    conversation = chatting.create()
    with pytest.raises(PolicyRefused):
        chatting.set_sources(conversation.id, SEARCH)
    with pytest.raises(PolicyRefused):
        chatting.create(SEARCH)
    with pytest.raises(PolicyRefused):
        chatting.prices("rent", SEARCH)
    asking = service(app, documents, Policy({"AllowedTasks": ("documents", "ask")}))
    assert run(asking.send(asking.create(SEARCH).id, "rent?")).status is Status.COMPLETE
    with pytest.raises(PolicyRefused):
        asking.send(conversation.id, "rent?")


def test_the_audit_log_tells_what_was_read_and_holds_no_content(app: App, chat: ChatService) -> None:
    run(chat.send(chat.create(SEARCH).id, "How much is the rent?"))
    rows = app.database.rows("SELECT event, object, body FROM audit")
    (set_,) = [json.loads(row["body"]) for row in rows if row["event"] == "conversation.sources_set"]
    assert set_ == {"mode": "search", "collections": [], "documents": []}
    (finished,) = [json.loads(row["body"]) for row in rows if row["event"] == "answer.finished"]
    assert (finished["mode"], finished["documents"]) == ("search", [1])
    assert (finished["pages"], finished["pages_read"], finished["passages"]) == (2, 1, 1)
    assert (finished["citations"], finished["verified"]) == (1, 1)
    assert not any("rent" in row["body"] or "rent" in row["object"] for row in rows)
    assert app.audit.verify().sound


def test_reading_is_timed_for_the_next_price(app: App, chat: ChatService, documents: FakeDocuments) -> None:
    documents.put("long.pdf", "rent " * 200)
    sources = Sources(Scope(documents=(3,)))
    run(chat.send(chat.create(sources).id, "How much is the rent?"))
    assert app.models.speeds.reading(app.models.loaded_sha256) is not None
    assert chat.prices("rent", sources)[0].mode is Mode.WHOLE
