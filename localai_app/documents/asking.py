"""Asking documents: what of them the model is given, and whether what it answers stands there."""

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace

from localai_app.documents import citing, exhaustive
from localai_app.documents.deletions import Deletions, text_in_force
from localai_app.documents.document import Citation, Document, Page, Passage, Scope, State
from localai_app.documents.exhaustive import COPY_TOKENS, INSTRUCTION_TOKENS, WINDOW_TOKENS, Findings
from localai_app.documents.grounding import (
    NOT_FOUND,
    Coverage,
    Gathering,
    Given,
    Grounding,
    Mode,
    Price,
    Sources,
    documents_of,
    given_text,
    joined,
    pages_of,
)
from localai_app.documents.pricing import Pricing
from localai_app.documents.quotes import PageText, overlap
from localai_app.documents.service import DocumentService
from localai_app.engine.client import Engine
from localai_app.errors import ContextOverflow, DocumentError, NotFound, RequestFailed
from localai_app.models.service import ModelService

__all__ = [
    "NOT_FOUND",
    "Asking",
    "Coverage",
    "Gathering",
    "Given",
    "Grounding",
    "Mode",
    "Price",
    "Sources",
]

_SEARCH_TOKENS_CPU, _SEARCH_TOKENS_GPU = 1024, 6144
"""Of passages in one prompt. A processor reads some hundred tokens per second; and small models do worse,
not better, with more passages than hold the answer."""
_SEARCHED = 32
"""Passages that are asked of the index."""
_DENSEST = 12
"""Characters per token that no text exceeds: what is longer is too long without being counted."""
_ANSWER_TOKENS = 128
"""Of an answer, when its price is estimated."""
_NEAREST = 5
"""Sentences that the app adds to those that the model finds when it reads everything."""
_ROUNDS = 3
"""How often what was found is read again to make it fit."""
_RANK_OFFSET = 60
"""Of reciprocal rank fusion, as its authors set it."""
_STATES = {
    State.WAITING: "not read yet",
    State.READING: "being read",
    State.LOCKED: "a password is needed",
    State.FAILED: "cannot be read",
}


class Asking:
    """Grounds questions in documents, and checks what the answers cite."""

    def __init__(self, documents: DocumentService, models: ModelService, engine: Engine) -> None:
        self._documents = documents
        self._models = models
        self._engine = engine
        self._pricing = Pricing(documents, models, engine)

    # ------------------------------------------------------------ prices

    def prices(self, question: str, scope: Scope, room: int = 0) -> list[Price]:
        """What the question costs in each mode, `Mode.AUTO`'s choice first.

        ``room`` is how many tokens of documents fit into a prompt; 0: as many as in a new conversation.
        The model that answers must be loaded. Raise `DocumentError` where there is nothing to ask.
        """
        asked = self._asked(scope)
        room = room or self._usual_room()
        pages = sum(document.pages for document in asked)
        tokens = sum(self._pricing.count_document(document) for document in asked)
        found = self._search(question, scope, (), room) if question.strip() else ()
        searched = self._pricing.count(given_text(found))
        windows = -(-tokens // self._window(room))
        reading = tokens + windows * INSTRUCTION_TOKENS
        whole = Price(
            Mode.WHOLE,
            len(asked),
            pages,
            pages,
            tokens,
            self._pricing.seconds(tokens, _ANSWER_TOKENS),
            fits=tokens <= room,
        )
        search = Price(
            Mode.SEARCH,
            documents_of(found),
            pages_of(found),
            len(found),
            searched,
            self._pricing.seconds(searched, _ANSWER_TOKENS),
        )
        every = Price(
            Mode.EXHAUSTIVE,
            len(asked),
            pages,
            windows,
            reading,
            self._pricing.seconds(reading, windows * COPY_TOKENS // 3 + _ANSWER_TOKENS),
        )
        return [whole, search, every] if whole.fits else [search, every, whole]

    # ------------------------------------------------------------ grounding

    def ground(
        self,
        question: str,
        sources: Sources,
        room: int,
        *,
        before: Sequence[str] = (),
        stop: threading.Event | None = None,
    ) -> Iterator[Gathering | Grounding]:
        """Gather what the model is given, at most ``room`` tokens; the last value is the `Grounding`.

        ``before`` are the questions that were asked earlier, the latest last: a search for a question that
        goes on from them looks for them too. Setting ``stop`` from any thread ends it with
        `RequestFailed`. The model that answers must be loaded. Raise `DocumentError` where there is
        nothing to ask, `ContextOverflow` where the whole text was wanted and does not fit.
        """
        stop = stop or threading.Event()
        asked = self._asked(sources.scope)
        mode = sources.mode
        if mode in (Mode.AUTO, Mode.WHOLE):
            whole = self._whole(question, asked, room, must=mode is Mode.WHOLE)
            if whole is not None:
                yield whole
                return
            mode = Mode.SEARCH
        if stop.is_set():
            raise RequestFailed("The request was stopped.")
        if mode is Mode.SEARCH:
            yield Gathering("searching", 0, len(asked))
            passages = self._search(question, sources.scope, before, room)
            yield self._grounding(mode, question, asked, passages)
        else:
            yield from self._exhaustive(question, asked, room, stop)

    def _whole(self, question: str, asked: Sequence[Document], room: int, *, must: bool) -> Grounding | None:
        characters = sum(document.characters for document in asked)
        needed = characters // _DENSEST
        if needed <= room:
            passages = [
                exhaustive.whole_page(document, page)
                for document, page in self._pages(asked)
                if page.text.strip()
            ]
            grounding = self._grounding(Mode.WHOLE, question, asked, passages)
            needed = grounding.coverage.tokens
            if needed <= room:
                return grounding
        if must:
            raise ContextOverflow(
                f"The documents have {needed:,} tokens or more; {room:,} fit beside the conversation.",
                "Search them, read them exhaustively, or choose fewer.",
                needed=needed,
                available=room,
            )
        return None

    def _search(self, question: str, scope: Scope, before: Sequence[str], room: int) -> tuple[Passage, ...]:
        """The passages that fit the question best and the budget, the best first."""
        queries = [question]
        if before:
            queries.append(f"{before[-1]}\n{question}")
        ranked = _fused([self._documents.search(query, scope, _SEARCHED) for query in queries])
        gpu = self._engine.model is not None and self._engine.model.device != "CPU"
        budget = min(room, _SEARCH_TOKENS_GPU if gpu else _SEARCH_TOKENS_CPU)
        fitting: list[Passage] = []
        for passage in ranked:
            budget -= self._pricing.count(given_text([passage]))
            if budget < 0:
                break
            fitting.append(passage)
        return tuple(self._one(group) for group in joined(fitting))

    def _one(self, group: Sequence[Passage]) -> Passage:
        """Passages that overlap or touch as one."""
        first = group[0]
        if len(group) == 1:
            return first
        start, end = first.start, max(passage.end for passage in group)
        text = self._documents.page(first.document_id, first.page).text[start:end]
        return replace(first, end=end, text=text)

    def _exhaustive(
        self, question: str, asked: Sequence[Document], room: int, stop: threading.Event
    ) -> Iterator[Gathering | Grounding]:
        pages = [(document, page) for document, page in self._pages(asked) if page.text.strip()]
        deletions = Deletions(pages, self._documents.page)
        window = self._window(room)
        read = exhaustive.windows(pages, self._pricing.count, window)
        found, dropped = yield from self._read(question, read, deletions, stop)
        found = exhaustive.together([*found, *exhaustive.nearest(question, read, _NEAREST)])
        for _ in range(_ROUNDS):
            if not found or self._pricing.count(given_text(found)) <= room:
                break
            again = exhaustive.windows_of(found, self._pricing.count, window)
            fewer, more = yield from self._read(question, again, deletions, stop)
            found = fewer or found  # what helped before does not stop helping all at once
            dropped += more
        kept = self._best(question, found, room)
        grounding = self._grounding(Mode.EXHAUSTIVE, question, asked, kept)
        coverage = replace(
            grounding.coverage,
            documents_used=len({document.id for document, _ in pages}),
            pages_used=len(pages),
            dropped=dropped,
            left_out=len(found) - len(kept),
        )
        yield replace(grounding, coverage=coverage)

    def _read(
        self,
        question: str,
        windows: Sequence[exhaustive.Window],
        deletions: Deletions,
        stop: threading.Event,
    ) -> Generator[Gathering, None, tuple[list[Passage], int]]:
        """Ask what helps in each window; that, and how many sentences of the model stand nowhere."""
        for item in exhaustive.read(self._engine, question, windows, deletions.shown, stop):
            if isinstance(item, Findings):
                self._pricing.note(item.usage)
                return list(item.passages), item.dropped
            yield item
        raise AssertionError("reading ends with its findings")

    def _best(self, question: str, found: Sequence[Passage], room: int) -> list[Passage]:
        """Those of ``found`` that share most with the question and fit; in the order that they had."""
        if self._pricing.count(given_text(found)) <= room:
            return list(found)
        kept: set[int] = set()
        order = sorted(range(len(found)), key=lambda at: -overlap(question, found[at].text))
        for at in order:
            room -= self._pricing.count(given_text([found[at]]))
            if room < 0:
                break
            kept.add(at)
        return [passage for at, passage in enumerate(found) if at in kept]

    def _grounding(
        self, mode: Mode, question: str, asked: Sequence[Document], passages: Sequence[Passage]
    ) -> Grounding:
        text = given_text(passages, Deletions(page_of=self._documents.page).shown)
        coverage = Coverage(
            mode=mode,
            documents=len(asked),
            documents_used=documents_of(passages),
            pages=sum(document.pages for document in asked),
            pages_used=pages_of(passages),
            passages=len(passages),
            tokens=self._pricing.count(text),
            unread=tuple(self._unread(asked)),
        )
        return Grounding(text, tuple(passages), coverage, question)

    # ------------------------------------------------------------ citations

    def cite(self, answer: str, grounding: Grounding) -> tuple[Citation, ...]:
        """Each ``[n]`` of ``answer``, with the words that stand on the page, checked mechanically."""
        return citing.cite(answer, grounding, self._now_there)

    def given(self, grounding: Grounding, fingerprint: Callable[[str], str]) -> tuple[Given, ...]:
        """What is kept of the passages with an answer."""
        return tuple(
            Given(
                document_id=passage.document_id,
                document_name=passage.document_name,
                page=passage.page,
                page_kind=passage.page_kind,
                page_label=passage.page_label,
                start=passage.start,
                end=passage.end,
                heading=passage.heading,
                fingerprint=fingerprint(passage.text),
            )
            for passage in grounding.passages
        )

    def restore(
        self,
        given: Sequence[Given],
        coverage: Coverage,
        question: str,
        fingerprint: Callable[[str], str],
    ) -> Grounding:
        """The grounding that an answer had; raise `DocumentError` when a page has changed or is gone."""
        passages = []
        for one in given:
            passage = Passage(
                document_id=one.document_id,
                document_name=one.document_name,
                chunk_id=0,
                page=one.page,
                page_kind=one.page_kind,
                page_label=one.page_label,
                start=one.start,
                end=one.end,
                heading=one.heading,
                text="",
                score=0.0,
            )
            now = self._now_there(passage)
            if now is None or fingerprint(now.text) != one.fingerprint:
                raise DocumentError(
                    f"{one.document_name} has changed since this answer was begun.", "Ask again."
                )
            passages.append(replace(passage, text=now.text))
        text = given_text(passages, Deletions(page_of=self._documents.page).shown)
        return Grounding(text, tuple(passages), coverage, question)

    def _now_there(self, passage: Passage) -> PageText | None:
        try:
            page = self._documents.page(passage.document_id, passage.page)
        except NotFound:
            return None
        return text_in_force(page, passage.start, passage.end)

    # ------------------------------------------------------------ documents

    def _asked(self, scope: Scope) -> list[Document]:
        """The documents of ``scope`` by name; raise `DocumentError` when none of them can be asked."""
        asked = self._documents.in_scope(scope)
        if not any(one.state is State.READY for one in asked):
            raise DocumentError(
                "None of these documents is ready to be asked.",
                asked[0].error or "Wait until they are read.",
            )
        return asked

    def _pages(self, asked: Sequence[Document]) -> Iterator[tuple[Document, Page]]:
        for document in asked:
            if document.state is State.READY:
                for page in self._documents.pages(document.id):
                    yield document, page

    def _unread(self, asked: Sequence[Document]) -> Iterator[tuple[str, str]]:
        for document in asked:
            if document.state is not State.READY:
                yield document.name, document.error or _STATES[document.state]
            elif document.pages_read < document.pages:
                missing = document.pages - document.pages_read
                yield document.name, f"{missing} of {document.pages} pages"

    def _usual_room(self) -> int:
        model = self._engine.model
        return model.context_length * 3 // 4 if model else 0

    @staticmethod
    def _window(room: int) -> int:
        return max(min(WINDOW_TOKENS, room // 2), 1)


def _fused(lists: Sequence[Sequence[Passage]]) -> list[Passage]:
    """The passages of several searches by reciprocal rank, the first list counting twice."""
    if len(lists) == 1:
        return list(lists[0])
    scores: dict[tuple[int, int, int, int], float] = {}
    passages: dict[tuple[int, int, int, int], Passage] = {}
    for number, ranked in enumerate(lists):
        for rank, passage in enumerate(ranked):
            key = passage.document_id, passage.page, passage.start, passage.end
            passages.setdefault(key, passage)
            scores[key] = scores.get(key, 0.0) + (2 if number == 0 else 1) / (_RANK_OFFSET + rank)
    return [passages[key] for key in sorted(scores, key=lambda key: -scores[key])]
