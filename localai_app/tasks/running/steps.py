"""One step on the engine: what is asked, and what comes of it; in several threads at once."""

import hashlib
import math
import threading
from collections.abc import Callable

import msgspec

from localai_app.engine.client import Engine, Generation, PromptMessage
from localai_app.engine.protocol import Done, Sampling, Segment, Text, Usage
from localai_app.errors import RequestFailed
from localai_app.tasks.run import ItemCost, ModelUsed
from localai_app.tasks.task import Choose, Chosen, Output, Step, Written

SAMPLING = Sampling(temperature=0)
"""Of every step; the evidence record names it."""
_AROUND = 256
"""Tokens that a chat template may put around a text."""
_IMPOSSIBLE = -1e9
"""Logarithm of a probability that is none."""
_MOST_INSTRUCTIONS = 8
"""Different beginnings of a run that the engine is asked to keep apart."""


class Stopped(Exception):
    """A step was ended before it was done; nothing is wrong."""


class ModelTaken(Exception):
    """The engine holds another model by now, or none; the document is not to blame."""


class Steps:
    """Does steps of one run with one loaded model, until it is cancelled."""

    def __init__(
        self,
        engine: Engine,
        model: ModelUsed,
        is_current: Callable[[], bool],
        group: str,
        *,
        deterministic: bool = False,
    ) -> None:
        """``is_current`` says whether the engine still holds the model; steps with ``deterministic`` give
        the same bits each time."""
        self._engine = engine
        self.model = model
        self._is_current = is_current
        self._group = group
        self.deterministic = deterministic
        self._groups: dict[str, str] = {}
        self._once: dict[Choose, threading.Lock] = {}
        self._answers: dict[Choose, Chosen] = {}
        self._live: set[Generation] = set()
        self._stop = threading.Event()
        self._lock = threading.Lock()

    def asked(self, step: Step) -> str:
        """Hash of what a step asks, and of which model: what was kept of another one does not count."""
        body = msgspec.json.encode((self.model.sha256, self.deterministic, step))
        return hashlib.sha256(body).hexdigest()

    def excess(self, step: Step) -> int:
        """How many tokens too long a step is for the context; 0 or less: it fits."""
        answer = step.max_tokens if not isinstance(step, Choose) else self._label_bytes(step)
        room = self.model.context_length - answer
        # A token has a byte at least: what is short enough need not be counted.
        if len(step.instruction.encode()) + len(step.content.encode()) + _AROUND <= room:
            return 0
        return self._engine.count(self._prompt(step)) - room

    def do(self, step: Step) -> tuple[Output, ItemCost]:
        """Ask the engine; raise `Stopped`, `ModelTaken` or an `EngineError`."""
        if not self._is_current():
            raise ModelTaken
        try:
            done = self._choose(step) if isinstance(step, Choose) else self._write(step)
        except RequestFailed:
            if self._stop.is_set():
                raise Stopped from None
            raise
        if not self._is_current():  # then nobody can say which model this is of
            raise ModelTaken
        return done

    def cancel(self) -> None:
        """End all that is under way within 100 ms; nothing new begins."""
        with self._lock:
            self._stop.set()
            live = list(self._live)
        for generation in live:
            generation.cancel()

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._stop.is_set()

    # ------------------------------------------------------------ one step

    def _prompt(self, step: Step) -> list[Segment]:
        return self._engine.render([PromptMessage("user", f"{step.instruction}\n\n{step.content}")])

    def _write(self, step: Step) -> tuple[Written, ItemCost]:
        assert not isinstance(step, Choose)
        prompt = self._prompt(step)
        with self._lock:
            if self._stop.is_set():
                raise Stopped
            generation = self._engine.generate(
                prompt,
                msgspec.structs.replace(SAMPLING, json_schema=step.json_schema),
                max_tokens=step.max_tokens,
                background=True,
                group=self._group_of(step),
                deterministic=self.deterministic,
            )
            self._live.add(generation)
        try:
            parts: list[str] = []
            for event in generation:
                if isinstance(event, Text):
                    parts.append(event.text)
                elif isinstance(event, Done):
                    if event.reason == "cancelled":
                        raise Stopped
                    cut = event.incomplete or event.reason not in ("end", "stop_string")
                    return Written("".join(parts), incomplete=cut), _cost(event.usage)
        finally:
            with self._lock:
                self._live.discard(generation)
        raise AssertionError("a generation ends with Done")

    def _choose(self, step: Choose) -> tuple[Chosen, ItemCost]:
        if not step.once:
            return self._score(step)
        with self._lock:
            waiting = self._once.setdefault(step, threading.Lock())
        with waiting:
            if step in self._answers:
                return self._answers[step], ItemCost(steps=1)
            chosen, cost = self._score(step)
            self._answers[step] = chosen
            return chosen, cost

    def _score(self, step: Choose) -> tuple[Chosen, ItemCost]:
        costs: list[Usage] = []
        prompt = self._prompt(step)
        with self._lock:
            group = self._group_of(step)
        scores = self._engine.score(
            prompt,
            step.labels,
            whole=step.whole,
            background=True,
            group=group,
            deterministic=self.deterministic,
            stop=self._stop,
            on_usage=costs.append,
        )
        # JSON, in which outputs are kept, has no infinity; a model that computes nonsense says none of them.
        finite = (score if math.isfinite(score) else _IMPOSSIBLE for score in scores)
        return Chosen(tuple(finite)), _cost(costs[0])

    def _group_of(self, step: Step) -> str:
        """Steps with one instruction are a group: the engine evaluates what its requests begin with once."""
        known = self._groups.get(step.instruction)
        if known is None:
            if len(self._groups) >= _MOST_INSTRUCTIONS:
                return self._group
            known = self._groups[step.instruction] = f"{self._group}.{len(self._groups)}"
        return known

    @staticmethod
    def _label_bytes(step: Choose) -> int:
        return max((len(label.encode()) for label in step.labels), default=0)


def _cost(usage: Usage) -> ItemCost:
    return ItemCost(
        steps=1,
        prompt_tokens=usage.prompt_tokens,
        reused_tokens=usage.reused_tokens,
        output_tokens=usage.output_tokens,
    )
