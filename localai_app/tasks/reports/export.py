"""The results of a run as a file: Excel, CSV, JSON, Markdown, Word or PDF.

Names of files, what stands in them and what a model made of it are hostile: what is written computes
nothing, loads nothing and links nowhere when it is opened. In forms for people, characters that no program
shows are U+FFFD; JSON has every text as it is.

The JSON form, for programs (UTF-8, times ISO 8601 with offset)::

    {"format": "localai-app/task-results", "version": 1, "unfinished": "" or why,
     "run": {the fields of `Run`},
     "items": [{the fields of `Item`, and
                "values": {column: what counts: a text; for a list a list of texts, or of {part: text}}}]}
"""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from localai_app.errors import LocalAIError, UsageError
from localai_app.store import files
from localai_app.store.harmless import guarded, in_order, markdown_line, printable
from localai_app.tasks.reports import report, results
from localai_app.tasks.reports.report import Block, Facts, Heading, Line, Table
from localai_app.tasks.run import Item, Run
from localai_app.tasks.task import Column, Form

FORMATS = ("xlsx", "csv", "json", "md", "docx", "pdf")

_ABOUT = ("Read", "State", "Error", "In doubt", "Corrected", "Rejected", "Run")


def format_of(path: Path, named: str = "") -> str:
    """The format that is named, else that of the file's ending; raise `UsageError` for none of `FORMATS`."""
    file_format = (named or path.suffix.removeprefix(".")).lower()
    if file_format in FORMATS:
        return file_format
    hint = f"Choose one of {', '.join(FORMATS)}."
    if named:
        raise UsageError(f"There is no export format “{named}”.", hint)
    raise UsageError(f"The name “{path.name}” does not say which format is wanted.", hint)


def write(run: Run, items: Sequence[Item], path: Path, fmt: str = "") -> int:
    """Write what came of ``run`` to ``path``, replacing what is there, or nothing; how many bytes.

    ``fmt`` is one of `FORMATS`, else the file's ending says which. Raise `UsageError` and `LocalAIError`.
    """
    content = _WRITERS[format_of(path, fmt)](run, items)
    save(path, content)
    return len(content)


def save(path: Path, content: bytes) -> None:
    """``content`` as the file ``path``, readable by its owner alone, or nothing; raise `LocalAIError`."""
    try:
        with files.replacing(path) as file:
            file.write(content)
    except OSError as error:
        raise LocalAIError(
            f"“{path.name}” cannot be written: {error.strerror}.", "Choose another place."
        ) from error


# ---------------------------------------------------------------- CSV


def _csv(run: Run, items: Sequence[Item]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    titles = [column.title for column in run.columns]
    writer.writerow(map(_cell, ["Document", *titles, *_ABOUT]))
    how = "unfinished" if results.unfinished(run, items) else "finished"
    for item in items:
        found = list(results.all_values(run, item))
        decided = (results.fields_with(status, found) for status in ("in doubt", "corrected", "rejected"))
        read = item.coverage.words if item.coverage else ""
        about = [read, results.state_words(item), item.error, *decided, how]
        given = [_csv_value(item, column) for column in run.columns]
        writer.writerow([_cell(item.document_name), *given, *map(_cell, about)])
    # Without the mark Excel takes it for another encoding than UTF-8.
    return b"\xef\xbb\xbf" + text.getvalue().encode()


def _csv_value(item: Item, column: Column) -> str:
    found = results.values(item, column)
    if len(found) == 1 and not found[0].finding.part:
        typed = found[0].typed
        if isinstance(typed, int | float) and not isinstance(typed, bool):
            before, digits, behind = results.parts_of_number(found[0].text)
            if digits and not before and not behind:  # else its currency would be lost
                return str(typed)
    return _cell(results.joined(item, column))


def _cell(text: str) -> str:
    return guarded(in_order(printable(text)))


# ---------------------------------------------------------------- JSON


def _json(run: Run, items: Sequence[Item]) -> bytes:
    content = {
        "format": "localai-app/task-results",
        "version": 1,
        "unfinished": results.unfinished(run, items),
        "run": msgspec.to_builtins(run),
        "items": [{**msgspec.to_builtins(item), "values": _values(run, item)} for item in items],
    }
    return msgspec.json.format(msgspec.json.encode(_storable(content)), indent=2) + b"\n"


def _values(run: Run, item: Item) -> dict[str, Any]:
    """What counts, by the columns' keys."""
    counted: dict[str, Any] = {}
    for column in run.columns:
        if column.parts:
            counted[column.key] = [
                {value.finding.part: value.text for value in entry} for entry in results.entries(item, column)
            ]
            continue
        texts = [value.text for value in results.values(item, column)]
        counted[column.key] = texts if column.form is Form.LIST else "; ".join(texts)
    return counted


def _storable(value: Any) -> Any:
    """``value`` without halves of surrogate pairs, which UTF-8 cannot hold."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_storable(key): _storable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(inner) for inner in value]
    return value


# ---------------------------------------------------------------- Markdown


def _markdown(run: Run, items: Sequence[Item]) -> bytes:
    return ("\n\n".join(map(_markdown_block, report.blocks(run, items))) + "\n").encode()


def _markdown_block(block: Block) -> str:
    match block:
        case Heading():
            return f"{'#' * block.level} {markdown_line(block.text)}"
        case Line():
            return f"**{markdown_line(block.text)}**" if block.warning else markdown_line(block.text)
        case Facts():
            return "\n".join(f"- {markdown_line(name)}: {markdown_line(text)}" for name, text in block.pairs)
        case Table():
            head, *rows = (_markdown_row(map(markdown_line, row)) for row in (block.head, *block.rows))
            return "\n".join([head, _markdown_row(["---"] * len(block.head)), *rows])


def _markdown_row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


# ---------------------------------------------------------------- what other libraries write


def _xlsx(run: Run, items: Sequence[Item]) -> bytes:
    from localai_app.tasks.reports import export_xlsx  # noqa: PLC0415 - XlsxWriter takes a while to import

    return export_xlsx.write(run, items)


def _docx(run: Run, items: Sequence[Item]) -> bytes:
    from localai_app.tasks.reports import export_docx  # noqa: PLC0415 - so does python-docx

    return export_docx.write(run, items)


def _pdf(run: Run, items: Sequence[Item]) -> bytes:
    from localai_app.tasks.reports import export_pdf  # noqa: PLC0415 - and so does Typst

    return export_pdf.write(run, items)


_WRITERS: dict[str, Callable[[Run, Sequence[Item]], bytes]] = {
    "xlsx": _xlsx,
    "csv": _csv,
    "json": _json,
    "md": _markdown,
    "docx": _docx,
    "pdf": _pdf,
}
