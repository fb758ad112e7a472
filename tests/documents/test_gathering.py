"""Which files a person means who names files and folders."""

import os
from pathlib import Path

import pytest

from localai_app.documents.gathering import FoundFile, NotTaken, files_in


def taken(*paths: Path) -> list[str]:
    return [found.path.name for found in files_in(paths) if isinstance(found, FoundFile)]


def refused(*paths: Path) -> dict[str, str]:
    return {found.name: found.line for found in files_in(paths) if isinstance(found, NotTaken)}


def write(path: Path, text: str = "text") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_folder_means_all_documents_in_it_by_name_and_folder_after_folder(tmp_path: Path) -> None:
    for name in ("b.txt", "a.pdf", "sub/c.docx", "sub/deeper/d.eml", "A.MD"):
        write(tmp_path / name)
    assert taken(tmp_path) == ["A.MD", "a.pdf", "b.txt", "c.docx", "d.eml"]
    assert refused(tmp_path) == {}


def test_what_nobody_put_there_as_a_document_is_passed_over(tmp_path: Path) -> None:
    for name in (
        *(".hidden.txt", ".git/config.txt", "~$lease.docx", ".~lock.a.odt#", "Thumbs.db", "desktop.ini"),
        *("notes.txt~", "download.pdf.part", "a.tmp", "b.crdownload", "__MACOSX/c.txt", ".DS_Store"),
    ):
        write(tmp_path / name)
    write(tmp_path / "a.txt")
    assert taken(tmp_path) == ["a.txt"]
    assert refused(tmp_path) == {}


def test_a_hidden_file_that_is_named_is_taken(tmp_path: Path) -> None:
    assert taken(write(tmp_path / ".notes")) == [".notes"]


def test_files_of_other_kinds_are_named_and_old_office_files_are_left_to_their_reader(tmp_path: Path) -> None:
    write(tmp_path / "song.mp3")
    write(tmp_path / "README")
    write(tmp_path / "old.doc")
    assert taken(tmp_path) == ["old.doc"]
    assert refused(tmp_path) == {
        "README": "In folders, files without an ending are passed over. Name the file to try it.",
        "song.mp3": "In folders, .mp3 files are passed over. Name the file to try it.",
    }
    assert taken(tmp_path / "README") == ["README"]


def test_links_lead_neither_out_of_a_folder_nor_round_in_circles(tmp_path: Path) -> None:
    outside = write(tmp_path / "outside" / "secret.txt")
    folder = tmp_path / "folder"
    write(folder / "a.txt")
    (folder / "out.txt").symlink_to(outside)
    (folder / "out").symlink_to(outside.parent, target_is_directory=True)
    (folder / "round").symlink_to(folder, target_is_directory=True)
    (folder / "same.txt").symlink_to(folder / "a.txt")
    (folder / "broken.txt").symlink_to(folder / "nothing.txt")
    assert taken(folder) == ["a.txt"]
    assert set(refused(folder)) == {"out.txt", "out"}


def test_a_link_that_is_named_is_followed(tmp_path: Path) -> None:
    target = write(tmp_path / "a.txt")
    (tmp_path / "link.txt").symlink_to(target)
    assert taken(tmp_path / "link.txt", target) == ["a.txt"]


def test_what_cannot_be_opened_is_named_with_what_to_do(tmp_path: Path) -> None:
    write(tmp_path / "empty.txt", "")
    os.mkfifo(tmp_path / "pipe.txt")
    lines = refused(tmp_path, tmp_path / "gone.txt")
    assert lines == {
        "empty.txt": "It is empty.",
        "pipe.txt": "It is no file with content, such as a device.",
        "gone.txt": "It is not there. Check its name, or connect its drive.",
    }


def test_links_and_names_that_lead_nowhere_are_told_and_the_rest_is_taken(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    file = write(folder / "a.txt")
    (folder / "self.txt").symlink_to("self.txt")
    (folder / "self").symlink_to("self")
    (named := tmp_path / "round").symlink_to("round")
    paths = (folder, named, Path("~nobody-of-that-name/x.txt"), Path("a\0b.txt"))
    assert taken(*paths) == [file.name]
    lines = refused(*paths)
    assert set(lines) == {"self.txt", "self", "round", "x.txt", "a\0b.txt"}
    assert all(line.count(".") >= 2 for line in lines.values()), "each says what to do"


def test_a_folder_that_may_not_be_opened_is_named_and_the_rest_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "closed" / "b.txt")
    write(tmp_path / "open.txt")
    scan = os.scandir

    def refuse(folder: Path) -> object:
        if Path(folder).name == "closed":
            raise PermissionError(13, "Permission denied")
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    assert taken(tmp_path) == ["open.txt"]
    assert refused(tmp_path) == {
        "closed": "You may not open it. Ask its owner for the permission to read it."
    }
