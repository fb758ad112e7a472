"""Fields out of invoices and contracts: the app's way against the whole text in one prompt.

Ours: every page in windows, values copied under a grammar, looked up on the page, put together
(`tasks.extract`), with the engine as it runs in the app. The rival is the same model in the same run
through `create_chat_completion`: one prompt with the fields and the text, cut to the context, “answer with
JSON”. Both are read with the same normaliser and scored alike, over the fields that the sets have labels for:
a value that is right counts, a wrong one counts as wrong and as missed. The rival's JSON may stand in a code
block, and between other words for the score (not for the share of valid JSON).

``LOCALAI_APP_EVAL`` names the folder with ``invoices/`` and ``cuad/``; without it nothing is measured.
``INVOICES`` and ``CONTRACTS`` are how many of each (default 10 and 20: about two hours on two cores).
"""

import json
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from localai_app.documents import reader_process
from localai_app.documents.document import Document, Page, State
from localai_app.documents.quotes import words
from localai_app.documents.reading import Job, PageRead
from localai_app.engine.client import PromptMessage, WorkerEngine
from localai_app.engine.protocol import Done, LoadSettings, Sampling, Text
from localai_app.tasks.extract import Extract, ExtractOptions
from localai_app.tasks.extraction import normalise
from localai_app.tasks.extraction.fields import Field, FieldType
from localai_app.tasks.task import Choose, Chosen, Outcome, Output, Source, Step, Written
from tests.bench import report

MODEL = "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"
CONTEXT = 8192
WINDOW = 1024
ANSWER_TOKENS = 1024
RIVAL = "create_chat_completion, the whole text in one prompt"
LIKE = 0.5
"""F1 of words from which on a clause is the one that was labelled."""

INVOICE_FIELDS = (
    Field("issuer", "Issuer", description="Name of the company that issued the invoice"),
    Field("invoice_number", "Invoice number"),
    Field("date", "Invoice date", FieldType.DATE),
    Field("date_due", "Due date", FieldType.DATE),
    Field("amount", "Total amount", FieldType.AMOUNT, "Amount to pay with tax"),
    Field("amount_untaxed", "Untaxed amount", FieldType.AMOUNT, "Amount before tax"),
    Field("amount_tax", "Tax amount", FieldType.AMOUNT, "Amount of the tax"),
    Field("currency", "Currency"),
    Field("vat", "VAT number", description="VAT number of the issuer"),
    Field("iban", "IBAN", FieldType.IBAN),
    Field("bic", "BIC"),
    Field("partner_email", "E-mail", FieldType.EMAIL, "E-mail address of the issuer"),
)
CONTRACT_FIELDS = (
    Field("document_name", "Document name", description="The name of the contract"),
    Field("parties", "Parties", description="The parties who signed the contract", is_list=True),
    Field("effective_date", "Effective date", FieldType.DATE, "The date when the contract is effective"),
    Field(
        "governing_law", "Governing law", description="Which state's or country's law governs the contract"
    ),
    Field(
        "expiration_date",
        "Expiration",
        FieldType.LONG_TEXT,
        "The sentence that says when the contract's initial term expires",
    ),
    Field("renewal_term", "Renewal", FieldType.LONG_TEXT, "The sentence that says how the term is renewed"),
    Field(
        "notice_period_to_terminate_renewal",
        "Notice period",
        description="The notice period required to terminate renewal",
    ),
    Field(
        "anti_assignment",
        "Assignment",
        FieldType.LONG_TEXT,
        "The sentence on whether consent is needed to assign the contract",
    ),
)


@dataclass(frozen=True)
class Case:
    """A document, the fields asked for, and the right values of those that are labelled."""

    name: str
    pages: tuple[Page, ...]
    fields: tuple[Field, ...]
    right: dict[str, list[str]]
    """By key: of a list all values; else any of them is right."""


@dataclass
class Score:
    """Counts over the labelled fields."""

    right: int = 0
    wrong: int = 0
    missed: int = 0
    valid: int = 0
    documents: int = 0
    seconds: float = 0.0
    tokens: int = 0
    by_field: Counter[str] = field(default_factory=Counter)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, in percent."""
        return 200 * self.right / max(2 * self.right + self.wrong + self.missed, 1)


def main() -> None:
    """Measure and report."""
    folder = Path(os.environ.get("LOCALAI_APP_EVAL") or "/nonexistent")
    if not (folder / "invoices").is_dir() or not (folder / "cuad").is_dir():
        print("extraction: LOCALAI_APP_EVAL names no folder with invoices/ and cuad/; nothing is measured")
        return
    rows: list[report.Row] = []
    for what, cases in (
        ("invoices", invoices(folder / "invoices", int(os.environ.get("INVOICES", "10")))),
        ("contracts", contracts(folder / "cuad", int(os.environ.get("CONTRACTS", "20")))),
    ):
        if cases:
            rows += rows_of(what, ours(cases), naive(cases))
    report.write("extraction", rows)


# ---------------------------------------------------------------- documents and labels


def invoices(folder: Path, most: int) -> list[Case]:
    """Each PDF with the labels beside it."""
    cases = []
    for path in sorted(folder.glob("*.pdf"))[:most]:
        (labels, *_) = json.loads(path.with_suffix(".json").read_text())
        right = {one.key: [str(labels[one.key])] for one in INVOICE_FIELDS if labels.get(one.key) is not None}
        cases.append(Case(path.name, pages_of(path), INVOICE_FIELDS, right))
    return cases


def contracts(folder: Path, most: int) -> list[Case]:
    """Contracts spread over the set, with the labels of those categories that are asked for."""
    labels = json.loads((folder / "evidence.json").read_text())
    names = sorted({one["pdf"] for one in labels})
    names = names[:: max(len(names) // most, 1)][:most] if most else []
    return [
        Case(name, pages_of(folder / name), CONTRACT_FIELDS, dict(_labelled(labels, name))) for name in names
    ]


def _labelled(labels: Sequence[dict[str, Any]], name: str) -> Iterator[tuple[str, list[str]]]:
    known = {one.key: one for one in CONTRACT_FIELDS}
    for label in labels:
        key = re.sub(r"\W+", "_", label["category"].lower())
        if label["pdf"] != name or key not in known:
            continue
        if known[key].type is FieldType.LONG_TEXT:
            yield key, [part["text"] for part in label["evidence"]]
        elif known[key].is_list:
            parties = re.sub(r"\([^)]*\)", "", label["answer"]).split(";")
            yield key, [party.strip() for party in parties if party.strip()]
        elif known[key].type is not FieldType.DATE or re.search(r"\d/\d+/\d", label["answer"]):
            yield key, [label["answer"]]


def pages_of(path: Path) -> tuple[Page, ...]:
    """A file as the app reads it."""
    data = path.read_bytes()
    answers = reader_process.read(data, Job(name=path.name, size=len(data)))
    return tuple(answer.page for answer in answers if isinstance(answer, PageRead))


# ---------------------------------------------------------------- ours


def ours(cases: Sequence[Case]) -> Score:
    """What `tasks.extract` finds."""
    score = Score()
    with closing(WorkerEngine()) as engine:
        engine.load(report.model(MODEL), LoadSettings(context_length=CONTEXT))
        count = counter(engine)
        for case in cases:
            started = time.monotonic()
            outcome = extracted(
                engine, Source(_document(case), case.pages, WINDOW, count), case.fields, score
            )
            score.seconds += time.monotonic() - started
            found: dict[str, list[str]] = {}
            for one in outcome.findings:
                if one.value is not None:
                    found.setdefault(one.column, []).append(str(one.value))
            score.valid += not outcome.unread
            judge(case, found, score)
    return score


def extracted(engine: WorkerEngine, source: Source, fields: tuple[Field, ...], score: Score) -> Outcome:
    """The outcome of one document, its steps side by side."""
    work = Extract().work(source, ExtractOptions(fields=fields))
    outputs: list[Output] | None = None
    with ThreadPoolExecutor(16) as pool:
        while True:
            try:
                steps = work.send(outputs) if outputs is not None else next(work)
            except StopIteration as end:
                outcome: Outcome = end.value
                return outcome
            outputs = list(pool.map(lambda step: done(engine, step, score), steps))


def done(engine: WorkerEngine, step: Step, score: Score) -> Output:
    """What the engine answers to one step."""
    prompt = engine.render([PromptMessage("user", f"{step.instruction}\n\n{step.content}")])
    if isinstance(step, Choose):
        return Chosen(tuple(engine.score(prompt, step.labels, background=True, group="checks")))
    generation = engine.generate(
        prompt,
        Sampling(temperature=0, json_schema=step.json_schema),
        max_tokens=step.max_tokens,
        background=True,
        group="extraction",
    )
    text = ""
    for event in generation:
        if isinstance(event, Text):
            text += event.text
        elif isinstance(event, Done):
            score.tokens += event.usage.prompt_tokens - event.usage.reused_tokens
            return Written(text, incomplete=event.incomplete)
    raise AssertionError("a generation ends with Done")


def counter(engine: WorkerEngine) -> Callable[[str], int]:
    """Counts tokens of a text."""
    return lambda text: engine.count(engine.render([PromptMessage("user", text)]))


def _document(case: Case) -> Document:
    added = datetime(2026, 1, 1, tzinfo=UTC)
    return Document(1, case.name, "0" * 64, 1, "pdf", State.READY, added, language="")


# ---------------------------------------------------------------- theirs


def naive(cases: Sequence[Case]) -> Score:
    """What one prompt with the whole text finds."""
    from llama_cpp import Llama

    score = Score()
    model = Llama(str(report.model(MODEL)), n_ctx=CONTEXT, verbose=False)
    try:
        for case in cases:
            started = time.monotonic()
            text = asked(model, case, score)
            score.seconds += time.monotonic() - started
            whole, found = parsed(text)
            score.valid += whole
            judge(case, {one.key: _strings(found.get(one.key)) for one in case.fields}, score)
    finally:
        model.close()
    return score


def asked(model: Any, case: Case, score: Score) -> str:
    """The rival's answer about one document."""
    lines = "\n".join(
        f"- {one.key}: {one.name}{', a list' if one.is_list else ''}. {one.description}"
        for one in case.fields
    )
    question = (
        f"Extract these fields from the document. Answer with JSON only, with these keys; null where the "
        f"document does not say.\n{lines}\n\nDocument:\n"
    )
    tokens = model.tokenize("\n\n".join(page.text for page in case.pages).encode(), add_bos=False)
    room = CONTEXT - ANSWER_TOKENS - len(model.tokenize(question.encode())) - 64
    text = model.detokenize(tokens[:room]).decode(errors="replace")
    answer = model.create_chat_completion(
        [{"role": "user", "content": question + text}], temperature=0, max_tokens=ANSWER_TOKENS
    )
    score.tokens += answer["usage"]["prompt_tokens"]
    return str(answer["choices"][0]["message"]["content"])


def parsed(text: str) -> tuple[bool, dict[str, Any]]:
    """Whether an answer is JSON (in a code block, perhaps), and the first object in it."""
    block = re.fullmatch(r"\s*```(?:json)?\s*(.*?)```\s*", text, re.DOTALL)
    inner = re.search(r"\{.*\}", text, re.DOTALL)
    for whole, candidate in ((True, block[1] if block else text), (False, inner[0] if inner else "")):
        try:
            found = json.loads(candidate)
        except ValueError:
            continue
        if isinstance(found, dict):
            return whole, found
    return False, {}


def _strings(value: Any) -> list[str]:
    """Values as text, however they are nested."""
    if value is None:
        return []
    if isinstance(value, dict):
        return [text for one in value.values() for text in _strings(one)]
    if isinstance(value, list):
        return [text for one in value for text in _strings(one)]
    return [str(value)] if str(value).strip().casefold() not in ("", "null", "none", "n/a") else []


# ---------------------------------------------------------------- scoring


def judge(case: Case, found: dict[str, list[str]], score: Score) -> None:
    """Count what is right, wrong and missed of the labelled fields."""
    score.documents += 1
    texts = [page.text for page in case.pages]
    for one in case.fields:
        if one.key not in case.right:
            continue
        right, said = case.right[one.key], found.get(one.key, [])
        if one.is_list:
            matched = sum(any(same(one, value, wanted, texts) for value in said) for wanted in right)
            extra = sum(not any(same(one, value, wanted, texts) for wanted in right) for value in said)
            counts = matched, extra, len(right) - matched
        else:
            hit = bool(said) and any(same(one, said[0], wanted, texts) for wanted in right)
            counts = int(hit), int(bool(said) and not hit), int(not hit)
        score.right, score.wrong, score.missed = (
            total + count
            for total, count in zip((score.right, score.wrong, score.missed), counts, strict=True)
        )
        score.by_field[one.key] += counts[0]
        if os.environ.get("SHOW"):
            print(f"  {case.name} {one.key}: {said[:3]} for {right[:3]}: {counts}", flush=True)


def same(one: Field, said: str, right: str, texts: Sequence[str]) -> bool:
    """Whether a value is the labelled one, after both went through the same normaliser."""
    if one.type is FieldType.LONG_TEXT:
        return _alike(said, right)
    values = [_normal(one, text, texts) for text in (said, right)]
    if values[0] == values[1]:
        return True
    if one.type is not FieldType.TEXT:
        return False
    first, second = sorted((normalise.folded(text) for text in (said, right)), key=len)
    return bool(first) and f" {first} " in f" {second} "


def _normal(one: Field, text: str, texts: Sequence[str]) -> Any:
    # The labels have dates as 2026-03-05 or 3/5/26.
    labelled = re.fullmatch(r"(\d{1,2})/(\d{1,2})/(\d{2})", text)
    if one.type is FieldType.DATE and labelled:
        month, day, year = map(int, labelled.groups())
        return f"{year + (1900 if year > 68 else 2000)}-{month:02}-{day:02}"
    found = normalise.normalise(one, text, (0, len(text)), normalise.conventions_of(texts, ""))
    return round(found.value, 2) if isinstance(found.value, float) else found.value


def _alike(said: str, right: str) -> bool:
    first, second = ([word.folded for word in words(text)] for text in (said, right))
    common = sum((Counter(first) & Counter(second)).values())
    return bool(common) and 2 * common / (len(first) + len(second)) >= LIKE


def rows_of(what: str, mine: Score, theirs: Score) -> list[report.Row]:
    """The figures as rows."""
    count = mine.documents
    hits = ", ".join(
        f"{key} {mine.by_field[key]}:{theirs.by_field[key]}"
        for key in sorted(mine.by_field | theirs.by_field)
    )
    print(f"{what}: right, ours:theirs: {hits}")
    gain, shares = mine.f1 - theirs.f1, (100 * mine.valid / count, 100 * theirs.valid / count)
    speed = theirs.seconds / max(mine.seconds, 1e-9)
    return [
        report.Row(
            f"F1 of the fields of {count} {what}, gain",
            round(gain, 1),
            "points",
            "higher",
            10.0,
            RIVAL,
            round(mine.f1, 1),
            round(theirs.f1, 1),
        ),
        report.Row(
            f"valid JSON, all pages read, {count} {what}",
            round(shares[0], 1),
            "%",
            "higher",
            100.0,
            RIVAL,
            round(shares[0], 1),
            round(shares[1], 1),
        ),
        report.Row(
            f"time for {count} {what}, of which the rival reads what fits its context",
            round(speed, 2),
            "ratio",
            "higher",
            None,
            RIVAL,
            round(mine.seconds, 1),
            round(theirs.seconds, 1),
        ),
        report.Row(
            f"tokens evaluated, {count} {what}",
            mine.tokens,
            "tokens",
            "lower",
            None,
            RIVAL,
            mine.tokens,
            theirs.tokens,
        ),
    ]


if __name__ == "__main__":
    main()
