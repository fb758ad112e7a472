"""Model files that are used where they lie: another program's, or ones that the user named.

A link is a record in the settings, never a copy. The file stays whose it is: its owner may change or
delete it, which is seen at the next load, and removing the link does not touch it. A link to a file on a
drive that is not connected stays, marked as missing.
"""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import msgspec

from localai_app.errors import ModelNotFound, UsageError
from localai_app.governance.audit import Audit, AuditEvent
from localai_app.governance.policy import Policy
from localai_app.models.elsewhere import FoundModel, Places, find, found_model, is_gguf, places
from localai_app.models.installed import InstalledModel, Owner, Starter, by_name, describe, discover
from localai_app.store.settings import JSON, Settings

_KEY = "models.links"
_MOST = 5000


@dataclass(frozen=True)
class _Link:
    path: str
    name: str
    quantisation: str
    size: int
    owner: Owner = ""


@dataclass(frozen=True)
class _Record:
    links: list[_Link] = field(default_factory=list)


class Links:
    """The linked files of this store. All calls may come from any thread."""

    def __init__(self, settings: Settings, policy: Policy, audit: Audit, starter: Starter) -> None:
        self._settings = settings
        self._policy = policy
        self._audit = audit
        self._starter = starter
        self._lock = threading.Lock()

    def all(self) -> list[InstalledModel]:
        """The linked models, by name; one whose file is not there now has ``missing`` set."""
        return sorted((_installed(link) for link in self._links().values()), key=by_name)

    def get(self, path: Path) -> InstalledModel | None:
        """The linked model at ``path``; None when that is none."""
        link = self._links().get(str(path.absolute()))
        return _installed(link) if link else None

    def found(self, where: Places | None = None) -> list[FoundModel]:
        """Models of other programs on this computer that are not linked yet."""
        linked = self._links()
        models = find(where or places(Path.home()), self._starter)
        return [model for model in models if str(model.path) not in linked]

    def add(self, models: Iterable[FoundModel | Path]) -> list[InstalledModel]:
        """Use files where they lie: found ones, or a path to a file or to a folder with files.

        Raise `PolicyRefused`, `ModelNotFound` or `UsageError`; then nothing is linked.
        """
        with self._audit.refusals("link"):
            self._policy.require_import()
        wanted: list[FoundModel] = []
        for model in models:
            wanted += self._at(model) if isinstance(model, Path) else [model]
        added = {
            str(model.path): _Link(str(model.path), model.name, model.quantisation, model.size, model.owner)
            for model in wanted
        }
        with self._lock:
            links = self._links() | added
            if len(links) > _MOST:
                raise UsageError(f"At most {_MOST} files can be linked.", "Remove some links first.")
            self._save(links)
        self._audit.append(AuditEvent.MODEL_LINKED, body={"files": list(added)})
        return [_installed(link) for link in added.values()]

    def remove(self, path: Path) -> None:
        """Forget the link; the file stays. Raise `ModelNotFound` when it is not linked."""
        with self._lock:
            links = self._links()
            if links.pop(str(path.absolute()), None) is None:
                raise ModelNotFound(f"{path} is not linked.", "`localai-app models list` shows what is.")
            self._save(links)
        self._audit.append(AuditEvent.MODEL_UNLINKED, body={"files": [str(path.absolute())]})

    def _at(self, path: Path) -> list[FoundModel]:
        if path.is_dir():
            models = discover([path.absolute()], self._starter)
            if not models:
                raise ModelNotFound(f"There is no GGUF file in {path}.", "Name a folder that holds models.")
            return [found_model(model, "") for model in models]
        model = describe(path, self._starter)
        if not is_gguf(path):
            raise UsageError(f"{path} is not a GGUF file.", "Models are files whose name ends in .gguf.")
        return [found_model(model, "")]

    def _links(self) -> dict[str, _Link]:
        try:
            kept = msgspec.convert({"links": self._settings.get(_KEY, [])}, _Record).links
        except msgspec.ValidationError:
            return {}
        return {link.path: link for link in kept}

    def _save(self, links: Mapping[str, _Link]) -> None:
        value: list[JSON] = [asdict(link) for link in links.values()]
        self._settings.set(_KEY, value or None)


def _installed(link: _Link) -> InstalledModel:
    path = Path(link.path)
    try:
        missing = not path.is_file()
    except OSError:
        missing = True
    return InstalledModel(
        path, link.name, link.quantisation, link.size, linked=True, missing=missing, owner=link.owner
    )
