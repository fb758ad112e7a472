"""What the real starter model makes of awkward documents is valid, or it failed and says why.

Two documents made here, and with ``LOCALAI_APP_EVAL`` as many of its awkward files as
``LOCALAI_APP_VALIDITY_DOCUMENTS`` says (5).
"""

import json
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from localai_app.app import App, open_app
from localai_app.documents.document import Scope, State
from localai_app.documents.service import DocumentService
from localai_app.governance.audit import Audit
from localai_app.paths import Paths
from localai_app.tasks.service import TaskService
from tests.documents.small_files import pdf
from tests.tasks.scripted import ORDERS
from tests.tasks.test_validity import FEW, FIELDS, look_over, look_over_record

pytestmark = [pytest.mark.engine, pytest.mark.timeout(3600)]

_LARGEST = 200_000
"""Bytes of an awkward file: the model is small, not fast."""
TASKS = [*(one for one in FEW if one[0] != "extract"), ("extract", {"fields": FIELDS[:2] + FIELDS[6:8]})]


@dataclass(frozen=True)
class RealRooms:
    app: App
    folder: Path

    @property
    def service(self) -> DocumentService:
        return self.app.documents

    @property
    def tasks(self) -> TaskService:
        return self.app.tasks

    @property
    def audit(self) -> Audit:
        return self.app.audit


@pytest.fixture
def rooms(tmp_path: Path, starter_model: Path, minilm: Path) -> Iterator[RealRooms]:
    models = tmp_path / "models"
    models.mkdir()
    for model in (starter_model, minilm):
        (models / model.name).symlink_to(model)
    paths = Paths(
        data=tmp_path / "data", config=tmp_path / "config", cache=tmp_path / "cache", models=(models,)
    )
    with open_app(paths) as app:
        yield RealRooms(app, tmp_path)


def awkward_files() -> list[Path]:
    """Some of the shared awkward files; none where they are not here."""
    folder = os.environ.get("LOCALAI_APP_EVAL")
    if not folder:
        return []
    files = sorted(
        file
        for file in Path(folder, "awkward").rglob("*")
        if file.is_file() and file.stat().st_size <= _LARGEST
    )
    wanted = int(os.environ.get("LOCALAI_APP_VALIDITY_DOCUMENTS", "5"))
    return random.Random(6).sample(files, min(wanted, len(files)))


def test_every_outcome_of_the_starter_model_is_valid_or_a_named_failure(rooms: RealRooms) -> None:
    (rooms.folder / "orders.txt").write_text("\n".join(ORDERS))
    (rooms.folder / "lease.pdf").write_bytes(pdf())
    made = [rooms.folder / name for name in ("orders.txt", "lease.pdf")]
    added = rooms.service.add([*made, *awkward_files()])
    assert rooms.service.wait(600)
    documents = [rooms.service.document(number) for number in added.documents]
    ready = tuple(one.id for one in documents if one.state is State.READY)
    assert len(ready) >= len(made)
    for kind, options in TASKS:
        checked = rooms.tasks.options_of(kind, json.dumps(options).encode())
        run = rooms.tasks.start(kind, checked, Scope(documents=ready))
        assert rooms.tasks.wait(run.id, 3000), rooms.tasks.run(run.id)
        look_over(rooms, rooms.tasks.run(run.id), rooms.tasks.items(run.id))
        look_over_record(rooms, run.id)
