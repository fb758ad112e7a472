import io
import zipfile

import pytest

from localai_app.documents.readers.archive import Archive
from localai_app.documents.readers.refused import ReadRefused
from localai_app.documents.reading import Limits


def archive_of(entries, limits=None):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return Archive(target.getvalue(), limits or Limits())


def code_of(call):
    with pytest.raises(ReadRefused) as caught:
        call()
    return caught.value.refused.code


def test_entries_are_found_in_any_case_and_with_any_slash():
    archive = archive_of({"Word\\Document.xml": "text"})
    assert archive.read("/word/document.XML") == b"text"
    assert "word/other.xml" not in archive


def test_names_that_climb_out_are_only_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    archive = archive_of({"../../escaped.txt": "x"})
    assert archive.read("../../escaped.txt") == b"x"
    assert not any(tmp_path.parent.glob("escaped*"))
    assert list(tmp_path.iterdir()) == []


def test_too_many_entries_are_refused():
    entries = {str(at): "" for at in range(5)}
    assert len(archive_of(entries, Limits(entries=5)).names) == 5
    assert code_of(lambda: archive_of(entries, Limits(entries=4))) == "limit"


def test_too_much_inside_is_refused_before_anything_is_expanded():
    assert code_of(lambda: archive_of({"a": "x" * 600, "b": "y" * 600}, Limits(expanded=1_000))) == "limit"


def test_a_bomb_is_refused_when_it_is_read_and_harms_nobody_else():
    archive = archive_of({"bomb": b"\0" * 4_000_000, "text": "fine", "small": b"\0" * 500_000})
    assert code_of(lambda: archive.read("bomb")) == "limit"
    assert archive.read("text") == b"fine"
    assert len(archive.read("small")) == 500_000


def test_damage_is_one_clear_refusal():
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("a", "some text that is stored as it is")
    data = target.getvalue()
    flipped = data.replace(b"some text", b"SOME text")
    assert code_of(lambda: Archive(flipped, Limits()).read("a")) == "broken"
    assert code_of(lambda: Archive(data[: len(data) // 2], Limits())) == "broken"
    assert code_of(lambda: Archive(b"no archive", Limits())) == "broken"


def test_a_missing_entry_is_a_key_error():
    with pytest.raises(KeyError):
        archive_of({"a": ""}).read("b")
