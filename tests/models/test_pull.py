"""The real huggingface-hub client in the real puller process against a hub on loopback."""

import contextlib
import datetime
import hashlib
import ipaddress
import itertools
import os
import random
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from localai_app.errors import GgufError, ModelLoadFailed, NotFound, PolicyRefused, PullFailed, UsageError
from localai_app.governance.policy import Policy
from localai_app.models.copying import RESERVE
from localai_app.models.pull import Pull, PullService, PullState
from localai_app.store.database import Database
from tests.models.conftest import FILE, MIB, REPO, loopback, noise
from tests.models.hub_server import COMMIT, PIECE, Fault, Hub, Repo, running_hub

BLOCK = 2 * MIB
"""What may be fetched twice after a kill: what was on the wire, in the buffers of both systems."""
WAIT = 150
"""Seconds after which a test gives up on what must come; a busy machine may take long."""
APP = Path(__file__).parents[1] / "children" / "pulling_app.py"


def finished(service: PullService, pull: Pull) -> Pull:
    """The pull once it has ended."""
    last = pull
    for seen in service.changes(pull.id):
        last = seen
    return last


def reached(service: PullService, pull: Pull, when: Callable[[Pull], bool]) -> Pull:
    for seen in service.changes(pull.id):
        if when(seen):
            return seen
    raise AssertionError("it ended before")


def let_go(service: PullService) -> None:
    """Wait until nothing is worked on."""
    if thread := service._thread:
        thread.join(WAIT)
    assert service._thread is None


def content(hub: Hub, file: str = FILE) -> bytes:
    return hub.repos[REPO].files[file]


def files_below(folder: Path) -> list[Path]:
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


def events(database: Database) -> list[str]:
    rows = database.rows("SELECT event FROM audit ORDER BY seq")
    return [row["event"].partition(".")[2] for row in rows if row["event"].startswith(("model", "network"))]


# ---------------------------------------------------------------- what is fetched


def test_model_is_fetched_verified_and_moved_into_place(
    service: PullService, hub: Hub, tmp_path: Path, database: Database
) -> None:
    pull = finished(service, service.start(REPO, [FILE]))
    assert (pull.state, pull.error) == (PullState.INSTALLED, "")
    assert pull.path == tmp_path / "models" / REPO / FILE
    assert pull.path.read_bytes() == content(hub)
    assert pull.path.stat().st_mode & 0o222 == 0
    assert (pull.revision, pull.done, pull.total) == (COMMIT, 3 * MIB, 3 * MIB)
    assert pull.files[0].sha256 == hashlib.sha256(content(hub)).hexdigest()
    assert files_below(tmp_path / "models") == [Path(REPO, FILE)]
    assert hub.fetched_twice(FILE) == 0
    assert events(database) == ["connected", "pull_started", "connected", "pulled"]
    assert service.connections == {"127.0.0.1": 1, "localhost": 1}


def test_bytes_are_asked_of_the_commit_that_was_chosen(service: PullService, hub: Hub) -> None:
    finished(service, service.start(REPO, [FILE]))
    assert ("HEAD", f"/{REPO}/resolve/{COMMIT}/{FILE}") in hub.requests


def test_search_lists_repositories(service: PullService, hub: Hub) -> None:
    hub.repos["other/thing"] = Repo({}, licence="mit", gated=True)
    found = service.search("thing")
    assert [(one.repo, one.licence, one.gated, one.downloads) for one in found] == [
        ("other/thing", "mit", True, 7)
    ]
    assert found[0].updated.startswith("2026-10-01")
    assert len(service.search("")) == 2


def test_repository_offers_whole_models_by_quantisation(service: PullService, hub: Hub) -> None:
    hub.repos[REPO] = Repo(
        {
            "model-Q8_0.gguf": bytes(400),
            "model-Q4_K_M.gguf": bytes(200),
            "BF16/model-BF16-00001-of-00002.gguf": bytes(500),
            "BF16/model-BF16-00002-of-00002.gguf": bytes(300),
            "model-Q2_K-00001-of-00002.gguf": bytes(10),
            "mmproj-model-f16.gguf": bytes(50),
            "../evil-Q4_0.gguf": bytes(60),
            "config.json": b"{}",
        }
    )
    repository = service.repository(REPO)
    assert [(c.quantisation, c.size, len(c.files), c.recommended) for c in repository.choices] == [
        ("Q4_K_M", 200, 1, True),
        ("Q8_0", 400, 1, False),
        ("BF16", 800, 2, False),
    ]
    assert all(choice.explanation for choice in repository.choices)
    assert (repository.revision, repository.licence, repository.gated) == (COMMIT, "apache-2.0", False)
    assert not any(".." in file.name for file in repository.files)


def test_split_model_appears_whole_in_one_folder(service: PullService, hub: Hub, tmp_path: Path) -> None:
    names = [f"big/model-Q8_0-0000{n}-of-00003.gguf" for n in (1, 2, 3)]
    hub.repos[REPO].files = {name: noise(MIB // 2, seed=n) for n, name in enumerate(names)}
    with pytest.raises(UsageError, match="consists of 3 files"):
        service.start(REPO, names[:2])
    pull = finished(service, service.start(REPO, names))
    assert pull.state is PullState.INSTALLED
    assert pull.path == tmp_path / "models" / REPO / "model-Q8_0-00001-of-00003.gguf"
    for name in names:
        assert (pull.path.parent / Path(name).name).read_bytes() == content(hub, name)


def test_queue_works_on_one_after_the_other(service: PullService, hub: Hub) -> None:
    for number in (1, 2, 3):
        hub.repos[REPO].files[f"m{number}.gguf"] = noise(MIB, seed=number)
    hub.pause_after = 0
    first, second, third = (service.start(REPO, [f"m{number}.gguf"]) for number in (1, 2, 3))
    assert hub.paused.wait(WAIT)
    service.move_to_front(third.id)
    assert [pull.state for pull in service.pulls()] == ["queued", "running", "queued"]
    hub.go.set()
    for pull in (first, second, third):
        assert finished(service, pull).state is PullState.INSTALLED
    assert [sent.file for sent in hub.sent] == ["m1.gguf", "m3.gguf", "m2.gguf"]


def test_what_is_here_already_is_not_fetched_again(service: PullService) -> None:
    finished(service, service.start(REPO, [FILE]))
    with pytest.raises(UsageError, match="already"):
        service.start(REPO, [FILE])


def test_other_file_of_the_same_name_is_left_alone(service: PullService, hub: Hub, tmp_path: Path) -> None:
    old = tmp_path / "models" / REPO / FILE
    old.parent.mkdir(parents=True)
    old.write_text("old")
    pull = finished(service, service.start(REPO, [FILE]))
    assert old.read_text() == "old"
    assert pull.path == tmp_path / "models" / f"{REPO}@{COMMIT[:8]}" / FILE


# ---------------------------------------------------------------- bad connections


@pytest.mark.parametrize("kind", ["drop", "reset", "stall", "truncate"])
def test_broken_connections_are_survived_and_nothing_comes_twice(
    service: PullService, hub: Hub, kind: Any
) -> None:
    hub.faults.extend(Fault(kind, after) for after in (1, 300_000, 0, 1_000_000))
    pull = finished(service, service.start(REPO, [FILE]))
    assert (pull.state, pull.error) == (PullState.INSTALLED, "")
    assert pull.path is not None
    assert pull.path.read_bytes() == content(hub)
    assert len(hub.sent) >= 4
    # A reset throws away what the client's system had not handed over yet.
    assert hub.fetched_twice(FILE) <= (BLOCK if kind == "reset" else 0)


def test_server_without_ranges_is_begun_anew(service: PullService, hub: Hub) -> None:
    hub.faults.extend([Fault("drop", 700_000), Fault("no_ranges")])
    pull = finished(service, service.start(REPO, [FILE]))
    assert pull.path is not None
    assert pull.path.read_bytes() == content(hub)


def test_other_part_than_was_asked_for_is_not_written(service: PullService, hub: Hub) -> None:
    hub.faults.extend([Fault("drop", 700_000), Fault("other_range", 100)])
    pull = finished(service, service.start(REPO, [FILE]))
    assert "an answer that makes no sense (not the part of the file" in pull.error
    pull = finished(service, service.resume(pull.id))
    assert pull.state is PullState.INSTALLED


def test_slow_connection_arrives(service: PullService, hub: Hub) -> None:
    hub.repos[REPO].files[FILE] = noise(MIB // 2)
    hub.bytes_per_second = 1.5 * MIB
    assert finished(service, service.start(REPO, [FILE])).state is PullState.INSTALLED


def test_connection_that_stays_broken_is_told_and_can_be_resumed(service: PullService, hub: Hub) -> None:
    hub.faults.extend([Fault("drop", 500_000), *[Fault("drop", 0)] * 4])
    pull = finished(service, service.start(REPO, [FILE]))
    assert pull.state is PullState.FAILED
    assert pull.error == "There is no connection to the hub. Check the network connection, then resume."
    assert 0 < pull.done <= 500_000 + PIECE
    assert finished(service, service.resume(pull.id)).state is PullState.INSTALLED
    assert hub.fetched_twice(FILE) == 0


def test_limit_slows_down_and_is_kept(service: PullService, make_service: Any, hub: Hub) -> None:
    hub.repos[REPO].files[FILE] = noise(2 * MIB)
    service.set_limit(MIB // 4)
    pull = reached(service, service.start(REPO, [FILE]), lambda pull: pull.done > 0)
    # The hub is never far ahead of what was allowed: it sends at loopback's speed otherwise.
    assert pull.done < 2 * MIB
    assert make_service()._connection.limit == MIB // 4
    service.set_limit(0)
    assert finished(service, pull).state is PullState.INSTALLED


# ---------------------------------------------------------------- bad bytes


@pytest.mark.parametrize("seed", range(12))
def test_changed_byte_is_always_noticed(seed: int, service: PullService, hub: Hub, tmp_path: Path) -> None:
    hub.repos[REPO].files[FILE] = noise(MIB)
    hub.corrupt_at = [0, MIB - 1, *random.Random(seed).sample(range(MIB), 10)][seed]
    pull = finished(service, service.start(REPO, [FILE]))
    assert pull.state is PullState.FAILED
    assert "arrived damaged" in pull.error
    assert files_below(tmp_path / "models") == []
    assert pull.done == 0


def test_damaged_file_comes_whole_at_the_second_try(service: PullService, hub: Hub, tmp_path: Path) -> None:
    hub.corrupt_at = MIB
    pull = finished(service, service.start(REPO, [FILE]))
    hub.corrupt_at = None
    pull = finished(service, service.resume(pull.id))
    assert pull.path is not None
    assert pull.path.read_bytes() == content(hub)


def test_byte_that_changed_on_the_disk_while_paused_is_noticed(
    service: PullService, hub: Hub, tmp_path: Path
) -> None:
    hub.pause_after = 2 * MIB
    pull = service.start(REPO, [FILE])
    assert hub.paused.wait(WAIT)
    reached(service, pull, lambda pull: pull.done >= MIB)
    service.pause(pull.id)
    let_go(service)
    (part,) = (tmp_path / "models").rglob("*.part")
    with part.open("r+b") as file:
        file.seek(1000)
        file.write(b"???")
    hub.go.set()
    assert "arrived damaged" in finished(service, service.resume(pull.id)).error


def test_model_that_cannot_be_used_is_not_installed(make_service: Any, hub: Hub, tmp_path: Path) -> None:
    def refuse(path: Path) -> None:
        assert path.name == FILE
        assert path.read_bytes() == content(hub)
        raise GgufError("No model.", "Get another.")

    service = make_service(check=refuse)
    pull = finished(service, service.start(REPO, [FILE]))
    assert (pull.state, pull.error) == (PullState.FAILED, "No model. Get another.")
    assert not (tmp_path / "models" / REPO).exists()
    service.remove(pull.id)
    assert files_below(tmp_path / "models") == []


def test_check_that_is_given_up_when_the_app_closes_comes_again(make_service: Any) -> None:
    checking = threading.Event()

    def check(path: Path) -> None:
        checking.set()
        assert first.closing.wait(WAIT)
        raise ModelLoadFailed("It was not tried to the end.")

    first = make_service(check=check)
    pull = first.start(REPO, [FILE])
    assert checking.wait(WAIT)
    assert first.pull(pull.id).state is PullState.CHECKING
    first.close()
    second = make_service()
    assert second.pull(pull.id).state is PullState.QUEUED
    second.restore()
    assert finished(second, pull).state is PullState.INSTALLED


# ---------------------------------------------------------------- killed


def test_puller_killed_at_20_points_fetches_nothing_twice(
    service: PullService, hub: Hub, tmp_path: Path
) -> None:
    hub.repos[REPO].files[FILE] = whole = noise(12 * MIB)
    points = random_points(len(whole), seed=7)
    hub.bytes_per_second = 64 * MIB
    hub.pause_after = points[0]
    pull = service.start(REPO, [FILE])
    for point, following in zip(points, [*points[1:], None], strict=True):
        assert hub.paused.wait(WAIT), f"{point} was not reached: {service.pull(pull.id)}"
        hub.paused.clear()
        puller = service._pullers.running()
        os.kill(puller.pid, signal.SIGKILL)
        puller._reader.join(WAIT)
        hub.pause_after = following
        hub.go.set()
        hub.go.clear()
    pull = finished(service, pull)
    assert (pull.state, pull.error) == (PullState.INSTALLED, "")
    assert pull.path is not None
    assert pull.path.read_bytes() == whole
    assert len(hub.sent) == 21
    assert largest_overlap(hub) <= BLOCK


def test_app_killed_at_20_points_goes_on_where_it_was(hub: Hub, tmp_path: Path) -> None:
    hub.repos[REPO].files[FILE] = whole = noise(12 * MIB)
    hub.bytes_per_second = 64 * MIB
    points = random_points(len(whole), seed=11)
    lines: list[str] = []
    for point in [*points, None]:
        hub.pause_after = point
        with subprocess.Popen(
            [sys.executable, APP, str(tmp_path), hub.url, REPO, FILE], stdout=subprocess.PIPE, text=True
        ) as app:
            assert app.stdout is not None
            if point is not None:
                assert hub.paused.wait(WAIT), f"{point} was not reached: {lines}"
                hub.paused.clear()
                app.kill()
                hub.pause_after = None
                hub.go.set()
                hub.go.clear()
            lines += app.stdout.read().split("\n")
    assert set(lines) == {"refused", "installed", ""}
    assert (tmp_path / "models" / REPO / FILE).read_bytes() == whole
    # On a busy machine a puller outlives its app long enough to bring the next bytes, too.
    assert 15 <= len(hub.sent) <= 21
    assert largest_overlap(hub) <= BLOCK
    assert files_below(tmp_path / "models") == [Path(REPO, FILE)]


def random_points(size: int, seed: int) -> list[int]:
    """20 places in a file, one somewhere in each twentieth, some distance from the next."""
    step = size // 20
    return [n * step + random.Random(seed + n).randrange(step - 4 * PIECE) for n in range(20)]


def largest_overlap(hub: Hub) -> int:
    """The most that was sent twice at one place."""
    return max(before.range.stop - after.start for before, after in itertools.pairwise(hub.sent))


# ---------------------------------------------------------------- pause, cancel, restart


def test_paused_pull_goes_on_where_it_stopped(service: PullService, hub: Hub) -> None:
    hub.pause_after = MIB
    pull = service.start(REPO, [FILE])
    assert hub.paused.wait(WAIT)
    assert service.pause(pull.id).state is PullState.PAUSED
    hub.go.set()
    pull = finished(service, service.resume(pull.id))
    assert pull.path is not None
    assert pull.path.read_bytes() == content(hub)
    assert hub.fetched_twice(FILE) <= BLOCK


def test_cancelled_pull_leaves_nothing(
    service: PullService, hub: Hub, tmp_path: Path, database: Database
) -> None:
    hub.pause_after = MIB
    pull = service.start(REPO, [FILE])
    assert hub.paused.wait(WAIT)
    assert service.cancel(pull.id).state is PullState.CANCELLED
    service.close()
    assert files_below(tmp_path / "models") == []
    assert events(database)[-1] == "pull_cancelled"
    service.remove(pull.id)
    assert service.pulls() == []
    with pytest.raises(NotFound):
        service.pull(pull.id)


def test_one_that_is_fetched_now_can_be_removed(service: PullService, hub: Hub, tmp_path: Path) -> None:
    hub.pause_after = MIB
    pull = service.start(REPO, [FILE])
    assert hub.paused.wait(WAIT)
    service.remove(pull.id)
    let_go(service)
    assert files_below(tmp_path / "models") == []
    assert service.pulls() == []


def test_removing_an_installed_one_from_the_list_keeps_the_model(service: PullService) -> None:
    pull = finished(service, service.start(REPO, [FILE]))
    service.remove(pull.id)
    assert pull.path is not None
    assert pull.path.is_file()
    assert service.pulls() == []


def test_closed_app_goes_on_at_the_next_start(make_service: Any, hub: Hub) -> None:
    hub.pause_after = MIB
    first = make_service()
    pull = first.start(REPO, [FILE])
    assert hub.paused.wait(WAIT)
    first.close()
    hub.go.set()
    second = make_service()
    assert second.pull(pull.id).state is PullState.QUEUED
    assert len(hub.sent) == 1
    second.restore()
    assert finished(second, pull).state is PullState.INSTALLED
    assert hub.fetched_twice(FILE) <= BLOCK


def test_restore_starts_no_process_where_nothing_is_left(service: PullService) -> None:
    service.restore()
    assert service._pullers._puller is None
    assert service._thread is None


def test_other_process_can_pause_a_pull(service: PullService, make_service: Any, hub: Hub) -> None:
    hub.pause_after = MIB
    pull = service.start(REPO, [FILE])
    assert hub.paused.wait(WAIT)
    other = make_service()
    other.pause(pull.id)
    let_go(service)
    assert service.pull(pull.id).state is PullState.PAUSED


def test_kill_between_move_and_entry_is_mended(make_service: Any, hub: Hub, database: Database) -> None:
    first = make_service()
    pull = finished(first, first.start(REPO, [FILE]))
    first.close()
    # As a kill would leave it: the file stands in its place, the store does not know.
    database.execute("UPDATE pull SET state = 'queued' WHERE id = ?", [pull.id])
    second = make_service()
    second.restore()
    again = finished(second, pull)
    assert (again.state, again.path) == (PullState.INSTALLED, pull.path)
    assert len(hub.sent) == 1


def test_watchers_see_progress_and_the_end(service: PullService, hub: Hub) -> None:
    seen: list[Pull] = []
    done = threading.Event()

    def watch(pull: Pull) -> None:
        seen.append(pull)
        if pull.state.ended:
            done.set()

    end = service.watch(watch)
    service.start(REPO, [FILE])
    assert done.wait(WAIT)
    end()
    states = [pull.state for pull in seen]
    assert states[-2:] == [PullState.CHECKING, PullState.INSTALLED]
    assert [pull.done for pull in seen] == sorted(pull.done for pull in seen)


# ---------------------------------------------------------------- the disk


def test_too_little_space_is_told_before(make_service: Any, hub: Hub) -> None:
    service = make_service(free_space=lambda folder: RESERVE + MIB)
    with pytest.raises(PullFailed, match=r"too little space .* 0\.0 GB are missing"):
        service.start(REPO, [FILE])
    assert service.pulls() == []
    assert hub.sent == []


def test_space_that_goes_while_bytes_come_stops_and_can_be_resumed(make_service: Any, hub: Hub) -> None:
    free = [10 * RESERVE]
    service = make_service(free_space=lambda folder: free[0])
    hub.pause_after = MIB
    pull = service.start(REPO, [FILE])
    assert hub.paused.wait(WAIT)
    free[0] = RESERVE - 1
    pull = finished(service, pull)
    assert pull.state is PullState.FAILED
    assert pull.error.startswith("There is too little space on the disk")
    free[0] = 10 * RESERVE
    hub.go.set()
    assert finished(service, service.resume(pull.id)).state is PullState.INSTALLED


@pytest.mark.skipif(sys.platform != "linux", reason="limits of another process are set on Linux")
def test_disk_that_is_full_is_told_and_can_be_resumed(service: PullService, hub: Hub) -> None:
    import resource

    puller = service._pullers.running()
    resource.prlimit(puller.pid, resource.RLIMIT_FSIZE, (MIB, MIB))
    pull = finished(service, service.start(REPO, [FILE]))
    assert pull.state is PullState.FAILED
    assert pull.error == f"No space is left on the disk for {FILE}. Free some space, then resume."
    assert pull.done == MIB
    service._pullers.stop()
    assert finished(service, service.resume(pull.id)).state is PullState.INSTALLED
    assert hub.fetched_twice(FILE) <= BLOCK


# ---------------------------------------------------------------- what a hub says


@pytest.mark.parametrize(
    ("status", "headers", "line"),
    [
        (401, {}, "The hub does not let you read"),
        (403, {"X-Error-Code": "GatedRepo"}, f"{REPO} is gated"),
        (403, {}, "The hub refuses access"),
        (404, {"X-Error-Code": "RepoNotFound"}, f"There is no {REPO} on the hub"),
        (429, {"Retry-After": "600"}, "too many requests from here. Try again in 10 minutes."),
        (418, {}, "an answer that makes no sense"),
    ],
)
def test_refusals_are_one_clear_line(
    status: int, headers: dict[str, str], line: str, service: PullService, hub: Hub
) -> None:
    hub.answers.append((status, headers))
    with pytest.raises(PullFailed) as caught:
        service.start(REPO, [FILE])
    assert line in caught.value.line
    assert "\n" not in caught.value.line
    assert service.pulls() == []


def test_server_out_of_order_is_tried_again_and_then_told(service: PullService, hub: Hub) -> None:
    hub.answers.extend([(503, {})])
    assert service.repository(REPO).repo == REPO
    hub.answers.extend([(503, {})] * 2)
    with pytest.raises(PullFailed, match="out of order"):
        service.repository(REPO)


def test_busy_storage_is_waited_for(service: PullService, hub: Hub) -> None:
    hub.cdn_answers.extend([(429, {"Retry-After": "0"}), (500, {}), (502, {})])
    assert finished(service, service.start(REPO, [FILE])).state is PullState.INSTALLED


def test_gated_repository_opens_with_a_token_that_only_the_hub_sees(
    make_service: Any, hub: Hub, database: Database
) -> None:
    hub.repos[REPO].gated = True
    hub.repos[REPO].token = "hf_secret"
    told: list[str] = []
    service = make_service(
        configure=lambda c: msgspec.structs.replace(loopback(c, hub), token=told[0] if told else "")
    )
    with pytest.raises(PullFailed, match="gated"):
        service.start(REPO, [FILE])
    told.append("hf_secret")
    pull = service.start(REPO, [FILE])
    pid = service._pullers.running().pid
    if sys.platform == "linux":
        assert b"hf_secret" not in Path(f"/proc/{pid}/cmdline").read_bytes()
        with contextlib.suppress(PermissionError):
            assert b"hf_secret" not in Path(f"/proc/{pid}/environ").read_bytes()
    assert finished(service, pull).state is PullState.INSTALLED
    assert [sent.token for sent in hub.sent] == [False]


@pytest.mark.parametrize("change", ["content", "size"])
def test_file_that_changed_at_the_same_revision_is_refused(
    change: str, service: PullService, hub: Hub, tmp_path: Path
) -> None:
    hub.pause_after = MIB
    pull = service.start(REPO, [FILE])
    assert hub.paused.wait(WAIT)
    service.pause(pull.id)
    let_go(service)
    hub.repos[REPO].files[FILE] = noise(3 * MIB + (change == "size"), seed=2)
    hub.go.set()
    pull = finished(service, service.resume(pull.id))
    assert pull.state is PullState.FAILED
    assert "is not what it was when it was chosen" in pull.error
    assert not (tmp_path / "models" / REPO).exists()


def test_hub_that_offers_another_file_than_the_catalogue_is_refused(service: PullService) -> None:
    with pytest.raises(PullFailed, match="the catalogue names another SHA-256"):
        service.start(REPO, [FILE], sha256={FILE: "0" * 64})


def test_hosts_that_are_not_listed_are_not_connected_to(
    make_service: Any, hub: Hub, database: Database
) -> None:
    service = make_service(
        configure=lambda c: msgspec.structs.replace(loopback(c, hub), hosts=("127.0.0.1",))
    )
    pull = finished(service, service.start(REPO, [FILE]))
    assert "A connection to localhost was refused" in pull.error
    assert hub.sent == []
    assert "refused" in events(database)


def test_hub_that_is_not_there_is_told(make_service: Any, hub: Hub) -> None:
    service = make_service(
        configure=lambda c: msgspec.structs.replace(loopback(c, hub), endpoint="http://127.0.0.1:1")
    )
    with pytest.raises(PullFailed, match="There is no connection to the hub"):
        service.search("x")


def test_name_that_cannot_be_looked_up_is_told(make_service: Any, hub: Hub) -> None:
    service = make_service(
        configure=lambda c: msgspec.structs.replace(
            loopback(c, hub), endpoint="http://hub.invalid", hosts=("hub.invalid",)
        )
    )
    with pytest.raises(PullFailed, match="name cannot be looked up"):
        service.search("x")


def test_certificate_that_nobody_vouches_for_is_told_and_can_be_vouched_for(
    make_service: Any, tmp_path: Path
) -> None:
    certificate, key = self_signed(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with running_hub(tls) as hub:
        hub.repos[REPO] = Repo({FILE: noise(MIB)})
        told = [""]
        service = make_service(
            configure=lambda c: msgspec.structs.replace(loopback(c, hub), ca_bundle=told[0])
        )
        with pytest.raises(PullFailed, match="The connection is not private: the certificate is not trusted"):
            service.start(REPO, [FILE])
        told[0] = str(certificate)
        assert finished(service, service.start(REPO, [FILE])).state is PullState.INSTALLED


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for loopback, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return folder / "certificate.pem", folder / "key.pem"


@pytest.mark.parametrize("repo", ["", "name", "a/b/c", "../x", "a/..", "a/b c", "-a/b", "a/b\n"])
def test_names_that_are_no_repository_are_not_asked_for(repo: str, service: PullService, hub: Hub) -> None:
    with pytest.raises(UsageError):
        service.repository(repo)
    assert hub.requests == []


# ---------------------------------------------------------------- policy


@pytest.mark.parametrize(
    "values",
    [
        {"OfflineOnly": True},
        {"AllowHuggingFace": False},
        {"RequireSignedCatalogue": True},
        {"AllowedPublishers": ("someone",)},
        {"AllowedLicences": ("mit",)},
        {"AllowedModels": ("0" * 64,)},
    ],
)
def test_policy_is_asked_before_anything_is_fetched(
    values: dict[str, Any], make_service: Any, hub: Hub, database: Database
) -> None:
    service = make_service(Policy(values))
    with pytest.raises(PolicyRefused):
        service.start(REPO, [FILE])
    assert hub.sent == []
    assert service.pulls() == []
    if "OfflineOnly" in values:
        assert service._pullers._puller is None
    assert database.rows("SELECT * FROM audit WHERE event = 'policy.refused'")


def test_policy_that_forbids_connections_stops_what_was_queued(make_service: Any, hub: Hub) -> None:
    hub.pause_after = MIB
    first = make_service()
    pull = first.start(REPO, [FILE])
    assert hub.paused.wait(WAIT)
    first.close()
    hub.go.set()
    second = make_service(Policy({"OfflineOnly": True}))
    second.restore()
    assert "does not allow fetching" in finished(second, pull).error
    assert len(hub.sent) == 1


# ---------------------------------------------------------------- confinement


@pytest.mark.skipif(sys.platform != "linux", reason="nothing is enforced on this platform")
def test_puller_writes_into_the_quarantine_alone(
    service: PullService, hub: Hub, tmp_path: Path, database: Database
) -> None:
    puller = service._pullers.running()
    if not puller.ready.confinement.startswith("Landlock"):
        pytest.skip(f"this kernel: {puller.ready.confinement}")
    from localai_app.models.hub_protocol import Fetch

    size = len(content(hub))

    def fetch(part: Path) -> None:
        puller.ask(lambda number: Fetch(number, REPO, COMMIT, FILE, size, "", str(part)))

    with pytest.raises(PullFailed, match=r"cannot be written \(Permission denied\)"):
        fetch(database.path)
    with pytest.raises(PullFailed, match="Permission denied"):
        fetch(tmp_path / "models" / FILE)
