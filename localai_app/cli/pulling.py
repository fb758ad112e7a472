"""``localai-app models search`` and ``pull``."""

import argparse

from localai_app.app import App
from localai_app.cli.commands import Session, plain
from localai_app.cli.terminal import Terminal, time_left
from localai_app.errors import NotFound, PullFailed, UsageError
from localai_app.models.pull import Choice, Pull, PullState, Repository
from localai_app.models.quantisations import quantisation_of


def search(session: Session, arguments: argparse.Namespace) -> int:
    """Repositories with models, the most downloaded first."""
    with session.open() as app:
        found = app.pulls.search(" ".join(arguments.words), arguments.limit)
    if session.as_json:
        session.terminal.json(plain(found))
        return 0
    rows = [
        (one.repo, f"{one.downloads:,}", one.updated[:10], one.licence or "–", "gated" if one.gated else "")
        for one in found
    ]
    session.terminal.table(("REPOSITORY", "DOWNLOADS", "UPDATED", "LICENCE", ""), rows)
    session.terminal.note("`localai-app models pull REPOSITORY --show` lists what one offers.")
    return 0


def pull(session: Session, arguments: argparse.Namespace) -> int:
    """Fetch a model to the end, or go on with that; Ctrl-C pauses it."""
    terminal = session.terminal
    with session.open() as app:
        if arguments.limit is not None:
            app.pulls.set_limit(round(arguments.limit * 1e6))
        if arguments.show:
            return _show_offer(session, app.pulls.repository(arguments.model, arguments.revision))
        started = _unfinished(app, arguments.model) or _start(app, arguments.model, arguments.revision)
        terminal.note(f"Fetching {started.name} ({started.total / 1e9:,.2f} GB) of {started.repo}.")
        ended = _follow(app, started, terminal)
    if ended.state is not PullState.INSTALLED:
        raise PullFailed(ended.error or f"The download is {ended.state} now.")
    if session.as_json:
        terminal.json(plain(ended))
    else:
        terminal.note(f"{ended.name} is verified and installed: {ended.path}")
    return 0


def _follow(app: App, pull: Pull, terminal: Terminal) -> Pull:
    """Wait for its end, with its progress shown."""
    try:
        app.pulls.move_to_front(pull.id)
        app.pulls.restore()  # where a process that is gone has left it
        for seen in app.pulls.changes(pull.id):
            pull = seen
            terminal.status(_words(pull))
    except (KeyboardInterrupt, SystemExit):
        app.pulls.pause(pull.id)
        terminal.note("Paused. The same command goes on where it stopped.")
        raise
    return pull


def _unfinished(app: App, named: str) -> Pull | None:
    """The download that ``named`` means and that has not come to its end, set going again."""
    entry = app.catalogue.loaded().catalogue.entry(named)
    repo, _, quantisation = named.partition(":")
    for known in app.pulls.pulls():
        if known.state in (PullState.INSTALLED, PullState.CANCELLED):
            continue
        names = {file.name for file in known.files}
        if entry is not None:
            same = known.repo == entry.repository and names == {file.name for file in entry.files}
        else:
            same = known.repo == repo and (not quantisation or _is_of(known, quantisation))
        if same:
            return app.pulls.resume(known.id)
    return None


def _is_of(pull: Pull, quantisation: str) -> bool:
    stem = pull.name[: -len(".gguf")]
    return quantisation.casefold() in (quantisation_of(stem).casefold(), pull.name.casefold())


def _start(app: App, named: str, revision: str) -> Pull:
    entry = app.catalogue.loaded().catalogue.entry(named)
    if entry is not None:
        return app.pulls.start(
            entry.repository,
            [file.name for file in entry.files],
            entry.revision or revision,
            sha256={file.name: file.sha256 for file in entry.files if file.sha256},
            from_catalogue=True,
        )
    repo, _, quantisation = named.partition(":")
    if "/" not in repo:
        raise NotFound(
            f"There is no “{named}” in the catalogue.",
            "Name an id of `localai-app models catalogue --json`, or a repository as OWNER/NAME.",
        )
    repository = app.pulls.repository(repo, revision)
    choice = _chosen(repository, quantisation)
    return app.pulls.start(repo, [file.name for file in choice.files], repository.revision)


def _chosen(repository: Repository, quantisation: str) -> Choice:
    """The model of that quantisation; without one the only or the recommended one."""
    choices = repository.choices
    if quantisation:
        wanted = quantisation.casefold()
        fitting = [
            choice for choice in choices if wanted in (choice.quantisation.casefold(), choice.name.casefold())
        ]
    else:
        fitting = list(choices) if len(choices) == 1 else [one for one in choices if one.recommended]
    if not choices:
        raise NotFound(f"There is no GGUF model in {repository.repo}.", "Choose another repository.")
    if len(fitting) != 1:
        offered = ", ".join(choice.quantisation or choice.name for choice in choices)
        raise UsageError(f"Which one of {repository.repo}?", f"Add one of these after a colon: {offered}.")
    return fitting[0]


def _show_offer(session: Session, repository: Repository) -> int:
    if session.as_json:
        session.terminal.json(plain(repository))
        return 0
    rows = [
        (
            "*" if choice.recommended else "",
            choice.quantisation or "–",
            f"{choice.size / 1e9:,.2f} GB",
            choice.name,
            choice.explanation,
        )
        for choice in repository.choices
    ]
    session.terminal.table(("", "QUANT", "SIZE", "NAME", ""), rows)
    return 0


def _words(pull: Pull) -> str:
    if pull.state is PullState.CHECKING:
        return f"{pull.name}: loading it once"
    words = f"{pull.name} {pull.done / pull.total:.0%}" if pull.total else pull.name
    if pull.note:
        return f"{words}  {pull.note}"
    if pull.speed:
        words += f"  {pull.speed / 1e6:,.1f} MB/s"
    return words + time_left(pull.seconds_left)
