"""How a model is loaded on this machine, now: chosen from its header and the free memory, unless the
person set something else for it; and what happens when memory runs out all the same.

Settings are chosen once per load. A model that is held keeps those it was loaded with: what is free
changes by the second, and a change would cost a load and everything that is evaluated.
"""

import dataclasses
import itertools
import os
import shlex
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from localai_app.engine.client import Engine
from localai_app.engine.protocol import Device, LoadSettings, ModelInfo
from localai_app.engine.worker_process import LOAD_HINT
from localai_app.errors import EngineError, EngineExited, ModelLoadFailed, UsageError
from localai_app.models.fit import (
    CPU_CONTEXT,
    Fit,
    KvType,
    Memory,
    choose,
    estimate,
    fallbacks,
    live_memory,
)
from localai_app.models.gguf import GgufHeader
from localai_app.models.installed import InstalledModel
from localai_app.store.settings import Settings

SHORTEST_CONTEXT = 256
"""What llama.cpp rounds a context up to."""

_KEY = "model.load:"
_NEAR = 0.5
"""Part of the free memory from which on a killed worker is believed to have been killed for it."""
_SAYS_MEMORY = (
    *("out of memory", "outofdevicememory", "outofhostmemory", "insufficient memory", "not enough memory"),
    *("failed to allocate", "unable to allocate", "cannot allocate", "allocation failed", "bad_alloc"),
    "mem_buffer != null",
)
"""In llama.cpp's messages, and in those of its backends."""
_UNLIMITED = 2**62
_NOT_MEMORY = "The file may be damaged or too new for this engine: get it again, or choose another model."
_SAYS_LITTLE = ("sigkill", "gave no reason")


@dataclass(frozen=True)
class Overrides:
    """What a person set for one model; each value's default lets the app choose."""

    context_length: int = 0
    kv_type: KvType | None = None
    gpu_layers: int = -1
    anyway: bool = False
    """Load even what does not fit by the estimate."""

    @property
    def automatic(self) -> bool:
        """Whether nothing is set."""
        return self == Overrides()


@dataclass(frozen=True)
class LoadPlan:
    """How a model would be loaded now, and what it would need."""

    path: Path
    name: str
    fit: Fit
    overrides: Overrides
    longest_context: int
    """Tokens that the model was trained on; 0: unknown."""
    has_gpu: bool

    @property
    def refusal(self) -> ModelLoadFailed | None:
        """Why it is not loaded, with the numbers and the way to go on; None: it is."""
        if self.fit.grade != "will not fit" or self.overrides.anyway:
            return None
        less = (
            "Close other programs or choose a smaller model."
            if dataclasses.replace(self.overrides, anyway=False).automatic
            else "Set less, or let the app choose (Reset)."
        )
        return ModelLoadFailed(
            f"{self.name}: {self.fit.words}",
            f"{less} To try it all the same: Settings → Model, or "
            f"`localai-app models fit {shlex.quote(str(self.path))} --anyway --keep`.",
        )


class Loader:
    """Plans loads and does them."""

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        read_header: Callable[[Path], GgufHeader],
        allows_gpu: Callable[[], bool] = lambda: True,
    ) -> None:
        """``allows_gpu`` says whether models may run on a GPU."""
        self._allows_gpu = allows_gpu
        self._engine = engine
        self._settings = settings
        self._read_header = read_header
        self._devices: list[Device] | None = None
        self._held: tuple[Path, Overrides, str, LoadSettings, Fit] | None = None
        self._notice = ""
        self._told = ""
        self._lock = threading.Lock()

    def overrides(self, path: Path) -> Overrides:
        """What is set for the model at ``path``; whatever is stored, it is of the right kind."""
        try:
            found = msgspec.convert(self._settings.get(f"{_KEY}{path}", {}), Overrides)
            check(found)
        except (msgspec.ValidationError, UsageError):
            return Overrides()
        return dataclasses.replace(found)  # msgspec leaves out what is the default

    def set_overrides(self, path: Path, overrides: Overrides) -> None:
        """Keep ``overrides`` for the model at ``path``, from its next load on; raise `UsageError`."""
        check(overrides)
        value = None if overrides.automatic else dataclasses.asdict(overrides)
        self._settings.set(f"{_KEY}{path}", value)

    def folder_moved(self, source: Path, target: Path) -> None:
        """What is kept of files in ``source`` is about those in ``target`` now."""
        self._settings.rename(f"{_KEY}{source}{os.sep}", f"{_KEY}{target}{os.sep}")

    def plan(self, model: InstalledModel, overrides: Overrides | None = None) -> LoadPlan:
        """How ``model`` would be loaded now, with ``overrides`` in place of those that are kept.

        Raise `GgufError` or `ModelNotFound` for a file that is no model, `EngineExited`, `UsageError`.
        """
        overrides = self.overrides(model.path) if overrides is None else overrides
        check(overrides)
        return self._plan_with(model, overrides, self._memory())

    def _plan_with(self, model: InstalledModel, overrides: Overrides, memory: Memory) -> LoadPlan:
        if not self._allows_gpu():
            overrides = dataclasses.replace(overrides, gpu_layers=0)
        header = self._read_header(model.path)
        fit = choose(
            header,
            memory,
            context_length=overrides.context_length,
            gpu_layers=overrides.gpu_layers,
            kv_type=overrides.kv_type,
        )
        return LoadPlan(
            model.path,
            model.name,
            fit,
            overrides,
            longest_context=header.context_length,
            has_gpu=bool(memory.vram_total),
        )

    def load(
        self, model: InstalledModel, sha256: str, on_progress: Callable[[float], None] | None = None
    ) -> ModelInfo:
        """Hold ``model``, whose hash is ``sha256``; returns at once when it is held already.

        When memory runs out it is tried with less, which `take_notice` then says. Raise `ModelLoadFailed`,
        `GgufError`, `ModelNotFound` or `EngineExited`.
        """
        overrides = self.overrides(model.path)
        held = self._held
        if held and self._engine.model is not None and held[:3] == (model.path, overrides, sha256):
            return self._engine.load(model.path, held[3], on_progress, sha256=sha256)
        header = self._read_header(model.path)
        if header.embedding_only:
            raise ModelLoadFailed(
                f"{model.name} makes vectors for searching; it cannot write.", "Choose another model."
            )
        plan = self._plan_with_room(model, overrides)
        if plan.refusal is not None:
            raise plan.refusal
        info, settings = self._load_fitting(plan, header, sha256, on_progress)
        wanted = plan.fit.applied_to(LoadSettings())
        fit = plan.fit if settings == wanted else estimate(header, live_memory(self._devices or ()), settings)
        self._held = (model.path, overrides, sha256, settings, fit)
        less = _less_than_wanted(plan, settings) if settings != wanted else _less_than_usual(plan)
        self._tell(" ".join(filter(None, [self._engine_notice(), less])))
        return info

    def take_notice(self) -> str:
        """One line on the last load that a person should know; told once, empty for nothing."""
        with self._lock:
            notice, self._notice = self._notice, ""
        return notice

    def _load_fitting(
        self,
        plan: LoadPlan,
        header: GgufHeader,
        sha256: str,
        on_progress: Callable[[float], None] | None,
    ) -> tuple[ModelInfo, LoadSettings]:
        wanted = plan.fit.applied_to(LoadSettings())
        failure: EngineError | None = None
        for settings in itertools.chain([wanted], fallbacks(wanted, header.layers)):
            try:
                return self._engine.load(plan.path, settings, on_progress, sha256=sha256), settings
            except (ModelLoadFailed, EngineExited) as error:
                if memory_ran_out(error, plan.fit):
                    failure = failure or error
                    continue
                if failure is not None:
                    break  # the smaller settings do not suit the model; what began it is told
                if error.hint == LOAD_HINT:
                    error.hint = _NOT_MEMORY
                raise
        raise ModelLoadFailed(
            f"Memory does not suffice for {plan.name}, not even with less context. {plan.fit.words}",
            "Close other programs, or choose a smaller model.",
        ) from failure

    def _plan_with_room(self, model: InstalledModel, overrides: Overrides) -> LoadPlan:
        """The plan after other, idle models gave their memory back, where this one needs it."""
        memory = self._memory()
        plan = self._plan_with(model, overrides, memory)
        if plan.fit.grade == "fits" and not _less_than_usual(plan):
            return plan
        best = self._plan_with(model, overrides, dataclasses.replace(memory, ram_free=_UNLIMITED))
        self._engine.make_room(best.fit.needed)
        return self._plan_with(model, overrides, self._memory())

    def _memory(self) -> Memory:
        memory = live_memory(self._all_devices())
        held = self._held
        if held and self._engine.model is not None:
            # It goes before another one comes: what it holds is as good as free. Its weights are
            # pages of a file, which count as free already.
            memory = dataclasses.replace(memory, ram_free=memory.ram_free + held[4].ram_given_back)
        return memory

    def _all_devices(self) -> list[Device]:
        if not self._allows_gpu():
            return []
        # Without a GPU there is nothing that changes; with one, what is free of its memory does.
        if self._devices != []:
            self._devices = self._engine.devices()
        return self._devices

    def _engine_notice(self) -> str:
        """What is wrong with the engine or the GPU's driver, where nobody was told yet."""
        told, self._told = self._told, self._engine.notice
        return self._told if self._told != told else ""

    def _tell(self, notice: str) -> None:
        with self._lock:
            self._notice = notice


def check(overrides: Overrides) -> None:
    """Raise `UsageError` for values that no model can be loaded with."""
    if overrides.context_length and not SHORTEST_CONTEXT <= overrides.context_length < 2**31:
        raise UsageError(
            f"A context has at least {SHORTEST_CONTEXT} tokens.", "0 lets the app choose its length."
        )
    if overrides.gpu_layers < -1:
        raise UsageError("The number of GPU layers is 0 or more.", "-1 lets the app choose.")


def memory_ran_out(error: EngineError, fit: Fit) -> bool:
    """Whether a load that failed with ``error`` may succeed with less; ``fit`` is its estimate.

    llama.cpp's own words decide. Where there are none, as when the system kills the worker, the estimate
    does: of a model that needs little of what is free nobody claims that it needed too much.
    """
    words = str(error).lower()
    if any(sign in words for sign in _SAYS_LITTLE):
        return fit.needed > fit.ram_free * _NEAR or fit.vram > fit.vram_free * _NEAR
    return any(sign in words for sign in _SAYS_MEMORY)


def _less_than_wanted(plan: LoadPlan, settings: LoadSettings) -> str:
    wanted = plan.fit.applied_to(LoadSettings())
    return (
        f"Memory ran out with {_described(plan.fit, wanted, settings)}: "
        f"{plan.name} answers with {_described(plan.fit, settings, wanted)}."
    )


def _less_than_usual(plan: LoadPlan) -> str:
    """What was chosen for lack of memory and would be another value otherwise; empty for nothing."""
    settings = plan.fit.applied_to(LoadSettings())
    usual = settings
    longest = min(CPU_CONTEXT, plan.longest_context or CPU_CONTEXT)
    if not plan.overrides.context_length and settings.context_length < longest:
        usual = msgspec.structs.replace(usual, context_length=longest)
    if plan.overrides.kv_type is None:
        usual = msgspec.structs.replace(usual, kv_type="f16")
    if usual == settings:
        return ""
    return (
        f"Memory is short: {plan.name} answers with {_described(plan.fit, settings, usual)} "
        f"instead of {_described(plan.fit, usual, settings)}."
    )


def _described(fit: Fit, settings: LoadSettings, other: LoadSettings) -> str:
    """Where ``settings`` differ from ``other``, in words."""
    parts = []
    if settings.gpu_layers != other.gpu_layers:
        parts.append(f"{settings.gpu_layers} of {fit.layers + 1} layers on the GPU")
    if settings.context_length != other.context_length:
        parts.append(f"{settings.context_length:,} tokens of context")
    if settings.kv_type != other.kv_type:
        parts.append(f"a KV cache of type {settings.kv_type}")
    return " and ".join(parts)
