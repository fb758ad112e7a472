"""A hub on loopback, and services that fetch from it."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from localai_app.governance.audit import Audit
from localai_app.governance.policy import Policy
from localai_app.models.connection import Connection
from localai_app.models.hub_protocol import Configure
from localai_app.models.pull import PullService
from localai_app.store.database import Database
from localai_app.store.settings import Settings
from tests.models.hub_server import Hub, Repo, running_hub

KEY = bytes(range(32))
REPO = "maker/model-GGUF"
FILE = "model-Q4_K_M.gguf"
MIB = 1024**2


def noise(size: int, seed: int = 1) -> bytes:
    """Bytes that no two places share."""
    return random.Random(seed).randbytes(size)


def loopback(configure: Configure, hub: Hub) -> Configure:
    """As the app would connect, but to the hub of the test and impatiently."""
    return msgspec.structs.replace(
        configure,
        endpoint=hub.url,
        hosts=("127.0.0.1", "localhost"),
        proxy="",
        stall_seconds=1.0,
        retry_seconds=0.02,
        tries=4,
    )


@pytest.fixture
def hub() -> Iterator[Hub]:
    with running_hub() as running:
        running.repos[REPO] = Repo({FILE: noise(3 * MIB), "README.md": b"# Model"})
        yield running


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database.open(tmp_path / "data" / "store.db", KEY)
    yield opened
    opened.close()


@pytest.fixture
def make_service(hub: Hub, database: Database, tmp_path: Path) -> Iterator[Any]:
    """Makes a service on the test's store, hub and models folder; closed at the end."""
    made: list[PullService] = []

    def make(policy: Policy | None = None, **named: Any) -> PullService:
        policy = policy or Policy()
        connection = Connection(Settings(database), policy, find_keystore=lambda: None, environment={})
        named.setdefault("configure", lambda configure: loopback(configure, hub))
        named.setdefault("check", lambda path: None)
        check = named.pop("check")
        service = PullService(
            database, tmp_path / "models", connection, policy, Audit(database, "tester"), check, **named
        )
        made.append(service)
        return service

    yield make
    for service in made:
        service.close()


@pytest.fixture
def service(make_service: Any) -> PullService:
    made: PullService = make_service()
    return made
