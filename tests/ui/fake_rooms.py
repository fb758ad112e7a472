"""The Models page's services in memory: a library, a hub and a catalogue that do what a test says."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from localai_app.errors import LocalAIError, NotFound
from localai_app.governance.audit import Audit
from localai_app.governance.policy import Policy
from localai_app.models.catalogue import Catalogue, CatalogueEntry, CatalogueFile, Licence
from localai_app.models.catalogue_file import LoadedCatalogue
from localai_app.models.catalogue_service import CatalogueService
from localai_app.models.connection import Connection
from localai_app.models.details import MetadataRow
from localai_app.models.elsewhere import FoundModel
from localai_app.models.gguf import Tensor
from localai_app.models.installed import InstalledModel
from localai_app.models.library import (
    HashState,
    Importable,
    LibraryModel,
    ModelDetails,
    ModelLibrary,
    Removed,
)
from localai_app.models.moving import Move
from localai_app.models.progress import Progress, Tell, go_on, silent
from localai_app.models.pull import FoundRepository, Pull, PullFile, PullService, PullState, Repository
from localai_app.models.quantisations import choices
from localai_app.models.service import ModelService
from localai_app.models.speed import Speeds
from localai_app.ui.models.rooms import ModelRooms

GB = 10**9
COMMIT = "5" * 40


def installed(file: InstalledModel, **changes: Any) -> LibraryModel:
    """A model as the library lists it."""
    made = LibraryModel(
        file=file,
        family="Qwen2.5",
        kind="chat",
        parameters=1_500_000_000,
        licence="Apache-2.0",
        commercial="yes",
        licence_url="https://www.apache.org/licenses/LICENSE-2.0",
        licence_note="",
        place="models folder",
        hash_state=HashState.RECORDED,
        sha256="a" * 64,
        found_sha256="",
        recorded=datetime.now(UTC),
        verified=None,
        source="",
        last_used=None,
        speed=None,
        selected=False,
        catalogue_id="",
    )
    return replace(made, **changes)


def entry(number: int, **changes: Any) -> CatalogueEntry:
    """A model of a catalogue, larger with each number."""
    made = CatalogueEntry(
        id=f"model-{number}",
        name=f"Model {number}",
        family="Qwen3" if number % 2 else "Gemma 4",
        kind="chat",
        repository=f"maker/model-{number}-GGUF",
        files=(CatalogueFile(f"model-{number}-Q4_K_M.gguf", (number + 1) * GB, f"{number:064x}"),),
        quantisation="Q4_K_M",
        licence=Licence("Apache License 2.0", "yes", "Apache-2.0", "https://www.apache.org/licenses/"),
        revision=COMMIT,
        parameters=(number + 1) * 1_800_000_000,
        context_length=32_768,
        languages=("en", "de"),
        recommended=number == 1,
    )
    return replace(made, **changes)


class FakeAudit(Audit):
    """Forgets."""

    def __init__(self) -> None:
        pass

    def append(self, *_: Any, **__: Any) -> None:  # type: ignore[override]
        pass


class FakeLibrary(ModelLibrary):
    """Models in a list; long work waits for `gate` where one is set."""

    def __init__(self, models: Iterable[LibraryModel] = ()) -> None:
        self.listed = {model.path: model for model in models}
        self.taken: dict[str, LibraryModel] = {}
        self.others: list[FoundModel] = []
        self.stick: list[Importable] = []
        self.look = DETAILS
        self.refusal: LocalAIError | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.calls: list[str] = []
        self.interrupted: Move | None = None
        self.weekly = True

    def _note(self, call: str) -> None:
        self.calls.append(call)
        if self.refusal is not None:
            raise self.refusal

    def models(self) -> list[LibraryModel]:
        return list(self.listed.values())

    def details(self, path: Path) -> ModelDetails:
        self._note("details")
        return self.look

    def verify(self, path: Path, tell: Tell = silent, stop: threading.Event | None = None) -> LibraryModel:
        self._note("verify")
        self._work(tell, stop)
        state = HashState.CHANGED if "bad" in path.name else HashState.VERIFIED
        self.listed[path] = replace(self.listed[path], hash_state=state, verified=datetime.now(UTC))
        return self.listed[path]

    def accept(self, path: Path) -> LibraryModel:
        self._note("accept")
        self.listed[path] = replace(self.listed[path], hash_state=HashState.RECORDED)
        return self.listed[path]

    def search_with(self, path: Path) -> LibraryModel:
        self._note(f"search with {path}")
        self.listed[path] = replace(self.listed[path], selected=True)
        return self.listed[path]

    def remove(self, path: Path) -> Removed:
        self._note("remove")
        model = self.listed.pop(path)
        self.taken[path.name] = model
        return Removed(path.name, model.file.name, path, model.file.size, model.file.linked)

    def undo_remove(self, removed_id: str) -> LibraryModel:
        self._note("undo_remove")
        model = self.taken.pop(removed_id)
        self.listed[model.path] = model
        return model

    def removed(self) -> list[Removed]:
        return [
            Removed(name, model.file.name, model.path, model.file.size, model.file.linked)
            for name, model in reversed(self.taken.items())
        ]

    def elsewhere(self) -> list[FoundModel]:
        self._note("elsewhere")
        return self.others

    def link(self, models: Iterable[FoundModel | Path]) -> list[LibraryModel]:
        self._note("link")
        added = []
        for model in models:
            path = model if isinstance(model, Path) else model.path
            file = InstalledModel(path, path.stem, "Q4_K_M", GB, linked=True)
            added.append(installed(file, place="linked"))
        self.listed |= {model.path: model for model in added}
        return added

    def importable(self, paths: Iterable[Path]) -> list[Importable]:
        self._note("importable")
        return self.stick or [Importable(path, path.stem, "Q4_K_M", GB) for path in paths]

    def import_model(
        self, source: Path, tell: Tell = silent, stop: threading.Event | None = None
    ) -> LibraryModel:
        self._note("import_model")
        self._work(tell, stop)
        made = installed(InstalledModel(Path("/models") / source.name, source.stem, "Q4_K_M", GB))
        self.listed[made.path] = made
        return made

    @property
    def folder(self) -> Path:
        return Path("/models")

    def move_folder(self, target: Path, tell: Tell = silent, stop: threading.Event | None = None) -> Path:
        self._note("move_folder")
        self._work(tell, stop)
        return target

    @property
    def verifies_weekly(self) -> bool:
        return self.weekly

    def set_verifies_weekly(self, on: bool) -> None:
        self._note("set_verifies_weekly")
        self.weekly = on

    def unfinished_move(self) -> Move | None:
        return self.interrupted

    def watch(self, watcher: Callable[[], None]) -> Callable[[], None]:
        self.watcher = watcher
        return lambda: None

    def _work(self, tell: Tell, stop: threading.Event | None) -> None:
        tell(Progress("checking", GB // 2, GB, "model.gguf"))
        while not self.gate.wait(0.005):
            go_on(stop)


class FakePulls(PullService):
    """Pulls that go on when a test says so."""

    def __init__(self) -> None:
        self.rows: dict[int, Pull] = {}
        self.refusal: LocalAIError | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.calls: list[str] = []
        self.started: list[tuple[str, tuple[str, ...], str, dict[str, str], bool]] = []
        self.repositories: dict[str, Repository] = {}
        self._seers: list[Callable[[Pull], None]] = []

    def _note(self, call: str) -> None:
        self.calls.append(call)
        self.gate.wait()
        if self.refusal is not None:
            raise self.refusal

    def say(self, pull_id: int, **changes: Any) -> Pull:
        """Change a pull, and tell it as the thread that fetches does."""
        pull = self.rows[pull_id] = replace(self.rows[pull_id], **changes)
        for seer in list(self._seers):
            seer(pull)
        return pull

    def search(self, text: str, limit: int = 30) -> list[FoundRepository]:
        self._note(f"search {text}")
        return [
            FoundRepository(repo, 7_000, 3, "2026-10-01T12:00:00Z", repository.gated, repository.licence)
            for repo, repository in self.repositories.items()
            if text in repo
        ]

    def repository(self, repo: str, revision: str = "main", *, from_catalogue: bool = False) -> Repository:
        self._note(f"repository {repo}")
        return self.repositories[repo]

    def add_repository(self, repo: str, *names: str, gated: bool = False) -> None:
        files = tuple(PullFile(name, GB + number, "") for number, name in enumerate(names))
        self.repositories[repo] = Repository(repo, COMMIT, gated, "apache-2.0", files, tuple(choices(files)))

    def start(
        self,
        repo: str,
        files: Sequence[str],
        revision: str = "main",
        *,
        sha256: Mapping[str, str] | None = None,
        from_catalogue: bool = False,
    ) -> Pull:
        self._note("start")
        self.started.append((repo, tuple(files), revision, dict(sha256 or {}), from_catalogue))
        number = len(self.rows) + 1
        wanted = tuple(PullFile(name, 2 * GB, "") for name in files)
        pull = Pull(number, repo, COMMIT, wanted, PullState.RUNNING, 0, 2 * GB * len(wanted))
        self.rows[number] = pull
        return pull

    def pulls(self) -> list[Pull]:
        return list(self.rows.values())

    def pull(self, pull_id: int) -> Pull:
        if pull_id not in self.rows:
            raise NotFound(f"There is no download {pull_id}.")
        return self.rows[pull_id]

    def pause(self, pull_id: int) -> Pull:
        self._note("pause")
        return self.say(pull_id, state=PullState.PAUSED, speed=0.0)

    def resume(self, pull_id: int) -> Pull:
        self._note("resume")
        return self.say(pull_id, state=PullState.RUNNING, error="")

    def remove(self, pull_id: int) -> None:
        self._note("remove")
        del self.rows[pull_id]

    def restore(self) -> None:
        self._note("restore")

    def set_limit(self, bytes_per_second: int) -> None:
        self._note(f"limit {bytes_per_second}")

    def watch(self, watcher: Callable[[Pull], None]) -> Callable[[], None]:
        self._seers.append(watcher)
        return lambda: self._seers.remove(watcher)


def fake_catalogue(settings: Any, policy: Policy, entries: Sequence[CatalogueEntry]) -> CatalogueService:
    """The real service on a catalogue of these entries, on a machine of known speed."""
    day = date(2026, 11, 14)
    loaded = LoadedCatalogue(Catalogue(1, day, date(2027, 11, 14), tuple(entries)), "shipped", "issuer")
    speeds = Speeds(settings, lambda threads: 40e9)
    return CatalogueService(
        settings, policy, FakeAudit(), speeds, lambda: (), lambda seen, today, keys: loaded
    )


def fake_rooms(
    models: ModelService,
    settings: Any,
    files: Iterable[InstalledModel],
    entries: Sequence[CatalogueEntry] = (),
    policy: Policy | None = None,
) -> ModelRooms:
    """All of them, with one library model for each of ``files``."""
    policy = policy or Policy()
    library = FakeLibrary(installed(file, selected=file.starter) for file in files)
    return ModelRooms(
        models,
        library,
        fake_catalogue(settings, policy, entries or [entry(number) for number in range(6)]),
        FakePulls(),
        Connection(settings, policy, find_keystore=lambda: None, environment={}),
        policy,
    )


DETAILS = ModelDetails(
    architecture="qwen2",
    metadata=(MetadataRow("general.name", "text", "Qwen2.5"), MetadataRow("qwen2.layers", "number", "28")),
    tensors=(Tensor("token_embd.weight", "Q6_K", (1536, 151_936), 191_000_000),),
    template="{% for message in messages %}{{ message }}{% endfor %}",
    template_sha256="b" * 64,
    template_state="different",
    known_sha256="c" * 64,
    template_diff="--- catalogue\n+++ file\n@@ -1 +1 @@\n-{{ a }}\n+{{ b }}",
)
