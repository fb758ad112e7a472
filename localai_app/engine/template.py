"""Messages in the form of a model's own chat template, rendered in a confined child.

A template is a program that came with a model file: hostile until proven otherwise. So

- it runs in a child of its own that can open no file and no socket, under limits of time, memory and
  output; a child that does not answer in time is killed and the next call starts another;
- it never sees what was said. Each message goes over as a placeholder, random for every call; what
  comes back is cut at the placeholders here and the real text put in. Text of the template is marked
  ``special`` (its control tokens count), text of a message never is, whatever it contains.

What follows from the second: a template that looks *into* a message (cuts ``<think>`` out of earlier
answers, say) finds nothing to cut. A template that strips a message is noticed, because the
placeholder stands between blanks, and the real text is stripped likewise.
"""

import re
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from localai_app.engine.protocol import Segment
from localai_app.errors import TemplateFailed
from localai_app.processes import Child, start_child
from localai_app.sandbox import Confinement

TIME_LIMIT = 5.0
"""Seconds for one `TemplateRenderer.render`."""
START_LIMIT = 60.0
"""Seconds for the child to start; a busy machine may take long."""
MEMORY_LIMIT = 512 * 1024 * 1024
MAX_TEMPLATE = 1024 * 1024
"""Characters; the longest known ones have 20,000."""
MAX_OUTPUT = 8 * 1024 * 1024
"""Characters of text that a template itself may add."""

_MAX_LINE = 6 * MAX_OUTPUT + 1024  # JSON may need six bytes for a character
_MAX_REASON = 200

_HINT = "Choose another model, or another build of this one."


@dataclass(frozen=True)
class PromptMessage:
    """A message as a chat template sees it."""

    role: Literal["system", "user", "assistant"]
    content: str


# ---------------------------------------------------------------- what goes over the pipes


class TemplateMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message in the child's hands; ``content`` is a placeholder, or blank."""

    role: str
    content: str


class Render(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Render ``template``; `Rendered` or `Refused`."""

    template: str
    messages: list[TemplateMessage]
    typed: bool = False
    """Contents are lists of parts, ``[{"type": "text", "text": ...}]``, as some templates demand."""
    add_generation_prompt: bool
    bos: str
    eos: str
    seconds: float = 0.0
    """The child ends itself when it takes much longer, should the app be gone."""


class Started(msgspec.Struct, frozen=True, tag=str.lower, forbid_unknown_fields=True):
    """First line of the child."""

    confinement: str


class Rendered(msgspec.Struct, frozen=True, tag=str.lower, forbid_unknown_fields=True):
    """What the template made of the placeholders."""

    text: str


class Refused(msgspec.Struct, frozen=True, tag=str.lower, forbid_unknown_fields=True):
    """The template failed; ``reason`` is its own text or the interpreter's."""

    reason: str


Reply = Started | Rendered | Refused

_reply_decoder = msgspec.json.Decoder(Reply)


# ---------------------------------------------------------------- the app's side


class TemplateRenderer:
    """Renders chat templates. Any thread may call; calls take turns."""

    def __init__(self, time_limit: float = TIME_LIMIT) -> None:
        self._time_limit = time_limit
        self._lock = threading.Lock()
        self._channel = _Channel()

    @property
    def confinement(self) -> str:
        """What the operating system enforces on the child, in words; empty before the first call."""
        return self._channel.confinement

    def render(
        self,
        template: str,
        messages: Sequence[PromptMessage],
        *,
        bos: str = "",
        eos: str = "",
        continue_last: bool = False,
    ) -> list[Segment]:
        """``messages`` in the form of ``template``, with the opening of the answer to come.

        ``continue_last`` leaves the last (assistant) message open instead, to be written on. Where the
        template knows no system message, its text opens the first user message. Raise `TemplateFailed`.
        """
        assert messages, "there is nothing to render"
        assert not continue_last or messages[-1].role == "assistant", "only an answer is continued"
        if len(template) > MAX_TEMPLATE:
            raise TemplateFailed(
                f"The model's chat template is longer than {MAX_TEMPLATE} characters.", _HINT
            )
        request = Render(
            template=template, messages=[], add_generation_prompt=not continue_last, bos=bos, eos=eos
        )
        with self._lock:
            self._channel.start()
            deadline = time.monotonic() + self._time_limit
            failure: TemplateFailed | None = None
            for conversation in _conversations(messages):
                # What the plain form runs into says more than what the typed form does.
                plain = self._attempt(request, conversation, deadline)
                if isinstance(plain, list):
                    return plain
                typed = self._attempt(msgspec.structs.replace(request, typed=True), conversation, deadline)
                if isinstance(typed, list):
                    return typed
                failure = plain
        assert failure is not None
        raise failure

    def close(self) -> None:
        """End the child; the next call starts another."""
        with self._lock:
            self._channel.close()

    def _attempt(
        self, request: Render, messages: Sequence[PromptMessage], deadline: float
    ) -> list[Segment] | TemplateFailed:
        last = len(messages) - 1
        open_index = None if request.add_generation_prompt else last
        placeholders = _Placeholders([message.content for message in messages], always=open_index)
        shown = zip(messages, placeholders.texts, strict=True)
        remaining = max(0.0, deadline - time.monotonic())
        reply = self._channel.exchange(
            msgspec.structs.replace(
                request,
                messages=[TemplateMessage(message.role, text) for message, text in shown],
                seconds=remaining,
            ),
            f"did not finish within {self._time_limit:g} seconds",
        )
        if isinstance(reply, Refused):
            reason = " ".join(placeholders.hidden_in(reply.reason).split())[:_MAX_REASON]
            return TemplateFailed(f"The model's chat template refuses this conversation: {reason}", _HINT)
        for index, message in enumerate(messages):
            if (index == last or message.role == "system") and not placeholders.shown(reply.text, index):
                return TemplateFailed(
                    f"The model's chat template leaves out the {message.role}'s message.", _HINT
                )
        return placeholders.fill(reply.text, open_index)


class _Channel:
    """The child, and one question at a time to it. A child that misbehaves is ended."""

    def __init__(self) -> None:
        self.confinement = ""
        self._child: Child | None = None

    def start(self) -> None:
        """Have a running child; one that died in the meantime is replaced."""
        if self._child is not None and self._child.running:
            return
        self.close()
        self._child = start_child("template", Confinement(memory=MEMORY_LIMIT))
        started = self._ask(self._child, b"", START_LIMIT, f"did not start within {START_LIMIT:g} seconds")
        if not isinstance(started, Started):
            raise self._failed("answers out of turn")
        self.confinement = started.confinement

    def exchange(self, request: Render, overdue: str) -> Rendered | Refused:
        """The answer to ``request`` within ``request.seconds``; ``overdue`` says what it missed."""
        self.start()
        assert self._child is not None
        try:
            line = msgspec.json.encode(request) + b"\n"
        except UnicodeEncodeError:
            raise TemplateFailed("The model's chat template is not valid Unicode.", _HINT) from None
        reply = self._ask(self._child, line, request.seconds, overdue)
        if isinstance(reply, Started):
            raise self._failed("answers out of turn")
        return reply

    def close(self) -> None:
        """End the child, if there is one."""
        if self._child is not None:
            self._child.stop()
            self._child = None

    def _ask(self, child: Child, line: bytes, seconds: float, overdue: str) -> Reply:
        timed_out = threading.Event()

        def give_up() -> None:
            timed_out.set()
            child.kill()

        timer = threading.Timer(seconds, give_up)
        timer.start()
        try:
            child.stdin.write(line)
            child.stdin.flush()
            answer = child.stdout.readline(_MAX_LINE)
        except OSError:  # the child is gone
            answer = b""
        finally:
            timer.cancel()
            timer.join()
        if timed_out.is_set():
            raise self._failed(overdue)
        if not answer:
            child.wait(1.0)
            raise self._failed(f"brought its process down ({child.how_it_ended()})")
        try:
            reply: Reply = _reply_decoder.decode(answer)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise self._failed("answers with something else than a prompt") from None
        return reply

    def _failed(self, what: str) -> TemplateFailed:
        if self._child is not None:
            self._child.kill()
        self.close()
        return TemplateFailed(f"The model's chat template {what}.", _HINT)


def _conversations(messages: Sequence[PromptMessage]) -> Iterator[list[PromptMessage]]:
    """``messages``, then what may suit a template that refuses or drops a system message."""
    yield list(messages)
    if messages[0].role == "system":
        yield _without_system(messages)


def _without_system(messages: Sequence[PromptMessage]) -> list[PromptMessage]:
    """``messages`` with the text of leading system messages at the head of the first user message."""
    rest = list(messages)
    texts = []
    while rest and rest[0].role == "system":
        texts.append(rest.pop(0).content)
    for index, message in enumerate(rest):
        if message.role == "user":
            texts.append(message.content)
            rest[index] = PromptMessage("user", "\n\n".join(filter(str.strip, texts)))
            return rest
    return [PromptMessage("user", "\n\n".join(texts)), *rest]


# ---------------------------------------------------------------- placeholders

# What stands around a placeholder's core. str.strip() removes all of it, lstrip("\n") the newlines
# only. Four newlines, because a template's own text may well end with one or two.
_NEWLINES = "\n\n\n\n"
_BLANK = "\u2003"


class _Placeholders:
    """Random stand-ins for the contents of one rendering."""

    def __init__(self, contents: Sequence[str], always: int | None) -> None:
        """``always`` is the message that gets a placeholder even if it is blank."""
        self._nonce = secrets.token_hex(16)
        self._contents = contents
        # A blank message goes over as it is: it holds no token, and templates ask whether there is text.
        self.texts = [
            f"{_NEWLINES}{_BLANK}{self._nonce}x{index}x{_BLANK}{_NEWLINES}"
            if content.strip() or index == always
            else content
            for index, content in enumerate(contents)
        ]
        self._pattern = re.compile(
            rf"(?:({_NEWLINES})?({_BLANK}))?{self._nonce}x(\d{{1,9}})x(?:({_BLANK})({_NEWLINES})?)?"
        )

    def shown(self, text: str, index: int) -> bool:
        """Whether ``text`` shows message ``index``, as far as there is something to show."""
        return not self.texts[index].strip() or f"{self._nonce}x{index}x" in text

    def hidden_in(self, reason: str) -> str:
        """``reason`` without any placeholder."""
        return self._pattern.sub("…", reason).replace(self._nonce, "…")

    def fill(self, text: str, open_index: int | None) -> list[Segment]:
        """Cut ``text`` at the placeholders and put the contents in.

        ``open_index`` names a message after whose last showing everything is cut, and which keeps the
        blanks at its end.
        """
        segments: list[Segment] = []
        position = 0
        matches = list(self._pattern.finditer(text))
        if open_index is not None:
            while matches and int(matches[-1][3]) != open_index:
                matches.pop()
        for number, match in enumerate(matches, 1):
            index = int(match[3])
            if index >= len(self._contents):
                raise TemplateFailed("The model's chat template invents messages.", _HINT)
            segments.append(Segment(text=text[position : match.start()], special=True))
            is_open = index == open_index and number == len(matches)
            segments.append(Segment(text=self._content(match, self._contents[index], is_open=is_open)))
            position = match.end()
        if open_index is None:
            segments.append(Segment(text=text[position:], special=True))
        if any(segment.special and self._torn(segment.text) for segment in segments):
            raise TemplateFailed("The model's chat template cuts messages to pieces.", _HINT)
        return [segment for segment in segments if segment.text]

    def _torn(self, text: str) -> bool:
        """Whether ``text`` holds a piece of a placeholder."""
        pieces = (self._nonce[start : start + 8] for start in range(len(self._nonce) - 7))
        return any(piece in text for piece in pieces)

    @staticmethod
    def _content(match: "re.Match[str]", content: str, *, is_open: bool) -> str:
        newlines_before, blank_before, _, blank_after, newlines_after = match.groups()
        if not blank_before:
            content = content.lstrip()
        elif not newlines_before:
            content = content.lstrip("\n")
        if is_open:
            return content
        if not blank_after:
            content = content.rstrip()
        elif not newlines_after:
            content = content.rstrip("\n")
        return content
