"""How fast a model writes on this machine: measured once it was used, estimated from memory bandwidth before.

Writing a token reads every active weight once, so a processor writes about as fast as it can read memory.
What each layer and each entry of the vocabulary costs besides was fitted on one machine (2 cores of an AMD
EPYC, SmolLM2-135M, Gemma 3 270M, Qwen2.5-Coder-1.5B): within 8 % there, and for the last of them 1 to 20 %
too high at another time, with other programs running.
On other machines an estimate may be off by a third. There is none for a GPU, whose memory the app cannot
measure, until a model was used on it.
"""

import statistics
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from localai_app.engine.machine import performance_cores
from localai_app.store.settings import JSON, Settings

_BANDWIDTH = "speed.bandwidth"
_MODELS = "speed.models"
_BUFFERS = 128 * 1024**2
"""Bytes that are read in a pass: more than caches hold."""
_LAYER_SECONDS = 75e-6
_ENTRY_SECONDS = 13e-9
"""Drawing a token looks at every entry of the vocabulary."""
_SAME_BOOT = 120.0
"""Seconds by which the time of the start may seem to move when the clock is set."""
_KEPT = 5
"""Answers per model of which the median counts."""
_MODELS_KEPT = 500
_ENOUGH_TOKENS = 24
"""Shorter answers are not counted: their speed is mostly chance."""
_ENOUGH_READ = 64
"""Tokens of a prompt; shorter ones are mostly the time of one step."""


@dataclass(frozen=True)
class Speed:
    """Tokens per second while an answer is written, or a prompt is read."""

    tokens_per_second: float
    measured: bool
    """Whether the model was used here; else it is an estimate."""


def measure_bandwidth(threads: int, seconds: float = 0.15) -> float:
    """Bytes per second that ``threads`` threads together read from memory; takes about ``seconds``.

    The best pass counts: whatever else runs can only make one slower.
    """
    import numpy as np  # noqa: PLC0415 - 80 ms that most starts do not need

    parts = [np.ones(_BUFFERS // 8 // threads, dtype=np.uint64) for _ in range(threads)]
    best, end = 0.0, time.perf_counter() + seconds
    while not best or time.perf_counter() < end:
        readers = [threading.Thread(target=np.bitwise_or.reduce, args=(part,)) for part in parts]
        started = time.perf_counter()
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        best = max(best, sum(part.nbytes for part in parts) / (time.perf_counter() - started))
    return best


def estimated(bandwidth: float, bytes_per_token: float, layers: int, vocabulary: int) -> float:
    """Tokens per second on a processor that reads ``bandwidth`` bytes per second, in a short conversation."""
    return 1 / (bytes_per_token / bandwidth + layers * _LAYER_SECONDS + vocabulary * _ENTRY_SECONDS)


class Speeds:
    """What is known of speed on this machine; kept in the settings."""

    def __init__(self, settings: Settings, measure: Callable[[int], float] = measure_bandwidth) -> None:
        self._settings = settings
        self._measure = measure
        self._fresh: dict[int, float] = {}
        """Measured by this process, by number of threads."""
        self._measuring = threading.Lock()

    def bandwidth(self, threads: int = 0) -> float:
        """Bytes per second of memory, measured once per start of the machine (about a fifth of a second).

        ``threads``: as many as the engine uses; 0 for one on each core that is worth it.
        """
        threads = threads or performance_cores()
        known = self._fresh.get(threads) or self._kept_bandwidth(threads)
        if known:
            return known
        # Nothing is asked of the store under the lock: `note` is called within a transaction.
        with self._measuring:
            known = self._fresh.get(threads)
            if known:
                return known
            found = self._fresh[threads] = self._measure(threads)
        boot = _boot_time()
        self._settings.set(_BANDWIDTH, {"threads": threads, "boot": boot, "bytes_per_second": found})
        return found

    def note(self, sha256: str, device: str, output_tokens: int, seconds: float) -> None:
        """An answer of ``output_tokens`` was written in ``seconds`` after its first token.

        Part of the caller's transaction.
        """
        if output_tokens < _ENOUGH_TOKENS or seconds <= 0:
            return
        self._keep(sha256, device, "values", (output_tokens - 1) / seconds)

    def note_reading(self, sha256: str, device: str, tokens: int, seconds: float) -> None:
        """``tokens`` of a prompt that were not known were read in ``seconds``; as `note`."""
        if tokens >= _ENOUGH_READ and seconds > 0:
            self._keep(sha256, device, "reading", tokens / seconds)

    def _keep(self, sha256: str, device: str, name: str, tokens_per_second: float) -> None:
        models: dict[str, JSON] = dict(self._all())
        before = models.pop(sha256, None)
        known = dict(before) if isinstance(before, dict) and before.get("device") == device else {}
        speeds: list[JSON] = [*_values(known, name), round(tokens_per_second, 2)]
        models[sha256] = {**known, "device": device, name: speeds[-_KEPT:]}
        for oldest in list(models)[:-_MODELS_KEPT]:
            del models[oldest]
        self._settings.set(_MODELS, models)

    def measured(self, sha256: str | None) -> Speed | None:
        """How fast the model of that hash was here; None when it was not used yet."""
        return self._median(sha256, "values")

    def reading(self, sha256: str | None) -> Speed | None:
        """How fast the model of that hash read prompts here; None when it has read no long one yet."""
        return self._median(sha256, "reading")

    def _median(self, sha256: str | None, name: str) -> Speed | None:
        values = _values(self._all().get(sha256 or "", {}), name)
        return Speed(statistics.median(values), measured=True) if values else None

    def _kept_bandwidth(self, threads: int) -> float | None:
        kept = self._settings.get(_BANDWIDTH)
        if not isinstance(kept, dict) or kept.get("threads") != threads:
            return None
        value, then = kept.get("bytes_per_second"), kept.get("boot")
        if isinstance(value, float) and isinstance(then, float) and abs(then - _boot_time()) < _SAME_BOOT:
            return value
        return None

    def _all(self) -> dict[str, dict[str, JSON]]:
        kept = self._settings.get(_MODELS)
        if not isinstance(kept, dict):
            return {}
        return {sha256: one for sha256, one in kept.items() if isinstance(one, dict)}


def _boot_time() -> float:
    import psutil  # noqa: PLC0415 - the window starts without it

    return psutil.boot_time()


def _values(known: Mapping[str, JSON], name: str) -> list[float]:
    values = known.get(name)
    return (
        [float(value) for value in values if isinstance(value, int | float)]
        if isinstance(values, list)
        else []
    )
