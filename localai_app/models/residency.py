"""When an idle model gives its memory back.

A model that nobody asked anything for a set time is unloaded, and sooner when other programs need the
memory. Nothing is lost and nobody has to act: what is evaluated of the conversations is written before,
and the next message loads the model again.

The time is 30 minutes unless the person chooses another. Ollama's 5 minutes end within a meeting or a
page that is read, and every return costs a load; LM Studio's hour keeps gigabytes through a lunch
break. A machine that needs the memory does not wait for either.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from localai_app.engine.arbiter import Arbiter
from localai_app.engine.client import Engine
from localai_app.engine.machine import MemoryNow, memory_now
from localai_app.errors import UsageError
from localai_app.store.settings import Settings

IDLE_MINUTES = (5, 30, 60, 0)
"""What may be chosen; 0: never."""
DEFAULT_MINUTES = 30

Absence = Literal["", "idle", "memory"]
"""Why a model is not loaded: it is, or was never; nobody used it; memory was short."""

_KEY = "engine.idle_minutes"
_LOOK_SECONDS = 5.0
"""How often it looks: that costs a fraction of a millisecond, and memory runs short over seconds."""
_GRACE_SECONDS = 30.0
"""However short memory is, a model stays for so long after a use: who talks with it is about to again,
and a load for every message would take more from the machine than it gives."""


@dataclass
class _Resident:
    """An engine, and what was seen of it."""

    engine: Engine
    uses: int = -1
    since: float = 0.0
    """When it was first seen with this number of uses."""
    absence: Absence = ""
    """Why it rests, as long as ``uses`` stands still."""


class Residency:
    """Unloads the models of idle engines; `start` lets a thread of its own look after them."""

    def __init__(
        self,
        settings: Settings,
        before_rest: Callable[[], None],
        arbiter: Arbiter,
        *,
        clock: Callable[[], float] = time.monotonic,
        memory: Callable[[], MemoryNow] = memory_now,
    ) -> None:
        """``before_rest`` saves what an engine holds before it is unloaded.

        Where ``arbiter`` needs room, engines that are looked after here make it.
        """
        self._settings = settings
        self._before_rest = before_rest
        self._clock = clock
        self._memory = memory
        self._residents: list[_Resident] = []
        self._resting = threading.Lock()
        arbiter.unload = self._make_way
        self._minutes = _usable(settings.get(_KEY, DEFAULT_MINUTES))
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self.on_rest: Callable[[], None] | None = None
        """Told, in whatever thread, after a model was unloaded."""

    @property
    def idle_minutes(self) -> int:
        """After how long without use a model is unloaded; 0: never."""
        return self._minutes

    def set_idle_minutes(self, minutes: int) -> None:
        """Keep one of `IDLE_MINUTES`; it holds from now on. Raise `UsageError` for another number."""
        if minutes not in IDLE_MINUTES:
            raise UsageError(f"The idle time is one of {', '.join(map(str, IDLE_MINUTES))} minutes.")
        self._settings.set(_KEY, minutes)
        self._minutes = minutes

    def add(self, engine: Engine) -> None:
        """Look after ``engine`` too."""
        self._residents.append(_Resident(engine))

    def absence(self) -> Absence:
        """Why the engine that was added first, the chat's, holds no model; empty once it is used again."""
        resident = self._residents[0]
        stands_still = resident.uses == resident.engine.uses and resident.engine.model is None
        return resident.absence if stands_still else ""

    def look(self) -> None:
        """Unload what is idle for long enough; once every few seconds."""
        now = self._clock()
        tight = self._memory().tight
        for resident in self._residents:
            self._look_at(resident, now, tight=tight)

    def start(self) -> None:
        """Look from now on until `close`."""
        self._thread = threading.Thread(target=self._keep_looking, name="residency", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look no more; waits for a look that is under way."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def _keep_looking(self) -> None:
        while not self._stopped.wait(_LOOK_SECONDS):
            self.look()

    def _look_at(self, resident: _Resident, now: float, *, tight: bool) -> None:
        engine, uses = resident.engine, resident.engine.uses
        if uses != resident.uses or engine.in_use:
            resident.uses, resident.since, resident.absence = uses, now, ""
            return
        if engine.model is None:
            return
        idle = now - resident.since
        absence: Absence = ""
        if self._minutes and idle >= self._minutes * 60:
            absence = "idle"
        elif tight and idle >= _GRACE_SECONDS:
            absence = "memory"
        if absence:
            self._rest(resident, uses, absence)

    def _make_way(self, member: object) -> bool:
        """Another worker needs the memory now."""
        for resident in self._residents:
            engine = resident.engine
            if engine is member and engine.model is not None and not engine.in_use:
                return self._rest(resident, engine.uses, "memory")
        return False

    def _rest(self, resident: _Resident, uses: int, absence: Absence) -> bool:
        """Unload, unless it was used since ``uses`` was read."""
        with self._resting:
            self._before_rest()
            rests = resident.engine.rest(uses)
            if rests:
                resident.uses, resident.absence = uses, absence
        if rests and self.on_rest:
            self.on_rest()
        return rests


def _usable(value: object) -> int:
    return value if type(value) is int and value in IDLE_MINUTES else DEFAULT_MINUTES
