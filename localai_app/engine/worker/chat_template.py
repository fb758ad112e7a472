"""The template child: runs chat templates, which are hostile code, on placeholders.

It holds no model and imports no llama_cpp; the app's side, and why it is built so, is in
``engine/template.py``. One thread reads stdin, so that the end of the app ends the process; the other
renders. A rendering that hangs inside one C call ends by an alarm of the kernel, also when the app,
which would kill it earlier, is gone.
"""

import contextlib
import datetime
import json
import os
import queue
import signal
import threading
from functools import lru_cache
from typing import Any, NoReturn

import jinja2
import msgspec
from jinja2 import nodes
from jinja2.ext import Extension, LoopControlExtension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from localai_app import sandbox
from localai_app.engine.template import MAX_OUTPUT, Refused, Render, Rendered, Reply, Started
from localai_app.processes import ChildIO

_ALARM_AFTER = 2.0  # seconds beyond the app's own limit


def main(io: ChildIO) -> int:
    """Answer `Render` lines until the input ends; never returns otherwise."""
    _warm_up()
    confinement = sandbox.tighten(read=())
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(io, requests), name="requests", daemon=True).start()
    _write(io, Started(confinement))
    decoder = msgspec.json.Decoder(Render)
    while True:
        request = decoder.decode(requests.get())
        _alarm(request.seconds + _ALARM_AFTER)
        reply = _answer(request)
        _alarm(0)
        _write(io, reply)


def _read(io: ChildIO, requests: "queue.SimpleQueue[bytes]") -> None:
    with open(io.input_fd, "rb", closefd=False) as lines:
        for line in lines:
            requests.put(line)
    os._exit(0)


def _write(io: ChildIO, reply: Reply) -> None:
    try:
        line = msgspec.json.encode(reply)
    except UnicodeEncodeError:  # a template can make half a surrogate pair
        line = msgspec.json.encode(Refused("it writes text that is not Unicode"))
    line += b"\n"
    while line:
        line = line[os.write(io.output_fd, line) :]


def _alarm(seconds: float) -> None:
    """Have the kernel end this process in ``seconds``; 0 takes it back."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _answer(request: Render) -> Rendered | Refused:
    try:
        return Rendered(render(request))
    except MemoryError:
        return Refused("it needs more memory than is allowed")
    except RecursionError:
        return Refused("it is nested too deeply")
    except jinja2.TemplateSyntaxError as error:
        return Refused(f"line {error.lineno} is not valid: {error.message}")
    except jinja2.TemplateError as error:
        return Refused(error.message or type(error).__name__)
    except Exception as error:  # whatever a template's own code may raise
        return Refused(f"{type(error).__name__}: {error}")


def render(request: Render) -> str:
    """What the template of ``request`` makes of its messages; raise whatever it raises."""
    try:
        return _render(request, tools=None, documents=None)
    except (TypeError, jinja2.UndefinedError):
        # Some templates for tools walk the lists without asking whether there are any.
        today = _strftime_now("%d %b %Y")
        try:
            return _render(request, tools=[], documents=[], functions="[]", datetime=today)
        except (TypeError, jinja2.UndefinedError):
            pass
        raise


def _render(request: Render, **variables: object) -> str:
    pieces = []
    size = 0
    stream = _compiled(request.template).generate(
        messages=[
            {
                "role": message.role,
                "content": [{"type": "text", "text": message.content}] if request.typed else message.content,
            }
            for message in request.messages
        ],
        add_generation_prompt=request.add_generation_prompt,
        bos_token=request.bos,
        eos_token=request.eos,
        **variables,
    )
    for piece in stream:
        size += len(piece)
        if size > MAX_OUTPUT:
            raise jinja2.TemplateRuntimeError(f"it writes more than {MAX_OUTPUT} characters")
        pieces.append(piece)
    return "".join(pieces)


@lru_cache(maxsize=4)
def _compiled(template: str) -> jinja2.Template:
    return _environment().from_string(template)


class _GenerationTag(Extension):
    """``{% generation %}…{% endgeneration %}`` marks answers for training; here it is its content."""

    tags = {"generation"}  # noqa: RUF012 - jinja2's own form

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """The nodes between the tags."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


@lru_cache(maxsize=1)
def _environment() -> ImmutableSandboxedEnvironment:
    """As transformers sets it up (apply_chat_template): templates are written against that."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[LoopControlExtension, _GenerationTag]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    return environment


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON without the HTML escapes of jinja2's own filter."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise_exception(message: object) -> NoReturn:
    raise jinja2.TemplateError(str(message))


def _strftime_now(form: str) -> str:
    return datetime.datetime.now().astimezone().strftime(form)


def _warm_up() -> None:
    """Load what jinja2 imports late: nothing can be loaded once the confinement is tightened."""
    for source in (
        "{{ '<b>\\n' | wordwrap | striptags | pprint | urlize }}",
        "{{ strftime_now('%d %b %Y') }}{{ lipsum(1) }}",
        "{{ nothing.at.all }}",
        "{% endif %}",
    ):
        with contextlib.suppress(jinja2.TemplateError):
            _environment().from_string(source).render()
