"""A document, read in a child: what comes back, and how every way of ending looks from the app."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from localai_app.documents import reader_process
from localai_app.documents.document import Attachment, Facts, Page
from localai_app.documents.reader_process import Viewer, read
from localai_app.documents.reading import (
    Answer,
    AttachmentRead,
    Finished,
    Job,
    Limits,
    PageRead,
    Refused,
    Rendered,
    Started,
    encode,
)
from localai_app.errors import DocumentError, PasswordNeeded
from localai_app.processes import Child, encode_confinement
from localai_app.sandbox import Confinement
from tests.documents.small_files import ALL, WORDS, eml, pdf

if sys.platform == "win32":
    pytest.skip("the test children are POSIX programs", allow_module_level=True)

FACTS = Facts("txt", 1)
Fake = Callable[[str], list[Child]]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Has a program stand in for the child, with ``say`` for frames in hexadecimal."""

    def stand_in(program: str) -> list[Child]:
        children: list[Child] = []
        preamble = (
            "import os, sys, time\n"
            "def say(*frames):\n"
            "    for frame in frames: sys.stdout.buffer.write(bytes.fromhex(frame))\n"
            "    sys.stdout.flush()\n"
        )

        def start_child(role: str, confinement: Confinement) -> Child:
            assert role == "reader"
            children.append(Child([sys.executable, "-I", "-c", preamble + program]))
            return children[-1]

        monkeypatch.setattr(reader_process, "start_child", start_child)
        return children

    return stand_in


def say(*answers: Answer) -> str:
    """The line of a fake child that sends ``answers``."""
    return f"say(*{[encode(answer).hex() for answer in answers]})"


def all_of(data: bytes = b"x", name: str = "a.txt", **job: object) -> list[Answer]:
    return list(read(data, Job(name, 0, **job)))  # type: ignore[arg-type]


# ---------------------------------------------------------------- the real child


@pytest.mark.parametrize("name", ["a.txt", "a.msg", "a.pdf", "a.docx"])
def test_a_document_is_read_in_the_child(name: str) -> None:
    answers = all_of(ALL[name](), name)
    assert isinstance(answers[0], Started)
    assert isinstance(answers[-1], Finished)
    assert WORDS in " ".join(answer.page.text for answer in answers if isinstance(answer, PageRead))
    assert psutil.Process().children() == []


def test_attachments_come_after_the_pages_with_harmless_names() -> None:
    answers = all_of(eml(), "a.eml")
    assert [answer.attachment for answer in answers if isinstance(answer, AttachmentRead)] == [
        Attachment("note.txt", b"attached")
    ]


def test_pages_that_are_here_already_are_not_sent_again() -> None:
    text = "\n\n".join(f"{number} {'x' * 3000}" for number in range(3)).encode()
    pages = [answer.page.number for answer in all_of(text) if isinstance(answer, PageRead)]
    assert len(pages) > 1
    rest = [a.page.number for a in all_of(text, skip_pages=(1,)) if isinstance(a, PageRead)]
    assert rest == pages[1:]


def test_names_and_passwords_that_are_not_unicode_do_no_harm() -> None:
    assert isinstance(all_of(b"x", "a\udcff.txt", password="\udcff")[-1], Finished)


def test_giving_up_in_the_middle_ends_the_child() -> None:
    answers = read(b"x\n\n" * 1_000_000, Job("a.txt", 0))
    assert isinstance(next(answers), Started)
    assert len(psutil.Process().children()) == 1
    answers.close()  # type: ignore[attr-defined]
    assert psutil.Process().children() == []


@pytest.mark.parametrize(
    ("data", "name", "message"),
    [
        (b"", "a.txt", r"^The file is empty\.$"),
        (b"\x7fELF" + bytes(64), "a.txt", r"^The file is a program\.$"),
        (b"PK\x03\x04" + bytes(64), "a.docx", "damaged"),
        (b"%PDF-1.7\nnothing", "a.pdf", "."),
    ],
)
def test_a_file_that_nobody_reads_is_refused_in_one_line(data: bytes, name: str, message: str) -> None:
    with pytest.raises(DocumentError, match=message) as caught:
        all_of(data, name)
    assert "\n" not in caught.value.line
    assert caught.value.hint
    assert name not in caught.value.line


# ---------------------------------------------------------------- limits


def test_a_child_that_uses_up_its_processor_time_is_ended(fake: Fake) -> None:
    children = fake(
        "import resource\nresource.setrlimit(resource.RLIMIT_CPU, (1, 2))\n"
        + say(Started("txt", 0))
        + "\nwhile 1: 0"
    )
    with pytest.raises(DocumentError, match="more computing time than is allowed"):
        all_of()
    assert [child.running for child in children] == [False]


def test_the_child_is_told_its_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Confinement] = []
    start = reader_process.start_child

    def look(role: str, confinement: Confinement) -> Child:
        given.append(confinement)
        return start(role, confinement)  # type: ignore[arg-type]

    monkeypatch.setattr(reader_process, "start_child", look)
    all_of(limits=Limits(cpu_seconds=7))
    all_of(limits=Limits(cpu_seconds=7), ocr=True)
    fonts = reader_process.FONTS
    assert given == [Confinement(read=fonts, cpu_seconds=7), Confinement(read=fonts, cpu_seconds=140)]


def test_a_file_that_needs_more_memory_than_is_allowed_is_refused() -> None:
    with pytest.raises(DocumentError, match="memory"):
        all_of(b"word " * 4_000_000, limits=Limits(memory=32 * 1024 * 1024))


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Limits(characters=10_000), "more than 10,000 characters"),
        (Limits(pages=2), "more than 2 pages"),
    ],
)
def test_text_without_end_is_cut_short(limits: Limits, message: str) -> None:
    with pytest.raises(DocumentError, match=message):
        all_of(b"word " * 10_000, limits=limits)


@pytest.mark.parametrize("limits", [Limits(attachments=1), Limits(expanded=10)])
def test_attachments_without_end_are_cut_short(limits: Limits, fake: Fake) -> None:
    files = [AttachmentRead(Attachment("a", b"12345678"))] * 2
    fake(say(Started("eml", 0), *files, Finished(FACTS)))
    with pytest.raises(DocumentError, match="too many attachments"):
        all_of(limits=limits)


def test_stopping_ends_the_child_within_a_second(fake: Fake) -> None:
    children = fake(say(Started("txt", 0)) + "\ntime.sleep(60)")
    stop = threading.Event()
    answers = read(b"x", Job("a.txt", 0), stop=stop)
    next(answers)
    threading.Timer(0.2, stop.set).start()
    began = time.monotonic()
    with pytest.raises(DocumentError, match="stopped"):
        next(answers)
    assert time.monotonic() - began < 1.5
    assert [child.running for child in children] == [False]


# ---------------------------------------------------------------- a child that is not what it should be


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("pass", "its reader ended normally"),
        ("os.abort()", r"its reader aborted \(SIGABRT\)"),
        ("sys.stdin.buffer.read(1); os.kill(os.getpid(), 11)", r"crashed \(SIGSEGV\)"),
        ("sys.stdout.buffer.write(b'hello')", "what no document can say"),
        ("sys.stdout.buffer.write(b'\\3\\0\\0\\0abc')", "what no document can say"),
        (
            "sys.stdout.buffer.write(b'\\xff\\xff\\xff\\xff')\nsys.stdout.flush()\ntime.sleep(60)",
            "what no document",
        ),
        (say(PageRead(Page(1, "x"))), "what no document can say"),
        (say(Started("txt", 0), Started("txt", 0)), "what no document can say"),
        (say(Started("txt", 0), PageRead(Page(2, "x")), PageRead(Page(2, "x"))), "what no document can say"),
        (say(Started("txt", 0), PageRead(Page(2, "x")), Finished(FACTS)), "what no document can say"),
        (say(Started("txt", 0), Rendered(1, 1, 1, b"rgb")), "what no document can say"),
        (say(Started("txt", 0), Refused("broken", "It is torn.", "Mend it.")), r"^It is torn\.$"),
        (say(Started("txt", 0), PageRead(Page(1, "x"))), "its reader ended normally"),
    ],
)
def test_a_child_that_breaks_the_protocol_is_ended_and_not_believed(
    program: str, message: str, fake: Fake
) -> None:
    children = fake(program)
    with pytest.raises(DocumentError, match=message) as caught:
        all_of()
    assert caught.value.hint
    assert "\n" not in caught.value.line
    assert [child.running for child in children] == [False]


@pytest.mark.parametrize(
    "program",
    [
        "time.sleep(60)",
        "sys.stdin.buffer.read()\ntime.sleep(60)",
        say(Started("txt", 0)) + "\ntime.sleep(60)",
        "sys.stdout.buffer.write(b'\\xff\\0\\0\\0half')\nsys.stdout.flush()\ntime.sleep(60)",
    ],
    ids=["deaf", "mute", "begins", "half a frame"],
)
def test_a_child_that_falls_silent_is_ended(
    program: str, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    children = fake(program)
    monkeypatch.setattr(reader_process, "SILENCE", 0.5)
    began = time.monotonic()
    with pytest.raises(DocumentError, match="took too long"):
        all_of(b"x" * 1_000_000)
    assert time.monotonic() - began < 10
    assert [child.running for child in children] == [False]


def test_recognising_a_page_may_take_longer(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(f"{say(Started('pdf', 0))}; time.sleep(1)\n{say(Finished(FACTS))}")
    monkeypatch.setattr(reader_process, "SILENCE", 0.2)
    assert isinstance(all_of(ocr=True)[-1], Finished)


def test_a_child_that_never_ends_is_ended_however_busy_it_looks(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = [PageRead(Page(number, "x")) for number in range(1, 200)]
    children = fake("".join(f"{say(page)}; time.sleep(0.1)\n" for page in (Started("txt", 0), *pages)))
    monkeypatch.setattr(reader_process, "_PATIENCE", 1)
    with pytest.raises(DocumentError, match="took too long"):
        all_of(limits=Limits(cpu_seconds=1))
    assert [child.running for child in children] == [False]


@pytest.mark.parametrize("code", ["password", "wrong_password"])
def test_an_encrypted_file_asks_for_its_password(code: str, fake: Fake) -> None:
    fake(say(Refused(code, "It is locked.", "Enter its password.")))  # type: ignore[arg-type]
    with pytest.raises(PasswordNeeded, match=r"^It is locked\.$"):
        all_of()


# ---------------------------------------------------------------- looking at pages


def test_a_viewer_draws_page_after_page_in_one_child() -> None:
    with Viewer(pdf(pages=2), "a.pdf") as viewer:
        first = viewer.render(1, 1.0)
        child = psutil.Process().children()
        second = viewer.render(2, 0.5)
        assert psutil.Process().children() == child
    assert (first.width, first.height, len(first.rgb)) == (612, 792, 612 * 792 * 3)
    assert (second.page, second.width) == (2, 306)
    assert len(set(first.rgb)) > 2  # there are letters on it
    assert psutil.Process().children() == []


def test_a_viewer_says_what_has_no_pages_and_which_page_is_not_there() -> None:
    with Viewer(b"only text", "a.txt") as viewer, pytest.raises(DocumentError, match="no pages to draw"):
        viewer.render(1, 1.0)
    with Viewer(pdf(), "a.pdf") as viewer:
        with pytest.raises(DocumentError):
            viewer.render(99, 1.0)
        assert viewer.render(1, 0.1).page == 1


def test_a_viewer_whose_child_was_killed_starts_another() -> None:
    with Viewer(pdf(), "a.pdf") as viewer:
        viewer.render(1, 0.1)
        (child,) = psutil.Process().children()
        child.kill()
        child.wait()
        assert viewer.render(1, 0.1).page == 1


def test_a_page_that_crashes_its_child_stops_a_viewer_in_the_end(fake: Fake) -> None:
    children = fake(say(Started("pdf", 1)) + "\nsys.stdin.buffer.read(200)\nos.abort()")
    with Viewer(b"x" * 1000) as viewer:
        for _ in range(10):
            with pytest.raises(DocumentError):
                viewer.render(1, 1.0)
    assert len(children) == reader_process.MAX_CRASHES
    assert not any(child.running for child in children)


@pytest.mark.parametrize(
    "answer",
    [
        Rendered(2, 1, 1, b"rgb"),
        Finished(FACTS),
        Rendered(1, 2, 1, b"rgb"),
        Rendered(1, 1 << 20, 1 << 20, b""),
    ],
)
def test_a_viewer_believes_no_other_answer(answer: Answer, fake: Fake) -> None:
    children = fake(say(Started("pdf", 1), answer) + "\ntime.sleep(60)")
    with Viewer(b"x") as viewer, pytest.raises(DocumentError, match="what no document can say"):
        viewer.render(1, 1.0)
    assert not any(child.running for child in children)


def test_a_page_that_takes_too_long_is_given_up(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(say(Started("pdf", 1)) + "\ntime.sleep(60)")
    monkeypatch.setattr(reader_process, "DRAWING", 0.5)
    with Viewer(b"x") as viewer, pytest.raises(DocumentError, match="too long"):
        viewer.render(1, 1.0)


# ---------------------------------------------------------------- what the child may do

ACTS = """
import errno, json, os, socket, sys
from localai_app.documents import reader_child
from localai_app.processes import ChildIO, run_child

def attempt(act):
    try:
        act()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"

def answers(opened):
    acts = {
        "read a file": lambda: open("/etc/hostname").read(),
        "read Python": lambda: open(os.__file__).read(),
        "write": lambda: open(sys.argv[2] + "/new", "w"),
        "remove": lambda: os.remove(sys.argv[2] + "/old"),
        "connect": lambda: socket.socket(),
        "start a program": lambda: os.posix_spawn("/bin/true", ["true"], {}),
        "fork": os.fork,
    }
    print(json.dumps({name: attempt(act) for name, act in acts.items()}), file=sys.stderr)
    return iter(())

reader_child._answers = answers
if sys.argv[1] == "free":
    answers(None)
else:
    sys.exit(run_child(sys.argv[1], reader_child.main))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="nothing is enforced on this platform")
@pytest.mark.parametrize("do", ["read", "view"])
def test_the_child_can_do_nothing_but_compute(do: str, tmp_path: Path) -> None:
    (tmp_path / "old").write_text("x")
    program = tmp_path / "acts.py"
    program.write_text(ACTS)
    confinement = encode_confinement(Confinement(read=reader_process.FONTS, cpu_seconds=60))
    job = Job("a.txt", 1, do=do)  # type: ignore[arg-type]

    def run(setting: str, script: str) -> dict[str, str]:
        program.write_text(script)
        child = Child([sys.executable, "-I", str(program), setting, str(tmp_path)])
        if setting != "free":
            child.stdin.write(encode(job) + b"x")
            child.stdin.flush()
        assert child.wait(60)
        child.stop()
        answer: dict[str, str] = json.loads(child.stderr_lines()[-1])
        return answer

    free = run("free", ACTS.replace('"fork": os.fork,', ""))
    assert set(free.values()) == {"done"}
    (tmp_path / "old").write_text("x")
    drawing = "reader_child._draw = lambda io, opened, questions: answers(opened) and 0"
    confined = run(
        confinement, ACTS.replace("reader_child._answers = answers", drawing) if do == "view" else ACTS
    )
    if set(confined.values()) == {"done"}:
        pytest.skip("this kernel enforces nothing")
    assert confined == {
        **dict.fromkeys(("read a file", "read Python", "write", "remove"), "EACCES"),
        **dict.fromkeys(("connect", "start a program", "fork"), "EPERM"),
    }


def test_the_child_of_a_plain_text_loads_no_other_parser() -> None:
    code = (
        "import sys\n"
        "from localai_app.documents.readers import dispatch\n"
        "from localai_app.documents.reading import Job\n"
        "list(dispatch.open_reader(Job('a.txt', 1), b'x').read())\n"
        "print(*sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in answer.stdout.split()}
    assert not loaded & {"lxml", "pypdfium2", "olefile", "numpy", "email", "PySide6", "sqlcipher3", "keyring"}


def test_the_app_loads_no_parser_to_have_documents_read() -> None:
    code = (
        "import sys, localai_app.documents.reader_process, localai_app.documents.formats; print(*sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in answer.stdout.split()}
    assert not loaded & {"lxml", "pypdfium2", "olefile", "numpy", "email", "charset_normalizer"}
    assert "localai_app.documents.readers" not in answer.stdout
