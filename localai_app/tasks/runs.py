"""All SQL for task runs, their documents, and what came of them.

Every method that writes runs inside the caller's ``database.transaction()``, so that one act, its audit
entry included, is one transaction; reads need none.

Window and command line may work on one store: a run that is worked on carries a lease (see
`localai_app.store.leases`). Whoever pauses or stops it changes its state; the process that has the lease
sees that with its next write, ends what is under way, and lets go.
"""

import secrets
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec

from localai_app.documents.rows import microseconds, storable
from localai_app.errors import NotFound
from localai_app.store import leases
from localai_app.store.database import Database, Row
from localai_app.tasks.rows import decision_of, item_of, json_of, run_of
from localai_app.tasks.run import Item, ItemCost, ItemState, ModelUsed, Run, RunSettings, RunState
from localai_app.tasks.task import Column, Coverage, Decision, Outcome, Output, TaskKind

_PERSONAL = 1
"""The one workspace there is."""
_RUN = """
SELECT task_run.*,
       (SELECT count(*) FROM task_item WHERE run_id = task_run.id AND state <> 'erased') AS documents,
       (SELECT count(*) FROM task_item WHERE run_id = task_run.id AND state = 'done') AS done,
       (SELECT count(*) FROM task_item WHERE run_id = task_run.id AND state = 'failed') AS failed,
       (SELECT coalesce(sum(to_review), 0) FROM task_item WHERE run_id = task_run.id) AS to_review,
       (SELECT max(document_name) FROM task_item WHERE run_id = task_run.id) AS first_name
FROM task_run
"""


@dataclass(frozen=True)
class KeptStep:
    """What the engine said in a step of a document that is in work."""

    number: int
    """Of the step within its document, from 0."""
    asked: str
    """Hash of what was asked, and of which model."""
    output: Output
    cost: ItemCost


class Runs:
    """Task runs in the store."""

    def __init__(
        self,
        database: Database,
        kinds: Sequence[TaskKind],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._kinds = {kind.name: kind for kind in kinds}
        self.now = now

    def transaction(self) -> AbstractContextManager[None]:
        """All that is written inside is kept together or not at all; see `Database.transaction`."""
        return self._database.transaction()

    # -- runs ----------------------------------------------------------------------------------

    def runs(self, *, trashed: bool = False) -> list[Run]:
        """All, the newest first."""
        rows = self._database.rows(
            f"{_RUN} WHERE workspace_id = ? AND trashed IS {'NOT NULL' if trashed else 'NULL'} "
            "ORDER BY id DESC",
            [_PERSONAL],
        )
        return [self._run_of(row) for row in rows]

    def run(self, run_id: int) -> Run:
        """One run; raise `NotFound`."""
        row = self._database.row(f"{_RUN} WHERE id = ?", [run_id])
        if row is None:
            raise NotFound(f"There is no run {run_id}.", "It may have been erased.")
        return self._run_of(row)

    def add(
        self,
        kind: TaskKind,
        options: msgspec.Struct,
        columns: Sequence[Column],
        documents: Sequence[tuple[int, str, str]],
        settings: RunSettings,
        *,
        title: str,
        place: str,
    ) -> int:
        """A new run that waits for its turn, over ``documents`` (id, name, hash) in that order; its id."""
        row = self._write_row(
            "INSERT INTO task_run (workspace_id, kind, title, place, options, columns, fingerprint, "
            "settings, not_before, state, created) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'waiting', ?) RETURNING id",
            [
                _PERSONAL,
                kind.name,
                storable(title),
                storable(place),
                json_of(options),
                json_of(tuple(columns)),
                kind.fingerprint(options),
                json_of({"deterministic": settings.deterministic, "keep_awake": settings.keep_awake}),
                None if settings.not_before is None else microseconds(settings.not_before),
                microseconds(self.now()),
            ],
        )
        assert row is not None
        run_id = int(row["id"])
        for position, (document_id, name, sha256) in enumerate(documents):
            self._write(
                "INSERT INTO task_item (run_id, position, document_id, document_name, sha256, state, "
                "content_key) VALUES (?, ?, ?, ?, ?, 'waiting', ?)",
                [run_id, position, document_id, storable(name), sha256, secrets.token_bytes(32)],
            )
        return run_id

    def set_state(self, run_id: int, state: RunState, from_: Sequence[RunState], notice: str = "") -> bool:
        """Put a run in ``state`` if it is in one of ``from_``; whether it was."""
        changed = self._write(
            "UPDATE task_run SET state = ?, notice = ?, finished = NULL WHERE id = ? "
            "AND state IN (SELECT value FROM json_each(?))",
            [state, storable(notice), run_id, json_of(list(from_))],
        )
        return bool(changed)

    def hurry(self, run_id: int) -> None:
        """Wait for no hour any more."""
        self._write("UPDATE task_run SET not_before = NULL WHERE id = ?", [run_id])

    def set_model(self, run_id: int, model: ModelUsed | None) -> None:
        """What computes the run from now on; None: whichever is selected when it goes on."""
        self._write(
            "UPDATE task_run SET model = ? WHERE id = ?", [None if model is None else json_of(model), run_id]
        )

    def trash(self, run_ids: Sequence[int]) -> None:
        """Put runs in the trash."""
        self._write(
            "UPDATE task_run SET trashed = ? "
            "WHERE id IN (SELECT value FROM json_each(?)) AND trashed IS NULL",
            [microseconds(self.now()), json_of(list(run_ids))],
        )

    def restore(self, run_ids: Sequence[int]) -> None:
        """Take runs out of the trash."""
        self._write(
            "UPDATE task_run SET trashed = NULL WHERE id IN (SELECT value FROM json_each(?))",
            [json_of(list(run_ids))],
        )

    def erase(self, run_ids: Sequence[int]) -> None:
        """Erase runs with all that came of them."""
        self._write(
            "DELETE FROM task_run WHERE id IN (SELECT value FROM json_each(?))", [json_of(list(run_ids))]
        )
        self._database.erase_log_on_commit()

    # -- work ----------------------------------------------------------------------------------

    def claim(self, wanted: Iterable[int] | None) -> Run | None:
        """The first run that waits and may begin now, which is this process's from now on.

        ``wanted``: only of these; None: of all.
        """
        row = self._write_row(
            "UPDATE task_run SET state = 'running', notice = '', finished = NULL, lease_owner = ?, "
            "lease_until = ? WHERE id = (SELECT id FROM task_run "
            "WHERE state = 'waiting' AND trashed IS NULL AND lease_owner IS NULL "
            "AND (not_before IS NULL OR not_before <= ?) "
            "AND (?4 IS NULL OR id IN (SELECT value FROM json_each(?4))) ORDER BY id LIMIT 1) RETURNING id",
            [
                leases.this_process(),
                self._lease_end(),
                microseconds(self.now()),
                None if wanted is None else json_of(list(wanted)),
            ],
        )
        return None if row is None else self.run(row["id"])

    def next_hour(self, wanted: Iterable[int] | None) -> tuple[datetime, bool] | None:
        """When the next run may begin that waits for its hour, and whether it keeps the computer awake."""
        rows = self._database.rows(
            f"{_RUN} WHERE state = 'waiting' AND trashed IS NULL AND not_before IS NOT NULL "
            "ORDER BY not_before"
        )
        runs = [self._run_of(row) for row in rows]
        runs = [run for run in runs if wanted is None or run.id in set(wanted)]
        if not runs:
            return None
        first = runs[0].settings.not_before
        assert first is not None, "it was asked for"
        return first, any(run.settings.keep_awake for run in runs)

    def renew(self, run_id: int) -> RunState | None:
        """Keep the lease; the run's state, which others may have changed; None when the lease is lost."""
        row = self._write_row(
            "UPDATE task_run SET lease_until = ? WHERE id = ? AND lease_owner = ? RETURNING state",
            [self._lease_end(), run_id, leases.this_process()],
        )
        return None if row is None else RunState(row["state"])

    def state(self, run_id: int) -> RunState | None:
        """The state of a run that this process works on; None when it is no longer this process's."""
        row = self._database.row(
            "SELECT state FROM task_run WHERE id = ? AND lease_owner = ?", [run_id, leases.this_process()]
        )
        return None if row is None else RunState(row["state"])

    def release(self, run_id: int) -> None:
        """Let go of a run: one that is still running waits for its turn, others stay as they were put."""
        self._let_go(run_id, leases.this_process())

    def requeue_abandoned(self, mine: int | None) -> None:
        """Let go of what a process that died had, or this one (but for ``mine``, which it works on)."""
        for row in self._database.rows("SELECT * FROM task_run WHERE lease_owner IS NOT NULL"):
            abandoned = (
                row["id"] != mine
                if row["lease_owner"] == leases.this_process()
                else _is_abandoned(row, self.now())
            )
            if abandoned:
                self._let_go(row["id"], row["lease_owner"])

    def _let_go(self, run_id: int, owner: str) -> None:
        changed = self._write(
            "UPDATE task_run SET state = iif(state = 'running', 'waiting', state), "
            "lease_owner = NULL, lease_until = NULL WHERE id = ? AND lease_owner = ?",
            [run_id, owner],
        )
        if changed:
            self._write(
                "UPDATE task_item SET state = 'waiting' WHERE run_id = ? AND state = 'running'", [run_id]
            )

    def finish(self, run_id: int) -> bool:
        """Let a run be done if it is running and no document is left; whether it is."""
        changed = self._write(
            "UPDATE task_run SET state = 'done', finished = ?, lease_owner = NULL, lease_until = NULL "
            "WHERE id = ?2 AND state = 'running' AND lease_owner = ?3 AND NOT EXISTS "
            "(SELECT 1 FROM task_item WHERE run_id = ?2 AND state IN ('waiting', 'running'))",
            [microseconds(self.now()), run_id, leases.this_process()],
        )
        return bool(changed)

    # -- documents of a run --------------------------------------------------------------------

    def items(self, run_id: int, states: Sequence[ItemState] = tuple(ItemState)) -> list[Item]:
        """The documents of a run with what came of them, in their order."""
        rows = self._database.rows(
            "SELECT * FROM task_item WHERE run_id = ? "
            "AND state IN (SELECT value FROM json_each(?)) ORDER BY position",
            [run_id, json_of(list(states))],
        )
        made: dict[int, list[Decision]] = {}
        for row in self._database.rows(
            "SELECT task_decision.* FROM task_item CROSS JOIN task_decision "
            "ON task_decision.item_id = task_item.id WHERE run_id = ? ORDER BY task_decision.id",
            [run_id],
        ):
            made.setdefault(row["item_id"], []).append(decision_of(row))
        return [item_of(row, made.get(row["id"], ())) for row in rows]

    def item(self, item_id: int) -> Item:
        """One of them; raise `NotFound`."""
        row = self._item_row(item_id)
        rows = self._database.rows("SELECT * FROM task_decision WHERE item_id = ? ORDER BY id", [item_id])
        return item_of(row, [decision_of(one) for one in rows])

    def content_key(self, item_id: int) -> bytes:
        """Key of the HMACs that name what came of a document; it is erased with the document."""
        key: bytes = self._item_row(item_id)["content_key"]
        return key

    def begin_item(self, item_id: int, sha256: str, name: str) -> int:
        """Work on a document that has that hash and name now; how often it was tried, this time included.

        0 when it is not there to be worked on any more: it was erased.
        """
        row = self._write_row(
            "UPDATE task_item SET state = 'running', sha256 = ?, document_name = ?, error = '', "
            "attempts = max(attempts, 1) "
            "WHERE id = ? AND state IN ('waiting', 'running') RETURNING attempts",
            [sha256, storable(name), item_id],
        )
        return 0 if row is None else int(row["attempts"])

    def try_again(self, item_id: int) -> None:
        """A document's try came to nothing, and it is tried once more."""
        self._write(
            "UPDATE task_item SET state = 'waiting', attempts = attempts + 1 "
            "WHERE id = ? AND state IN ('waiting', 'running')",
            [item_id],
        )

    def finish_item(  # noqa: PLR0917 - what is kept
        self,
        item_id: int,
        outcome: Outcome,
        coverage: Coverage,
        cost: ItemCost,
        model: ModelUsed,
        prompts_sha256: str,
        *,
        to_review: int,
    ) -> bool:
        """Keep what came of a document; False when it was erased meanwhile, or is another's."""
        changed = self._write(
            "UPDATE task_item SET state = 'done', error = '', outcome = ?, coverage = ?, cost = ?, "
            "model = ?, prompts_sha256 = ?, to_review = ?, finished = ? WHERE id = ? AND state = 'running'",
            [
                *(json_of(value) for value in (outcome, coverage, cost, model)),
                *(prompts_sha256, to_review, microseconds(self.now()), item_id),
            ],
        )
        self._drop_steps(item_id)
        return bool(changed)

    def fail_item(self, item_id: int, error: str, model: ModelUsed | None) -> bool:
        """Nothing comes of a document, for a reason; False when it was erased meanwhile."""
        changed = self._write(
            "UPDATE task_item SET state = 'failed', error = ?, model = ?, finished = ? "
            "WHERE id = ? AND state IN ('waiting', 'running')",
            [
                storable(error),
                None if model is None else json_of(model),
                microseconds(self.now()),
                item_id,
            ],
        )
        self._drop_steps(item_id)
        return bool(changed)

    def retry(self, run_id: int, item_ids: Sequence[int]) -> list[int]:
        """Let documents that failed (without ``item_ids`` all) be done again; which they are."""
        assert self._database.in_transaction
        rows = self._database.rows(
            "UPDATE task_item SET state = 'waiting', error = '', attempts = 0, finished = NULL "
            "WHERE run_id = ? AND state = 'failed' "
            "AND (?2 = '[]' OR id IN (SELECT value FROM json_each(?2))) RETURNING id",
            [run_id, json_of(list(item_ids))],
        )
        return sorted(row["id"] for row in rows)

    # -- steps ---------------------------------------------------------------------------------

    def keep_step(self, item_id: int, step: KeptStep) -> None:
        """Keep what came of a step; of a document that is not in work any more, nothing."""
        self._write(
            "INSERT OR REPLACE INTO task_step (item_id, number, asked, output, cost) "
            "SELECT id, ?, ?, ?, ? FROM task_item WHERE id = ? AND state = 'running'",
            [step.number, step.asked, json_of(step.output), json_of(step.cost), item_id],
        )

    def steps(self, item_id: int) -> dict[int, KeptStep]:
        """What was kept of a document in work, by number."""
        rows = self._database.rows("SELECT * FROM task_step WHERE item_id = ?", [item_id])
        return {
            row["number"]: KeptStep(
                row["number"],
                row["asked"],
                msgspec.json.decode(row["output"], type=Output),
                msgspec.json.decode(row["cost"], type=ItemCost),
            )
            for row in rows
        }

    # -- decisions -----------------------------------------------------------------------------

    def decide(self, item_id: int, decision: Decision) -> Item:
        """Keep a decision; the item as it is now."""
        self._write(
            "INSERT INTO task_decision (item_id, key, verdict, value, who, made) VALUES (?, ?, ?, ?, ?, ?)",
            [
                *(item_id, storable(decision.key), decision.verdict, storable(decision.value)),
                *(decision.who, microseconds(datetime.fromisoformat(decision.when))),
            ],
        )
        item = self.item(item_id)
        self._write("UPDATE task_item SET to_review = ? WHERE id = ?", [item.to_review, item_id])
        return item

    # -- helpers -------------------------------------------------------------------------------

    def _run_of(self, row: Row) -> Run:
        abandoned = row["lease_owner"] is not None and _is_abandoned(row, self.now())
        return run_of(row, self._kinds.get(row["kind"]), abandoned=abandoned)

    def _item_row(self, item_id: int) -> Row:
        row = self._database.row("SELECT * FROM task_item WHERE id = ?", [item_id])
        if row is None:
            raise NotFound(f"There is no result {item_id}.", "Its run may have been erased.")
        return row

    def _drop_steps(self, item_id: int) -> None:
        self._write("DELETE FROM task_step WHERE item_id = ?", [item_id])

    def _lease_end(self) -> int:
        return microseconds(self.now() + timedelta(seconds=leases.LEASE_SECONDS))

    def _write(self, sql: str, values: Iterable[object]) -> int:
        assert self._database.in_transaction
        return self._database.execute(sql, list(values))

    def _write_row(self, sql: str, values: Iterable[object]) -> Row | None:
        assert self._database.in_transaction
        return self._database.row(sql, list(values))


def _is_abandoned(row: Row, now: datetime) -> bool:
    """Whether the process that has the lease of a run is dead, or cannot be seen and gave no sign of life."""
    alive = leases.is_alive(row["lease_owner"])
    return row["lease_until"] < microseconds(now) if alive is None else not alive
