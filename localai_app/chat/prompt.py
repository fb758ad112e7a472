"""Messages → what the model is given, within its context; what is left out is returned, never hidden."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from localai_app.chat.conversation import Message, Overflow, Role
from localai_app.engine.client import PromptMessage
from localai_app.errors import ContextOverflow

_THINKING = re.compile(r"\A\s*<think>.*?</think>\s*", re.DOTALL)
_DROPPED_TOGETHER = 4
"""Messages that go at once: if one more went with every turn, the prompt's beginning would change
each time and nothing that is cached could be used."""


@dataclass(frozen=True)
class Prompt:
    """What the model is given, and what it is not."""

    messages: tuple[PromptMessage, ...]
    left_out: tuple[int, ...] = ()
    """Ids of the messages that did not fit."""


def build(system_prompt: str, path: Sequence[Message], left_out: Sequence[int] = ()) -> Prompt:
    """The prompt for ``path``, whose last message is to be answered or continued."""
    dropped = frozenset(left_out)
    messages = [PromptMessage("system", system_prompt)] if system_prompt.strip() else []
    for message in path:
        if message.id in dropped or (message.role is Role.ASSISTANT and not message.text):
            continue
        text = message.text if message.role is Role.USER else without_thinking(message.text)
        messages.append(PromptMessage(message.role.value, text))
    return Prompt(tuple(messages), tuple(left_out))


def choose_left_out(
    path: Sequence[Message],
    overflow: Overflow,
    *,
    excess: int,
    count: Callable[[str], int],
) -> tuple[int, ...]:
    """Ids of messages to leave out so that the prompt becomes ``excess`` tokens shorter.

    The last question (and the answer that is being continued) always stays; "keep_start_and_end"
    also keeps the first question and answer. Raise `ContextOverflow` when that is not enough, or
    when ``overflow`` says to stop.
    """
    last_question = max(index for index, message in enumerate(path) if message.role is Role.USER)
    if overflow == "stop" and last_question > 0:
        raise ContextOverflow("The conversation no longer fits the model's context.")
    start = 2 if overflow == "keep_start_and_end" else 0
    candidates = path[start:last_question]
    saved = 0
    for index, message in enumerate(candidates):
        saved += count(message.text)
        gone = index + 1
        if saved >= excess and (gone % _DROPPED_TOGETHER == 0 or gone == len(candidates)):
            return tuple(dropped.id for dropped in candidates[:gone])
    raise ContextOverflow("The last question alone does not fit the model's context.")


def without_thinking(text: str) -> str:
    """``text`` without the reasoning block that it begins with: models are not given it again."""
    return _THINKING.sub("", text, count=1)
