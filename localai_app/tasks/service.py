"""What a person does with document tasks: price, start, watch, pause, resume, review, take out.

Qt-free: plain calls, from any thread. Every call asks policy and writes audit at this door.
"""

import hashlib
import hmac
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from localai_app.documents.document import Page, Scope, State
from localai_app.documents.pricing import Pricing
from localai_app.documents.progress import Watchers
from localai_app.documents.service import DocumentService
from localai_app.engine.client import Engine
from localai_app.errors import NotFound, UsageError
from localai_app.governance.audit import Audit, AuditEvent, BodyValue, logged_in_user
from localai_app.governance.policy import Policy
from localai_app.models.service import ModelService
from localai_app.tasks.kinds import KINDS, kind_of, policy_names
from localai_app.tasks.reports import export
from localai_app.tasks.rows import LostOptions
from localai_app.tasks.run import (
    Item,
    ReviewItem,
    Run,
    RunProgress,
    RunSettings,
    RunState,
    TaskPrice,
)
from localai_app.tasks.running.hand import window_tokens
from localai_app.tasks.running.power import KeepAwake
from localai_app.tasks.running.runner import Runner, another_model
from localai_app.tasks.runs import Runs
from localai_app.tasks.task import Decision, TaskKind, Verdict, needs_review

_LOOK_SECONDS = 0.25
"""How often `TaskService.wait` looks at what other processes do."""
_TONIGHT = 22
"""The hour at which “tonight” begins."""
_WAITS = {
    State.WAITING: "It is not read yet; the run waits for it.",
    State.READING: "It is being read; the run waits for it.",
    State.LOCKED: "A password is needed.",
    State.FAILED: "It cannot be read.",
}
_LIVE = (RunState.WAITING, RunState.RUNNING)


class TaskService:
    """All that either face can do with document tasks."""

    def __init__(  # noqa: PLR0917 - the rooms below it
        self,
        runs: Runs,
        documents: DocumentService,
        models: ModelService,
        engine: Engine,
        policy: Policy,
        audit: Audit,
        *,
        kinds: Sequence[TaskKind] = KINDS,
        awake: KeepAwake | None = None,
    ) -> None:
        self._runs = runs
        self._documents = documents
        self._models = models
        self._engine = engine
        self._policy = policy
        self._audit = audit
        self._kinds = kinds
        self._pricing = Pricing(documents, models, engine)
        self._watchers = Watchers()
        self._runner = Runner(
            runs, kinds, documents, models, engine, policy, audit, self._watchers, awake or KeepAwake()
        )

    def kinds(self) -> list[TaskKind]:
        """Those that policy allows, in the window's order."""
        return [kind for kind in self._kinds if self.allows(kind.name)]

    def allows(self, name: str) -> bool:
        """Whether policy lets tasks (or templates such as ``extract.medical-letter``) of that name run."""
        return self._policy.allows_task(name)

    # ------------------------------------------------------------ before

    def options_of(self, kind: str, raw: bytes) -> msgspec.Struct:
        """Options from JSON, checked; raise `UsageError` with what is wrong."""
        wanted = kind_of(kind, self._kinds)
        try:
            options = msgspec.json.decode(raw, type=wanted.options)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UsageError(f"These are no options of “{kind}”: {error}.", "See `task kinds`.") from error
        wanted.check(options)
        return options

    def require(self, kind: str, options: msgspec.Struct) -> None:
        """Policy must allow the task with these options, as for `start`; for whoever has work before it."""
        self._allowed(kind, options)

    def price(self, kind: str, options: msgspec.Struct, scope: Scope) -> TaskPrice:
        """What it costs; loads the selected model where none is. May take seconds."""
        wanted = self._allowed(kind, options)
        documents = self._documents.in_scope(scope)
        with self._engine.hold():
            model = self._models.load()
            window = window_tokens(model.device, model.context_length)
            costs = [
                wanted.cost(self._pricing.count_document(document), window, options)
                for document in documents
                if document.state is State.READY
            ]
            read, written = sum(cost.read for cost in costs), sum(cost.written for cost in costs)
            seconds = self._pricing.seconds(read, written)
        return TaskPrice(
            documents=len(documents),
            pages=sum(document.pages for document in documents),
            steps=sum(cost.steps for cost in costs),
            read=read,
            written=written,
            seconds=seconds,
            not_ready=tuple(
                (document.name, document.error or _WAITS[document.state])
                for document in documents
                if document.state is not State.READY
            ),
        )

    def start(
        self,
        kind: str,
        options: msgspec.Struct,
        scope: Scope,
        settings: RunSettings | None = None,
    ) -> Run:
        """Queue a run over the documents that ``scope`` names now, and begin when its turn comes.

        Raise `UsageError`, `DocumentError` (nothing to do) or `PolicyRefused`.
        """
        wanted = self._allowed(kind, options)
        documents = self._documents.in_scope(scope)
        settings = settings or RunSettings()
        label = wanted.label(options)
        title = f"{wanted.title} · {label}" if label else wanted.title
        with self._runs.transaction():
            run_id = self._runs.add(
                wanted,
                options,
                wanted.columns(options),
                [(document.id, document.name, document.sha256) for document in documents],
                settings,
                title=title,
                place=self._place(scope),
            )
            self._write(
                AuditEvent.TASK_STARTED,
                run_id,
                kind=wanted.name,
                parameters=wanted.fingerprint(options),
                documents=[document.id for document in documents],
                deterministic=settings.deterministic,
                seed=0,
            )
        self._watchers.tell()
        self._runner.start(run_id)
        return self._runs.run(run_id)

    # ------------------------------------------------------------ while it runs

    def go_on(self) -> None:
        """Work on all runs that wait, whoever queued them: the window calls it at its start."""
        self._runner.start()

    def progress(self) -> RunProgress:
        """How far the run in hand is."""
        return self._runner.progress()

    def pause(self, run_id: int) -> None:
        """Begin no more steps; what is done is kept, down to single steps."""
        self._end(run_id, RunState.PAUSED, AuditEvent.TASK_PAUSED, _LIVE)
        self._runner.pause(run_id)

    def resume(self, run_id: int, *, with_this_model: bool = False) -> None:
        """Go on with a run that was paused, stopped or interrupted.

        Raise `UsageError` where another model is selected than the one it was begun with, unless
        ``with_this_model``.
        """
        run = self._changeable(run_id)
        if run.state is RunState.DONE:
            raise UsageError("This run is done.", "Retry documents that failed, or start another run.")
        selected = self._models.check_selected()
        other = run.model is not None and run.model.sha256 != selected
        if other and not with_this_model:
            assert run.model is not None
            raise another_model(run.model.name, self._models.selected().name)
        self._runner.let_go_abandoned()
        with self._runs.transaction():
            if other:
                self._runs.set_model(run_id, None)
            self._runs.hurry(run_id)
            resumed = self._runs.set_state(
                run_id, RunState.WAITING, [RunState.PAUSED, RunState.STOPPED, RunState.WAITING]
            )
            if resumed:
                self._write(AuditEvent.TASK_RESUMED, run_id, model=selected, other_model=other)
        self._watchers.tell()
        self._runner.start(run_id)

    def stop(self, run_id: int) -> None:
        """End it within 100 ms of the engine; what is done is kept."""
        self._end(run_id, RunState.STOPPED, AuditEvent.TASK_STOPPED, (*_LIVE, RunState.PAUSED))
        self._runner.stop(run_id)

    def retry(self, run_id: int, item_ids: Sequence[int] = ()) -> None:
        """Do failed documents again; all that failed where none are named."""
        self._changeable(run_id)
        with self._runs.transaction():
            again = self._runs.retry(run_id, item_ids)
            if not again:
                raise UsageError("None of these documents has failed.")
            self._runs.set_state(run_id, RunState.WAITING, [RunState.PAUSED, RunState.STOPPED, RunState.DONE])
            self._write(AuditEvent.TASK_RETRIED, run_id, items=again)
        self._watchers.tell()
        self._runner.start(run_id)

    def wait(self, run_id: int, timeout: float | None = None) -> bool:
        """Wait until nothing of the run is left to do; False when ``timeout`` seconds pass first, or it is
        paused or stopped."""
        deadline = None if timeout is None else time.monotonic() + timeout
        changed = threading.Event()
        end = self._watchers.add(changed.set)
        try:
            while True:
                run = self._runs.run(run_id)
                if run.state not in _LIVE:
                    return run.state is RunState.DONE
                if deadline is not None and time.monotonic() >= deadline:
                    return False
                if run.state is RunState.WAITING and self._runner.rests and not self._is_early(run):
                    self._runner.start(run_id)  # who worked on it may have died
                left = _LOOK_SECONDS if deadline is None else deadline - time.monotonic()
                changed.wait(max(0.0, min(_LOOK_SECONDS, left)))
                changed.clear()
        finally:
            end()

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Have ``changed`` called (in any thread, at most ten times a second) when runs changed; call what
        comes back to end it."""
        return self._watchers.add(changed)

    # ------------------------------------------------------------ what came of it

    def runs(self, *, trashed: bool = False) -> list[Run]:
        """Newest first."""
        return self._runs.runs(trashed=trashed)

    def run(self, run_id: int) -> Run:
        """One run; raise `NotFound`."""
        return self._runs.run(run_id)

    def items(self, run_id: int) -> list[Item]:
        """Its documents with what came of them, in their order."""
        self._runs.run(run_id)
        return self._runs.items(run_id)

    def item(self, item_id: int) -> Item:
        """One of them; raise `NotFound`."""
        return self._runs.item(item_id)

    def page(self, item_id: int, number: int) -> Page:
        """A page as it was read for the item; raise `NotFound` where the document changed since."""
        item = self._runs.item(item_id)
        if item.document_id is None:
            raise NotFound("The document was erased.")
        if self._documents.document(item.document_id).sha256 != item.sha256:
            raise NotFound(f"{item.document_name} has changed since it was worked on.", "Do the task again.")
        return self._documents.page(item.document_id, number)

    # ------------------------------------------------------------ review

    def review(self, run_id: int) -> list[ReviewItem]:
        """What waits for a person, the greatest doubt first."""
        waiting = [
            ReviewItem(item, finding)
            for item in self.items(run_id)
            if item.outcome is not None
            for finding in item.outcome.findings
            if needs_review(finding) and item.decision(finding.key) is None
        ]
        return sorted(waiting, key=lambda one: one.finding.confidence)

    def decide(self, item_id: int, key: str, verdict: Verdict, value: str = "") -> Item:
        """Keep a person's decision on a finding, with who and when; the item as it is now."""
        item = self._runs.item(item_id)
        if item.outcome is None or all(finding.key != key for finding in item.outcome.findings):
            raise NotFound("There is no such value in this document's results.")
        if verdict is Verdict.TAKEN_BACK and item.decision(key) is None:
            raise UsageError("There is no decision to take back.")
        decision = Decision(key, verdict, value, logged_in_user(), self._runs.now().isoformat())
        content = msgspec.json.encode((key, verdict, value))
        with self._runs.transaction():
            name = hmac.digest(self._runs.content_key(item_id), content, hashlib.sha256).hex()
            decided = self._runs.decide(item_id, decision)
            body: dict[str, BodyValue] = {"run": item.run_id, "item": item_id, "verdict": str(verdict)}
            self._audit.append(AuditEvent.TASK_DECIDED, name, body)
        self._watchers.tell()
        return decided

    def undecide(self, item_id: int, key: str) -> Item:
        """Take back the last decision on a finding (it stays in the record as taken back)."""
        return self.decide(item_id, key, Verdict.TAKEN_BACK)

    # ------------------------------------------------------------ out, and away

    def export(self, run_id: int, path: Path, fmt: str = "") -> None:
        """Write the results as ``xlsx``, ``csv``, ``json``, ``md``, ``docx`` or ``pdf`` (else by the file's
        ending); raise `UsageError`, `PolicyRefused`."""
        run = self._runs.run(run_id)
        fmt = export.format_of(path, fmt)
        with self._audit.refusals("export", {"run": run_id}):
            self._policy.require_export(fmt)
        export.write(run, self._runs.items(run_id), path, fmt)
        self._write(AuditEvent.TASK_EXPORTED, run_id, format=fmt)

    def evidence(self, run_id: int, path: Path) -> None:
        """Write the signed evidence record of a run."""
        from localai_app.tasks.records import evidence  # noqa: PLC0415

        run = self._runs.run(run_id)
        with self._audit.refusals("export", {"run": run_id}):
            self._policy.require_export("evidence")
        documents = [*self._documents.documents(), *self._documents.documents(trashed=True)]
        known = {document.id: document for document in documents}
        evidence.write(run, self._runs.items(run_id), path, audit=self._audit, documents=known)

    def remove(self, run_ids: Sequence[int]) -> None:
        """Put runs in the trash; `restore` undoes it."""
        for run_id in run_ids:
            if self._runs.run(run_id).state in _LIVE:
                self.stop(run_id)
        self._change(run_ids, AuditEvent.TASK_TRASHED, self._runs.trash)

    def restore(self, run_ids: Sequence[int]) -> None:
        """Take runs out of the trash."""
        self._change(run_ids, AuditEvent.TASK_RESTORED, self._runs.restore)

    def erase(self, run_ids: Sequence[int]) -> None:
        """Erase runs in the trash with all that came of them, for good."""
        for run_id in run_ids:
            if self._runs.run(run_id).trashed is None:
                raise UsageError("Only runs in the trash can be erased.", "Remove them first.")
        with self._audit.refusals("erase"):
            self._policy.require_delete()
        self._change(run_ids, AuditEvent.TASK_ERASED, self._runs.erase)

    def tonight(self) -> datetime:
        """When “run tonight” begins: the next 22:00 of this machine's clock."""
        now = self._runs.now().astimezone()
        tonight = now.replace(hour=_TONIGHT, minute=0, second=0, microsecond=0)
        return tonight if tonight > now else tonight + timedelta(days=1)

    def close(self) -> None:
        """End work; a run that was under way goes on at the next start."""
        self._watchers.close()
        self._runner.close()

    # ------------------------------------------------------------ small things

    def _allowed(self, name: str, options: msgspec.Struct) -> TaskKind:
        """The kind of that name, which policy and its own check allow with these options."""
        kind = kind_of(name, self._kinds)
        with self._audit.refusals("task", {"kind": name}):
            for needed in policy_names(name, options):
                self._policy.require_task(needed)
        kind.check(options)
        return kind

    def _place(self, scope: Scope) -> str:
        """The collections of ``scope`` by name."""
        names = {one.id: one.name for one in self._documents.collections()} if scope.collections else {}
        return ", ".join(names[number] for number in scope.collections if number in names)

    def _is_early(self, run: Run) -> bool:
        hour = run.settings.not_before
        return hour is not None and hour > self._runs.now()

    def _changeable(self, run_id: int) -> Run:
        run = self._runs.run(run_id)
        if run.trashed is not None:
            raise UsageError("This run is in the trash.", "Restore it first.")
        if isinstance(run.options, LostOptions):
            raise UsageError("Another version of the app began this run.", "Go on with it there.")
        return run

    def _end(self, run_id: int, state: RunState, event: AuditEvent, from_: Sequence[RunState]) -> None:
        self._runs.run(run_id)
        with self._runs.transaction():
            if self._runs.set_state(run_id, state, from_):
                self._write(event, run_id)
        self._watchers.tell()

    def _change(
        self, run_ids: Sequence[int], event: AuditEvent, act: Callable[[Sequence[int]], None]
    ) -> None:
        """Do ``act`` to runs, in one transaction."""
        with self._runs.transaction():
            for run_id in run_ids:
                self._runs.run(run_id)
            act(run_ids)
            for run_id in run_ids:
                self._write(event, run_id)
        self._watchers.tell()

    def _write(self, event: AuditEvent, run_id: int, **body: BodyValue) -> None:
        self._audit.append(event, str(run_id), body)
