"""Mails of both kinds: what a mail program shows, and what came attached."""

import email.message
from email.mime.text import MIMEText

import pytest

from localai_app.documents.document import Attachment, BlockKind
from localai_app.documents.readers import mail, outlook
from localai_app.documents.readers.mail import clean_name, unique_name
from localai_app.documents.readers.refused import ReadRefused
from localai_app.documents.reading import Job, Limits
from tests.documents import small_files
from tests.documents.readers.reading_helper import Read
from tests.documents.small_files import WORDS, compound, msg, table, text_property

P, F, H, L, T = (
    BlockKind.PARAGRAPH,
    BlockKind.FIELD,
    BlockKind.HEADING,
    BlockKind.LIST_ITEM,
    BlockKind.TABLE,
)


def read(head: str, body: str | bytes = "", **fields: str) -> Read:
    data = head.strip().encode() + b"\n\n" + (body if isinstance(body, bytes) else body.encode())
    return Read(mail, data.replace(b"\n", b"\r\n"))


# ---------------------------------------------------------------- EML


def test_a_mail_shows_its_head_its_text_and_its_attachments() -> None:
    found = Read(mail, small_files.eml())
    assert found.blocks == [
        (F, "From: Jürgen <j@example.org>"),
        (F, "To: Ann <ann@example.org>, Bob <bob@example.org>"),
        (F, "Date: Mon, 2 Mar 2026 10:00:00 +0100"),
        (F, "Subject: Über uns"),
        (F, "Attachments: note.txt"),
        (P, f"{WORDS}."),
    ]
    assert found.attachments == [Attachment("note.txt", b"attached")]
    facts = found.facts
    assert (facts.format, facts.title, facts.author) == ("eml", "Über uns", "Jürgen <j@example.org>")
    assert facts.created == "2026-03-02T10:00:00+01:00"


def test_a_mail_of_html_alone_is_read_as_a_page() -> None:
    found = read(
        "Subject: x\nContent-Type: text/html", "<ul><li>one</ul><table><tr><td>a<td>b<tr><td>c<td>d</table>"
    )
    assert found.blocks[1:] == [(L, "one"), (T, "a | b\nc | d")]


def test_html_is_read_where_the_plain_text_is_a_stopgap() -> None:
    parts = [MIMEText("See the web version."), MIMEText(f"<p>{'All of the news. ' * 10}</p>", "html")]
    message = email.message.EmailMessage()
    message["Subject"] = "News"
    message["Content-Type"] = "multipart/alternative; boundary=b"
    body = "".join(f"--b\n{part.as_string()}\n" for part in parts) + "--b--\n"
    found = read("Subject: News\nContent-Type: multipart/alternative; boundary=b", body)
    assert found.blocks[1:] == [(P, ("All of the news. " * 10).strip())]


@pytest.mark.parametrize(
    ("head", "body", "text"),
    [
        ("Content-Type: text/plain; charset=iso-8859-1", "Größe".encode("cp1252"), "Größe"),
        ("Content-Type: text/plain; charset=us-ascii", "Größe".encode(), "Größe"),
        (
            "Content-Type: text/plain; charset=x-nope\nContent-Transfer-Encoding: base64",
            "SGVsbG8gNDI=!!!",
            "Hello 42",
        ),
        (
            "Content-Transfer-Encoding: quoted-printable\nContent-Type: text/plain",
            "caf=C3=A9 =\nnoir",
            "café noir",
        ),
        ("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: wrong", "x", "x"),
        ("Content-Type: nonsense", "x", "x"),
        (
            "Content-Type: text/plain; format=flowed",
            "one \ntwo\nthree\n> quoted \n-- \nAnn",
            "one two\nthree\n> quoted \n-- \nAnn",
        ),
        ("MIME-Version: 1.0", "x", "x"),
    ],
)
def test_text_is_right_however_it_is_packed(head: str, body: str | bytes, text: str) -> None:
    assert read(head, body).text == text


@pytest.mark.parametrize(
    ("subject", "shown"),
    [
        ("=?utf-8?Q?Rechnung_=E2=82=AC?=", "Rechnung €"),
        ("=?utf-8?b?w5w=?= =?utf-8?b?YmVy?= =?iso-8859-1?q?_f=FCr?=", "Über für"),
        ("=?utf-8?b?!?=", ""),
        ("Grüße", "Grüße"),
        ("folded\n and on", "folded and on"),
    ],
)
def test_subjects_are_shown_as_people_read_them(subject: str, shown: str) -> None:
    title = read(f"From: a@b\nSubject: {subject}", "x").facts.title
    assert title == shown or (not shown and "\n" not in title)


def test_a_mail_in_a_mail_becomes_an_attachment_that_is_a_mail() -> None:
    inner = "From: c@d\nSubject: Inner/..\\one\n\ninner text"
    found = read(
        "Subject: Outer\nContent-Type: multipart/mixed; boundary=b",
        f"--b\nContent-Type: text/plain\n\nsee below\n--b\nContent-Type: message/rfc822\n\n{inner}\n--b--\n",
    )
    (attachment,) = found.attachments
    assert attachment.name == "one.eml"
    assert Read(mail, attachment.data).blocks == [
        (F, "From: c@d"),
        (F, "Subject: Inner/..\\one"),
        (P, "inner text"),
    ]


def test_pictures_in_the_text_are_counted_and_others_attached() -> None:
    picture = "Content-Type: image/png\n{}\n\nx\n"
    found = read(
        "Subject: x\nContent-Type: multipart/related; boundary=b",
        "--b\nContent-Type: text/html\n\n<img src='cid:one'>see\n--b\n"
        + picture.format("Content-ID: <one>\nContent-Disposition: attachment; filename=a.png")
        + "--b\n"
        + picture.format("Content-Disposition: attachment; filename=b.png")
        + "--b--\n",
    )
    assert [attachment.name for attachment in found.attachments] == ["b.png"]
    assert sum(page.images for page in found.pages) == 2


@pytest.mark.parametrize(
    ("kind", "warning"),
    [
        ("multipart/encrypted; boundary=b", "encrypted"),
        ("application/pkcs7-mime; name=smime.p7m", "encrypted"),
        ("application/ms-tnef; name=winmail.dat", "winmail.dat"),
    ],
)
def test_what_cannot_be_read_is_named(kind: str, warning: str) -> None:
    found = read(f"Subject: x\nContent-Type: {kind}", "--b\nContent-Type: text/plain\n\nx\n--b--\n")
    assert warning in found.facts.warnings[0]
    assert found.attachments == []


def test_a_mail_with_too_many_attachments_says_so() -> None:
    parts = "".join(f"--b\nContent-Disposition: attachment; filename=a.txt\n\n{n}\n" for n in range(5))
    data = f"Content-Type: multipart/mixed; boundary=b\n\n{parts}--b--\n".encode()
    answers = list(mail.read(data, Job("", 0, limits=Limits(attachments=2))))
    assert len(answers) == 5  # started, a page with their names, two of them, finished
    assert "more attachments" in answers[-1].facts.warnings[0]  # type: ignore[union-attr]


def test_a_mail_nested_five_hundred_times_is_read() -> None:
    parts = "".join(f'Content-Type: multipart/mixed; boundary="b{n}"\n\n--b{n}\n' for n in range(500))
    assert "inner" in read(f"Subject: deep\n{parts}Content-Type: text/plain", "inner").text


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\a.txt", "a.txt"),
        ("inv\u202efdp.exe", "invfdp.exe"),
        ("a\0b\n.txt", "ab.txt"),
        (" .. ", "other"),
        ("", "other"),
        ("x" * 300 + ".pdf", "x" * 140 + ".pdf"),
    ],
)
def test_names_of_attachments_lead_nowhere(name: str, clean: str) -> None:
    assert clean_name(name, "other") == clean


def test_names_are_told_apart() -> None:
    taken: set[str] = set()
    assert [unique_name(name, taken) for name in ("a.txt", "A.txt", "a.txt", "b")] == [
        *("a.txt", "A (2).txt", "a (3).txt", "b"),
    ]


# ---------------------------------------------------------------- MSG


def test_an_outlook_message_shows_the_same() -> None:
    found = Read(outlook, msg())
    assert found.blocks == [
        (F, "From: Jürgen <j@example.org>"),
        (F, "To: Ann <ann@example.org>"),
        (F, "Subject: Lease"),
        (F, "Attachments: note.txt"),
        (P, f"{WORDS}."),
        (P, "Regards"),
        (H, "Attached message"),
        (F, "Subject: Inner"),
        (P, "Inner text"),
    ]
    assert [(attachment.name, attachment.data[:8]) for attachment in found.attachments] == [
        ("note.txt", b"attached")
    ]


def outlook_message(**streams: bytes) -> Read:
    return Read(outlook, compound(dict([table(32, p3FDE=1252), text_property(0x0037, "S")]) | streams))


def test_the_body_may_be_html_in_any_code_page() -> None:
    found = outlook_message(**{"__substg1.0_10130102": "<meta charset=utf-8><p>Größe</p>".encode()})
    assert found.blocks[1:] == [(P, "Größe")]
    found = outlook_message(**{"__substg1.0_10130102": "<p>Größe</p>".encode("cp1252")})
    assert found.blocks[1:] == [(P, "Größe")]


def packed(rtf: bytes) -> bytes:
    from compressed_rtf import compress

    return bytes(compress(rtf))


def test_the_body_may_be_packed_rich_text() -> None:
    found = outlook_message(**{"__substg1.0_10090102": packed(rb"{\rtf1\ansi plain \'fcber\par second\par}")})
    assert found.blocks[1:] == [(P, "plain über"), (P, "second")]


def test_the_body_may_be_html_inside_rich_text() -> None:
    wrapped = (
        rb"{\rtf1\ansi\ansicpg1252\fromhtml1{\fonttbl{\f0 Arial;}}{\*\htmltag18 <body>}{\*\htmltag64 <p>}"
        rb"\htmlrtf {\htmlrtf0 Gr\'f6\u223\'dfe \{x\}{\*\htmltag84 <b>}bold{\*\htmltag92 </b>}"
        rb"\htmlrtf\par}\htmlrtf0"
        rb"{\*\htmltag72 </p>}{\*\mhtmltag <no>}}"
    )
    found = outlook_message(**{"__substg1.0_10090102": packed(wrapped)})
    assert found.blocks[1:] == [(P, "Größe {x}bold")]


def test_damaged_packed_text_is_named_and_the_rest_read() -> None:
    found = outlook_message(**{"__substg1.0_10090102": packed(b"{\\rtf1 x}")[:-8] + b"garbage!" + bytes(64)})
    assert found.blocks[0] == (F, "Subject: S")
    assert "damaged" in found.facts.warnings[0]


def test_messages_attached_to_each_other_without_end_are_cut() -> None:
    inner: small_files.Folder = dict([table(24), text_property(0x1000, "innermost")])
    for _ in range(12):
        inner = dict([table(24)]) | {
            "__attach_version1.0_#00000000": dict([table(8)]) | {"__substg1.0_3701000D": inner}
        }
    found = Read(outlook, compound({**inner, **dict([table(32)])}))
    assert "too deeply" in found.facts.warnings[0]
    assert "innermost" not in found.text


@pytest.mark.parametrize("cut", [600, 1500, 5000])
def test_a_message_cut_short_is_refused_or_read_in_part(cut: int) -> None:
    codes = []
    try:
        list(outlook.read(msg()[:cut], Job("", 0)))
    except ReadRefused as error:
        codes.append(error.refused.code)
    assert codes in ([], ["broken"])
