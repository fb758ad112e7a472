"""The documents of one run, side by side: rounds of steps come from each document's generator, their outputs
go back into it, and what it returns in the end is kept.

About 16 steps are under way, of as many documents as that takes, in the order of the run: so short documents
fill the engine's batch, and the next ones begin before the last step of one has ended. Each step's output is
kept until its document is finished; a run that goes on after a break sends what was kept into new generators,
and asks the engine only for the rest.
"""

import hashlib
import hmac
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

import msgspec

from localai_app.documents.service import DocumentService
from localai_app.errors import (
    EngineExited,
    LocalAIError,
    NotFound,
    RequestFailed,
    StoreError,
    TemplateFailed,
    report,
)
from localai_app.governance.audit import Audit, AuditEvent, BodyValue, Content
from localai_app.tasks.run import Item, ItemCost, ItemState, Run, RunState
from localai_app.tasks.running.hand import Desk, Finished, Hand, NotReady, Round
from localai_app.tasks.running.progress import Meter
from localai_app.tasks.running.steps import ModelTaken, Steps, Stopped
from localai_app.tasks.runs import KeptStep, Runs
from localai_app.tasks.task import Output, Step, TaskKind, needs_review

log = logging.getLogger(__name__)

SIDE_BY_SIDE = 16
"""Steps under way or queued; the engine decides how many advance at once."""
_HELPERS = 2
"""Threads that read pages and look up what came back, while the engine computes."""
_TRIES = 3
"""Of a document, where another may help."""
_CRASHES = 2
"""Of the engine, after which a document is to blame."""
_RESTARTS = 5
"""Of the engine without a step done in between, after which it is not the documents."""
_LOOK_SECONDS = 0.05
_READING_SECONDS = 0.5
"""How often documents that are still being read are looked at."""


class LeaseLost(Exception):
    """Somebody else has the run by now, or it is gone."""


class Control:
    """How a run in hand is told to end; from any thread."""

    def __init__(self) -> None:
        self.pausing = False
        """Begin no more steps."""
        self.stopping = False
        self._steps: Steps | None = None
        self._lock = threading.Lock()

    def pause(self) -> None:
        """End after the steps that are under way."""
        self.pausing = True

    def stop(self) -> None:
        """End within 100 ms."""
        with self._lock:
            self.stopping = self.pausing = True
            if self._steps:
                self._steps.cancel()

    def follow(self, state: RunState | None) -> None:
        """Do what the store says of the run, to which others may have written."""
        if state in (None, RunState.STOPPED):
            self.stop()
        elif state is not RunState.RUNNING:
            self.pause()

    def using(self, steps: Steps) -> Steps:
        """These are what is stopped from now on."""
        with self._lock:
            self._steps = steps
            if self.stopping:
                steps.cancel()
        return steps


@dataclass(frozen=True)
class _Job:
    hand: Hand
    number: int = -1
    """Of the step; -1: the document's generator goes on."""


_Answer = tuple[_Job, Output, ItemCost]


class Batch:
    """Works on the documents of one run that are left."""

    def __init__(  # noqa: PLR0917 - the rooms and parts it joins
        self,
        run: Run,
        kind: TaskKind,
        runs: Runs,
        documents: DocumentService,
        audit: Audit,
        begin_steps: Callable[[], Steps],
        count: Callable[[str], int],
        control: Control,
        meter: Meter,
        tell: Callable[[], None],
    ) -> None:
        """``begin_steps`` loads the model, again after the engine died; ``count`` counts a text's tokens."""
        self._run = run
        self._runs = runs
        self._documents = documents
        self._audit = audit
        self._kind = kind
        self._begin_steps = begin_steps
        self._count = count
        self._control = control
        self._meter = meter
        self._tell = tell
        self._todo: deque[Item] = deque()
        self._suspects: deque[Item] = deque()
        self._unready: deque[Item] = deque()
        self._crashes: dict[int, int] = {}
        self._restarts = 0
        self._hands: list[Hand] = []
        self._queue: deque[tuple[Hand, int, Step]] = deque()
        self._jobs: dict[Future[object], _Job] = {}

    def work(self) -> None:
        """Work until nothing is left, or ``control`` says otherwise.

        Raise `LeaseLost`; `EngineError`, `PolicyRefused` or `UsageError` where there is no model to go on
        with; `StoreError`.
        """
        self._desk = self._begin()
        self._expect()
        with (
            ThreadPoolExecutor(SIDE_BY_SIDE, "task steps") as self._pool,
            ThreadPoolExecutor(_HELPERS, "task documents") as self._helpers,
        ):
            try:
                while self._go_on():
                    pass
            finally:
                self._desk.steps.cancel()

    def _begin(self) -> Desk:
        """Load the model, and lay out what documents are worked on with."""
        steps = self._control.using(self._begin_steps())
        return Desk(self._run, self._kind, self._runs, self._documents, self._count, self._meter, steps)

    def _expect(self) -> None:
        """Which documents there are, and how long each takes."""
        items = self._runs.items(self._run.id)
        self._todo = deque(item for item in items if item.state in (ItemState.WAITING, ItemState.RUNNING))
        sizes = {document.id: document.tokens for document in self._documents.documents()}
        desk = self._desk
        steps = {
            item.id: self._kind.cost(
                sizes.get(item.document_id or 0, 0), desk.window, self._run.options
            ).steps
            for item in items
        }
        self._meter.expect(steps, {item.id for item in items} - {item.id for item in self._todo})
        self._tell()

    # ------------------------------------------------------------ the loop

    def _go_on(self) -> bool:
        """One turn; whether there is another."""
        if self._control.stopping:
            return False
        if not self._control.pausing:
            self._fill()
        if self._jobs:
            done, _ = wait(self._jobs, timeout=_LOOK_SECONDS, return_when=FIRST_COMPLETED)
            if done:
                self._settle(done)
            return True
        if self._control.pausing or not (self._todo or self._suspects or self._unready):
            return False
        if self._unready and not self._todo:
            self._wait_for_reading()
        return True

    def _fill(self) -> None:
        """Keep the engine busy: steps that wait first, then the next documents."""
        width = 1 if self._run.settings.deterministic else SIDE_BY_SIDE
        doing = sum(job.number >= 0 for job in self._jobs.values())
        while doing < width and self._queue:
            hand, number, step = self._queue.popleft()
            future: Future[object] = self._pool.submit(self._desk.steps.do, step)
            self._jobs[future] = _Job(hand, number)
            doing += 1
        while len(self._jobs) + len(self._queue) < width and (item := self._next()):
            hand = Hand(item, alone=item.id in self._crashes)
            self._hands.append(hand)
            self._advance(hand)

    def _next(self) -> Item | None:
        """The next document; one that may have ended the engine waits until it can be alone."""
        if any(hand.alone for hand in self._hands):
            return None
        if self._suspects:
            return None if self._hands else self._suspects.popleft()
        return self._todo.popleft() if self._todo else None

    def _advance(self, hand: Hand) -> None:
        """Let a document's generator go on, with the outputs of its round."""
        future: Future[object] = self._helpers.submit(hand.next_round, self._desk)
        self._jobs[future] = _Job(hand)

    def _wait_for_reading(self) -> None:
        number = len(self._unready)
        words = "a document to be read" if number == 1 else f"{number:,} documents to be read"
        paused = " Reading is paused in Documents." if self._documents.work().paused else ""
        self._notice(f"It waits for {words}.{paused}")
        self._documents.wait(_READING_SECONDS)
        self._todo, self._unready = self._unready, deque()

    def _notice(self, line: str) -> None:
        if self._meter.notice != line:
            self._meter.notice = line
            self._tell()

    # ------------------------------------------------------------ what came back

    def _settle(self, done: set[Future[object]]) -> None:
        """Take in what jobs came to; what the engine said is kept in one transaction."""
        ended = [(self._jobs.pop(future), future) for future in done]
        answered: list[_Answer] = []
        crashed: list[tuple[_Job, Exception]] = []
        for job, future in ended:
            try:
                result = future.result()
            except (EngineExited, ModelTaken) as error:
                crashed.append((job, error))
            except Exception as error:  # whatever it is, it ends this document alone
                self._failed(job.hand, error)
            else:
                if isinstance(result, tuple):
                    answered.append((job, *result))
                else:
                    self._came(job.hand, result)
        self._keep([one for one in answered if not one[0].hand.over])
        if crashed:
            self._restart(crashed)
        self._tell()

    def _came(self, hand: Hand, result: object) -> None:
        """A document's generator wants a round of steps, or is done."""
        if hand.over:
            return
        if isinstance(result, Round):
            # Steps of documents that began earlier go first.
            self._queue.extend((hand, number, step) for number, step in result.steps)
            if self._meter.notice:
                self._notice("")
        elif isinstance(result, Finished):
            self._finish(hand, result)

    def _keep(self, answered: Sequence[_Answer]) -> None:
        if not answered:
            return
        self._restarts = 0
        self._store(answered)
        for job, output, cost in answered:
            self._meter.step(job.hand.item.id)
            if job.hand.take(job.number, output, cost):
                self._advance(job.hand)

    def _store(self, answered: Sequence[_Answer]) -> None:
        with self._runs.transaction():
            self._renew()
            for job, output, cost in answered:
                step = KeptStep(job.number, job.hand.asked[job.number], output, cost)
                self._runs.keep_step(job.hand.item.id, step)

    def _finish(self, hand: Hand, finished: Finished) -> None:
        """Keep what came of a document: one transaction."""
        item, outcome, model = hand.item, finished.outcome, self._desk.steps.model
        prompts = hashlib.sha256("\n".join(hand.asked).encode()).hexdigest()
        cost = msgspec.structs.replace(hand.cost, seconds=round(time.monotonic() - hand.began, 3))
        to_review = sum(map(needs_review, outcome.findings))
        with self._runs.transaction():
            self._renew()
            kept = self._runs.finish_item(
                item.id, outcome, finished.coverage, cost, model, prompts, to_review=to_review
            )
            if kept:
                content = msgspec.json.encode(outcome)
                body: dict[str, BodyValue] = {
                    "prompts": prompts,
                    "pages": finished.coverage.total,
                    "pages_read": finished.coverage.read,
                    "findings": len(outcome.findings),
                    "steps": cost.steps,
                    "output_tokens": cost.output_tokens,
                }
                written = Content("result", f"run {self._run.id}", content.decode())
                self._write_audit(item, ItemState.DONE, self._hmac(item, content), body, written)
        self._close(hand)
        self._meter.finished(item.id)

    def _failed(self, hand: Hand, error: Exception) -> None:
        """A document's job raised: decide what becomes of the document."""
        if isinstance(error, Stopped) or hand.over:
            self._close(hand)
        elif isinstance(error, NotFound) and self._runs.item(hand.item.id).state is ItemState.ERASED:
            self._close(hand)
            self._meter.finished(hand.item.id)
        elif isinstance(error, StoreError | TemplateFailed | LeaseLost):
            raise error  # no other document would fare better
        elif isinstance(error, NotReady):
            self._close(hand)
            self._unready.append(hand.item)
        elif isinstance(error, RequestFailed) and self._runs.item(hand.item.id).attempts < _TRIES:
            self._again(hand, self._todo.appendleft)
        elif isinstance(error, LocalAIError):
            self._fail(hand, error.line, type(error).__name__)
        else:
            log.error("task %s failed by a fault of the app\n%s", self._kind.name, report(error))
            line = f"It failed by a fault of this app ({type(error).__name__}). Please report it."
            self._fail(hand, line, "Fault")

    def _fail(self, hand: Hand, line: str, code: str) -> None:
        item = hand.item
        with self._runs.transaction():
            self._renew()
            if self._runs.fail_item(item.id, line, self._desk.steps.model):
                self._write_audit(item, ItemState.FAILED, "", {"code": code})
        self._close(hand)
        self._meter.finished(item.id)

    def _again(self, hand: Hand, put: Callable[[Item], None]) -> None:
        """Try a document once more; what was kept of it serves."""
        with self._runs.transaction():
            self._renew()
            self._runs.try_again(hand.item.id)
        self._close(hand)
        self._meter.again(hand.item.id)
        put(hand.item)

    def _close(self, hand: Hand) -> None:
        hand.over = True
        if hand in self._hands:
            self._hands.remove(hand)
        self._queue = deque(one for one in self._queue if one[0] is not hand)

    # ------------------------------------------------------------ the engine died

    def _restart(self, crashed: list[tuple[_Job, Exception]]) -> None:
        """Begin again what was in work when the engine died, one by one: so it shows whose fault it is."""
        if self._control.stopping:
            return
        self._desk.steps.cancel()
        wait(self._jobs)
        answered: list[_Answer] = []
        for future, job in self._jobs.items():
            error = future.exception()
            if isinstance(error, EngineExited | ModelTaken):
                crashed.append((job, error))
            elif error is None and isinstance(result := future.result(), tuple):
                answered.append((job, *result))
        self._jobs.clear()
        self._store([one for one in answered if not one[0].hand.over])
        blamed = {
            job.hand
            for job, error in crashed
            if job.number >= 0 and isinstance(error, EngineExited) and not job.hand.over
        }
        for hand in reversed([hand for hand in self._hands if hand not in blamed]):
            self._close(hand)
            self._meter.again(hand.item.id)
            (self._suspects if hand.alone else self._todo).appendleft(hand.item)
        for hand in sorted(blamed, key=lambda hand: hand.item.id):
            self._blame(hand)
        self._restarts += 1
        if self._restarts > _RESTARTS:
            errors = (error for _, error in crashed if isinstance(error, EngineExited))
            raise next(errors, _taken_again_and_again())
        self._desk = self._begin()

    def _blame(self, hand: Hand) -> None:
        """The engine died while this document was in work."""
        crashes = self._crashes[hand.item.id] = self._crashes.get(hand.item.id, 0) + 1
        if crashes < _CRASHES:
            self._again(hand, self._suspects.append)
        else:
            line = "The engine stopped at this document twice. Try another model."
            self._fail(hand, line, "EngineExited")

    # ------------------------------------------------------------ small things

    def _renew(self) -> None:
        """In each transaction: the run must still be this process's."""
        state = self._runs.renew(self._run.id)
        if state is None:
            raise LeaseLost
        self._control.follow(state)

    def _hmac(self, item: Item, content: bytes) -> str:
        return hmac.digest(self._runs.content_key(item.id), content, "sha256").hex()

    def _write_audit(
        self,
        item: Item,
        state: ItemState,
        name: str,
        body: dict[str, BodyValue],
        written: Content | None = None,
    ) -> None:
        model = self._desk.steps.model
        self._audit.append(
            AuditEvent.TASK_ITEM_FINISHED,
            name,
            {
                "run": self._run.id,
                "item": item.id,
                "document": item.document_id,
                "state": str(state),
                "model": model.sha256,
                "engine": model.engine_build,
                **body,
            },
            content=written,
        )


def _taken_again_and_again() -> EngineExited:
    return EngineExited(
        "Another model is loaded again and again.", "Resume the run when nobody else uses another model."
    )
