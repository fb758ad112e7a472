"""A conversation that was read once is not read again, not even after a restart."""

from pathlib import Path

import pytest

from localai_app.app import App, open_app
from localai_app.chat.conversation import Message, Parameters
from localai_app.chat.service import TurnFinished
from localai_app.paths import Paths

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

DOCUMENT = " ".join(f"Record {number} of patient {number * 7} stays on site." for number in range(200))


@pytest.fixture
def paths(tmp_path: Path, starter_model: Path) -> Paths:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / starter_model.name).symlink_to(starter_model)
    return Paths(tmp_path / "data", tmp_path / "config", tmp_path / "cache", (tmp_path / "models",))


def ask(app: App, conversation_id: int, text: str) -> Message:
    app.chat.set_parameters(conversation_id, Parameters(max_tokens=12, temperature=0.0))
    (answer,) = [
        event.answer for event in app.chat.send(conversation_id, text) if isinstance(event, TurnFinished)
    ]
    assert answer.stats is not None, answer.error
    return answer


def reused(answer: Message) -> int:
    assert answer.stats is not None
    return answer.stats.reused_tokens


def test_after_a_restart_only_what_is_new_is_evaluated(paths: Paths) -> None:
    with open_app(paths) as app:
        conversation = app.chat.create().id
        first = ask(app, conversation, DOCUMENT)
        assert reused(first) == 0
    assert first.stats is not None
    held = first.stats.prompt_tokens
    assert held > 2000
    (file,) = (paths.data / "snapshots").iterdir()
    assert b"patient" not in file.read_bytes()
    with open_app(paths) as app:
        second = ask(app, conversation, "Which record is the last?")
        assert reused(second) >= held
        assert second.stats is not None
        assert second.stats.first_token_seconds < first.stats.first_token_seconds / 4
        app.chat.trash(conversation)
        app.chat.delete(conversation)
        assert not list((paths.data / "snapshots").iterdir())


def test_a_damaged_snapshot_only_costs_time(paths: Paths) -> None:
    with open_app(paths) as app:
        conversation = app.chat.create().id
        ask(app, conversation, DOCUMENT)
    (file,) = (paths.data / "snapshots").iterdir()
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with open_app(paths) as app:
        assert reused(ask(app, conversation, "Which record is the last?")) == 0


def test_two_conversations_in_turn_keep_what_they_have_read(paths: Paths) -> None:
    with open_app(paths) as app:
        first, second = app.chat.create().id, app.chat.create().id
        ask(app, first, DOCUMENT)
        ask(app, second, "Another matter. " + DOCUMENT)
        for conversation in (first, second):
            assert reused(ask(app, conversation, "And then?")) > 2000
