"""Whether an evidence record is true of the original files: their pages, and where each quotation stands.

The files are found by their hash, whatever they are called; what was attached to a mail is found in the mail.
They are read as the app reads them, by a confined child, of each only the pages that are quoted.
"""

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from localai_app.documents import reader_process, recognition
from localai_app.documents.document import Page
from localai_app.documents.reading import AttachmentRead, Finished, Job, PageRead
from localai_app.errors import DocumentError, LocalAIError, PasswordNeeded
from localai_app.tasks.records.evidence_checks import Claim, verified
from localai_app.tasks.records.evidence_record import DocumentFacts, Record
from localai_app.tasks.task import Evidence

_MAILS = (".eml", ".msg")
_LARGEST = 2 << 30
"""Bytes of a file that is looked at."""
_CHUNK = 1 << 20


def claims(
    record: Record,
    folder: Path,
    *,
    on_document: Callable[[int, int], None] = lambda done, total: None,
    stop: threading.Event | None = None,
) -> Iterator[Claim]:
    """What the record says of each document that was worked on; raise `LocalAIError` for no folder."""
    if not folder.is_dir():
        raise LocalAIError(f"There is no folder “{folder}”.", "Name the one that holds the original files.")
    told = [document for document in record.documents if document.coverage is not None]
    contents = _Contents(folder, {document.sha256: document.size for document in told}, stop)
    for done, document in enumerate(told, start=1):
        yield _of_document(document, contents, stop)
        on_document(done, len(told))


class _Contents:
    """The original files, by their hashes."""

    def __init__(self, folder: Path, wanted: Mapping[str, int | None], stop: threading.Event | None) -> None:
        self._paths: dict[str, Path] = {}
        self._attached: dict[str, bytes] = {}
        files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
        sizes = None if None in wanted.values() else set(wanted.values())
        for path in files:
            size = path.stat().st_size
            if size <= _LARGEST and (sizes is None or size in sizes) and (digest := _hash(path)) in wanted:
                self._paths.setdefault(digest, path)
        missing = wanted.keys() - self._paths.keys()
        for path in files if missing else ():
            if path.suffix.lower() in _MAILS and path.stat().st_size <= _LARGEST:
                self._look_into(path, missing, stop)

    def _look_into(self, mail: Path, missing: Iterable[str], stop: threading.Event | None) -> None:
        """Keep what of a mail's attachments is wanted."""
        with suppress(DocumentError, OSError):
            data = mail.read_bytes()
            for answer in reader_process.read(data, Job(mail.name, len(data)), stop=stop):
                if isinstance(answer, AttachmentRead):
                    digest = hashlib.sha256(answer.attachment.data).hexdigest()
                    if digest in missing:
                        self._attached[digest] = answer.attachment.data

    def of(self, sha256: str) -> bytes | None:
        """What the file of that hash holds; None where it is not here, or no longer what it was."""
        if sha256 in self._attached:
            return self._attached[sha256]
        try:
            data = self._paths[sha256].read_bytes()
        except (KeyError, OSError):
            return None
        return data if hashlib.sha256(data).hexdigest() == sha256 else None


def _hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _of_document(document: DocumentFacts, contents: _Contents, stop: threading.Event | None) -> Claim:
    data = contents.of(document.sha256)
    if data is None:
        words = f"No file in the folder has the SHA-256 {document.sha256}."
        return Claim("file", None, words, document.name)
    try:
        pages, total = _read(document, data, stop)
    except PasswordNeeded:
        return Claim("pages", None, "It is encrypted: its pages were not compared.", document.name)
    except DocumentError as error:
        return Claim("pages", None, f"It cannot be read here: {error.line}", document.name)
    covered = document.coverage
    if covered is not None and total != covered.total:
        words = f"The file has {total:,} {covered.unit}s, and not {covered.total:,}."
        return Claim("pages", False, words, document.name)
    return _compared(document, verified(document), pages)


def _read(document: DocumentFacts, data: bytes, stop: threading.Event | None) -> tuple[dict[int, Page], int]:
    """The pages that are quoted, read anew, and how many the file has; the others are passed over."""
    quoted = {proof.page for proof in verified(document)}
    recorded = document.coverage.total if document.coverage else 0
    job = Job(
        document.name,
        len(data),
        ocr=recognition.available(),
        skip_pages=tuple(number for number in range(1, recorded + 1) if number not in quoted),
    )
    pages, total = {}, 0
    for answer in reader_process.read(data, job, stop=stop):
        if isinstance(answer, PageRead):
            pages[answer.page.number] = answer.page
        elif isinstance(answer, Finished):
            total = answer.facts.pages
    return pages, total


def _compared(document: DocumentFacts, proofs: list[Evidence], pages: Mapping[int, Page]) -> Claim:
    wrong, unread, right = [], [], 0
    for proof in proofs:
        page = pages.get(proof.page)
        if page is not None and page.text[proof.start : proof.end] == proof.quotation:
            right += 1
        elif page is None or (page.unread and proof.quotation not in page.text):
            unread.append(proof)
        else:
            wrong.append((proof, proof.quotation in page.text))
    if wrong:
        proof, elsewhere = wrong[0]
        where = "elsewhere on it" if elsewhere else "nowhere on it"
        words = (
            f"{len(wrong):,} of {len(proofs):,} verified quotations do not stand where the record says. "
            f"The first, on {proof.place} from {proof.start} to {proof.end}, stands {where}."
        )
        return Claim("pages", False, words, document.name, right)
    if unread:
        places = ", ".join(dict.fromkeys(proof.place for proof in unread))
        words = (
            f"{len(unread):,} of {len(proofs):,} quotations are on pages that cannot be read here: {places}."
        )
        return Claim("pages", None, words, document.name, right)
    words = f"All {right:,} verified quotations stand on their pages, each at its very place."
    return Claim("pages", True, words, document.name, right)
