"""A conversation as a Word document, built from the Markdown tokens of its messages.

Links are written as text with their address: the document has no external relationships.
"""

import io
from collections.abc import Sequence
from typing import Any

import docx
from docx.oxml import OxmlElement
from docx.oxml.ns import qn
from docx.shared import Cm, Pt
from markdown_it.token import Token

from localai_app.chat.conversation import Conversation, Message
from localai_app.chat.export import circumstances, evidence, parse, speaker, title
from localai_app.store.harmless import printable

_MONOSPACE = "Courier New"
_INDENT_CM = 0.75
_DEEPEST = 8
"""Deeper nesting is not indented further, or the text would leave the page."""


def write(conversation: Conversation, messages: Sequence[Message]) -> bytes:
    """The conversation as the bytes of a .docx file."""
    document = docx.Document()
    document.core_properties.title = printable(title(conversation))[:255]
    document.core_properties.author = ""
    document.add_heading(printable(title(conversation)), level=0)
    if conversation.system_prompt:
        document.add_heading("System prompt", level=1)
        _Body(document).add(parse(conversation.system_prompt))
    for message in messages:
        document.add_heading(printable(speaker(message)), level=1)
        _Body(document).add(parse(message.text))
        for part in evidence(message):
            document.add_paragraph(printable(part), style="List Bullet").runs[0].font.size = Pt(9)
        line = document.add_paragraph().add_run(printable(circumstances(message)))
        line.italic = True
        line.font.size = Pt(8)
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


class _Body:
    """Appends the blocks of one message to a document."""

    def __init__(self, document: Any) -> None:
        self._document = document
        self._lists: list[int | None] = []
        """The open lists from the outside in: the next number, or None for bullets."""
        self._quotes = 0
        self._label = ""
        """Bullet or number that the next paragraph starts with."""

    def add(self, tokens: Sequence[Token]) -> None:
        """Append all blocks of ``tokens``."""
        index = 0
        while index < len(tokens):
            token = tokens[index]
            if token.type == "table_open":
                end = next(n for n in range(index, len(tokens)) if tokens[n].type == "table_close")
                self._add_table(tokens[index:end])
                index = end
            elif token.type == "heading_open":
                level = min(9, int(token.tag[1]) + 1)  # level 1 is who speaks
                _add_runs(self._document.add_heading(level=level), tokens[index + 1].children or [])
                index += 1
            else:
                self._add_block(token)
            index += 1

    def _add_block(self, token: Token) -> None:
        match token.type:
            case "inline":
                _add_runs(self._paragraph(), token.children or [])
            case "fence" | "code_block":
                self._add_code(token.content)
            case "hr":
                self._paragraph().add_run("―" * 12)
            case "bullet_list_open":
                self._lists.append(None)
            case "ordered_list_open":
                self._lists.append(int(token.attrGet("start") or 1))
            case "bullet_list_close" | "ordered_list_close":
                self._lists.pop()
            case "list_item_open":
                self._label = self._next_label()
            case "list_item_close":
                self._label = ""
            case "blockquote_open":
                self._quotes += 1
            case "blockquote_close":
                self._quotes -= 1

    def _next_label(self) -> str:
        number = self._lists[-1]
        if number is None:
            return "•\t"
        self._lists[-1] = number + 1
        return f"{number}.\t"

    def _paragraph(self) -> Any:
        paragraph = self._document.add_paragraph()
        depth = min(_DEEPEST, len(self._lists) + self._quotes)
        if depth:
            form = paragraph.paragraph_format
            form.left_indent = Cm(_INDENT_CM * depth)
            form.space_after = Pt(2)
            if self._label:
                form.first_line_indent = Cm(-_INDENT_CM)
                form.tab_stops.add_tab_stop(Cm(_INDENT_CM * depth))
                paragraph.add_run(self._label)
                self._label = ""
        return paragraph

    def _add_code(self, code: str) -> None:
        paragraph = self._paragraph()
        shading = OxmlElement("w:shd")
        shading.set(qn("w:val"), "clear")
        shading.set(qn("w:fill"), "F1F1F5")
        paragraph._p.get_or_add_pPr().append(shading)
        run = paragraph.add_run(code.rstrip("\n"))
        run.font.name = _MONOSPACE
        run.font.size = Pt(9)

    def _add_table(self, tokens: Sequence[Token]) -> None:
        rows: list[list[Sequence[Token]]] = []
        for token in tokens:
            if token.type == "tr_open":
                rows.append([])
            elif token.type == "inline":
                rows[-1].append(token.children or [])
        table = self._document.add_table(rows=len(rows), cols=len(rows[0]), style="Table Grid")
        for row, cells in zip(table.rows, rows, strict=True):
            for cell, content in zip(row.cells, cells, strict=True):
                _add_runs(cell.paragraphs[0], content)
        for cell in table.rows[0].cells:
            for run in cell.paragraphs[0].runs:
                run.bold = True
        self._document.add_paragraph()


def _add_runs(paragraph: Any, tokens: Sequence[Token]) -> None:
    """Append inline ``tokens`` to ``paragraph`` as runs."""
    bold = italic = strike = 0
    link, link_text = "", ""
    for token in tokens:
        text = ""
        match token.type:
            case "strong_open" | "strong_close":
                bold += token.nesting
            case "em_open" | "em_close":
                italic += token.nesting
            case "s_open" | "s_close":
                strike += token.nesting
            case "text" | "code_inline":
                text = token.content
            case "softbreak":
                text = " "
            case "hardbreak":
                text = "\n"
            case "image":
                text = f"[image: {token.content}]"
            case "link_open":
                link, link_text = str(token.attrGet("href")), ""
            case "link_close":
                text = "" if link_text == link else f" ({link})"
        if not text:
            continue
        link_text += text
        run = paragraph.add_run(printable(text))
        run.bold, run.italic, run.font.strike = bold > 0 or None, italic > 0 or None, strike > 0 or None
        if token.type == "code_inline":
            run.font.name = _MONOSPACE
