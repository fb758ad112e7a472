"""What is too old is erased through the services' own doors; a legal hold stops it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from localai_app import app as composition
from localai_app.app import App, open_app
from localai_app.documents import chunks, recognition
from localai_app.governance.audit import AuditEvent
from localai_app.governance.policy import Policy
from localai_app.paths import Paths
from localai_app.retention import Retention
from tests.documents.pretended import FakeEmbedding, FakeReader, split
from tests.fake_engine import FakeEngine

SECRET = "the word nobody may find again"
Open = Callable[..., App]


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Open the app with a policy."""
    embedding = FakeEmbedding()
    monkeypatch.setattr(composition.reader_process, "read", FakeReader())
    monkeypatch.setattr(composition, "EmbeddingService", lambda *rooms: embedding)
    monkeypatch.setattr(chunks, "split", split)
    monkeypatch.setattr(recognition, "available", lambda: False)
    paths = Paths(tmp_path / "data", tmp_path / "config", tmp_path / "cache", (tmp_path / "models",))
    paths.models[0].mkdir()
    (paths.models[0] / "Tiny-Q4_0.gguf").write_bytes(b"GGUF")

    def open_with(**policy: object) -> App:
        return open_app(paths, engine=FakeEngine(), policy=Policy(policy))  # type: ignore[arg-type]

    return open_with


@pytest.fixture
def filled(opened: Open, tmp_path: Path) -> Iterator[Callable[..., tuple[App, Retention]]]:
    """An app with a conversation, and a document with one, and its retention ``days`` later."""
    apps: list[App] = []

    def fill(days: float, **policy: object) -> tuple[App, Retention]:
        app = opened(**policy)
        apps.append(app)
        for _ in app.chat.send(app.chat.create().id, SECRET):
            pass
        (tmp_path / "letter.txt").write_text(f"A letter with {SECRET}.")
        app.documents.add([tmp_path / "letter.txt"])
        assert app.documents.wait(20)
        later = datetime.now(UTC) + timedelta(days=days)
        return app, Retention(app.chat, app.documents, app.tasks, app.policy, app.audit, now=lambda: later)

    yield fill
    for app in apps:
        app.close()


def left(app: App) -> tuple[int, int]:
    """Conversations and documents, those in the trash too."""
    return (
        len(app.chat.conversations()) + len(app.chat.conversations(trashed=True)),
        len(app.documents.documents()) + len(app.documents.documents(trashed=True)),
    )


def test_what_is_old_enough_is_gone_with_its_derivatives(
    filled: Callable[..., tuple[App, Retention]],
) -> None:
    app, retention = filled(31, RetentionDays=30)
    assert retention.apply() == 2
    assert left(app) == (0, 0)
    assert app.documents.search("letter") == []
    for table in ("page", "chunk", "message"):
        assert app.database.rows(f"SELECT * FROM {table}") == []
    assert AuditEvent.RETENTION_APPLIED in [entry.event for entry in app.audit.entries()]
    assert app.audit.verify().sound
    assert retention.apply() == 0


@pytest.mark.parametrize(
    ("days", "policy"),
    [
        (29, {"RetentionDays": 30}),
        (9999, {"RetentionDays": 0}),
        (9999, {}),
        (9999, {"RetentionDays": 30, "LegalHold": True}),
    ],
)
def test_what_is_younger_or_held_stays(
    days: float, policy: dict[str, object], filled: Callable[..., tuple[App, Retention]]
) -> None:
    app, retention = filled(days, **policy)
    assert retention.apply() == 0
    assert left(app) == (1, 1)


def test_it_is_done_by_itself_at_a_start(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened() as app:
        old = app.chat.create().id
        long_ago = "UPDATE conversation SET updated = 0 WHERE id = ?"
        app.database.execute(long_ago, [old])
        app.chat.create()
    with opened(RetentionDays=30) as app:
        app.retention.stop()
        assert len(app.chat.conversations()) == 1


def test_without_history_conversations_go_when_the_app_is_closed(opened: Open) -> None:
    app = opened(SaveHistory=False)
    app.chat.create()
    assert left(app)[0] == 1
    app.close()
    with opened() as app:
        assert left(app)[0] == 0
    app = opened(SaveHistory=False, LegalHold=True)
    app.chat.create()
    app.close()
    with opened() as app:
        assert left(app)[0] == 1
