"""Chatting in the terminal: one answer, or one after the other."""

import argparse
import contextlib
import dataclasses
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from localai_app import __version__
from localai_app.app import App
from localai_app.chat.conversation import Message, Role, Status
from localai_app.chat.service import (
    Gathering,
    ModelLoading,
    PromptProgress,
    TextDelta,
    Turn,
    TurnFinished,
)
from localai_app.cli import citations
from localai_app.cli.commands import Session, find_model
from localai_app.cli.terminal import Terminal
from localai_app.errors import LocalAIError, UsageError

with contextlib.suppress(ImportError):  # not on Windows
    import readline  # noqa: F401 - gives input() its line editing; the history stays in memory

INTERRUPTED = 130
_BASE_MODEL = "This is a base model without a chat template: it continues the text rather than answering."

_HELP = """\
/new                 start a new conversation
/regenerate          answer the last question again
/continue            go on with an answer that was stopped or cut off
/system TEXT         instructions that the model reads first (without TEXT: show them)
/model MODEL         let another model answer (without MODEL: list them)
/help                this list
/quit                leave (or Ctrl-D)

Ctrl-C stops an answer and keeps its text. A line that ends in \\ goes on in the next one."""


def chat(session: Session, arguments: argparse.Namespace) -> int:
    """``localai-app chat``, with or without ``--prompt``."""
    if arguments.prompt is None and session.as_json:
        raise UsageError(
            "--json needs a --prompt here.", "`localai-app chat list --json` lists conversations."
        )
    prompt = arguments.prompt
    if prompt == "-":
        prompt = session.terminal.read_all()
    if prompt is not None and not prompt.strip():
        raise UsageError("The prompt is empty.", "Write --prompt TEXT, or - to read it from stdin.")
    with session.open() as app:
        if arguments.model:
            app.models.select(find_model(app.models, arguments.model), keep=False)
        if prompt is None:
            return _Conversing(session, app, arguments).run()
        return _answer_once(session, app, arguments, prompt)


# ---------------------------------------------------------------- one answer


def _answer_once(session: Session, app: App, arguments: argparse.Namespace, prompt: str) -> int:
    # Without a model that may be used nothing is begun.
    app.models.check_selected(lambda done: session.terminal.status(f"Checking the model … {done:.0%}"))
    conversation_id = _conversation(app, arguments)
    turn, answer = run_turn(
        session.terminal, lambda: app.chat.send(conversation_id, prompt), show_text=not session.as_json
    )
    show_notice(session.terminal, app)
    if session.as_json:
        session.terminal.json(_report(turn, answer))
    else:
        if answer.text:
            session.terminal.line()
        citations.show(session.terminal, answer)
        show_end(session.terminal, answer, f"`localai-app chat --conversation {conversation_id}`")
    if _is_of_base_model(answer):
        session.terminal.note(_BASE_MODEL)
    if answer.status is Status.FAILED:
        return 1
    return INTERRUPTED if answer.status is Status.STOPPED else 0


def _conversation(app: App, arguments: argparse.Namespace) -> int:
    """The conversation to speak in, with the settings that ``arguments`` bring."""
    wanted = {
        name: getattr(arguments, name)
        for name in ("temperature", "max_tokens", "seed", "overflow")
        if getattr(arguments, name) is not None
    }
    named = arguments.conversation
    conversation = app.chat.create() if named is None else app.chat.conversation(named)
    try:
        if wanted:
            app.chat.set_parameters(conversation.id, dataclasses.replace(conversation.parameters, **wanted))
        if arguments.system is not None:
            app.chat.set_system_prompt(conversation.id, arguments.system)
    except LocalAIError:
        if named is None:  # leave no empty conversation behind
            app.chat.trash(conversation.id)
            app.chat.delete(conversation.id)
        raise
    return conversation.id


def _is_of_base_model(answer: Message) -> bool:
    return answer.record is not None and not answer.record.template_sha256


def _report(turn: Turn, answer: Message) -> dict[str, Any]:
    """The JSON document of one answer; what is unknown, because it failed early, is null."""
    stats, record = answer.stats, answer.record
    return {
        "answer": answer.text,
        "status": answer.status,
        "stop_reason": stats.stop_reason if stats else None,
        "error": answer.error or None,
        "model": record.model_name if record else None,
        "model_sha256": record.model_sha256 if record else None,
        "base_model": _is_of_base_model(answer) if record else None,
        "device": record.device if record else None,
        "engine": record.engine_build if record else None,
        "prompt_tokens": stats.prompt_tokens if stats else None,
        "reused_tokens": stats.reused_tokens if stats else None,
        "output_tokens": stats.output_tokens if stats else None,
        "time_to_first_token_seconds": round(stats.first_token_seconds, 4) if stats else None,
        "tokens_per_second": round(stats.tokens_per_second, 1) if stats else None,
        "sampling": dict(record.sampler) if record else None,
        "left_out": list(record.left_out) if record else None,
        **citations.report(answer),
        "conversation_id": answer.conversation_id,
        "question_id": turn.question.id if turn.question else None,
        "answer_id": answer.id,
    }


# ---------------------------------------------------------------- one after the other


class _Conversing:
    """The read-answer loop and what can be typed in it."""

    def __init__(self, session: Session, app: App, arguments: argparse.Namespace) -> None:
        self._terminal = session.terminal
        self._app = app
        self._arguments = arguments
        self._conversation_id: int | None = None
        self._remarked = ""
        """Hash of the base model of which the person was told."""
        if arguments.conversation is not None:
            self._conversation_id = _conversation(app, arguments)

    def run(self) -> int:
        """Until the input ends or the person leaves."""
        self._app.residency.start()
        self._greet()
        while True:
            try:
                text = self._read()
                if text is None or text.strip() in ("/quit", "/exit"):
                    break
                if text.strip():
                    self._do(text)
            except KeyboardInterrupt:  # while an answer is written it stops the answer instead
                self._terminal.note("\n(Ctrl-D or /quit leaves)")
        if self._terminal.interactive:
            self._terminal.line()
        return 0

    def _greet(self) -> None:
        say = self._terminal.note
        try:
            model = self._app.models.selected()
            say(f"LocalAI App {__version__} · {model.name} {model.quantisation} · local, offline")
            if model.starter:
                say(self._app.models.starter.description)
        except LocalAIError as error:
            self._terminal.error(error.line)
        if self._app.key.weak:
            say("The key of the store lies in a file (weak); `localai-app key set-passphrase` guards it.")
        if self._conversation_id is not None:
            conversation = self._app.chat.conversation(self._conversation_id)
            say(f"Going on with “{conversation.title}”.")
        if self._terminal.interactive:
            say("Type a message; /help lists what else, Ctrl-D leaves.")

    def _read(self) -> str | None:
        """What the person says; a trailing backslash lets a line go on in the next."""
        text = self._terminal.read_line("\n> ")
        while text is not None and text.endswith("\\"):
            more = self._terminal.read_line("… ")
            text = f"{text[:-1]}\n{more or ''}"
        return text

    def _do(self, text: str) -> None:
        """Answer ``text``, or run it as a command; an error is shown and the loop goes on."""
        word, _, rest = text.strip().partition(" ")
        commands: dict[str, Callable[[], None]] = {
            "/help": lambda: self._terminal.line(_HELP),
            "/new": self._begin_anew,
            "/regenerate": self._regenerate,
            "/continue": self._continue,
            "/system": lambda: self._system(rest.strip()),
            "/model": lambda: self._model(rest.strip()),
        }
        try:
            if not word.startswith("/"):
                conversation_id = self._id()
                self._show(lambda: self._app.chat.send(conversation_id, text))
            elif word in commands:
                commands[word]()
            else:
                raise UsageError(f"There is no command {word}.", "/help lists them.")
        except LocalAIError as error:
            self._terminal.error(error.line)

    def _id(self) -> int:
        """The conversation; it begins with the first thing that needs one."""
        if self._conversation_id is None:
            self._conversation_id = _conversation(self._app, self._arguments)
        return self._conversation_id

    def _begin_anew(self) -> None:
        self._arguments.conversation = None
        self._conversation_id = None
        self._terminal.note("A new conversation.")

    def _regenerate(self) -> None:
        answer_id = self._last_answer().id
        self._show(lambda: self._app.chat.regenerate(answer_id))

    def _continue(self) -> None:
        answer = self._last_answer()
        self._terminal.write(answer.text)
        self._show(lambda: self._app.chat.continue_answer(answer.id))

    def _last_answer(self) -> Message:
        path = self._app.chat.path(self._conversation_id) if self._conversation_id is not None else []
        if not path or path[-1].role is not Role.ASSISTANT:
            raise UsageError("There is no answer yet.", "Say something first.")
        return path[-1]

    def _system(self, text: str) -> None:
        if text:
            self._app.chat.set_system_prompt(self._id(), text)
            self._terminal.note("The model reads this first from now on.")
        elif self._conversation_id is not None:
            prompt = self._app.chat.conversation(self._conversation_id).system_prompt
            self._terminal.line(prompt or "No system prompt is set.")
        else:
            self._terminal.line(self._arguments.system or "No system prompt is set.")

    def _model(self, named: str) -> None:
        models = self._app.models
        if named:
            model = models.select(find_model(models, named))
            self._terminal.note(f"{model.name} {model.quantisation} answers from now on.")
            return
        for model in models.installed():
            self._terminal.line(f"{model.name} {model.quantisation}  {model.path.name}")

    def _show(self, begin: Callable[[], Turn]) -> None:
        _, answer = run_turn(self._terminal, begin, show_text=True)
        if answer.text:
            self._terminal.line()
        citations.show(self._terminal, answer)
        show_notice(self._terminal, self._app)
        show_end(self._terminal, answer, "/continue")
        sha256 = answer.record.model_sha256 if answer.record else ""
        if _is_of_base_model(answer) and sha256 != self._remarked:
            self._remarked = sha256
            self._terminal.note(_BASE_MODEL)


# ---------------------------------------------------------------- running a turn


def run_turn(terminal: Terminal, begin: Callable[[], Turn], *, show_text: bool) -> tuple[Turn, Message]:
    """Let the turn run to its end, whatever ends it; return it, and the answer as it was saved."""
    with _stopping_on_signals(begin) as turn:
        for event in turn:
            match event:
                case ModelLoading():
                    terminal.status(f"Loading the model … {event.fraction:.0%}")
                case Gathering():
                    terminal.status(citations.progress(event))
                case PromptProgress():
                    terminal.status(f"Reading … {event.done} of {event.total} tokens")
                case TextDelta() if show_text:
                    terminal.write(event.text)
                case TurnFinished():
                    terminal.clear_status()
                    return turn, event.answer
    raise AssertionError("a turn ends with TurnFinished")


@contextlib.contextmanager
def _stopping_on_signals(begin: Callable[[], Turn]) -> Iterator[Turn]:
    """Ctrl-C stops the turn, a second one leaves; SIGTERM and a closed terminal stop it, then leave.

    The turn begins inside, so that no signal falls between its first save and its first step.
    """
    if threading.current_thread() is not threading.main_thread():
        yield begin()
        return
    received: list[int] = []
    turn: Turn | None = None

    def handle(number: int, frame: FrameType | None) -> None:
        if received and number == signal.SIGINT:
            raise SystemExit(INTERRUPTED)
        received.append(number)
        if turn is not None:
            # In a thread: this one may hold, right now, a lock that stop() needs.
            threading.Thread(target=turn.stop, name="stop").start()

    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), handle) for name in names}
    try:
        turn = begin()
        if received:
            turn.stop()
        yield turn
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)
    deadly = [number for number in received if number != signal.SIGINT]
    if deadly:
        raise SystemExit(128 + deadly[0])


def show_notice(terminal: Terminal, app: App) -> None:
    """What a person should know of how the model was loaded, if anything."""
    if notice := app.models.take_notice():
        terminal.note(notice)


def show_end(terminal: Terminal, answer: Message, go_on: str) -> None:
    """How the answer ended, what it cost and how to ``go_on``, on stderr."""
    if answer.record is not None and answer.record.left_out:
        terminal.note(f"{len(answer.record.left_out)} older messages did not fit and were left out.")
    if answer.status is Status.FAILED:
        terminal.error(answer.error)
    parts = []
    if answer.stats is not None and answer.stats.output_tokens and terminal.stderr.isatty():
        parts.append(f"{answer.stats.output_tokens} tokens")
        parts.append(f"{answer.stats.tokens_per_second:.0f} tokens/s")
        parts.append(f"first after {answer.stats.first_token_seconds:.2f} s")
    if answer.status is Status.STOPPED:
        parts.append("stopped")
    elif answer.status is Status.CUT_OFF:  # told to a file too: nothing ends early in silence
        parts.append(f"cut off at the limit; {go_on} goes on")
    if parts:
        terminal.note("  " + " · ".join(parts))
