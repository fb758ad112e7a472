"""``localai-app docs``: all of it but ``ask``."""

import argparse
import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from localai_app.app import App
from localai_app.cli.commands import Session, plain
from localai_app.cli.terminal import Terminal, time_left
from localai_app.documents.document import Collection, Document, Page, Scope, State
from localai_app.documents.formats import title_of
from localai_app.documents.service import Added, Work
from localai_app.errors import LocalAIError, NotFound, UsageError

_STATES = {
    State.WAITING: "waiting",
    State.READING: "being read",
    State.READY: "ready",
    State.LOCKED: "needs its password",
    State.FAILED: "not read",
}
_TRIES = 3
"""To type a password."""
_LOOK_SECONDS = 0.2
_NAME = 60
"""Characters of a name in a table."""


def add(session: Session, arguments: argparse.Namespace) -> int:
    """Take files and folders into the library, and read them to the end; 1 when not all could be."""
    terminal = session.terminal
    require_names(arguments.paths)
    with session.open() as app:
        collection = _made(app, arguments.collection).id if arguments.collection else None
        if arguments.wait:
            added = add_and_read(app, terminal, arguments.paths, collection)
        else:
            added = app.documents.add([Path(path) for path in arguments.paths], collection)
        documents = still_there(app, (*added.documents, *added.known))
    return _report(session, documents, added, waited=arguments.wait)


def refresh(session: Session, arguments: argparse.Namespace) -> int:
    """Read files again that have changed; 1 when one is gone or cannot be read."""
    with session.open() as app:
        added = app.documents.refresh()
        _read_to_the_end(app, session.terminal)
        documents = still_there(app, added.documents)
    return _report(session, documents, added, waited=True)


def show_list(session: Session, arguments: argparse.Namespace) -> int:
    """The documents, by name."""
    with session.open() as app:
        collection = find_collection(app, arguments.collection).id if arguments.collection else None
        documents = app.documents.documents(collection, trashed=arguments.trash)
    if session.as_json:
        session.terminal.json([_flat(document) for document in documents])
    elif documents:
        header = ("ID", "NAME", "TYPE", "PAGES", "STATE", "")
        session.terminal.table(header, [_row(document) for document in documents])
    else:
        session.terminal.note("The trash is empty." if arguments.trash else "There are no documents yet.")
    return 0


def show_collections(session: Session, arguments: argparse.Namespace) -> int:
    """The collections, by name."""
    with session.open() as app:
        collections = app.documents.collections()
    if session.as_json:
        session.terminal.json(plain(collections))
    elif collections:
        rows = [(str(one.id), str(one.documents), one.name) for one in collections]
        session.terminal.table(("ID", "DOCUMENTS", "NAME"), rows)
    else:
        session.terminal.note("There are no collections yet; `docs add --collection NAME` makes one.")
    return 0


def show(session: Session, arguments: argparse.Namespace) -> int:
    """What a document is and what of it was read; with ``--page``, the text of one page."""
    terminal = session.terminal
    with session.open() as app:
        document = find_document(app, arguments.document)
        if arguments.page is not None:
            page = app.documents.page(document.id, arguments.page)
            if session.as_json:
                terminal.json(msgspec.to_builtins(msgspec.structs.replace(page, boxes=b"")))
            else:
                terminal.line(page.text)
            return 0
        pages = app.documents.pages(document.id)
    unread = [page for page in pages if page.unread]
    if session.as_json:
        shown = [{"page": page.number, "unread": page.unread} for page in unread]
        terminal.json({**_flat(document), "facts": _facts(document), "unread": shown})
        return 0
    _show_facts(terminal, document, unread)
    return 0


def search(session: Session, arguments: argparse.Namespace) -> int:
    """The passages that answer best."""
    if arguments.limit < 1:
        raise UsageError("--limit must be at least 1.")
    with session.open() as app:
        chosen = (find_collection(app, arguments.collection).id,) if arguments.collection else ()
        scope = Scope(collections=chosen)
        passages = app.documents.search(" ".join(arguments.words), scope, arguments.limit)
    if session.as_json:
        session.terminal.json([{**plain(one), "place": one.place} for one in passages])
    elif passages:
        rows = [(_short(one.document_name), one.place, one.text) for one in passages]
        session.terminal.table(("DOCUMENT", "PLACE", "PASSAGE"), rows)
    else:
        session.terminal.note("Nothing found.")
    return 0


def remove(session: Session, arguments: argparse.Namespace) -> int:
    """Put documents in the trash, or erase them."""
    with session.open() as app:
        documents = [find_document(app, named, trashed=arguments.erase) for named in arguments.documents]
        ids = [document.id for document in documents]
        app.documents.remove([document.id for document in documents if document.trashed is None])
        if arguments.erase:
            app.documents.erase(ids)
    named = ", ".join(document.name for document in documents)
    if session.as_json:
        session.terminal.json({"ids": ids, "erased": arguments.erase})
    elif arguments.erase:
        session.terminal.note(f"Erased: {named}")
    else:
        numbers = " ".join(map(str, ids))
        session.terminal.note(f"In the trash: {named}. To undo: localai-app docs restore {numbers}")
    return 0


def restore(session: Session, arguments: argparse.Namespace) -> int:
    """Take documents out of the trash."""
    with session.open() as app:
        documents = [find_document(app, named, trashed=True) for named in arguments.documents]
        app.documents.restore([document.id for document in documents])
    if session.as_json:
        session.terminal.json({"ids": [document.id for document in documents]})
    else:
        session.terminal.note("Restored: " + ", ".join(document.name for document in documents))
    return 0


# ---------------------------------------------------------------- the work


def require_names(paths: Sequence[str]) -> None:
    """Raise `UsageError` where one is empty."""
    if "" in paths:  # it would mean the current folder, which nobody means who writes nothing
        raise UsageError("A path is empty.", "Name a file or a folder; . is the current folder.")


def add_and_read(app: App, terminal: Terminal, paths: Sequence[str], collection: int | None = None) -> Added:
    """Take files and folders into the library and read them to the end, with passwords asked for."""
    added = app.documents.add([Path(path) for path in paths], collection)
    _read_to_the_end(app, terminal)
    _unlock(app, terminal, added)
    return added


def _read_to_the_end(app: App, terminal: Terminal) -> None:
    """Wait until all is read, with its progress shown; raise `LocalAIError` when it cannot go on."""
    try:
        app.documents.resume()
        while not app.documents.wait(_LOOK_SECONDS):
            work = app.documents.work()
            if work.paused:
                raise LocalAIError(work.notice)
            terminal.status(_progress(work))
    except (KeyboardInterrupt, SystemExit):
        terminal.note("Stopped. What is read is kept; the same command goes on where it stopped.")
        raise
    if notice := app.documents.work().notice:
        terminal.note(notice)


def _unlock(app: App, terminal: Terminal, added: Added) -> None:
    """Ask for the password of each document that needs one, where somebody can type it."""
    for document in still_there(app, (*added.documents, *added.known)):
        for _ in range(_TRIES):
            if not any(one.state is State.LOCKED for one in still_there(app, [document.id])):
                break
            password = terminal.ask_password(document.name)
            if not password:
                break
            app.documents.unlock(document.id, password)
            _read_to_the_end(app, terminal)


def still_there(app: App, document_ids: Iterable[int]) -> list[Document]:
    """Those documents, but what another process has erased meanwhile."""
    found = []
    for number in document_ids:
        with contextlib.suppress(NotFound):
            found.append(app.documents.document(number))
    return found


def _progress(work: Work) -> str:
    words = f"{work.done} of {work.total} documents"
    if work.name:
        words += f"  {work.stage} {work.name}"
    if work.page:
        words += f" {work.page}/{work.pages}" if work.pages else f" {work.page}"
    if work.pages_per_second:
        words += f"  {work.pages_per_second:,.1f} pages/s"
    return words + time_left(work.seconds_left)


def _report(session: Session, documents: list[Document], added: Added, *, waited: bool) -> int:
    """Say what became of each file; 1 when one could not be taken or read."""
    terminal = session.terminal
    bad = [document for document in documents if document.state in (State.FAILED, State.LOCKED)]
    if session.as_json:
        terminal.json(
            {
                "documents": [_flat(document) for document in documents],
                "known": list(added.known),
                "refused": [{"name": name, "reason": line} for name, line in added.refused],
            }
        )
    else:
        pages = sum(document.pages_read for document in documents)
        ready = sum(document.state is State.READY for document in documents)
        later = "" if waited else " The rest is read by the next `docs add`, or by the window."
        what = f"{ready} of {len(documents)} documents are ready, {pages:,} pages.{later}"
        terminal.note(what if documents else "There is nothing new to read.")
    for document in bad:
        terminal.error(f"{document.name}: {document.error}")
    for name, line in added.refused:
        terminal.error(f"{name}: {line}")
    return 1 if bad or added.refused else 0


# ---------------------------------------------------------------- finding what is named


def find_document(app: App, named: str, *, trashed: bool = False) -> Document:
    """The document of that id, or of that name (its beginning is enough); with ``trashed`` also one that
    lies in the trash. Raise `NotFound`."""
    if named.isdecimal() and len(named) < 19:
        return app.documents.document(int(named))
    documents = app.documents.documents()
    if trashed:
        documents += app.documents.documents(trashed=True)
    wanted = named.casefold()
    found = [one for one in documents if one.name.casefold() == wanted]
    if wanted.strip():  # every name begins with nothing
        found = found or [one for one in documents if one.name.casefold().startswith(wanted)]
    if len(found) == 1:
        return found[0]
    if found:
        numbers = ", ".join(f"{one.id} {one.name}" for one in found[:10])
        raise NotFound(f"“{named}” may be {numbers}.", "Use the number.")
    raise NotFound(f"There is no document “{named}”.", "`localai-app docs list` shows what there is.")


def find_collection(app: App, named: str) -> Collection:
    """The collection of that name or number; raise `NotFound`."""
    for one in app.documents.collections():
        if one.name.casefold() == named.casefold() or str(one.id) == named:
            return one
    raise NotFound(
        f"There is no collection “{named}”.", "`localai-app docs collections` shows what there is."
    )


def _made(app: App, named: str) -> Collection:
    try:
        return find_collection(app, named)
    except NotFound:
        return app.documents.create_collection(named)


# ---------------------------------------------------------------- words


def _flat(document: Document) -> dict[str, Any]:
    """All that is known of a document, but what it says of itself."""
    flat: dict[str, Any] = plain(document)
    del flat["facts"]
    return flat


def _facts(document: Document) -> Any:
    return None if document.facts is None else msgspec.to_builtins(document.facts)


def _row(document: Document) -> tuple[str, ...]:
    pages = str(document.pages) if document.pages else "–"
    if document.pages_read < document.pages and document.state is State.READY:
        pages = f"{document.pages_read} of {document.pages}"
    state = _STATES[document.state]
    return (str(document.id), _short(document.name), document.format or "?", pages, state, document.error)


def _short(name: str) -> str:
    """``name`` so that one long one does not push all else out of the window."""
    return name if len(name) <= _NAME else f"{name[: _NAME - 10]}…{name[-9:]}"


def _show_facts(terminal: Terminal, document: Document, unread: list[Page]) -> None:
    facts = document.facts
    rows = [
        ("Name", document.name),
        ("Type", title_of(document.format)),
        ("State", f"{_STATES[document.state]}{': ' if document.error else ''}{document.error}"),
        ("File", document.path or "attached to another document"),
        ("Size", f"{document.size:,} bytes"),
        ("SHA-256", document.sha256),
        ("Pages", f"{document.pages_read} of {document.pages} read"),
        ("Text", f"{document.characters:,} characters, {document.tokens:,} tokens"),
        ("Language", document.language),
        ("Title", facts.title if facts else ""),
        ("Author", facts.author if facts else ""),
        ("Created", facts.created if facts else ""),
    ]
    for name, value in rows:
        if value:
            terminal.line(f"{name + ':':10} {value}")
    for page in unread:
        terminal.line(f"Not read:  {page.kind.value} {page.label or page.number}: {page.unread}")
    for warning in facts.warnings if facts else ():
        terminal.line(f"Note:      {warning}")
