"""What a person does with document tasks: price, start, watch, pause, resume, review, take out.

Qt-free: plain calls, from any thread. Every call asks policy and writes audit at this door.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from localai_app.documents.document import Page, Scope
from localai_app.tasks.run import Item, ReviewItem, Run, RunProgress, RunSettings, TaskPrice
from localai_app.tasks.task import TaskKind, Verdict


class TaskService:
    """All that either face can do with document tasks."""

    def kinds(self) -> list[TaskKind]:
        """Those that policy allows, in the window's order."""
        raise NotImplementedError

    def allows(self, name: str) -> bool:
        """Whether policy lets tasks (or templates such as ``extract.medical-letter``) of that name run."""
        raise NotImplementedError

    # ------------------------------------------------------------ before

    def options_of(self, kind: str, raw: bytes) -> msgspec.Struct:
        """Options from JSON, checked; raise `UsageError` with what is wrong."""
        raise NotImplementedError

    def price(self, kind: str, options: msgspec.Struct, scope: Scope) -> TaskPrice:
        """What it costs; loads the selected model where none is. May take seconds."""
        raise NotImplementedError

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
        raise NotImplementedError

    # ------------------------------------------------------------ while it runs

    def progress(self) -> RunProgress:
        """How far the run in hand is."""
        raise NotImplementedError

    def pause(self, run_id: int) -> None:
        """Begin no more steps; what is done is kept, down to single steps."""
        raise NotImplementedError

    def resume(self, run_id: int, *, with_this_model: bool = False) -> None:
        """Go on with a run that was paused, stopped or interrupted.

        Raise `UsageError` where another model is selected than the one it was begun with, unless
        ``with_this_model``.
        """
        raise NotImplementedError

    def stop(self, run_id: int) -> None:
        """End it within 100 ms of the engine; what is done is kept."""
        raise NotImplementedError

    def retry(self, run_id: int, item_ids: Sequence[int] = ()) -> None:
        """Do failed documents again; all that failed where none are named."""
        raise NotImplementedError

    def wait(self, run_id: int, timeout: float | None = None) -> bool:
        """Wait until nothing of the run is left to do; False when ``timeout`` seconds pass first, or it is
        paused or stopped."""
        raise NotImplementedError

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Have ``changed`` called (in any thread, at most ten times a second) when runs changed; call what
        comes back to end it."""
        raise NotImplementedError

    # ------------------------------------------------------------ what came of it

    def runs(self, *, trashed: bool = False) -> list[Run]:
        """Newest first."""
        raise NotImplementedError

    def run(self, run_id: int) -> Run:
        """One run; raise `NotFound`."""
        raise NotImplementedError

    def items(self, run_id: int) -> list[Item]:
        """Its documents with what came of them, in their order."""
        raise NotImplementedError

    def item(self, item_id: int) -> Item:
        """One of them; raise `NotFound`."""
        raise NotImplementedError

    def page(self, item_id: int, number: int) -> Page:
        """A page as it was read for the item; raise `NotFound` where the document changed since."""
        raise NotImplementedError

    # ------------------------------------------------------------ review

    def review(self, run_id: int) -> list[ReviewItem]:
        """What waits for a person, the greatest doubt first."""
        raise NotImplementedError

    def decide(self, item_id: int, key: str, verdict: Verdict, value: str = "") -> Item:
        """Keep a person's decision on a finding, with who and when; the item as it is now."""
        raise NotImplementedError

    def undecide(self, item_id: int, key: str) -> Item:
        """Take back the last decision on a finding (it stays in the record as taken back)."""
        raise NotImplementedError

    # ------------------------------------------------------------ out, and away

    def export(self, run_id: int, path: Path, fmt: str = "") -> None:
        """Write the results as ``xlsx``, ``csv``, ``json``, ``md``, ``docx`` or ``pdf`` (else by the file's
        ending); raise `UsageError`, `PolicyRefused`."""
        raise NotImplementedError

    def evidence(self, run_id: int, path: Path) -> None:
        """Write the signed evidence record of a run."""
        raise NotImplementedError

    def remove(self, run_ids: Sequence[int]) -> None:
        """Put runs in the trash; `restore` undoes it."""
        raise NotImplementedError

    def restore(self, run_ids: Sequence[int]) -> None:
        """Take runs out of the trash."""
        raise NotImplementedError

    def erase(self, run_ids: Sequence[int]) -> None:
        """Erase runs in the trash with all that came of them, for good."""
        raise NotImplementedError

    def tonight(self) -> datetime:
        """When “run tonight” begins: the next 22:00 of this machine's clock."""
        raise NotImplementedError

    def close(self) -> None:
        """End work; a run that was under way goes on at the next start."""
        raise NotImplementedError
