"""Finding the passage that answers: by words, by meaning, and by both as the app does it.

Recall at 1, 5 and 10 is the share of questions for which one of the pages (of XQuAD: paragraphs) that
hold the answer is among the first so many different ones. Everything goes the way it goes in the app: files
through the confined reader, chunks with the embedding model's tokens, the encrypted index, `Index.find`.

| set | what is looked for | where |
|---|---|---|
| XQuAD, six languages | the paragraph, by its question | in all 24 articles |
| TAT-QA | the table with its text, by a question | in all 278 |
| CUAD | a page with the clause, by the question that describes its category | in the one contract |

``LOCALAI_APP_EVAL`` names the folder of the sets; without it there is nothing to measure. Vectors are kept in
``.bench``, so that a second run takes a minute. Sets can be named: ``python -m tests.bench.retrieval cuad``.
``CONTRACTS=12`` takes so many of the 60, evenly: the larger model needs about an hour of 2 cores for all.
"""

import hashlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from localai_app.app import App, open_app
from localai_app.documents import reader_process
from localai_app.documents.chunks import split
from localai_app.documents.document import CELL, Block, BlockKind, Page, Scope
from localai_app.documents.languages import language_of
from localai_app.documents.library import Library
from localai_app.documents.reading import Job, PageRead
from localai_app.documents.search import Index
from localai_app.models.embedding import SHIPPED, EmbeddingModel, Vectors
from localai_app.paths import Paths
from localai_app.store.database import Database
from tests.bench import report

DEPTHS = (1, 5, 10)
CONTRACTS = int(os.environ.get("CONTRACTS", "60"))
XQUAD = ("en", "de", "es", "zh", "ar", "ru")
RIVAL = "nomic-embed-text-v1.5.f16.gguf"
"""A model five times as large; measured on CUAD where it is there."""
LOSS, GAIN = -1.0, 5.0
"""Points: at most so much below the better of the two anywhere, at least so much above it on CUAD."""
# Evidence and list of categories name a few of them differently.
OTHERWISE = {
    "rofr/rofo/rofn": "right of first refusal, offer or negotiation",
    "affiliate license-licensor": "affiliate ip license-licensor",
    "affiliate license-licensee": "affiliate ip license-licensee",
    "unlimited/all-you-can-eat-license": "unlimited/all-you-can-eat license",
    "notice period to terminate renewal": "notice to terminate renewal",
    "price restrictions": "price restriction",
}


@dataclass(frozen=True)
class Question:
    """What is asked, and where the answer stands: pages of one document."""

    text: str
    document: int
    pages: frozenset[int]


@dataclass
class Set:
    """Documents with questions."""

    name: str
    documents: list[list[Page]] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    in_document: bool = False
    """Only the question's own document is searched."""


# ---------------------------------------------------------------- sets


def xquad(folder: Path, language: str) -> Set:
    """Each paragraph a page of its article."""
    found = Set(f"XQuAD {language}")
    for article in json.loads((folder / f"xquad/xquad.{language}.json").read_text())["data"]:
        paragraphs = article["paragraphs"]
        for number, paragraph in enumerate(paragraphs, 1):
            for question in paragraph["qas"]:
                pages = frozenset({number})
                found.questions.append(Question(question["question"], len(found.documents), pages))
        found.documents.append([Page(n, paragraph["context"]) for n, paragraph in enumerate(paragraphs, 1)])
    return found


def tatqa(folder: Path) -> Set:
    """Each table with its text a document of one page."""
    found = Set("TAT-QA")
    for filing in json.loads((folder / "tatqa/tatqa_dev.json").read_text()):
        rows = "\n".join(CELL.join(cell.strip() for cell in row) for row in filing["table"]["table"])
        texts = [paragraph["text"] for paragraph in sorted(filing["paragraphs"], key=lambda p: p["order"])]
        text, blocks = "", []
        for kind, part in [*((BlockKind.PARAGRAPH, part) for part in texts), (BlockKind.TABLE, rows)]:
            text += "\n\n" if text else ""
            blocks.append(Block(kind, len(text), len(text) + len(part)))
            text += part
        for question in filing["questions"]:
            found.questions.append(Question(question["question"], len(found.documents), frozenset({1})))
        found.documents.append([Page(1, text, blocks=tuple(blocks))])
    return found


def cuad(folder: Path) -> Set:
    """Contracts as PDF, and the list's own description of each category of clauses as the question."""
    found = Set("CUAD pages", in_document=True)
    described = dict(categories((folder / "cuad/README.txt").read_text(errors="replace")))
    names = sorted(path.name for path in (folder / "cuad").glob("*.pdf"))
    names = names[:: max(len(names) // CONTRACTS, 1)]
    for name in names:
        data = (folder / "cuad" / name).read_bytes()
        answers = reader_process.read(data, Job(name=name, size=len(data)))
        found.documents.append([answer.page for answer in answers if isinstance(answer, PageRead)])
    for evidence in json.loads((folder / "cuad/evidence.json").read_text()):
        if evidence["pdf"] not in names:
            continue
        category = evidence["category"].lower()
        pages = frozenset(page + 1 for part in evidence["evidence"] for page in part["pages_index0"])
        question = described[OTHERWISE.get(category, category)]
        found.questions.append(Question(question, names.index(evidence["pdf"]), pages))
    return found


def categories(text: str) -> Iterator[tuple[str, str]]:
    """(name in lower case, description) of each category in the set's own list."""
    name = ""
    for match in re.finditer(r"^\s*(Category|Description):\s*(\S.*)$", text, re.MULTILINE):
        if match[1] == "Category":
            name = match[2].split("(")[0].strip().lower()
        elif name:
            yield name, " ".join(match[2].split())


# ---------------------------------------------------------------- finding


class Embedder:
    """One model, and the vectors that it made before."""

    def __init__(self, app: App, file: Path) -> None:
        app.embedding.select(file)
        self.model = app.embedding.load()
        self._embedding = app.embedding
        report.FOLDER.mkdir(exist_ok=True)
        self._file = report.FOLDER / f"retrieval-{self.model.sha256[:12]}.npz"
        self._known: dict[str, np.ndarray] = {}
        if self._file.is_file():
            with np.load(self._file) as kept:
                self._known = dict(zip(kept["keys"].tolist(), kept["values"], strict=True))

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of passages."""
        return self._embedding.count_tokens(texts)

    def passages(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of passages."""
        return self._vectors("p", texts, lambda some: self._embedding.embed_passages(some).values)

    def queries(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors of questions."""
        return self._vectors(
            "q",
            texts,
            lambda some: np.concatenate([self._embedding.embed_query(text).values for text in some]),
        )

    def _vectors(
        self, kind: str, texts: Sequence[str], make: Callable[[Sequence[str]], np.ndarray]
    ) -> np.ndarray:
        keys = [kind + hashlib.sha256(text.encode()).hexdigest() for text in texts]
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._known}
        for start in range(0, len(missing), 256):
            some = list(missing)[start : start + 256]
            self._known.update(zip(some, make([missing[key] for key in some]), strict=True))
            np.savez(
                self._file, keys=np.array(list(self._known)), values=np.stack(list(self._known.values()))
            )
        return np.stack([self._known[key] for key in keys])


class Searched:
    """A set in an index of its own."""

    def __init__(self, some: Set, embedder: Embedder, folder: Path) -> None:
        self.set = some
        self.model: EmbeddingModel = embedder.model
        self.database = Database.open(
            folder / f"{some.name} {embedder.model.name}.db".replace("/", " "), bytes(32)
        )
        self.index = Index(self.database)
        self.ids = [self._add(pages, embedder) for pages in some.documents]
        missing = self.index.without_vectors(self.model.sha256)
        values = embedder.passages([text for _, text in missing])
        with self.database.transaction():
            self.index.add_vectors(self.model, [chunk for chunk, _ in missing], values)
        asked = list(dict.fromkeys(question.text for question in some.questions))
        self.vectors = dict(zip(asked, embedder.queries(asked), strict=True))

    def _add(self, pages: Sequence[Page], embedder: Embedder) -> int:
        library = Library(self.database)
        chunks = split(pages, embedder.count, self.model.usual_tokens)
        with self.database.transaction():
            count = self.database.row("SELECT count(*) AS count FROM document")
            number = 0 if count is None else count["count"]
            document = library.add(f"{number}", f"{number:064x}", 1, "txt")
            self.database.execute("UPDATE document SET reading = 1, state = 'ready' WHERE id = ?", [document])
            for page in pages:
                body = msgspec.msgpack.encode(msgspec.structs.replace(page, text="", boxes=b""))
                self.database.execute(
                    "INSERT INTO page VALUES (?, 1, ?, ?, ?, x'')", [document, page.number, page.text, body]
                )
            self.index.prepared(chunks, language_of("\n".join(page.text for page in pages)))(document)
        return document

    def recall(self, *, words: bool, meaning: bool) -> list[float]:
        """Per cent of the questions answered by the first 1, 5 and 10 pages."""
        hits = dict.fromkeys(DEPTHS, 0)
        for question in self.set.questions:
            document = self.ids[question.document]
            scope = Scope(documents=(document,)) if self.set.in_document else Scope()
            vectors = Vectors(self.model, self.vectors[question.text][None]) if meaning else None
            found = self.index.find(question.text if words else "", vectors, scope, 200)
            pages = list(dict.fromkeys((passage.document_id, passage.page) for passage in found))
            for depth in DEPTHS:
                hits[depth] += any(
                    page in question.pages for there, page in pages[:depth] if there == document
                )
        return [100 * hit / len(self.set.questions) for hit in hits.values()]


def compare(some: Set, embedder: Embedder, folder: Path) -> list[report.Row]:
    """Fused against the better of the two, at every depth."""
    searched = Searched(some, embedder, folder)
    words = searched.recall(words=True, meaning=False)
    meaning = searched.recall(words=False, meaning=True)
    both = searched.recall(words=True, meaning=True)
    searched.database.close()
    name = f"{some.name}, {embedder.model.name}"
    for way, figures in (("words", words), ("meaning", meaning), ("both", both)):
        print(f"  {name:45} {way:8}" + " ".join(f"{figure:6.1f}" for figure in figures), flush=True)
    rows = []
    for depth, one, other, ours in zip(DEPTHS, words, meaning, both, strict=True):
        best = max(one, other)
        target = GAIN if some.in_document and depth == 5 else LOSS
        rows.append(
            report.Row(
                measure=f"{name}: recall@{depth} by both, above the better of the two",
                value=round(ours - best, 1),
                unit="points",
                better="higher",
                target=target,
                rival=f"words {one:.1f}, meaning {other:.1f}; better",
                ours=round(ours, 1),
                theirs=round(best, 1),
            )
        )
    return rows


def main() -> None:
    """Measure and report."""
    evaluation = os.environ.get("LOCALAI_APP_EVAL")
    if not evaluation:
        print("retrieval: LOCALAI_APP_EVAL does not name the folder of the sets; left out")
        return
    folder = Path(evaluation)
    names = sys.argv[1:]
    sets: dict[str, Callable[[], Set]] = {"cuad": lambda: cuad(folder), "tatqa": lambda: tatqa(folder)}
    sets |= {f"xquad-{language}": lambda language=language: xquad(folder, language) for language in XQUAD}
    files = [report.model(SHIPPED), *filter(None, [report.model_if_here(RIVAL)])]
    rows: list[report.Row] = []
    with tempfile.TemporaryDirectory() as temporary:
        base = Path(temporary)
        (base / "models").mkdir()
        for file in files:
            (base / "models" / file.name).symlink_to(file)
        paths = Paths(base / "data", base / "config", base / "cache", (base / "models",))
        with open_app(paths) as app:
            for file in files:
                embedder = Embedder(app, base / "models" / file.name)
                for name, make in sets.items():
                    if (not names or name in names) and (file.name == SHIPPED or name == "cuad"):
                        rows += compare(make(), embedder, base)
    report.write("retrieval", rows)


if __name__ == "__main__":
    main()
