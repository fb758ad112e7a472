"""Fetching models: a queue that survives whatever happens, and nothing half-installed.

The puller process (``hub.py``) appends to files in a quarantine folder that no list of models looks
into. This process hashes each file while it grows, reads its header in a confined child and loads it
once in a worker; only then is the model renamed into the models folder. How much of a file has come is
the file's own length, so a kill loses nothing but what was on the wire, and the store says the rest.
"""

import contextlib
import os
import queue
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from localai_app.errors import LocalAIError, NotFound, PullFailed, UsageError
from localai_app.governance.audit import Audit, AuditEvent, BodyValue
from localai_app.governance.policy import Policy
from localai_app.models.connection import Connection
from localai_app.models.copying import RESERVE
from localai_app.models.fetching import Active, Fetcher, Stopped
from localai_app.models.growing_hash import size_of
from localai_app.models.hub_protocol import Configure, Describe, Described, Found, FoundRepository, Search
from localai_app.models.puller import Pullers
from localai_app.models.pulls import PullFile, PullRow, Pulls, PullState
from localai_app.models.quantisations import Choice
from localai_app.models.quarantine import Quarantine
from localai_app.models.repository import Repository, base_name, checked, chosen, require_repository_name
from localai_app.store.database import Database
from localai_app.store.files import make_private_folder

__all__ = ["Choice", "FoundRepository", "Pull", "PullFile", "PullService", "PullState", "Repository"]

_BEAT_SECONDS = 1.0
"""How often the lease is renewed, the disk looked at and the watchers told while bytes come."""


@dataclass(frozen=True)
class Pull:
    """A model that is fetched, or was."""

    id: int
    repo: str
    revision: str
    """Commit."""
    files: tuple[PullFile, ...]
    state: PullState
    done: int
    """Bytes that are here."""
    total: int
    speed: float = 0.0
    """Bytes per second over the last seconds; 0 where nothing comes."""
    seconds_left: float | None = None
    """None where that cannot be told."""
    note: str = ""
    """What it waits for, such as a connection that was lost; empty while all is well."""
    error: str = ""
    """Why it failed and what to do, in one line."""
    path: Path | None = None
    """The installed model: its file, or the first of several."""

    @property
    def name(self) -> str:
        """Of the first file."""
        return PurePosixPath(self.files[0].name).name


class PullService:
    """All that either face can do with a hub. Methods that ask it block until it answers."""

    def __init__(  # noqa: PLR0917 - the rooms below it
        self,
        database: Database,
        folder: Path,
        connection: Connection,
        policy: Policy,
        audit: Audit,
        check: Callable[[Path], None],
        *,
        on_installed: Callable[[PullRow], None] = lambda row: None,
        free_space: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
        configure: Callable[[Configure], Configure] = lambda configure: configure,
    ) -> None:
        """Models go into ``folder``. ``check`` raises `LocalAIError` for one that cannot be used.

        ``on_installed`` is told of one that stands in its place, in the transaction that says so.
        ``free_space`` and ``configure`` (which may change what the puller is told) are seams of tests.
        """
        self._database = database
        self._pulls = Pulls(database)
        self._folder = folder
        self._quarantine = Quarantine(folder)
        self._connection = connection
        self._policy = policy
        self._audit = audit
        self._check = check
        self._on_installed = on_installed
        self._free_space = free_space
        self._configure = configure
        self._pullers = self._make_pullers()
        self._lock = threading.RLock()
        self._active: Active | None = None
        self._thread: threading.Thread | None = None
        self._closed = False
        self.closing = threading.Event()
        """Set by `close`: a check that takes long had better end."""
        self._watchers: list[Callable[[Pull], None]] = []
        self.connections: dict[str, int] = {}
        """Hosts that were connected to since the start, each with the number of pullers that did."""

    # ------------------------------------------------------------ asking the hub

    def search(self, text: str, limit: int = 30) -> list[FoundRepository]:
        """Repositories with GGUF files, the most downloaded first. Raise `PolicyRefused`, `PullFailed`."""
        self._asked(self._policy.require_search)
        found = self._pullers.ask(lambda number: Search(number, text.strip()[:200], min(limit, 100)))
        assert isinstance(found, Found), "a search is answered by what was found"
        return list(found.repositories)

    def repository(self, repo: str, revision: str = "main", *, from_catalogue: bool = False) -> Repository:
        """What a repository holds at a branch, tag or commit.

        Raise `UsageError`, `PolicyRefused` or `PullFailed` (gated, no such repository, no connection).
        """
        require_repository_name(repo)
        self._asked(self._policy.require_connection if from_catalogue else self._policy.require_search)
        said = self._pullers.ask(lambda number: Describe(number, repo, revision), repo)
        assert isinstance(said, Described), "a question about a repository is answered by a description"
        return checked(said, repo)

    # ------------------------------------------------------------ the queue

    def start(
        self,
        repo: str,
        files: Sequence[str],
        revision: str = "main",
        *,
        sha256: Mapping[str, str] | None = None,
        from_catalogue: bool = False,
    ) -> Pull:
        """Queue the model that ``files`` of a repository make up (all parts of a split one).

        The revision is pinned to its commit. ``sha256`` (by file name) is what a catalogue says: what
        the hub offers must be that. Raise `UsageError`, `PolicyRefused` or `PullFailed`.
        """
        described = self.repository(repo, revision, from_catalogue=from_catalogue)
        wanted = chosen(described, files, sha256 or {})
        self._asked(
            lambda: self._policy.require_pull(
                described.repo, licence=described.licence, from_catalogue=from_catalogue
            )
        )
        if len(wanted) == 1 and wanted[0].sha256:
            self._asked(lambda: self._policy.require_model(wanted[0].sha256), wanted[0].sha256)
        target = self._folder / described.repo
        if all(_has(target / base_name(file), file.size) for file in wanted):
            raise UsageError(f"{base_name(wanted[0])} is on this computer already.", f"It is in {target}.")
        for row in self._pulls.all():
            same = row.repo == described.repo and {f.name for f in row.files} == {f.name for f in wanted}
            if same and not row.state.ended:
                raise UsageError(f"{base_name(wanted[0])} is being downloaded already.")
        self._require_space(sum(file.size for file in wanted) + self._still_to_come())
        with self._database.transaction():
            pull_id = self._pulls.add(described.repo, described.revision, described.licence, wanted)
            self._write_audit(AuditEvent.MODEL_PULL_STARTED, self._row(pull_id))
        self._work_on()
        return self.pull(pull_id)

    def pulls(self) -> list[Pull]:
        """All pulls in the order of the queue; what has ended stays until it is removed."""
        return [self._seen(row) for row in self._pulls.all()]

    def pull(self, pull_id: int) -> Pull:
        """One pull; raise `NotFound`."""
        return self._seen(self._row(pull_id))

    def pause(self, pull_id: int) -> Pull:
        """Stop for now; what is here stays. One that has ended stays as it is."""
        unfinished = (PullState.QUEUED, PullState.RUNNING, PullState.CHECKING)
        self._change(pull_id, PullState.PAUSED, unfinished)
        return self._tell(pull_id)

    def resume(self, pull_id: int) -> Pull:
        """Go on with one that was paused or failed, where it stopped."""
        row = self._row(pull_id)
        stopped = (PullState.PAUSED, PullState.FAILED)
        if row.state in stopped:
            self._asked(self._policy.require_connection)
            self._require_space(self._quarantine.missing(row) + self._still_to_come())
            self._pulls.change(pull_id, PullState.QUEUED, from_=stopped)
            self._work_on()
        return self._tell(pull_id)

    def cancel(self, pull_id: int) -> Pull:
        """Give it up and delete what has come; one that is installed stays."""
        before = tuple(
            state for state in PullState if state not in (PullState.INSTALLED, PullState.CANCELLED)
        )
        if self._change(pull_id, PullState.CANCELLED, before):
            row = self._row(pull_id)
            self._write_audit(AuditEvent.MODEL_PULL_CANCELLED, row)
            self._clear(row)
        return self._tell(pull_id)

    def remove(self, pull_id: int) -> None:
        """Take it off the list; what has come of an unfinished one is deleted, an installed model stays."""
        row = self._row(self.cancel(pull_id).id)
        self._clear(row)
        self._pulls.remove(pull_id)

    def move_to_front(self, pull_id: int) -> None:
        """Let it be the next when the one that is worked on has ended."""
        self._pulls.move_to_front(self._row(pull_id).id)

    def restore(self) -> None:
        """Go on with what the last run left unfinished. Starts nothing where there is nothing."""
        if self._pulls.requeue_abandoned():
            self._work_on()

    def set_limit(self, bytes_per_second: int) -> None:
        """Fetch no faster than this, all pulls together and from now on; 0: as fast as it goes."""
        self._connection.set_limit(bytes_per_second)
        self._pullers.set_limit(max(0, bytes_per_second))

    @property
    def busy(self) -> bool:
        """Whether something is fetched or going to be; waits for what was just paused to let go."""
        if any(not row.state.ended for row in self._pulls.all()):
            return True
        if thread := self._thread:
            thread.join()
        return False

    def folder_moved(self, source: Path, target: Path) -> None:
        """The models folder ``source`` is ``target`` now, with all that is in it.

        Part of the caller's transaction; nothing is being fetched.
        """
        self._pulls.folder_moved(f"{source}{os.sep}", f"{target}{os.sep}")
        with self._lock:
            self._pullers.stop()
            self._folder = target
            self._quarantine = Quarantine(target)
            self._pullers = self._make_pullers()

    # ------------------------------------------------------------ watching

    def watch(self, watcher: Callable[[Pull], None]) -> Callable[[], None]:
        """Call ``watcher`` with every change, about once a second while bytes come; call the result to end.

        It is called in the thread that fetches: it must return at once.
        """
        with self._lock:
            self._watchers.append(watcher)

        def end() -> None:
            with self._lock, contextlib.suppress(ValueError):
                self._watchers.remove(watcher)

        return end

    def changes(self, pull_id: int) -> Iterator[Pull]:
        """The pull as it is and after every change, until it has ended (paused and failed count)."""
        seen: queue.SimpleQueue[Pull] = queue.SimpleQueue()
        end = self.watch(lambda pull: seen.put(pull) if pull.id == pull_id else None)
        try:
            pull = self.pull(pull_id)
            yield pull
            while not pull.state.ended:
                try:
                    pull = seen.get(timeout=_BEAT_SECONDS)
                except queue.Empty:  # another process may work on it
                    pull = self.pull(pull_id)
                yield pull
        finally:
            end()

    def close(self) -> None:
        """End the puller; what was under way goes on at the next `restore`."""
        with self._lock:
            self._closed = True
            self.closing.set()
            if self._active:
                self._active.end()
            thread = self._thread
        if thread:
            thread.join()
        self._pullers.stop()

    # ------------------------------------------------------------ one pull after the other

    def _work_on(self) -> None:
        with self._lock:
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._work, name="pulls", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        try:
            while active := self._next_active():
                self._finish(active, *self._outcome(active))
                with self._lock:
                    self._active = None
                self._tell_if_there(active.row.id)
        finally:
            with self._lock:
                self._active = None
                if self._thread is threading.current_thread():
                    self._thread = None
            self._pullers.rest()

    def _next_active(self) -> Active | None:
        """The next of the queue; None ends the thread, and whoever queues one more starts another."""
        with self._lock:
            row = None if self._closed else self._pulls.claim_next()
            self._active = Active(row) if row else None
            if row is None:
                self._thread = None
            return self._active

    def _outcome(self, active: Active) -> tuple[PullState | None, str, str]:
        """Fetch and install; the state it ends in (None: someone else has set it), line and code."""
        try:
            self._run(active)
        except Stopped:
            return (PullState.QUEUED if self._closed else None), "", ""
        except LocalAIError as error:
            if active.stop.is_set():  # what was given up half-way may say so
                return (PullState.QUEUED if self._closed else None), "", ""
            return PullState.FAILED, error.line, getattr(error, "code", "") or type(error).__name__
        except OSError as error:
            line = (
                f"The models folder cannot be used: {error.strerror or error}. Check the disk, then resume."
            )
            return PullState.FAILED, line, type(error).__name__
        except BaseException:
            self._pulls.end(active.row.id, PullState.FAILED, "The download failed for a fault of this app.")
            raise
        return PullState.INSTALLED, "", ""

    def _finish(self, active: Active, state: PullState | None, line: str, code: str) -> None:
        row = self._pulls.get(active.row.id)
        if row is None or row.state is PullState.CANCELLED:
            self._quarantine.delete(active.row)
        if row is None or state is None:
            return
        with self._database.transaction():
            if not self._pulls.end(row.id, state, line):
                return
            if state is PullState.INSTALLED:
                self._on_installed(row)
                self._write_audit(AuditEvent.MODEL_PULLED, row)
            elif state is PullState.FAILED:
                self._write_audit(AuditEvent.MODEL_PULL_FAILED, row, reason=code)
        if state is PullState.INSTALLED:
            self._quarantine.delete(row)

    def _run(self, active: Active) -> None:
        self._asked(self._policy.require_connection)
        self._quarantine.open(active.row)
        fetcher = Fetcher(self._pullers, self._beat)
        for index, file in enumerate(active.row.files):
            if not file.verified:
                digest = fetcher.fetch(active, file, self._quarantine.part(active.row, file))
                verified = replace(file, sha256=digest, verified=True)
                files = (*active.row.files[:index], verified, *active.row.files[index + 1 :])
                self._pulls.set_files(active.row.id, files)
                active.row = replace(active.row, files=files)
        self._install(active)

    def _beat(self, active: Active) -> None:
        """From time to time, show that it is alive and may be; raise `Stopped` or `PullFailed`."""
        if time.monotonic() - active.beat_at < _BEAT_SECONDS:
            return
        active.beat_at = time.monotonic()
        if active.stop.is_set() or not self._pulls.renew(active.row.id):
            raise Stopped
        if self._free_space(self._quarantine.folder) < RESERVE:
            raise _no_space(self._folder)
        active.came(self._quarantine.done(active.row))
        self._tell(active.row.id)

    # ------------------------------------------------------------ from the quarantine into the folder

    def _install(self, active: Active) -> None:
        row = active.row
        path = Path(row.path) if row.path else self._quarantine.target(row) / base_name(row.files[0])
        if not self._pulls.begin_check(row.id, str(path)):
            raise Stopped
        self._tell(row.id)
        first = self._quarantine.name_whole(row)
        if first.exists():
            self._check(first)
        if active.stop.is_set() or not self._pulls.renew(row.id):
            raise Stopped
        self._quarantine.move_out(row, path)

    def _clear(self, row: PullRow) -> None:
        """Delete what lies in the quarantine; of one that is worked on, once that has ended."""
        with self._lock:
            if self._active is None or self._active.row.id != row.id:
                self._quarantine.delete(row)

    def _make_pullers(self) -> Pullers:
        return Pullers(
            lambda: self._configure(self._connection.configure()),
            self._quarantine.folder,
            self._connected,
            self._connection.limit,
        )

    def _connected(self, host: str, refused: bool) -> None:
        if not refused:
            self.connections[host] = self.connections.get(host, 0) + 1
        event = AuditEvent.NETWORK_REFUSED if refused else AuditEvent.NETWORK_CONNECTED
        self._audit.append(event, host)

    # ------------------------------------------------------------ small things

    def _asked(self, require: Callable[[], None], object_id: str = "") -> None:
        """Ask policy; a refusal is audited."""
        with self._audit.refusals(object_id):
            require()

    def _row(self, pull_id: int) -> PullRow:
        row = self._pulls.get(pull_id)
        if row is None:
            raise NotFound(f"There is no download {pull_id}.")
        return row

    def _change(self, pull_id: int, state: PullState, before: tuple[PullState, ...]) -> bool:
        self._row(pull_id)
        with self._lock:
            changed = self._pulls.change(pull_id, state, from_=before)
            if changed and self._active and self._active.row.id == pull_id:
                self._active.end()
        return changed

    def _still_to_come(self) -> int:
        """Bytes that the queue is going to write."""
        return sum(self._quarantine.missing(row) for row in self._pulls.all() if not row.state.ended)

    def _seen(self, row: PullRow) -> Pull:
        total = sum(file.size for file in row.files)
        done = total if row.state is PullState.INSTALLED else self._quarantine.done(row)
        active = self._active
        pull = Pull(row.id, row.repo, row.revision, row.files, row.state, done, total, error=row.error)
        if row.state is PullState.INSTALLED:
            return replace(pull, path=Path(row.path))
        if active and active.row.id == row.id and row.state is PullState.RUNNING:
            speed = active.speed
            left = (total - done) / speed if speed else None
            return replace(pull, speed=speed, seconds_left=left, note=active.note)
        return pull

    def _tell_if_there(self, pull_id: int) -> None:
        with contextlib.suppress(NotFound):  # it may have been removed meanwhile
            self._tell(pull_id)

    def _tell(self, pull_id: int) -> Pull:
        pull = self.pull(pull_id)
        with self._lock:
            watchers = list(self._watchers)
        for watcher in watchers:
            watcher(pull)
        return pull

    def _require_space(self, needed: int) -> None:
        make_private_folder(self._quarantine.folder)
        free = self._free_space(self._quarantine.folder)
        if free < needed + RESERVE:
            raise _no_space(self._folder, needed + RESERVE - free)

    def _write_audit(self, event: AuditEvent, row: PullRow, reason: str = "") -> None:
        body: dict[str, BodyValue] = {
            "repository": row.repo,
            "revision": row.revision,
            "files": [file.name for file in row.files],
            "sha256": [file.sha256 for file in row.files],
            "size": sum(file.size for file in row.files),
        }
        self._audit.append(event, row.files[0].sha256, {**body, "reason": reason} if reason else body)


def _has(path: Path, size: int) -> bool:
    return path.is_file() and size_of(path) == size


def _no_space(folder: Path, missing: int = 0) -> PullFailed:
    more = f"; {missing / 1e9:,.1f} GB are missing" if missing > 0 else ""
    return PullFailed(
        f"There is too little space on the disk that holds {folder}{more}.",
        "Free some space, then resume.",
        code="space",
    )
