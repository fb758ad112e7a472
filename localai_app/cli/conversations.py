"""``localai-app chat list``, ``show``, ``search``, ``export``, ``delete``, ``restore``, ``rename``."""

import argparse
import os
import secrets
from datetime import datetime
from pathlib import Path

from localai_app.chat.export import FORMATS, speaker, title
from localai_app.cli.commands import Session, plain
from localai_app.errors import LocalAIError, UsageError


def show_list(session: Session, arguments: argparse.Namespace) -> int:
    """Conversations, the latest change first."""
    with session.open() as app:
        found = app.chat.conversations(trashed=arguments.trash, limit=_positive(arguments.limit))
    if session.as_json:
        session.terminal.json(plain(found))
    elif found:
        rows = [(str(each.id), _moment(each.updated), title(each)) for each in found]
        session.terminal.table(("ID", "CHANGED", "TITLE"), rows)
    else:
        session.terminal.note("The trash is empty." if arguments.trash else "There are no conversations yet.")
    return 0


def show(session: Session, arguments: argparse.Namespace) -> int:
    """One conversation with the messages of the path that is shown."""
    with session.open() as app:
        conversation = app.chat.conversation(arguments.id)
        path = app.chat.path(arguments.id)
    if session.as_json:
        session.terminal.json({"conversation": plain(conversation), "messages": plain(path)})
        return 0
    say = session.terminal.line
    say(title(conversation))
    if conversation.system_prompt:
        say(f"\nSystem prompt\n{conversation.system_prompt}")
    for message in path:
        say(f"\n{speaker(message)} · {_moment(message.created)}\n{message.text}")
        if message.error:
            say(f"[{message.error}]")
    return 0


def search(session: Session, arguments: argparse.Namespace) -> int:
    """Messages that hold all the words."""
    with session.open() as app:
        hits = app.chat.search(" ".join(arguments.words), limit=_positive(arguments.limit))
    if session.as_json:
        found = plain(hits)
        for hit in found:
            hit["snippet"] = hit["snippet"].replace("\x02", "").replace("\x03", "")
        session.terminal.json(found)
    elif hits:
        rows = [
            (str(hit.conversation_id), _moment(hit.created), hit.conversation_title[:32], hit.snippet)
            for hit in hits
        ]
        session.terminal.table(("ID", "WHEN", "CONVERSATION", "FOUND"), rows)
    else:
        session.terminal.note("Nothing found.")
    return 0


def export(session: Session, arguments: argparse.Namespace) -> int:
    """A conversation as a file, or on stdout."""
    output = None if arguments.output in (None, "-") else Path(arguments.output).expanduser()
    file_format = arguments.format or (output.suffix.removeprefix(".").lower() if output else "md")
    if file_format not in FORMATS:
        raise UsageError(
            f"The name {output} does not say which format is wanted.", "Add --format " + "|".join(FORMATS)
        )
    if output is None and file_format == "docx" and session.terminal.stdout.isatty():
        raise UsageError("A Word document cannot be shown in a terminal.", "Add --output FILE.docx")
    if output is None and session.as_json:
        raise UsageError("--json reports on a file here.", "Add --output FILE, or use --format json.")
    if output is not None and output.exists() and not arguments.force:
        raise UsageError(f"{output} exists already.", "Choose another name, or add --force to replace it.")
    with session.open() as app:
        data = app.chat.export(arguments.id, file_format)
    if output is None:
        session.terminal.binary(data)
        return 0
    _write(output, data)
    report = {"path": str(output.absolute()), "format": file_format, "bytes": len(data)}
    if session.as_json:
        session.terminal.json(report)
    else:
        session.terminal.note(f"Written: {report['path']}")
    return 0


def delete(session: Session, arguments: argparse.Namespace) -> int:
    """Put conversations in the trash, or erase them."""
    with session.open() as app:
        found = [app.chat.conversation(number) for number in arguments.ids]
        for conversation in found:
            if conversation.trashed is None:
                app.chat.trash(conversation.id)
            if arguments.forever:
                app.chat.delete(conversation.id)
    ids = " ".join(str(number) for number in arguments.ids)
    if session.as_json:
        session.terminal.json({"ids": arguments.ids, "erased": arguments.forever})
    elif arguments.forever:
        session.terminal.note(f"Erased: {ids}")
    else:
        session.terminal.note(f"In the trash: {ids}. To undo: localai-app chat restore {ids}")
    return 0


def restore(session: Session, arguments: argparse.Namespace) -> int:
    """Take conversations out of the trash."""
    with session.open() as app:
        found = [app.chat.conversation(number) for number in arguments.ids]
        for conversation in found:
            if conversation.trashed is not None:
                app.chat.restore(conversation.id)
    if session.as_json:
        session.terminal.json({"ids": arguments.ids})
    else:
        session.terminal.note("Restored: " + ", ".join(title(each) for each in found))
    return 0


def rename(session: Session, arguments: argparse.Namespace) -> int:
    """Give a conversation another title."""
    with session.open() as app:
        conversation = app.chat.rename(arguments.id, " ".join(arguments.title))
    if session.as_json:
        session.terminal.json(plain(conversation))
    else:
        session.terminal.note(f"Renamed: {conversation.title}")
    return 0


def _positive(limit: int) -> int:
    if limit < 1:
        raise UsageError("--limit must be at least 1.")
    return limit


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"


def _write(path: Path, data: bytes) -> None:
    """All of ``data`` under ``path``, or nothing."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise LocalAIError(f"{path} cannot be written: {error.strerror}.", "Choose another place.") from error
