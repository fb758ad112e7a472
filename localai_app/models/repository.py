"""A repository of the hub as it may be offered: what a server said, checked name by name."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from localai_app.errors import UsageError
from localai_app.models.hub_protocol import Described, Failed
from localai_app.models.puller import failure
from localai_app.models.pulls import PullFile
from localai_app.models.quantisations import Choice, choices

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FILE = re.compile(r"[\w+@(),= .-]{1,200}")


@dataclass(frozen=True)
class Repository:
    """What a repository holds at one revision."""

    repo: str
    revision: str
    """Commit."""
    gated: bool
    licence: str
    """As the publisher names it, such as ``apache-2.0``; empty where unknown."""
    files: tuple[PullFile, ...]
    choices: tuple[Choice, ...]
    """The models in it, the smallest first."""


def require_repository_name(repo: str) -> None:
    """``repo`` must be a repository's name; raise `UsageError`."""
    if not _is_repository_name(repo):
        raise UsageError(f"“{repo}” is no repository.", "Its name is OWNER/NAME.")


def checked(said: Described, asked: str) -> Repository:
    """What the puller says of the repository ``asked``; raise `PullFailed` for what cannot be.

    Files whose names cannot be used here are left out.
    """
    if not _COMMIT.fullmatch(said.revision) or not _is_repository_name(said.repo):
        raise failure(Failed(0, "bad_answer", "no revision"), asked)
    files = tuple(
        PullFile(file.name, file.size, file.sha256 if _SHA256.fullmatch(file.sha256) else "")
        for file in said.files
        if _is_sound_name(file.name)
    )
    return Repository(said.repo, said.revision, said.gated, said.licence, files, tuple(choices(files)))


def chosen(repository: Repository, names: Sequence[str], sha256: Mapping[str, str]) -> tuple[PullFile, ...]:
    """The files of one of the repository's choices; ``sha256`` (by name) is what they must have.

    Raise `UsageError` for names that are no model or not all of one, `PullFailed` for another hash.
    """
    for choice in repository.choices:
        of_choice = {file.name for file in choice.files}
        if of_choice == set(names):
            return tuple(_with_hash(file, sha256.get(file.name, "").lower()) for file in choice.files)
        if of_choice & set(names) and len(of_choice) > 1:
            raise UsageError(f"{choice.name} consists of {len(of_choice)} files.", "Fetch all of them.")
    raise UsageError(
        f"There is no model “{', '.join(names)}” in {repository.repo}.", "Choose one that is there."
    )


def base_name(file: PullFile) -> str:
    """Its name without the folders that it has in the repository."""
    return PurePosixPath(file.name).name


def _with_hash(file: PullFile, wanted: str) -> PullFile:
    if wanted and file.sha256 and wanted != file.sha256:
        raise failure(Failed(0, "changed", "the catalogue names another SHA-256"), base_name(file))
    return replace(file, sha256=wanted or file.sha256)


def _is_repository_name(repo: str) -> bool:
    return bool(_REPOSITORY.fullmatch(repo)) and ".." not in repo


def _is_sound_name(name: str) -> bool:
    return all(
        _FILE.fullmatch(part) and not part.startswith((".", " ")) and not part.endswith((".", " "))
        for part in name.split("/")
    )
