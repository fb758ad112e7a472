"""The library of documents, with a pretended reader, index and model on a real store."""

import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from localai_app.documents import indexing
from localai_app.documents.document import Chunk, Page, State
from localai_app.documents.rows import Held, packed
from localai_app.errors import (
    DiskFull,
    DocumentError,
    EngineExited,
    ModelNotFound,
    NotFound,
    PolicyRefused,
    StoreLocked,
    UsageError,
)
from localai_app.governance.policy import Policy
from localai_app.store import leases
from tests.decrypted import decrypted
from tests.documents.pretended import KEY, Rooms, boxes


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[Rooms]:
    rooms = Rooms(tmp_path)
    yield rooms
    rooms.close()


@pytest.fixture
def indexed(tmp_path: Path) -> Iterator[Rooms]:
    """With the real index."""
    rooms = Rooms(tmp_path, real_index=True)
    yield rooms
    rooms.close()


def eventually(true: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# ---------------------------------------------------------------- adding


def test_an_added_file_is_read_and_found(rooms: Rooms) -> None:
    document = rooms.service.document(rooms.add("lease.txt", "The rent is due.\fThe deposit is returned."))
    assert (document.state, document.pages, document.pages_read) == (State.READY, 2, 2)
    assert (document.name, document.format, document.language) == ("lease.txt", "txt", "en")
    assert document.characters == len("The rent is due.The deposit is returned.")
    assert (document.tokens, document.error) == (8, "")
    assert document.facts is not None
    assert document.facts.title == "Title"
    (passage,) = rooms.service.search("deposit")
    assert (passage.document_id, passage.page) == (document.id, 2)
    assert rooms.events() == ["document.added", "document.read"]
    assert rooms.audit.verify().sound


def test_a_page_comes_back_as_it_was_read(rooms: Rooms) -> None:
    document_id = rooms.add("a.txt", "One.\fTwo lines\nof text.")
    page = rooms.service.page(document_id, 2)
    assert (page.number, page.text, page.width, page.height) == (2, "Two lines\nof text.", 595, 842)
    assert page.boxes == boxes(page.text)
    assert [one.text for one in rooms.service.pages(document_id)] == ["One.", "Two lines\nof text."]
    with pytest.raises(NotFound):
        rooms.service.page(document_id, 3)
    with pytest.raises(NotFound):
        rooms.service.page(document_id + 1, 1)


def test_the_places_of_characters_take_a_fraction_of_their_room() -> None:
    places = boxes("word " * 600)
    assert len(packed(places)) < len(places) / 8


def test_any_places_come_back_as_they_were(rooms: Rooms) -> None:
    odd = random.Random(3).randbytes(8 * 500)
    page = Page(1, "x" * 500, boxes=odd)
    document_id = rooms.add("a.txt", "Words.")
    with rooms.database.transaction():
        rooms.database.execute("DELETE FROM page")
        held = Held(document_id, "a.txt", None, 0, "txt", "", "", 0, "read")
        rooms.library.save_pages(held, [page])
    assert rooms.service.page(document_id, 1) == page


def test_the_same_content_under_another_name_is_known_and_joins_the_collection(rooms: Rooms) -> None:
    first = rooms.add("a.txt", "Same words.")
    collection = rooms.service.create_collection("Leases")
    added = rooms.service.add([rooms.write("b.txt", "Same words.")], collection.id)
    assert (added.documents, added.known) == ((), (first,))
    assert [one.id for one in rooms.service.documents(collection.id)] == [first]
    assert len(rooms.reader.jobs) == 1


def test_the_same_file_twice_in_one_call_is_one_document(rooms: Rooms) -> None:
    path = rooms.write("a.txt", "Words.")
    added = rooms.service.add([path, path, rooms.write("copy.txt", "Words.")])
    assert len(added.documents) == 1
    assert len(rooms.service.documents()) == 1


def test_a_file_that_was_moved_is_the_same_document_at_its_new_place(rooms: Rooms) -> None:
    document_id = rooms.add("old.txt", "Words.")
    (rooms.files / "old.txt").rename(rooms.files / "new.txt")
    assert rooms.service.add([rooms.files / "new.txt"]).known == (document_id,)
    assert rooms.service.document(document_id).name == "new.txt"
    assert Path(rooms.service.document(document_id).path) == rooms.files / "new.txt"


def test_adding_what_is_in_the_trash_takes_it_out(rooms: Rooms) -> None:
    document_id = rooms.add("a.txt", "Words.")
    rooms.service.remove([document_id])
    assert rooms.service.add([rooms.files / "a.txt"]).known == (document_id,)
    assert rooms.service.document(document_id).trashed is None


def test_a_file_that_could_not_be_read_is_tried_again_when_it_is_added_again(rooms: Rooms) -> None:
    document_id = rooms.add("a.txt", "BROKEN")
    assert rooms.service.document(document_id).state is State.FAILED
    assert rooms.service.add([rooms.files / "a.txt"]).documents == (document_id,)


def test_names_that_are_no_text_are_kept_as_the_system_spells_them(rooms: Rooms) -> None:
    path = Path(os.fsdecode(os.fsencode(rooms.files) + b"/caf\xe9.txt"))
    path.write_text("Words.")
    (document_id,) = rooms.service.add([path]).documents
    assert rooms.service.wait(20)
    document = rooms.service.document(document_id)
    assert (document.state, document.name) == (State.READY, "caf?.txt")
    assert Path(document.path) == path


def test_each_document_s_error_is_its_own_and_the_others_go_on(rooms: Rooms) -> None:
    rooms.write("a.txt", "First.")
    rooms.write("b.txt", "BROKEN")
    rooms.write("c.txt", "Third.")
    rooms.service.add([rooms.files])
    assert rooms.service.wait(20)
    states = {one.name: (one.state, one.error) for one in rooms.service.documents()}
    assert states == {
        "a.txt": (State.READY, ""),
        "b.txt": (State.FAILED, "The file is damaged. Save it anew."),
        "c.txt": (State.READY, ""),
    }
    assert rooms.events().count("document.failed") == 1


def test_a_file_that_goes_between_adding_and_reading_fails_with_a_line(rooms: Rooms) -> None:
    rooms.service.pause()
    path = rooms.write("a.txt", "Words.")
    (document_id,) = rooms.service.add([path]).documents
    path.unlink()
    rooms.service.resume()
    assert rooms.service.wait(20)
    document = rooms.service.document(document_id)
    assert (document.state, document.error[:36]) == (State.FAILED, "Its file is not there any more. Put ")


def test_what_is_read_is_what_its_hash_says_even_when_the_file_changed_meanwhile(rooms: Rooms) -> None:
    rooms.service.pause()
    path = rooms.write("a.txt", "Before.")
    (document_id,) = rooms.service.add([path]).documents
    before = rooms.service.document(document_id).sha256
    path.write_text("After it changed.")
    rooms.service.resume()
    assert rooms.service.wait(20)
    assert rooms.service.page(document_id, 1).text == "After it changed."
    assert rooms.service.document(document_id).sha256 != before


# ---------------------------------------------------------------- changed files


def test_a_changed_file_is_read_again_and_its_old_text_serves_meanwhile(rooms: Rooms) -> None:
    document_id = rooms.add("a.txt", "Old words.\fOld page.")
    rooms.write("a.txt", "New words.")
    rooms.reader.gate = threading.Semaphore(0)
    assert rooms.service.refresh().documents == (document_id,)
    eventually(lambda: len(rooms.reader.jobs) == 2)
    assert [page.text for page in rooms.service.pages(document_id)] == ["Old words.", "Old page."]
    assert rooms.service.search("Old words")
    rooms.reader.gate.release()
    assert rooms.service.wait(20)
    assert [page.text for page in rooms.service.pages(document_id)] == ["New words."]
    assert not rooms.service.search("Old words")
    assert rooms.service.search("New words")
    assert rooms.service.document(document_id).pages == 1
    assert b"Old words." not in decrypted(rooms.database.path, KEY)


def test_a_changed_file_that_cannot_be_read_keeps_its_old_text(rooms: Rooms) -> None:
    document_id = rooms.add("a.txt", "Old words.")
    rooms.write("a.txt", "BROKEN by now")
    rooms.service.refresh()
    assert rooms.service.wait(20)
    assert rooms.service.document(document_id).state is State.FAILED
    assert rooms.service.page(document_id, 1).text == "Old words."


def test_the_index_holds_the_new_text_of_a_changed_file_and_no_word_of_the_old(indexed: Rooms) -> None:
    document_id = indexed.add("a.txt", "plantedword one.\fAnother plantedword.")
    assert len(indexed.service.search("plantedword")) == 2
    indexed.write("a.txt", "Something else.")
    indexed.service.refresh()
    assert indexed.service.wait(20)
    assert indexed.service.search("plantedword") == []
    assert [found.document_id for found in indexed.service.search("something")] == [document_id]
    assert b"planted" not in decrypted(indexed.database.path, KEY)
    assert indexed.database.check() == []


def test_a_file_that_was_only_touched_is_not_read_again(rooms: Rooms) -> None:
    document_id = rooms.add("a.txt", "Words.")
    os.utime(rooms.files / "a.txt", ns=(1, 1))
    assert rooms.service.refresh().documents == ()
    assert rooms.service.add([rooms.files / "a.txt"]).known == (document_id,)
    assert len(rooms.reader.jobs) == 1


def test_refresh_names_files_that_are_gone_and_keeps_their_text(rooms: Rooms) -> None:
    document_id = rooms.add("a.txt", "Words.")
    (rooms.files / "a.txt").unlink()
    ((name, line),) = rooms.service.refresh().refused
    assert (name, line[:17]) == ("a.txt", "Its file is gone;")
    assert rooms.service.document(document_id).state is State.READY
    assert rooms.service.search("Words")


def test_a_file_that_changes_while_it_is_read_is_read_as_it_is_then(rooms: Rooms) -> None:
    rooms.reader.gate = threading.Semaphore(1)
    path = rooms.write("a.txt", "One.\fTwo.")
    (document_id,) = rooms.service.add([path]).documents
    eventually(lambda: rooms.reader.read_pages == [("a.txt", 1)])
    path.write_text("Three.\fFour.")
    assert rooms.service.refresh().documents == (document_id,)
    rooms.reader.gate.release(10)
    assert rooms.service.wait(20)
    assert [page.text for page in rooms.service.pages(document_id)] == ["Three.", "Four."]


# ---------------------------------------------------------------- attachments


def test_attachments_are_documents_of_their_own_without_a_file(rooms: Rooms) -> None:
    collection = rooms.service.create_collection("Mail")
    path = rooms.write("mail.eml", "Dear all.\fATTACHED plan.txt\nThe plan.\fATTACHED odd.bin\n")
    (mail,) = rooms.service.add([path], collection.id).documents
    assert rooms.service.wait(20)
    documents = {one.name: one for one in rooms.service.documents(collection.id)}
    assert set(documents) == {"mail.eml", "plan.txt", "odd.bin"}
    plan = documents["plan.txt"]
    assert (plan.parent_id, plan.path, plan.state) == (mail, "", State.READY)
    assert rooms.library.data(plan.id) == b"The plan."
    assert rooms.service.page(plan.id, 1).text == "The plan."
    assert (documents["odd.bin"].state, documents["odd.bin"].error) == (State.FAILED, "It is empty.")
    assert rooms.events().count("document.added") == 3


def test_a_changed_mail_loses_the_attachments_that_it_has_no_more(indexed: Rooms) -> None:
    rooms = indexed
    mail = rooms.add("mail.eml", "Hello.\fATTACHED a.txt\nStays.\fATTACHED b.txt\nVanishes here.")
    stays = next(one.id for one in rooms.service.documents() if one.name == "a.txt")
    rooms.write("mail.eml", "Hello again.\fATTACHED a.txt\nStays.\fATTACHED c.txt\nNew.")
    rooms.service.refresh()
    assert rooms.service.wait(20)
    assert {one.name for one in rooms.service.documents()} == {"mail.eml", "a.txt", "c.txt"}
    assert rooms.service.document(stays).parent_id == mail
    assert sum(job.name == "a.txt" for job in rooms.reader.jobs) == 1
    assert b"Vanishes here." not in decrypted(rooms.database.path, KEY)


def test_mails_inside_mails_come_to_an_end(rooms: Rooms) -> None:
    def nested(depth: int) -> str:
        return f"Mail {depth}." + (f"{{F}}ATTACHED {depth}.eml\n{nested(depth - 1)}" if depth else "")

    # The pretended reader opens one level: the content of an attachment keeps what is inside it.
    class Nested(type(rooms.reader)):  # type: ignore[misc]
        def __call__(self, data, job, *, stop=None):  # type: ignore[no-untyped-def]
            return super().__call__(data.decode().replace("{F}", "\f", 1).encode(), job, stop=stop)

    reader = rooms.reader.__class__
    rooms.reader.__class__ = Nested
    top = rooms.add("top.eml", nested(9))
    rooms.reader.__class__ = reader
    documents = rooms.service.documents()
    assert len(documents) == 6
    deepest = max(documents, key=lambda one: one.id)
    assert deepest.facts is not None
    assert "too deep" in deepest.facts.warnings[0]
    rooms.service.remove([top])
    assert rooms.service.documents() == []
    rooms.service.erase([top])
    assert rooms.service.documents(trashed=True) == []


# ---------------------------------------------------------------- passwords


def test_an_encrypted_document_waits_for_its_password_which_is_not_kept(rooms: Rooms) -> None:
    document_id = rooms.add("a.txt", "SECRET swordfish\fHidden words.")
    document = rooms.service.document(document_id)
    assert (document.state, document.error) == (State.LOCKED, "It is encrypted. Type its password.")
    rooms.service.unlock(document_id, "wrong")
    eventually(lambda: not rooms.service.work().total and len(rooms.reader.jobs) == 2)
    assert rooms.service.wait(20)
    assert rooms.service.document(document_id).state is State.LOCKED
    rooms.service.unlock(document_id, "swordfish")
    eventually(lambda: rooms.service.document(document_id).state is State.READY)
    assert rooms.service.wait(20)
    assert rooms.service.page(document_id, 2).text == "Hidden words."
    with pytest.raises(UsageError):
        rooms.service.unlock(document_id, "")
    stored = decrypted(rooms.database.path, KEY)
    assert b"Hidden words." in stored
    assert b'"swordfish"' not in stored
    assert stored.count(b"swordfish") == stored.count(b"SECRET swordfish")


# ---------------------------------------------------------------- pausing, going on, killing


def test_a_pause_keeps_what_is_read_and_going_on_redoes_no_page(rooms: Rooms) -> None:
    rooms.reader.gate = threading.Semaphore(2)
    (document_id,) = rooms.service.add([rooms.write("a.txt", "1\f2\f3\f4")]).documents
    eventually(lambda: len(rooms.reader.read_pages) == 2)
    rooms.service.pause()
    rooms.reader.gate.release()
    eventually(lambda: rooms.service.document(document_id).state is State.WAITING)
    assert rooms.service.work().paused
    assert [page.text for page in rooms.service.pages(document_id)] == ["1", "2", "3"]
    rooms.service.resume()
    rooms.reader.gate.release(10)
    assert rooms.service.wait(20)
    assert [number for _, number in rooms.reader.read_pages] == [1, 2, 3, 4]
    assert [page.text for page in rooms.service.pages(document_id)] == ["1", "2", "3", "4"]
    assert [chunk.text for chunk in rooms.index.chunks[document_id]] == ["1", "2", "3", "4"]


def test_closing_ends_at_once_and_the_next_start_goes_on(rooms: Rooms) -> None:
    rooms.reader.gate = threading.Semaphore(1)
    (document_id,) = rooms.service.add([rooms.write("a.txt", "1\f2")]).documents
    eventually(lambda: len(rooms.reader.read_pages) == 1)
    began = time.monotonic()
    rooms.service.close()
    assert time.monotonic() - began < 2
    assert rooms.service.document(document_id).state is State.WAITING
    rooms.reader.gate = None
    rooms.service = rooms.make_service()
    rooms.service.resume()
    assert rooms.service.wait(20)
    assert rooms.service.document(document_id).state is State.READY


def test_what_a_dead_process_left_is_taken_over_where_it_stopped(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms.service.pause()
    paths = [rooms.write(f"{number}.txt", f"{number}.\fMore.") for number in range(3)]
    first, second, third = rooms.service.add(paths).documents
    with rooms.database.transaction():
        rooms.database.execute(
            "UPDATE document SET state = 'reading', lease_owner = ?, lease_until = ? WHERE id = ?",
            ["elsewhere|1|1.0", 2**62, first],
        )
    rooms.service.resume()
    eventually(lambda: rooms.service.document(third).state is State.READY)
    assert rooms.service.document(second).state is State.READY
    assert rooms.service.document(first).state is State.READING
    monkeypatch.setattr(leases, "is_alive", lambda owner: False)
    assert rooms.service.wait(20)
    assert rooms.service.document(first).state is State.READY


def test_a_full_disk_pauses_with_a_line_and_goes_on_later(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise DiskFull("No space is left on the disk.", "Free some space.")

    monkeypatch.setattr(rooms.library, "save_pages", full)
    (document_id,) = rooms.service.add([rooms.write("a.txt", "Words.")]).documents
    eventually(lambda: rooms.service.work().paused)
    assert rooms.service.work().notice == "Reading is paused. No space is left on the disk. Free some space."
    eventually(lambda: rooms.service.document(document_id).state is State.WAITING)
    monkeypatch.undo()
    rooms.service.resume()
    assert rooms.service.wait(20)
    assert rooms.service.document(document_id).state is State.READY
    assert rooms.service.work().notice == ""


def test_a_store_that_another_process_keeps_locked_is_tried_again(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = rooms.library.save_pages
    locked = [StoreLocked("Another program keeps the store locked.", "Close it.")]

    def sometimes(*arguments: Any) -> None:
        if locked:
            raise locked.pop()
        save(*arguments)

    monkeypatch.setattr(indexing, "_LOCKED_SECONDS", 0.01)
    monkeypatch.setattr(rooms.library, "save_pages", sometimes)
    (document_id,) = rooms.service.add([rooms.write("a.txt", "Words.")]).documents
    eventually(lambda: rooms.service.document(document_id).state is State.READY)
    assert not rooms.service.work().paused


def test_a_fault_of_the_app_fails_one_document_and_the_next_is_read(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashes = []
    monkeypatch.setattr(threading, "excepthook", lambda told: crashes.append(told.exc_type))
    rooms.write("a.txt", "Words.")
    rooms.write("b.txt", "More.")
    prepared = rooms.index.prepared

    def fault(chunks: Sequence[Chunk], language: str) -> Callable[[int], None]:
        if chunks[0].text == "Words.":
            raise ZeroDivisionError
        return prepared(chunks, language)

    monkeypatch.setattr(rooms.index, "prepared", fault)
    rooms.service.add([rooms.files])
    eventually(lambda: rooms.service.document(2).state is State.READY)
    assert rooms.service.wait(20)
    assert [(one.state, one.error) for one in rooms.service.documents()] == [
        (State.FAILED, "It cannot be read for a fault of this app."),
        (State.READY, ""),
    ]
    assert crashes == [ZeroDivisionError]


# ---------------------------------------------------------------- vectors


def test_words_are_found_before_the_vectors_are_there(rooms: Rooms) -> None:
    rooms.embedding.gate = threading.Semaphore(0)
    (document_id,) = rooms.service.add([rooms.write("a.txt", "Findable words.")]).documents
    eventually(lambda: bool(rooms.service.search("Findable")))
    eventually(lambda: rooms.service.work().stage == "indexing")
    assert rooms.service.document(document_id).state is not State.READY
    rooms.embedding.gate.release(10)
    assert rooms.service.wait(20)
    assert rooms.service.document(document_id).state is State.READY
    assert rooms.embedding.texts == ["Findable words."]


def test_the_next_document_is_read_while_the_last_is_embedded(rooms: Rooms) -> None:
    rooms.embedding.gate = threading.Semaphore(0)
    rooms.service.add([rooms.write("a.txt", "First."), rooms.write("b.txt", "Second.")])
    eventually(lambda: ("b.txt", 1) in rooms.reader.read_pages)
    assert rooms.embedding.texts == []
    rooms.embedding.gate.release(10)
    assert rooms.service.wait(20)


def test_an_engine_that_crashes_is_asked_once_more(rooms: Rooms) -> None:
    rooms.embedding.failures = [EngineExited("The engine stopped.", "It starts again.")]
    document_id = rooms.add("a.txt", "Words.")
    assert rooms.service.document(document_id).state is State.READY
    assert rooms.embedding.texts == ["Words."]
    assert rooms.service.work().notice == ""


def test_an_engine_that_crashes_twice_leaves_the_words_and_says_so(rooms: Rooms) -> None:
    crash = EngineExited("The engine stopped.", "It starts again.")
    rooms.embedding.failures = [crash] * 4
    document_id = rooms.add("a.txt", "Words.")
    assert rooms.service.document(document_id).state is State.READY
    assert rooms.service.search("Words")
    assert rooms.service.work().notice == (
        "Documents are found by their words only, not by meaning. The engine stopped. It starts again."
    )


def test_without_a_model_words_are_found_and_vectors_come_when_there_is_one(rooms: Rooms) -> None:
    rooms.embedding.missing = ModelNotFound("There is no embedding model.", "Get one.")
    document_id = rooms.add("a.txt", "Words.")
    assert rooms.service.document(document_id).state is State.READY
    assert rooms.service.search("Words")
    assert "There is no embedding model. Get one." in rooms.service.work().notice
    rooms.embedding.missing = None
    rooms.service.resume()
    assert rooms.service.wait(20)
    eventually(lambda: rooms.embedding.texts == ["Words."])


def test_another_model_makes_new_vectors_while_everything_stays_ready(rooms: Rooms) -> None:
    document_id = rooms.add("a.txt", "Words.")
    rooms.embedding.sha256 = "b" * 64
    rooms.embedding.gate = threading.Semaphore(0)
    rooms.service.resume()
    eventually(lambda: rooms.index.without_vectors("b" * 64) != [])
    assert rooms.service.document(document_id).state is State.READY
    assert rooms.service.search("Words")
    rooms.embedding.gate.release(10)
    eventually(lambda: rooms.index.without_vectors("b" * 64) == [])
    assert rooms.service.wait(20)


# ---------------------------------------------------------------- trash and erasure


def test_the_trash_hides_a_document_and_gives_it_back(rooms: Rooms) -> None:
    document_id = rooms.add("a.txt", "Words.")
    rooms.service.remove([document_id])
    assert rooms.service.documents() == []
    assert [one.id for one in rooms.service.documents(trashed=True)] == [document_id]
    rooms.service.restore([document_id])
    assert [one.id for one in rooms.service.documents()] == [document_id]
    assert rooms.events()[-2:] == ["document.trashed", "document.restored"]


def test_a_document_that_is_removed_while_it_is_read_is_not_read_on(rooms: Rooms) -> None:
    rooms.reader.gate = threading.Semaphore(1)
    (document_id,) = rooms.service.add([rooms.write("a.txt", "1\f2\f3")]).documents
    eventually(lambda: len(rooms.reader.read_pages) == 1)
    rooms.service.remove([document_id])
    assert rooms.service.wait(20)
    assert len(rooms.reader.read_pages) == 1
    rooms.reader.gate.release(10)
    rooms.service.restore([document_id])
    assert rooms.service.wait(20)
    assert rooms.service.document(document_id).state is State.READY


def test_erasing_leaves_nothing_of_a_document_in_the_store(indexed: Rooms) -> None:
    rooms = indexed
    mail = rooms.add("planted-name.eml", "plantedtext\fATTACHED planted-attachment.txt\nplantedbytes")
    stays = rooms.add("other.txt", "what stays")
    planted = (b"planted-name", b"plantedtext", b"planted-attachment", b"plantedbytes")
    before = decrypted(rooms.database.path, KEY)
    assert all(word in before for word in (*planted, b"what stays"))
    assert rooms.service.search("plantedtext")
    with pytest.raises(UsageError):
        rooms.service.erase([mail])
    rooms.service.remove([mail])
    assert rooms.service.search("plantedtext") == []
    rooms.service.erase([mail])
    after = decrypted(rooms.database.path, KEY)
    assert [word for word in (*planted, b"plant") if word in after] == []
    assert b"what stays" in after
    for table in ("page", "chunk", "document_data", "chunk_vector"):
        rows = rooms.database.rows(f"SELECT * FROM {table}")
        assert len(rows) == (0 if table == "document_data" else 1), table
    with pytest.raises(NotFound):
        rooms.service.document(mail)
    assert [row["id"] for row in rooms.database.rows("SELECT id FROM document")] == [stays]
    assert [passage.document_id for passage in rooms.service.search("stays")] == [stays]
    assert rooms.events()[-1] == "document.erased"
    assert rooms.audit.verify().sound
    assert rooms.database.check() == []


def test_a_document_that_is_erased_while_it_is_read_leaves_nothing(rooms: Rooms) -> None:
    rooms.reader.gate = threading.Semaphore(1)
    (document_id,) = rooms.service.add([rooms.write("a.txt", "planted one\fplanted two")]).documents
    eventually(lambda: len(rooms.reader.read_pages) == 1)
    rooms.service.remove([document_id])
    rooms.service.erase([document_id])
    rooms.reader.gate.release(10)
    assert rooms.service.wait(20)
    assert b"planted" not in decrypted(rooms.database.path, KEY)
    assert rooms.index.chunks == {}


# ---------------------------------------------------------------- collections


def test_collections_are_made_named_filled_and_deleted(rooms: Rooms) -> None:
    first, second = rooms.add("a.txt", "One."), rooms.add("b.txt", "Two.")
    collection = rooms.service.create_collection("  Leases \n 2026 ")
    assert collection.name == "Leases 2026"
    with pytest.raises(UsageError):
        rooms.service.create_collection("leases 2026")
    with pytest.raises(UsageError):
        rooms.service.create_collection("  ")
    rooms.service.put_in(collection.id, [first, second])
    rooms.service.put_in(collection.id, [first])
    assert rooms.service.collections()[0].documents == 2
    rooms.service.take_out(collection.id, [first])
    assert [one.id for one in rooms.service.documents(collection.id)] == [second]
    assert rooms.service.rename_collection(collection.id, "LEASES 2026").name == "LEASES 2026"
    rooms.service.remove([second])
    assert rooms.service.collections()[0].documents == 0
    rooms.service.delete_collection(collection.id)
    assert rooms.service.collections() == []
    assert [one.id for one in rooms.service.documents()] == [first]
    with pytest.raises(NotFound):
        rooms.service.put_in(collection.id, [first])
    with pytest.raises(NotFound):
        rooms.service.add([rooms.files], collection.id)


# ---------------------------------------------------------------- policy


def test_policy_is_asked_at_the_door(tmp_path: Path) -> None:
    policy = Policy({"AllowedTasks": ("chat",)})
    rooms = Rooms(tmp_path, policy)
    with pytest.raises(PolicyRefused):
        rooms.service.add([rooms.write("a.txt", "Words.")])
    with pytest.raises(PolicyRefused):
        rooms.service.search("Words")
    refusals = rooms.database.rows("SELECT object FROM audit WHERE event = 'policy.refused'")
    assert [row["object"] for row in refusals] == ["documents", "documents"]
    rooms.close()


def test_policy_limits_kinds_and_sizes_of_documents(tmp_path: Path) -> None:
    rooms = Rooms(tmp_path, Policy({"AllowedDocumentTypes": ("txt", "eml"), "MaxDocumentMB": 1}))
    rooms.write("a.txt", "Words.")
    rooms.write("b.csv", "1,2")
    rooms.write("c.txt", "x" * 1_000_001)
    rooms.write("d.eml", "Mail.\fATTACHED e.csv\n1,2")
    added = rooms.service.add([rooms.files])
    assert [name for name, _ in added.refused] == ["b.csv", "c.txt"]
    assert "does not allow documents of type “csv”" in added.refused[0][1]
    assert "1 MB" in added.refused[1][1]
    assert rooms.service.wait(20)
    found = {one.name: one for one in rooms.service.documents()}
    assert found["e.csv"].state is State.FAILED
    assert "does not allow documents of type “csv”" in found["e.csv"].error
    assert rooms.library.data(found["e.csv"].id) is None
    rooms.close()


def test_a_legal_hold_keeps_erased_and_replaced_text(tmp_path: Path) -> None:
    rooms = Rooms(tmp_path, Policy({"LegalHold": True}), real_index=True)
    mail = rooms.add("a.eml", "planted old\fATTACHED b.txt\nplanted attachment")
    rooms.write("a.eml", "new text")
    rooms.service.refresh()
    assert rooms.service.wait(20)
    assert [page.text for page in rooms.service.pages(mail)] == ["new text"]
    stored = decrypted(rooms.database.path, KEY)
    assert b"planted old" in stored
    assert b"planted attachment" in stored
    rooms.service.remove([mail])
    with pytest.raises(PolicyRefused):
        rooms.service.erase([mail])
    assert rooms.service.document(mail).trashed is not None
    rooms.close()


# ---------------------------------------------------------------- work and watching


def test_work_tells_what_is_in_hand_and_is_empty_when_all_is_done(rooms: Rooms) -> None:
    rooms.recognises = True
    rooms.reader.gate = threading.Semaphore(1)
    rooms.service.add([rooms.write("a.txt", "1\f2"), rooms.write("b.txt", "3")])
    eventually(lambda: rooms.service.work().page == 1)
    work = rooms.service.work()
    assert (work.done, work.total, work.name, work.pages) == (0, 2, "a.txt", 2)
    assert (work.stage, work.paused) == ("recognising", False)
    rooms.reader.gate.release(10)
    assert rooms.service.wait(20)
    assert rooms.service.work().total == 0
    assert rooms.service.work().stage == ""


def test_watchers_are_told_at_most_ten_times_a_second_and_of_the_end(rooms: Rooms) -> None:
    told: list[tuple[float, int]] = []
    end = rooms.service.watch(lambda: told.append((time.monotonic(), rooms.service.work().total)))
    rooms.service.add([rooms.write(f"{number}.txt", f"1\f2\f{number}") for number in range(20)])
    assert rooms.service.wait(20)
    eventually(lambda: told[-1][1] == 0)
    assert len(told) <= (told[-1][0] - told[0][0]) / 0.1 + 2
    end()
    count = len(told)
    rooms.add("last.txt", "Words.")
    time.sleep(0.15)
    assert len(told) == count


def test_waiting_gives_up_in_time(rooms: Rooms) -> None:
    rooms.service.pause()
    rooms.service.add([rooms.write("a.txt", "Words.")])
    began = time.monotonic()
    assert not rooms.service.wait(0.1)
    assert time.monotonic() - began < 1
    assert rooms.reader.jobs == []


# ---------------------------------------------------------------- looking at pages


def test_a_view_draws_the_very_file_that_was_read(rooms: Rooms) -> None:
    document_id = rooms.add("a.txt", "Rent and\nrent.\fRENT")
    told = rooms.events()
    with rooms.service.view(document_id) as view:
        image = view.image(1, 2.0)
        assert image is not None
        assert (image.width, image.height, image.rgb) == (1, 1, b"\xff\0\0")
        view.image(2, 1.0)
        assert view.page(2).text == "RENT"
        assert view.find("rent") == [(1, 0, 4), (1, 9, 13), (2, 0, 4)]
        assert view.find("and rent") == [(1, 5, 13)]
        assert view.find("  ") == []
    (drawer,) = rooms.drawers
    assert (drawer.data, drawer.closed) == (b"Rent and\nrent.\fRENT", True)
    assert rooms.events() == told
    rooms.service.note_opened(document_id)
    assert rooms.events() == [*told, "document.opened"]
    with pytest.raises(DocumentError):
        view.image(1, 1.0)


def test_a_view_of_a_file_that_changed_or_went_shows_text_and_no_other_file(rooms: Rooms) -> None:
    document_id = rooms.add("a.txt", "Words.")
    path = rooms.write("a.txt", "Other words.")
    with rooms.service.view(document_id) as view:
        with pytest.raises(DocumentError, match="changed"):
            view.image(1, 1.0)
        path.unlink()
        with pytest.raises(DocumentError, match="not there"):
            view.image(1, 1.0)
        assert view.page(1).text == "Words."
    assert rooms.drawers == []
