"""The catalogue as a face uses it: checked once, remembered, audited, under policy."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from localai_app.engine.protocol import Device
from localai_app.governance.audit import Audit
from localai_app.governance.policy import Policy
from localai_app.models import catalogue_file
from localai_app.models.catalogue import Wanted
from localai_app.models.catalogue_file import LoadedCatalogue
from localai_app.models.catalogue_service import CatalogueService
from localai_app.models.fit import Memory
from localai_app.models.speed import Speeds
from localai_app.store.database import Database
from localai_app.store.settings import Settings
from tests.models.signing import document, entry, write_signed

GB = 10**9


@dataclass
class Room:
    folder: Path
    database: Database
    loads: list[dict[str, int]] = field(default_factory=list)
    devices: list[Device] = field(default_factory=list)
    asked: int = 0

    def service(self, policy: dict[str, Any] | None = None) -> CatalogueService:
        def load(seen: dict[str, int], today: date, keys: Any) -> LoadedCatalogue:
            self.loads.append(seen)
            return catalogue_file.load(
                seen, today, keys=keys, organisation=self.folder / "none", shipped=self.folder
            )

        def ask() -> list[Device]:
            self.asked += 1
            return self.devices

        settings = Settings(self.database)
        speeds = Speeds(settings, lambda threads: 40e9)
        return CatalogueService(settings, Policy(policy), Audit(self.database, "tester"), speeds, ask, load)

    def audited(self) -> list[tuple[str, Any]]:
        rows = self.database.rows("SELECT event, body FROM audit")
        return [(str(row["event"]), json.loads(str(row["body"]))) for row in rows]


def sized(name: str, billions: int, size: int, digit: str) -> dict[str, Any]:
    files = [{"name": f"{name}.gguf", "size": size, "sha256": digit * 64}]
    return entry(id=name, parameters=billions * GB, files=files)


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    monkeypatch.setattr(
        "localai_app.models.catalogue_service.live_memory", lambda devices: Memory(16 * GB, 32 * GB)
    )
    write_signed(
        tmp_path,
        document(
            sized("small", 1, GB, "1"),
            sized("large", 9, 5 * GB, "2"),
            sized("huge", 1000, 600 * GB, "3"),
            entry(id="unknown", files=[{"name": "u.gguf"}]),
        ),
    )
    database = Database.open(tmp_path / "data" / "store.db", bytes(32))
    yield Room(tmp_path, database)
    database.close()


def ids(found: Any) -> list[str]:
    return [offer.entry.id for offer in found]


def test_the_catalogue_is_read_once_and_its_version_remembered(room: Room) -> None:
    service = room.service()
    assert service.loaded() is service.loaded()
    (issuer,) = {service.loaded().issuer}
    room.service().loaded()
    assert room.loads == [{}, {issuer: 3}]
    assert room.audited() == []
    service.reload()
    assert len(room.loads) == 3


def test_what_is_wrong_is_audited(room: Room) -> None:
    (room.folder / catalogue_file.FILE).write_bytes(document(entry(id="evil")))
    service = room.service()
    assert service.offers() == []
    assert service.recommended() is None
    ((event, body),) = room.audited()
    assert event == "catalogue.refused"
    assert body["source"] == "none"
    assert "signature is wrong" in body["problems"][0]


def test_offers_are_searched_and_sorted_by_what_they_would_be_here(room: Room) -> None:
    service = room.service()
    assert ids(service.offers()) == ["small", "large", "huge", "unknown"]
    assert ids(service.offers(order="fit"))[-2:] == ["huge", "unknown"]
    assert ids(service.offers(order="speed"))[:2] == ["small", "large"]
    assert ids(service.offers(fits=True)) == ["small", "large"]
    assert ids(service.offers(Wanted(largest=2 * GB))) == ["small"]
    assert service.offers()[3].outlook is None
    assert room.asked == 1, "devices are asked for once"


def test_a_longer_context_needs_more(room: Room) -> None:
    service = room.service()
    catalogue = service.loaded().catalogue
    small = catalogue.entries[0]
    needs = [service.offer(small, context).outlook.fit.total for context in (4096, 65_536)]  # type: ignore[union-attr]
    assert needs[1] > needs[0] + 5 * GB


def test_the_recommended_one_fits_and_is_fast(room: Room) -> None:
    offer = room.service().recommended()
    assert offer is not None
    assert (offer.entry.id, offer.outlook.fit.grade if offer.outlook else "") == ("small", "fits")


@pytest.mark.parametrize(
    ("policy", "allowed"),
    [
        ({}, [True, True, True, True]),
        ({"AllowedModels": ("2" * 64,)}, [False, True, False, True]),
        ({"AllowedPublishers": ("google",)}, [False] * 4),
        ({"AllowedLicences": ("apache-2.0",)}, [False] * 4),
        ({"OfflineOnly": True}, [False] * 4),
    ],
)
def test_policy_says_what_may_be_had(room: Room, policy: dict[str, Any], allowed: list[bool]) -> None:
    service = room.service(policy)
    assert [offer.allowed for offer in service.offers()] == allowed
    recommended = service.recommended()
    assert (recommended is not None) == any(allowed[:3]), "nothing forbidden is recommended"


def test_all_calls_may_come_from_any_thread(room: Room) -> None:
    from concurrent.futures import ThreadPoolExecutor

    service = room.service()
    calls: list[Callable[[], object]] = [service.loaded, service.offers, service.recommended] * 5
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(call) for call in calls]:
            assert done.result()
    assert len(room.loads) == 1


def test_recommended_sampling_is_found_by_hash(room: Room) -> None:
    sampling = {"temperature": 1.0, "top_k": 64, "min_p": 0.0}
    files = [{"name": "s.gguf", "size": GB, "sha256": "1" * 64}]
    write_signed(room.folder, document(entry(sampling=sampling, files=files)))
    found = room.service().sampling_of("1" * 64)
    assert found == sampling
    assert isinstance(found["top_k"], int), "the engine's protocol takes no other"
    assert room.service().sampling_of("9" * 64) == {}
