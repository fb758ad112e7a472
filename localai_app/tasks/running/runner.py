"""Does the runs, one after another, in a thread that lives as long as there is something to do.

The queue is the store itself: what is in it survives whatever happens. A run that is worked on carries a
lease, so window and command line may share a store, and what a process that died left is gone on with.
"""

import contextlib
import hashlib
import logging
import threading
from collections.abc import Iterator, Sequence

from localai_app.documents.progress import Watchers
from localai_app.documents.service import DocumentService
from localai_app.engine.client import Engine
from localai_app.engine.protocol import ModelInfo, Segment
from localai_app.errors import (
    AnotherModel,
    EngineError,
    GgufError,
    LocalAIError,
    ModelLoadFailed,
    NotFound,
    PolicyRefused,
    StoreError,
    StoreLocked,
    UsageError,
    report,
)
from localai_app.governance.audit import Audit, AuditEvent
from localai_app.governance.policy import Policy
from localai_app.models.service import ModelService
from localai_app.store import leases
from localai_app.tasks.kinds import kind_of, policy_names
from localai_app.tasks.rows import LostOptions
from localai_app.tasks.run import ModelUsed, Run, RunProgress, RunState
from localai_app.tasks.running.batch import Batch, Control, LeaseLost
from localai_app.tasks.running.power import KeepAwake
from localai_app.tasks.running.progress import Meter
from localai_app.tasks.running.steps import Steps
from localai_app.tasks.runs import Runs
from localai_app.tasks.task import TaskKind

log = logging.getLogger(__name__)

_LOCKED_SECONDS = 1.0
"""After which a store, or a model, that others kept busy is tried again."""
_HOUR_SECONDS = 60.0
"""How often the clock is looked at while a run waits for its hour: a timer stands still while the computer
sleeps, the clock does not."""
_LOOK_SECONDS = 1.0
"""How often what other processes did to the run in hand is looked at."""
_BEAT_SECONDS = leases.LEASE_SECONDS / 4
_NO_MODEL = (EngineError, GgufError, PolicyRefused, UsageError)
"""What keeps a run from going on, whatever its documents."""


class Runner:
    """Works on the runs that were asked for, or on all that wait."""

    def __init__(  # noqa: PLR0917 - the rooms and parts it joins
        self,
        runs: Runs,
        kinds: Sequence[TaskKind],
        documents: DocumentService,
        models: ModelService,
        engine: Engine,
        policy: Policy,
        audit: Audit,
        watchers: Watchers,
        awake: KeepAwake,
    ) -> None:
        self._runs = runs
        self._kinds = kinds
        self._documents = documents
        self._models = models
        self._engine = engine
        self._policy = policy
        self._audit = audit
        self._watchers = watchers
        self._awake = awake
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._closed = threading.Event()
        self._wanted: set[int] | None = set()
        """Runs that this process works on; None: all."""
        self._in_hand: tuple[int, Control, Meter] | None = None
        self._notice = ""

    # ------------------------------------------------------------ from any thread

    def start(self, run_id: int | None = None) -> None:
        """Work on a run, or (None) on all that wait, from now on; starts nothing where nothing waits."""
        with self._lock:
            if self._closed.is_set():
                return
            if run_id is None:
                self._wanted = None
            elif self._wanted is not None:
                self._wanted.add(run_id)
            self._start()

    def _start(self) -> None:
        with self._lock:
            if self._closed.is_set():
                return
            self.let_go_abandoned()
            self._notice = ""
            self._wake.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="tasks", daemon=True)
                self._thread.start()

    def let_go_abandoned(self) -> None:
        """Let runs wait whose process has died."""
        with self._lock, self._runs.transaction():
            self._runs.requeue_abandoned(self._in_hand[0] if self._in_hand else None)

    @property
    def rests(self) -> bool:
        """Whether no run is in hand."""
        return self._in_hand is None

    def pause(self, run_id: int) -> None:
        """End the run after the steps that are under way, if it is in hand."""
        if hand := self._hand(run_id):
            hand.pause()
        self._wake.set()

    def stop(self, run_id: int) -> None:
        """End the run at once, if it is in hand."""
        if hand := self._hand(run_id):
            hand.stop()
        self._wake.set()

    def progress(self) -> RunProgress:
        """How far the run in hand is."""
        in_hand = self._in_hand
        return in_hand[2].now() if in_hand else RunProgress(notice=self._notice)

    def close(self) -> None:
        """End at once; what is half done goes on at the next start."""
        with self._lock:
            self._closed.set()
            self._wake.set()
            thread = self._thread
            if self._in_hand:
                self._in_hand[1].stop()
        if thread:
            thread.join()
        self._awake.close()

    def _hand(self, run_id: int) -> Control | None:
        in_hand = self._in_hand
        return in_hand[1] if in_hand and in_hand[0] == run_id else None

    # ------------------------------------------------------------ the thread

    def _work(self) -> None:
        again = False
        try:
            while run := self._next():
                self._do(run)
        except StoreLocked:
            again = not self._closed.wait(_LOCKED_SECONDS)
        except StoreError as error:
            self._notice = f"Tasks are halted. {error.line}"
        finally:
            with self._lock:
                if self._thread is threading.current_thread():
                    self._thread = None
            if again:
                with contextlib.suppress(StoreError):
                    self._start()
            elif self._thread is None:
                self._awake.want(wanted=False)
            self._watchers.tell()

    def _next(self) -> Run | None:
        """The next run, whose hour is waited for. After None the thread ends: whoever queues one more starts
        another."""
        while True:
            with self._lock:
                self._wake.clear()
                run, hour = None, None
                if not self._closed.is_set():
                    with self._runs.transaction():
                        run = self._runs.claim(self._wanted)
                    hour = None if run else self._runs.next_hour(self._wanted)
                if run is None and hour is None:
                    self._thread = None
                    return None
                if run is not None:
                    self._in_hand = run.id, Control(), Meter(run.id)
                    return run
            assert hour is not None, "there is a run that waits for it"
            moment, keep_awake = hour
            left = (moment - self._runs.now()).total_seconds()
            self._awake.want(keep_awake)
            self._wake.wait(max(min(left, _HOUR_SECONDS), 0.1))

    def _do(self, run: Run) -> None:
        """Work on a run; whatever comes of it, it is told and let go."""
        assert self._in_hand is not None
        _, control, meter = self._in_hand
        self._watchers.tell()
        try:
            self._awake.want(run.settings.keep_awake)
            with self._beating(run.id, control), self._engine.hold():
                self._batch(run, control, meter).work()
            if not control.pausing:
                self._finish(run)
        except (LeaseLost, NotFound):
            pass  # it is another's by now, or was erased
        except _NO_MODEL as error:
            self._give_up(run, error)
        except StoreError:
            raise
        except Exception as error:
            # Without the error's message, which may quote a document.
            log.error("a run ended by a fault of the app\n%s", report(error))  # noqa: TRY400
            line = f"It stopped by a fault of this app ({type(error).__name__})."
            self._give_up(run, LocalAIError(line, "Please report it."))
        finally:
            try:
                with self._runs.transaction():
                    self._runs.release(run.id)
            finally:
                self._in_hand = None
                self._watchers.tell()

    def _batch(self, run: Run, control: Control, meter: Meter) -> Batch:
        kind = kind_of(run.kind, self._kinds)
        if isinstance(run.options, LostOptions):
            raise UsageError(
                "Another version of the app began this run.", "Go on with it there, or begin anew."
            )
        with self._audit.refusals("task", {"run": run.id}):
            for needed in policy_names(kind.name, run.options):
                self._policy.require_task(needed)
        return Batch(
            run,
            kind,
            self._runs,
            self._documents,
            self._audit,
            lambda: self._begin_steps(run, control, meter),
            lambda text: self._engine.count([Segment(text=text)]) if text else 0,
            control,
            meter,
            self._watchers.tell,
        )

    def _finish(self, run: Run) -> None:
        with self._runs.transaction():
            if not self._runs.finish(run.id):
                return  # somebody queued a document again meanwhile
            done = self._runs.run(run.id)
            self._audit.append(
                AuditEvent.TASK_FINISHED,
                str(run.id),
                {"documents": done.documents, "done": done.done, "failed": done.failed},
            )

    def _give_up(self, run: Run, error: LocalAIError) -> None:
        """The run cannot go on: pause it, and say why."""
        with self._runs.transaction():
            if self._runs.set_state(run.id, RunState.PAUSED, [RunState.RUNNING], error.line):
                self._audit.append(AuditEvent.TASK_PAUSED, str(run.id), {"code": type(error).__name__})

    @contextlib.contextmanager
    def _beating(self, run_id: int, control: Control) -> Iterator[None]:
        """Inside, the lease is kept, and what other processes do to the run is seen."""
        over = threading.Event()

        def beat() -> None:
            since = 0.0
            while not over.wait(_LOOK_SECONDS):
                since += _LOOK_SECONDS
                with contextlib.suppress(StoreError):
                    if since >= _BEAT_SECONDS:
                        since = 0.0
                        with self._runs.transaction():
                            state = self._runs.renew(run_id)
                    else:
                        state = self._runs.state(run_id)
                    control.follow(state)

        thread = threading.Thread(target=beat, name="tasks lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    # ------------------------------------------------------------ the model

    def _begin_steps(self, run: Run, control: Control, meter: Meter) -> Steps:
        """Load the selected model, which must be the run's; raise an `EngineError` or `UsageError`."""
        info, used = self._load(control, meter)
        begun_with = self._runs.run(run.id).model
        if begun_with is not None and begun_with.sha256 != used.sha256:
            raise another_model(begun_with.name, used.name)
        if begun_with != used:
            with self._runs.transaction():
                self._runs.set_model(run.id, used)

        def is_current() -> bool:
            now = self._engine.model
            return now is not None and now.path == info.path and self._models.loaded_sha256 == used.sha256

        return Steps(
            self._engine,
            used,
            is_current,
            f"task {run.id}",
            deterministic=run.settings.deterministic,
        )

    def _load(self, control: Control, meter: Meter) -> tuple[ModelInfo, ModelUsed]:
        while True:
            try:
                info = self._models.load()
                break
            except ModelLoadFailed as error:
                if self._engine.model is None or control.pausing:
                    raise
                # A person has another model write an answer; that goes first.
                meter.notice = error.line
                self._watchers.tell()
                self._closed.wait(_LOCKED_SECONDS)
        meter.notice = ""
        template = info.chat_template or ""
        return info, ModelUsed(
            name=self._models.selected().name,
            sha256=self._models.loaded_sha256,
            engine_build=info.engine_build,
            device=info.device,
            context_length=info.context_length,
            template_sha256=hashlib.sha256(template.encode()).hexdigest() if template else "",
        )


def another_model(begun_with: str, selected: str) -> AnotherModel:
    """The error of a run that would go on with another model."""
    return AnotherModel(
        f"This run was begun with {begun_with}; {selected} is selected now.",
        f"Choose {begun_with}, or resume it with this model: the results then come from two models.",
    )
