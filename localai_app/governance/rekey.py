"""Another key for the store: every page is encrypted anew, and copies of the old key open nothing any more.

Changing what guards the key (`keys.protect_with_passphrase`) leaves the key as it is. This is for the day
when the key itself may have been seen: a key file was copied, a keystore was open to others. Backups that
were written before keep the old key, under their own passphrase.

The store is copied, the copy encrypted anew and checked; then the copy and its envelope take the places of
the old ones, in this order. Whatever a power cut leaves, `settle` makes one whole store of it.
"""

import contextlib
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from localai_app.errors import StoreDamaged, StoreLocked, UsageError
from localai_app.governance import keys
from localai_app.governance.audit import Audit, AuditEvent
from localai_app.governance.keys import StoreKey
from localai_app.governance.keystore import FindKeystore, system_keystore
from localai_app.governance.policy import Policy
from localai_app.governance.wrapping import KEY_BYTES
from localai_app.paths import Paths
from localai_app.store import files, migrations
from localai_app.store.database import Database


def change_key(
    paths: Paths,
    key: StoreKey,
    policy: Policy,
    passphrase: str = "",
    *,
    find_keystore: FindKeystore = system_keystore,
) -> StoreKey:
    """Give the store of ``paths``, which nobody has open, another key; guarded as the old one was.

    ``passphrase`` is the one that guards it from now on, where one does. Raise `UsageError` while the store
    is in use, `StoreError`; the old store and key stay then.
    """
    settle(paths)
    if paths.database.with_name("store.db-wal").exists():
        raise UsageError("The store is in use, or was not closed.", "Close LocalAI App first.")
    new = StoreKey(secrets.token_bytes(KEY_BYTES), key.kind)
    with _alone(paths):
        database = Database.open(paths.database, key.key)
        try:
            # Who starts the app now cannot write: what it wrote would be lost.
            with database.transaction():
                before = _exchange(paths, key, new, policy, passphrase, find_keystore)
        finally:
            database.close()
        keys.forget(paths, before, find_keystore)
        # Copies that upgrades made can be opened by nothing but the old key.
        migrations.remove_copies(paths.database, datetime.now(UTC) + timedelta(days=1))
    return new


def _exchange(  # noqa: PLR0917 - what `change_key` was given
    paths: Paths,
    key: StoreKey,
    new: StoreKey,
    policy: Policy,
    passphrase: str,
    find_keystore: FindKeystore,
) -> keys.Envelope:
    """Put a copy under the new key in the store's place; the envelope that it had."""
    following = _following(paths)
    source = Database(paths.database, key.key)
    try:
        source.copy_to(following)
        Database.change_key(following, key.key, new.key)
        _record(following, new)
        before = keys.prepare_next(paths, new, policy, passphrase, find_keystore=find_keystore)
        with files.os_errors(paths.database):
            following.replace(paths.database)
            files.sync_folder(paths.data)
    except BaseException:
        keys.drop_next(paths)
        _remove(following)
        raise
    finally:
        source.close()
    keys.promote_next(paths)
    return before


def settle(paths: Paths) -> None:
    """Finish or take back a change of key that was cut off; nothing where there was none.

    Raise `StoreLocked` while one is under way.
    """
    if not (_following(paths).exists() or keys.has_next(paths)):
        return
    with _alone(paths):
        if _following(paths).exists():
            # The old store is still in its place, and so is its envelope.
            keys.drop_next(paths)
            _remove(_following(paths))
        else:
            keys.promote_next(paths)


@contextlib.contextmanager
def _alone(paths: Paths) -> Iterator[None]:
    from filelock import FileLock, Timeout  # noqa: PLC0415 - not at every start

    lock = FileLock(paths.data / "rekey.lock")
    with files.os_errors(paths.data):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise StoreLocked("The store is being given another key.", "Wait until that is done.") from None
    try:
        yield
    finally:
        lock.release()


def _record(path: Path, key: StoreKey) -> None:
    """Write in the audit log of the new copy what was done, and see that all of it can be read."""
    database = Database.open(path, key.key)
    try:
        Audit(database).append(AuditEvent.KEY_RENEWED, body={"key": key.kind})
        if database.check():
            raise StoreDamaged("The store under its new key is not sound.", "Run `localai-app doctor`.")
    finally:
        database.close()


def _following(paths: Paths) -> Path:
    return paths.data / "store.next.db"


def _remove(path: Path) -> None:
    for one in (path, *path.parent.glob(f"{path.name}-*")):
        with contextlib.suppress(OSError):
            one.unlink(missing_ok=True)
