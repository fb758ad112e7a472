"""ContentCapture and AuditLevel, as the services act on them."""

import hmac
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from localai_app.app import App, open_app
from localai_app.errors import LocalAIError, PolicyRefused
from localai_app.governance.audit import AuditEvent, Selection
from localai_app.governance.capture import Captured
from localai_app.governance.policy import Policy
from localai_app.paths import Paths
from localai_app.retention import Retention
from tests.fake_engine import FakeEngine

SECRET = "the merger is on Friday"
Open = Callable[..., App]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    paths = Paths(tmp_path / "data", tmp_path / "config", tmp_path / "cache", (tmp_path / "models",))
    paths.models[0].mkdir()
    (paths.models[0] / "Tiny-Q4_0.gguf").write_bytes(b"GGUF")
    apps: list[App] = []

    def open_with(**policy: object) -> App:
        for app in apps:
            app.close()
        apps[:] = [open_app(paths, engine=FakeEngine(), policy=Policy(policy))]  # type: ignore[arg-type]
        return apps[0]

    yield open_with
    for app in apps:
        app.close()


def talk(app: App) -> int:
    conversation = app.chat.create()
    for _ in app.chat.send(conversation.id, SECRET):
        pass
    return conversation.id


def handed_over(app: App, path: Path) -> list[Captured]:
    app.archive.hand_over(path)
    return [msgspec.json.decode(line, type=Captured) for line in path.read_bytes().splitlines()]


def events(app: App) -> list[str]:
    return [entry.event for entry in app.audit.entries(limit=1000)]


def test_nothing_is_kept_unless_the_organisation_wants_it(opened: Open) -> None:
    app = opened()
    talk(app)
    assert app.audit.capture.count() == 0


def test_questions_and_answers_are_kept_though_the_conversation_is_erased(
    opened: Open, tmp_path: Path
) -> None:
    app = opened(ContentCapture=True)
    number = talk(app)
    app.chat.trash(number)
    app.chat.delete(number)
    question, answer = handed_over(app, tmp_path / "kept.jsonl")
    assert (question.kind, question.text) == ("question", SECRET)
    assert (answer.kind, answer.about) == ("answer", f"conversation {number}")
    assert answer.text


def test_what_is_handed_over_can_be_tied_to_the_log(opened: Open, tmp_path: Path) -> None:
    app = opened(ContentCapture=True)
    talk(app)
    for each in handed_over(app, tmp_path / "kept.jsonl"):
        entry = app.audit.entry(each.entry)
        assert entry is not None
        assert json.loads(entry.body)["captured"] == each.hmac
        key = bytes.fromhex(each.key)
        assert hmac.digest(key, each.text.encode(), "sha256").hex() == each.hmac
        assert each.text not in entry.body
    assert AuditEvent.CONTENT_HANDED_OVER in events(app)


def test_it_is_erased_when_it_is_old_and_the_organisation_has_it(opened: Open, tmp_path: Path) -> None:
    app = opened(ContentCapture=True, RetentionDays=30)
    talk(app)
    later = datetime.now(UTC) + timedelta(days=31)
    retention = Retention(app.chat, app.documents, app.tasks, app.policy, app.audit, now=lambda: later)
    retention.apply()
    assert app.audit.capture.count() == 2, "nobody has it yet"
    app.archive.hand_over(tmp_path / "kept.jsonl")
    assert retention.apply() == 2
    assert app.audit.capture.count() == 0
    assert app.audit.verify().sound


def test_a_legal_hold_keeps_it(opened: Open, tmp_path: Path) -> None:
    app = opened(ContentCapture=True, RetentionDays=30, LegalHold=True)
    talk(app)
    app.archive.hand_over(tmp_path / "kept.jsonl")
    later = datetime.now(UTC) + timedelta(days=31)
    Retention(app.chat, app.documents, app.tasks, app.policy, app.audit, now=lambda: later).apply()
    assert app.audit.capture.count() == 2


def test_it_leaves_only_where_the_log_may(opened: Open, tmp_path: Path) -> None:
    app = opened(ContentCapture=True, AllowExport=False)
    talk(app)
    with pytest.raises(PolicyRefused):
        app.archive.hand_over(tmp_path / "kept.jsonl")
    app = opened(ContentCapture=True, AllowExport=False, AuditExportPath=str(tmp_path))
    assert app.archive.hand_over(tmp_path / "kept.jsonl") == 2
    with pytest.raises(PolicyRefused):
        app.archive.hand_over(tmp_path.parent / "elsewhere.jsonl")


def test_what_could_not_be_written_does_not_count_as_handed_over(opened: Open, tmp_path: Path) -> None:
    app = opened(ContentCapture=True, RetentionDays=30)
    talk(app)
    with pytest.raises(LocalAIError, match="cannot be written"):
        app.archive.hand_over(tmp_path / "none" / "kept.jsonl")
    assert app.audit.erase_captured(datetime.now(UTC) + timedelta(days=1)) == 0


def test_a_question_that_is_not_kept_is_not_sent(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(ContentCapture=True)

    def fail(*_: object, **__: object) -> None:
        raise LocalAIError("No space is left.")

    monkeypatch.setattr(app.audit.capture, "keep", fail)
    conversation = app.chat.create()
    with pytest.raises(LocalAIError, match="No space"):
        app.chat.send(conversation.id, SECRET)
    assert app.chat.path(conversation.id) == []


# ---------------------------------------------------------------- AuditLevel

LOOKED_AT = {
    AuditEvent.CONVERSATION_OPENED,
    AuditEvent.CONVERSATION_SEARCHED,
    AuditEvent.DOCUMENT_SEARCHED,
    AuditEvent.LINK_TAKEN,
}


def look_around(app: App) -> None:
    number = talk(app)
    app.chat.path(number)
    app.chat.path(number)
    app.chat.search("merger")
    app.documents.search("merger")
    app.chat.require_link("https://example.org/a?secret=1")


def test_what_is_looked_at_is_written_where_the_organisation_wants_it(opened: Open) -> None:
    app = opened(AuditLevel="full")
    look_around(app)
    written = app.audit.entries(Selection(events=sorted(LOOKED_AT)))
    assert {entry.event for entry in written} == LOOKED_AT
    assert len(written) == len(LOOKED_AT), "a conversation that stays open is opened once"
    link = app.audit.entries(Selection(events=[AuditEvent.LINK_TAKEN]))[0]
    assert json.loads(link.body) == {"host": "example.org"}


def test_otherwise_only_acts_are_written(opened: Open) -> None:
    app = opened()
    look_around(app)
    assert not LOOKED_AT & set(events(app))


def test_a_link_is_refused_and_audited_where_none_may_be_opened(opened: Open) -> None:
    app = opened(AllowExternalLinks=False)
    with pytest.raises(PolicyRefused, match="opening links"):
        app.chat.require_link("https://example.org/a?secret=1")
    refused = app.audit.entries(Selection(events=[AuditEvent.POLICY_REFUSED]))[0]
    assert json.loads(refused.body)["host"] == "example.org"
    assert "secret" not in refused.body
