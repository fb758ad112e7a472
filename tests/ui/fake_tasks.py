"""Tasks in memory: runs whose documents come to what a test says. The window's test double."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from localai_app.documents.document import Page, Scope
from localai_app.errors import LocalAIError, NotFound
from localai_app.tasks.kinds import KINDS, kind_of
from localai_app.tasks.run import (
    Item,
    ItemState,
    ReviewItem,
    Run,
    RunProgress,
    RunSettings,
    RunState,
    TaskPrice,
)
from localai_app.tasks.service import TaskService
from localai_app.tasks.summarise import SummariseOptions
from localai_app.tasks.task import (
    Column,
    Coverage,
    Decision,
    Doubt,
    Evidence,
    Finding,
    Form,
    Outcome,
    TaskKind,
    Verdict,
    needs_review,
)
from tests.ui.fake_documents import FakeDocuments

COLUMNS = (
    Column("supplier", "Supplier"),
    Column("date", "Date", Form.DATE),
    Column("total", "Total EUR", Form.AMOUNT),
)


def finding(column: str, value: Any, *doubts: Doubt, shown: str = "", **more: Any) -> Finding:
    """A value that stands on page 1."""
    said = shown or str(value)
    evidence = (Evidence(1, "page 1", 0, len(said), said),)
    return Finding(column, value=value, shown=said, evidence=evidence, doubts=doubts, **more)


def invoice(supplier: str, date: str, total: float, *doubts: Doubt) -> Outcome:
    """Of an invoice; ``doubts`` are about the total."""
    return Outcome(
        (
            finding("supplier", supplier),
            finding("date", date),
            finding("total", total, *doubts, shown=f"{total:,.2f}"),
        )
    )


class FakeTasks(TaskService):
    """Runs in dicts; long calls wait for `gate`."""

    def __init__(self, documents: FakeDocuments) -> None:
        self.library = documents
        self.allowed: list[TaskKind] = list(KINDS)
        self.all_runs: dict[int, Run] = {}
        self.all_items: dict[int, list[Item]] = {}
        self.now = RunProgress()
        self.refusal: LocalAIError | None = None
        """Raised by the next call that changes something, or prices."""
        self.seconds: float | None = 7200.0
        self.not_ready: tuple[tuple[str, str], ...] = ()
        self.calls: list[str] = []
        self.threads: set[str] = set()
        self.started: list[tuple[str, msgspec.Struct, Scope, RunSettings]] = []
        self.priced: list[tuple[str, msgspec.Struct, Scope]] = []
        self.written: list[tuple[int, Path, str]] = []
        self.watchers: list[Callable[[], None]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.hour = datetime.now().astimezone().replace(hour=22, minute=0) + timedelta(days=1)

    # ------------------------------------------------------------ filling

    def put(self, title: str = "Extract · Invoice", *outcomes: Outcome | str | None, **more: Any) -> Run:
        """A run with a document for each outcome; text: why it failed; None: not done yet."""
        number = len(self.all_runs) + 1
        items = []
        for at, outcome in enumerate(outcomes, 1):
            item = Item(1000 * number + at, number, at, f"invoice-{at}.pdf", f"{at:064x}", ItemState.WAITING)
            items.append(come_to(item, outcome))
        values: dict[str, Any] = {
            "kind": "extract",
            "where": f"Invoices · {len(items)} documents",
            "options": SummariseOptions(),
            "columns": COLUMNS,
            "settings": RunSettings(),
            "state": RunState.DONE,
            "created": datetime.now(UTC) - timedelta(hours=1),
        }
        self.all_runs[number] = Run(id=number, title=title, **values | more)
        self.all_items[number] = items
        self._count(number)
        self.tell()
        return self.all_runs[number]

    def come(self, run_id: int, at: int, outcome: Outcome | str | None) -> None:
        """A document of a run is done."""
        items = list(self.all_items[run_id])
        items[at] = come_to(items[at], outcome)
        self.all_items[run_id] = items
        self._count(run_id)
        self.tell()

    def change(self, run_id: int, **values: Any) -> Run:
        """A run is other than it was."""
        self.all_runs[run_id] = replace(self.all_runs[run_id], **values)
        self.tell()
        return self.all_runs[run_id]

    def _count(self, run_id: int) -> None:
        items = self.all_items[run_id]
        self.all_runs[run_id] = replace(
            self.all_runs[run_id],
            documents=len(items),
            done=sum(item.state is ItemState.DONE for item in items),
            failed=sum(item.state is ItemState.FAILED for item in items),
            to_review=sum(item.to_review for item in items),
        )

    def tell(self) -> None:
        """What a service does when something changed."""
        for watcher in list(self.watchers):
            watcher()

    def _note(self, call: str) -> None:
        self.calls.append(call)
        self.threads.add(threading.current_thread().name)
        while not self.gate.wait(0.01):
            pass

    def _do(self, call: str) -> None:
        self._note(call)
        if self.refusal is not None:
            refusal, self.refusal = self.refusal, None
            raise refusal

    # ------------------------------------------------------------ the service

    def kinds(self) -> list[TaskKind]:
        return self.allowed

    def allows(self, name: str) -> bool:
        return (
            name.split(".", maxsplit=1)[0] in {kind.name for kind in self.allowed} and "medical" not in name
        )

    def options_of(self, kind: str, raw: bytes) -> msgspec.Struct:
        wanted = kind_of(kind)
        options = msgspec.json.decode(raw, type=wanted.options)
        wanted.check(options)
        return options

    def price(self, kind: str, options: msgspec.Struct, scope: Scope) -> TaskPrice:
        self._do("price")
        self.priced.append((kind, options, scope))
        count = len(self._documents(scope))
        return TaskPrice(count, 3 * count, count, 1000, 100, self.seconds, self.not_ready)

    def _documents(self, scope: Scope) -> list[int]:
        if scope.collections:
            return sorted(self.library.members[scope.collections[0]])
        return list(scope.documents) or list(self.library.rows)

    def start(
        self, kind: str, options: msgspec.Struct, scope: Scope, settings: RunSettings | None = None
    ) -> Run:
        self._do("start")
        assert settings is not None
        self.started.append((kind, options, scope, settings))
        title = f"{kind_of(kind).title} · {kind_of(kind).label(options)}"
        outcomes: list[Outcome | str | None] = [None for _ in self._documents(scope)]
        return self.put(title, *outcomes, kind=kind, settings=settings, state=RunState.RUNNING)

    def go_on(self) -> None:
        self._note("go on")

    def progress(self) -> RunProgress:
        self._note("progress")
        return self.now

    def pause(self, run_id: int) -> None:
        self._do("pause")
        self.change(run_id, state=RunState.PAUSED)

    def resume(self, run_id: int, *, with_this_model: bool = False) -> None:
        self._do("resume with this model" if with_this_model else "resume")
        self.change(run_id, state=RunState.RUNNING)

    def stop(self, run_id: int) -> None:
        self._do("stop")
        self.change(run_id, state=RunState.STOPPED)

    def retry(self, run_id: int, item_ids: Sequence[int] = ()) -> None:
        self._do("retry")
        for at, item in enumerate(self.all_items[run_id]):
            if item.state is ItemState.FAILED and (not item_ids or item.id in item_ids):
                self.come(run_id, at, None)

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        self.watchers.append(changed)
        return lambda: self.watchers.remove(changed)

    def runs(self, *, trashed: bool = False) -> list[Run]:
        self._note("runs")
        return [run for run in reversed(self.all_runs.values()) if (run.trashed is not None) == trashed]

    def run(self, run_id: int) -> Run:
        if run_id not in self.all_runs:
            raise NotFound(f"There is no task {run_id}.")
        return self.all_runs[run_id]

    def items(self, run_id: int) -> list[Item]:
        self._note("items")
        return list(self.all_items[run_id])

    def item(self, item_id: int) -> Item:
        for items in self.all_items.values():
            for item in items:
                if item.id == item_id:
                    return item
        raise NotFound(f"There is no document {item_id} in a task.")

    def page(self, item_id: int, number: int) -> Page:
        return Page(number, "Total 4,108.22")

    def review(self, run_id: int) -> list[ReviewItem]:
        waiting = [
            ReviewItem(item, each)
            for item in self.all_items[run_id]
            for each in (item.outcome.findings if item.outcome else ())
            if needs_review(each) and item.decision(each.key) is None
        ]
        return sorted(waiting, key=lambda each: each.finding.confidence)

    def decide(self, item_id: int, key: str, verdict: Verdict, value: str = "") -> Item:
        self._do("decide")
        item = self.item(item_id)
        made = Decision(key, verdict, value, "Maria", datetime.now(UTC).isoformat())
        return self._put_item(replace(item, decisions=(*item.decisions, made)))

    def undecide(self, item_id: int, key: str) -> Item:
        self._do("undecide")
        item = self.item(item_id)
        made = Decision(key, Verdict.TAKEN_BACK, "", "Maria", datetime.now(UTC).isoformat())
        return self._put_item(replace(item, decisions=(*item.decisions, made)))

    def _put_item(self, item: Item) -> Item:
        items = self.all_items[item.run_id]
        self.all_items[item.run_id] = [item if each.id == item.id else each for each in items]
        self._count(item.run_id)
        self.tell()
        return item

    def export(self, run_id: int, path: Path, fmt: str = "") -> None:
        self._do("export")
        self.written.append((run_id, path, fmt))

    def evidence(self, run_id: int, path: Path) -> None:
        self._do("evidence")
        self.written.append((run_id, path, "evidence"))

    def remove(self, run_ids: Sequence[int]) -> None:
        self._do("remove")
        for number in run_ids:
            self.change(number, trashed=datetime.now(UTC))

    def restore(self, run_ids: Sequence[int]) -> None:
        self._do("restore")
        for number in run_ids:
            self.change(number, trashed=None)

    def erase(self, run_ids: Sequence[int]) -> None:
        self._do("erase")
        for number in run_ids:
            del self.all_runs[number]
        self.tell()

    def tonight(self) -> datetime:
        return self.hour

    def close(self) -> None:
        pass


def come_to(item: Item, outcome: Outcome | str | None) -> Item:
    """A document of a run with what came of it."""
    if outcome is None:
        return replace(item, state=ItemState.WAITING, error="", outcome=None, coverage=None)
    if isinstance(outcome, str):
        return replace(item, state=ItemState.FAILED, error=outcome, attempts=1, coverage=None)
    covered = Coverage("page", 3, 3 - len(outcome.unread), outcome.unread)
    return replace(item, state=ItemState.DONE, outcome=outcome, coverage=covered, attempts=1)
