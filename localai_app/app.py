"""Composition root: builds store, policy, engine and services; nothing else builds them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType

from localai_app import __version__, sandbox
from localai_app.chat.history import History
from localai_app.chat.service import ChatService
from localai_app.chat.snapshots import Snapshots
from localai_app.documents import chunks, languages, reader_process, recognition
from localai_app.documents.asking import Asking
from localai_app.documents.library import Library
from localai_app.documents.search import Index
from localai_app.documents.service import DocumentService
from localai_app.engine.arbiter import Arbiter
from localai_app.engine.client import Engine, WorkerEngine
from localai_app.errors import StoreDamaged, StoreError
from localai_app.governance import keys, rekey, unlock_failures
from localai_app.governance.audit import Audit, AuditEvent, BodyValue
from localai_app.governance.audit_archive import AuditArchive
from localai_app.governance.audit_forward import AuditForward
from localai_app.governance.backup import Backups
from localai_app.governance.keys import AskPassphrase, StoreKey
from localai_app.governance.policy import Policy
from localai_app.governance.policy_record import PolicyRecord
from localai_app.models.catalogue_service import CatalogueService
from localai_app.models.connection import Connection
from localai_app.models.embedding import EmbeddingService
from localai_app.models.library import ModelLibrary
from localai_app.models.pull import PullService
from localai_app.models.pulls import PullRow
from localai_app.models.residency import Residency
from localai_app.models.service import ModelService
from localai_app.models.speed import Speeds
from localai_app.models.trial import try_model
from localai_app.paths import Paths
from localai_app.retention import Retention
from localai_app.store.database import Database
from localai_app.store.files import make_private_folder
from localai_app.store.settings import Settings
from localai_app.tasks.kinds import KINDS
from localai_app.tasks.runs import Runs
from localai_app.tasks.service import TaskService

KEEP_COPIES = timedelta(days=30)
"""How long a copy stays that an upgrade made: it holds what is erased from the store meanwhile."""


@dataclass(frozen=True)
class App:
    """The rooms of one run, on one data folder. Close it, or use it as a context manager."""

    paths: Paths
    key: StoreKey
    database: Database
    settings: Settings
    policy: Policy
    audit: Audit
    archive: AuditArchive
    forward: AuditForward
    models: ModelService
    embedding: EmbeddingService
    engine: Engine
    arbiter: Arbiter
    residency: Residency
    snapshots: Snapshots
    chat: ChatService
    catalogue: CatalogueService
    connection: Connection
    pulls: PullService
    library: ModelLibrary
    documents: DocumentService
    tasks: TaskService
    retention: Retention

    @property
    def backups(self) -> Backups:
        """Writes backups of the store."""
        return Backups(self.paths, self.database, self.key, self.policy, self.audit)

    def set_passphrase(self, passphrase: str) -> StoreKey:
        """Let ``passphrase`` guard the store's key from the next start on; the key as it is guarded now."""
        with self.audit.refusals("key"):
            key = keys.protect_with_passphrase(self.paths, self.key, passphrase, self.policy)
        self.audit.append(AuditEvent.KEY_CHANGED, body={"key": key.kind})
        return key

    def close(self) -> None:
        """End every child process and close the store."""
        try:
            self.retention.stop()
            self.tasks.close()
            self.documents.close()
            self.pulls.close()
            self.library.close()
            self.residency.close()
            self.snapshots.write_all_due()
            self.embedding.close()
            self.engine.close()
            self.policy.on_change(None)
            self.audit.stop()
            self.archive.keep_checkpoint()
        finally:
            self.forward.stop()
            self.database.close()

    def __enter__(self) -> "App":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_app(
    paths: Paths,
    *,
    ask_passphrase: AskPassphrase | None = None,
    engine: Engine | None = None,
    policy: Policy | None = None,
) -> App:
    """Open the store of ``paths`` (made at the first use) and build the services on it.

    ``policy`` is a stand-in of tests for what an administrator set on this computer.
    Raise `StoreError` or `PolicyRefused` with what to do when the store cannot be opened.
    """
    policy = policy or Policy.of_system()
    policy.require_sandbox(sandbox.missing())
    rekey.settle(paths)
    with unlock_failures.counted(paths):
        key = keys.open_key(paths, policy, ask_passphrase=ask_passphrase)
    folder = paths.data / "snapshots"
    if folder.is_dir() and not (paths.database.is_file() and paths.database.stat().st_size):
        # The folder is made once there is a store: beginning another one would hide that it is gone.
        raise StoreDamaged(
            f"The store “{paths.database}” is empty or gone.",
            "Restore it from a backup; to begin anew, move the data folder away.",
        )
    with unlock_failures.counted(paths):
        database = Database.open(paths.database, key.key)
    try:
        audit = Audit(database, policy=policy)
        history = History(database)
        settings = Settings(database)
        with database.transaction():
            if key.created:
                audit.append(AuditEvent.STORE_CREATED, body={"key": key.kind})
            audit.append(AuditEvent.APP_STARTED, body={"version": __version__, "key": key.kind})
            if database.upgraded_from is not None:
                schemas: dict[str, BodyValue] = {"from": database.upgraded_from, "to": database.schema}
                audit.append(AuditEvent.STORE_UPGRADED, body=schemas)
            unlock_failures.tell(paths, audit)
            if sealed_to := keys.seal_to_organisation(paths, key, policy):
                audit.append(AuditEvent.KEY_SEALED, sealed_to)
            PolicyRecord(policy, audit, settings).begin()
            # Answers that a crash or a power cut left half-written can be continued.
            for interrupted in history.interrupt_expired():
                audit.append(
                    AuditEvent.ANSWER_FINISHED,
                    object_id=str(interrupted.message_id),
                    body={"status": "interrupted"},
                )
        unlock_failures.forget(paths)
        if policy.allows_delete and (removed := database.remove_copies(datetime.now(UTC) - KEEP_COPIES)):
            audit.append(AuditEvent.STORE_COPIES_REMOVED, body={"copies": removed})
    except StoreError:
        database.close()
        raise
    forward = AuditForward(database, audit, settings, policy)
    forward.start()
    make_private_folder(folder)
    arbiter = Arbiter()
    engine = engine or WorkerEngine(folder, arbiter=arbiter)
    snapshots = Snapshots(database, folder, engine)
    snapshots.sweep()
    residency = Residency(settings, snapshots.write_all_due, arbiter)
    residency.add(engine)
    speeds = Speeds(settings)
    catalogue = CatalogueService(settings, policy, audit, speeds, engine.devices)
    models = ModelService(
        database, settings, engine, paths, policy, audit, speeds=speeds, sampling_of=catalogue.sampling_of
    )
    embedding_engine = WorkerEngine(arbiter=arbiter)
    residency.add(embedding_engine)
    embedding = EmbeddingService(models, settings, embedding_engine, audit)
    connection = Connection(settings, policy)

    def check(path: Path, stopped: Callable[[], bool]) -> None:
        try_model(path, lambda: WorkerEngine(arbiter=arbiter), stopped)

    def keep_pulled(row: PullRow) -> None:
        models.files.keep(
            Path(row.path),
            row.files[0].sha256 if len(row.files) == 1 else "",
            source=f"{row.repo}@{row.revision}",
            licence=row.licence,
        )

    pulls = PullService(
        database,
        paths.models[0],
        connection,
        policy,
        audit,
        lambda path: check(path, pulls.closing.is_set),
        on_installed=keep_pulled,
    )
    library = ModelLibrary(
        database,
        settings,
        paths,
        policy,
        audit,
        models,
        embedding,
        catalogue,
        pulls,
        (engine, embedding_engine),
        check,
    )
    library.settle()
    documents = DocumentService(
        Library(database),
        policy,
        audit,
        embedding,
        Index(database, embedding),
        reader_process.read,
        chunks.split,
        languages.language_of,
        recognition.available,
        reader_process.Viewer,
    )
    asking = Asking(documents, models, engine)
    chat = ChatService(history, models, engine, policy, audit, snapshots, asking)
    tasks = TaskService(Runs(database, KINDS), documents, models, engine, policy, audit, kinds=KINDS)
    retention = Retention(chat, documents, tasks, policy, audit)
    retention.start()
    return App(
        paths,
        key,
        database,
        settings,
        policy,
        audit,
        AuditArchive(audit, policy),
        forward,
        models,
        embedding,
        engine,
        arbiter,
        residency,
        snapshots,
        chat,
        catalogue,
        connection,
        pulls,
        library,
        documents,
        tasks,
        retention,
    )


def recover_store(
    paths: Paths, private_file: Path, password: str, passphrase: str, policy: Policy | None = None
) -> None:
    """Open a store with the organisation's recovery key and let ``passphrase`` guard it from now on.

    Raise `KeyUnavailable` where it was never sealed to one, `UsageError`, `WrongKey`, `PolicyRefused`.
    """
    key = keys.recover(paths, private_file, password)
    database = Database.open(paths.database, key.key)
    try:
        guarded = keys.protect_with_passphrase(paths, key, passphrase, policy or Policy.of_system())
        Audit(database).append(AuditEvent.KEY_RECOVERED, body={"key": guarded.kind})
    finally:
        database.close()
