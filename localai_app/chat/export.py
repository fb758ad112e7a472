"""A conversation as a file: Markdown, HTML, JSON or Word.

Message text is hostile, whoever wrote it: what is exported holds no raw HTML, loads nothing when it
is opened, and links only to web and mail addresses, which are shown whole.

The JSON form, for programs (encoding UTF-8, times ISO 8601 with offset)::

    {"format": "localai-app/conversation", "version": 1,
     "conversation": {the fields of `Conversation`},
     "messages": [{the fields of `Message`, with ``stats`` and ``record`` as objects or null}]}
"""

import base64
import hashlib
import html
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

from localai_app.chat.conversation import Conversation, Message, Role, Status
from localai_app.documents.document import Citation
from localai_app.errors import UsageError
from localai_app.store.harmless import markdown_line, printable

FORMATS = ("md", "html", "json", "docx")

_SAFE_LINK = re.compile(r"^(https?://|mailto:)", re.IGNORECASE)
_STATUS_WORDS = {
    Status.GENERATING: "still being written",
    Status.STOPPED: "stopped by you",
    Status.CUT_OFF: "cut off by the token limit",
    Status.INTERRUPTED: "interrupted",
    Status.FAILED: "failed",
}


def export(conversation: Conversation, messages: Sequence[Message], file_format: str) -> bytes:
    """``messages``, oldest first, as a file of ``file_format`` (one of `FORMATS`); raise `UsageError`."""
    writers: dict[str, Callable[[Conversation, Sequence[Message]], bytes]] = {
        "md": _markdown,
        "html": _html,
        "json": _json,
        "docx": _docx,
    }
    if file_format not in writers:
        raise UsageError(
            f"There is no export format {file_format!r}.", f"Choose one of {', '.join(FORMATS)}."
        )
    return writers[file_format](conversation, messages)


# ---------------------------------------------------------------- what all forms share


def title(conversation: Conversation) -> str:
    """The conversation's title, also where it has none yet."""
    return conversation.title.strip() or "Untitled"


def speaker(message: Message) -> str:
    """Who speaks, as a heading."""
    if message.role is Role.USER:
        return "You"
    return message.record.model_name if message.record else "Assistant"


def circumstances(message: Message) -> str:
    """When it was said, what it cost and how it ended, in one line."""
    parts = [f"{message.created:%Y-%m-%d %H:%M}"]
    if message.stats:
        parts.append(f"{message.stats.output_tokens} tokens")
        parts.append(f"{message.stats.tokens_per_second:.0f} tokens/s")
    if message.status in _STATUS_WORDS:
        parts.append(_STATUS_WORDS[message.status])
    if message.error:
        parts.append(message.error)
    return " · ".join(parts)


def evidence(message: Message) -> list[str]:
    """What an answer from documents rests on, then each citation with the page's own words; a line each."""
    coverage = message.record.coverage if message.record else None
    return [coverage.words, *map(_citation, message.citations)] if coverage else []


def _citation(citation: Citation) -> str:
    if not citation.document_id:
        return f"[{citation.number}] not verified: the model was given no passage of that number"
    marks = ["verified: the words stand on the page" if citation.verified else "not verified"]
    if citation.found:
        marks.append("found by the app")
    quotation = " ".join(citation.quotation.split())
    return (
        f"[{citation.number}] {citation.document_name}, {citation.place} ({', '.join(marks)}): “{quotation}”"
    )


def parse(text: str) -> list[Token]:
    """Markdown tokens of hostile ``text``: no HTML tokens, links to web and mail addresses only."""
    return _parser().parse(printable(text))


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    parser.validateLink = lambda url: _SAFE_LINK.match(url) is not None  # type: ignore[method-assign]
    return parser


# ---------------------------------------------------------------- JSON


def _json(conversation: Conversation, messages: Sequence[Message]) -> bytes:
    document = {
        "format": "localai-app/conversation",
        "version": 1,
        "conversation": conversation,
        "messages": messages,
    }
    return msgspec.json.format(msgspec.json.encode(document, enc_hook=_mapping), indent=2) + b"\n"


def _mapping(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise NotImplementedError(type(value))


# ---------------------------------------------------------------- Markdown


def _markdown(conversation: Conversation, messages: Sequence[Message]) -> bytes:
    blocks = [f"# {markdown_line(title(conversation))}"]
    if conversation.system_prompt:
        blocks += ["## System prompt", _harmless_markdown(conversation.system_prompt)]
    for message in messages:
        blocks += [f"## {markdown_line(speaker(message))}", _harmless_markdown(message.text)]
        blocks.append("\n".join(f"- {markdown_line(line)}" for line in evidence(message)))
        blocks.append(f"*{markdown_line(circumstances(message))}*")
    return ("\n\n".join(block for block in blocks if block) + "\n").encode()


def _harmless_markdown(text: str) -> str:
    """``text`` as it is where that is harmless in any viewer; else with its dangerous parts escaped.

    What escaping cannot disarm goes into a code block as a whole.
    """
    text = printable(text).strip("\n")
    if _is_harmless(text):
        return text
    escaped = re.sub(r"<|!(?=\[)|\[", r"\\\g<0>", text)
    if _is_harmless(escaped):
        return escaped
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}text\n{text}\n{fence}"


def _is_harmless(text: str) -> bool:
    """Whether a viewer that allows everything would load nothing, run nothing and end where it ends."""
    viewer = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    viewer.validateLink = lambda url: True  # type: ignore[method-assign]
    environment: dict[str, Any] = {}
    tokens = viewer.parse(f"{text}\n\n# end", environment)
    inside = [child for token in tokens for child in token.children or []]
    if any(token.type in ("html_block", "html_inline", "image") for token in [*tokens, *inside]):
        return False
    links = [str(token.attrGet("href")) for token in inside if token.type == "link_open"]
    links += [reference["href"] for reference in environment.get("references", {}).values()]
    if not all(_SAFE_LINK.match(link) for link in links):
        return False
    closing = tokens[-3:]  # an unclosed code block would swallow what follows it
    return closing[0].type == "heading_open" and closing[0].level == 0 and closing[1].content == "end"


# ---------------------------------------------------------------- HTML

_STYLE = """
:root { color-scheme: light dark; --text: #1c1b22; --quiet: #5b5a66; --back: #ffffff; --card: #f4f3f8; }
@media (prefers-color-scheme: dark) {
  :root { --text: #ececf1; --quiet: #a3a2ae; --back: #17161c; --card: #23222b; }
}
body { font: 16px/1.55 system-ui, sans-serif; color: var(--text); background: var(--back);
       max-width: 46rem; margin: 2rem auto; padding: 0 1rem; overflow-wrap: anywhere; }
article { margin: 1.5rem 0; }
article.user { background: var(--card); border-radius: 12px; padding: .5rem 1rem; }
article > h2 { font-size: 1rem; margin: .5rem 0; }
footer, .quiet, .evidence { color: var(--quiet); font-size: .8rem; }
pre { background: var(--card); border-radius: 8px; padding: .75rem; overflow-x: auto; }
code { font-family: ui-monospace, monospace; font-size: .9em; }
table { border-collapse: collapse; } th, td { border: 1px solid var(--quiet); padding: .25rem .5rem; }
blockquote { border-left: 3px solid var(--quiet); margin-left: 0; padding-left: 1rem; }
""".strip()
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()


class _Renderer(RendererHTML):
    """Shows an image as its name and a link with its whole address."""

    def image(self, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
        """No image is loaded; its text alternative stands in brackets."""
        return f"[image: {html.escape(tokens[index].content)}]"

    def link_open(self, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
        """A link tells the page it leads to nothing about this one."""
        href = html.escape(str(tokens[index].attrGet("href")))
        return f'<a href="{href}" rel="noopener noreferrer nofollow">'

    def link_close(self, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
        """Behind a link stands where it leads, unless that is its very text."""
        # Links do not nest: the nearest opening before is this one's.
        opening = next(number for number in range(index, -1, -1) if tokens[number].type == "link_open")
        href = str(tokens[opening].attrGet("href"))
        shown = "".join(token.content for token in tokens[opening + 1 : index])
        return "</a>" if shown == href else f'</a> <span class="quiet">({html.escape(href)})</span>'


def _html(conversation: Conversation, messages: Sequence[Message]) -> bytes:
    parser = _parser()
    parser.renderer = _Renderer(parser)

    def body(text: str) -> str:
        return str(parser.render(printable(text)))

    def line(text: str) -> str:
        return html.escape(printable(text))

    def evidence_list(message: Message) -> str:
        items = "".join(f"<li>{line(part)}</li>" for part in evidence(message))
        return f'<ul class="evidence">{items}</ul>' if items else ""

    articles = []
    if conversation.system_prompt:
        articles.append(f"<article><h2>System prompt</h2>\n{body(conversation.system_prompt)}</article>")
    articles += [
        f'<article class="{message.role}"><h2>{line(speaker(message))}</h2>\n{body(message.text)}'
        f"{evidence_list(message)}"
        f"<footer>{line(circumstances(message))}</footer></article>"
        for message in messages
    ]
    heading = line(title(conversation))
    page = f"""<!DOCTYPE html>
<html lang="">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; \
base-uri 'none'; form-action 'none'">
<meta name="referrer" content="no-referrer">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{heading}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{heading}</h1>
{chr(10).join(articles)}
</body>
</html>
"""
    return page.encode()


# ---------------------------------------------------------------- Word


def _docx(conversation: Conversation, messages: Sequence[Message]) -> bytes:
    from localai_app.chat import export_docx  # noqa: PLC0415 - python-docx takes 0.15 s to import

    return export_docx.write(conversation, messages)
