import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from localai_app.governance import audit_checkpoint, audit_statement
from localai_app.governance.audit import Audit, AuditEvent
from localai_app.governance.audit_chain import KeptHead
from localai_app.store.database import Database

DIGEST = "5a" * 32


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    with tempfile.TemporaryDirectory() as folder:
        opened = Database.open(Path(folder) / "store.db", bytes(range(32)))
        yield opened
        opened.close()


def test_a_statement_names_the_entry_that_tells_of_it(database: Database) -> None:
    audit = Audit(database, "maria")
    said = audit.sign_statement(AuditEvent.TASK_EVIDENCE_EXPORTED, "a purpose", DIGEST, "7", {"documents": 3})
    entry = audit.entry(said.seq)
    assert said.is_genuine()
    assert entry is not None
    assert (entry.hash, entry.event, entry.object) == (said.hash, "task.evidence_exported", "7")
    assert msgspec.json.decode(entry.body) == {"sha256": DIGEST, "documents": 3}
    assert said.key == audit.key
    assert audit.verify([KeptHead(said.seq, said.hash, said.key)]).sound


@pytest.mark.parametrize(
    "change",
    [
        {"purpose": "another"},
        {"digest": "5b" * 32},
        {"seq": 99},
        {"hash": "00" * 32},
        {"time": "2020-01-01T00:00:00Z"},
        {"key": audit_checkpoint.public_key(bytes(32))},
        {"signature": "00" * 64},
    ],
)
def test_a_statement_with_anything_changed_is_not_genuine(change: dict[str, object]) -> None:
    said = audit_statement.sign(
        audit_checkpoint.new_key(), purpose="one", digest=DIGEST, seq=3, head="ab" * 32, time="now"
    )
    assert said.is_genuine()
    assert not msgspec.structs.replace(said, **change).is_genuine()


def test_a_statement_never_passes_for_a_checkpoint_nor_a_checkpoint_for_a_statement() -> None:
    private = audit_checkpoint.new_key()
    said = audit_statement.sign(private, purpose="one", digest=DIGEST, seq=3, head="ab" * 32, time="now")
    checkpoint = audit_checkpoint.sign(private, seq=3, digest="ab" * 32, entries=3, time="now")
    assert not msgspec.structs.replace(checkpoint, signature=said.signature).is_genuine()
    assert not msgspec.structs.replace(said, signature=checkpoint.signature).is_genuine()
    # Not even one that was made to hold the very parts of the other.
    parts = (checkpoint.seq, checkpoint.hash, checkpoint.entries, checkpoint.time, checkpoint.key)
    forged = audit_checkpoint.signature(private, b"localai-app audit statement 1\0", *parts)
    assert not msgspec.structs.replace(checkpoint, signature=forged).is_genuine()
