"""Whether an evidence record agrees with itself; nothing but the record is needed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from localai_app.tasks.records.evidence_record import DocumentFacts, Finding, Record, states_of, whole_of
from localai_app.tasks.run import ItemState
from localai_app.tasks.task import Decision, Evidence, Verdict

_MOST = 5
"""So many faults of one kind are told of a document; the others are counted."""


@dataclass(frozen=True)
class Claim:
    """One thing that a record says."""

    name: str
    holds: bool | None
    """None: it could not be checked."""
    words: str
    document: str = ""
    confirmed: int = 0
    """Quotations that were found again."""


def claims(record: Record) -> Iterator[Claim]:
    """What the record says of itself: what is otherwise by document, what holds once for all of them."""
    yield from _of_all(
        "coverage",
        "Coverage adds up: read and not read are all there is, in every document and in the sums.",
        [*_sums(record), *((one, fault) for one in record.documents for fault in _coverage(one))],
    )
    columns = {column.key: {part.key for part in column.parts} for column in record.run.columns}
    yield from _of_all(
        "findings",
        "Every value belongs to what was asked, and has a name of its own.",
        [(one, fault) for one in record.documents for fault in _findings(one, columns)],
    )
    yield from _of_all(
        "quotations",
        "Every quotation that is called verified has its page, its place and its words.",
        [(one, fault) for one in record.documents for fault in _quotations(one)],
    )
    yield from _of_all(
        "decisions",
        "Every decision is about a value of the record, and the values that count follow from them.",
        [(one, fault) for one in record.documents for fault in _decisions(one)],
    )


def verified(document: DocumentFacts) -> list[Evidence]:
    """All evidence of a document that is called verified, each place once; what is flagged too."""
    proofs: list[Evidence] = [*document.flags]
    for finding in document.findings:
        proofs += finding.evidence
        for other in finding.alternatives:
            proofs += other.evidence
    return list(dict.fromkeys(proof for proof in proofs if proof.verified))


def _of_all(name: str, words: str, faults: Sequence[tuple[DocumentFacts | None, str]]) -> Iterator[Claim]:
    if not faults:
        yield Claim(name, True, words)
    by_document: dict[str, list[str]] = {}
    for document, fault in faults:
        by_document.setdefault(document.name if document else "", []).append(fault)
    for document_name, told in by_document.items():
        more = f" ({len(told) - _MOST} more like this)" if len(told) > _MOST else ""
        for number, fault in enumerate(told[:_MOST], start=1):
            yield Claim(name, False, fault + (more if number == _MOST else ""), document_name)


# ---------------------------------------------------------------- one document


def _sums(record: Record) -> Iterator[tuple[None, str]]:
    if record.coverage != whole_of(record.documents):
        yield None, "The coverage of the whole is not the sum of the documents'."
    if record.states != states_of(record.documents):
        yield None, "The numbers of documents done, failed and left are not those of the documents."
    left = any(one.state in (ItemState.WAITING, ItemState.RUNNING) for one in record.documents)
    if left and not record.run.unfinished:
        yield None, "Documents are left to do, and the run is not called unfinished."


def _coverage(document: DocumentFacts) -> Iterator[str]:
    covered = document.coverage
    if covered is None:
        if document.state == ItemState.DONE:
            yield "It is done, and nothing says what of it was read."
        return
    numbers = [number for number, _ in covered.unread]
    if covered.read + len(numbers) != covered.total or covered.read < 0:
        yield (
            f"Read ({covered.read}) and not read ({len(numbers)}) are not the {covered.total} "
            f"{covered.unit}s that there are."
        )
    if numbers != sorted(set(numbers)) or not all(0 < number <= covered.total for number in numbers):
        yield f"What was not read is not {covered.unit}s of the document, each once and in order."
    if not all(why.strip() for _, why in covered.unread):
        yield "A reason is missing why something was not read."


def _findings(document: DocumentFacts, columns: dict[str, set[str]]) -> Iterator[str]:
    seen: set[str] = set()
    for finding in document.findings:
        if finding.key != f"{finding.column}/{finding.item}/{finding.part}":
            yield f"The name of the value {finding.key} is not that of its column and place."
        if finding.key in seen:
            yield f"The value {finding.key} stands there twice."
        seen.add(finding.key)
        if finding.column not in columns or (finding.part and finding.part not in columns[finding.column]):
            yield f"Nobody asked for the value {finding.key}."


def _quotations(document: DocumentFacts) -> Iterator[str]:
    pages = document.coverage.total if document.coverage else 0
    for proof in verified(document):
        if not 0 < proof.page <= pages:
            yield f"A verified quotation is on {proof.place or 'no page'} ({proof.page}) of {pages}."
        if proof.start < 0 or proof.end - proof.start != len(proof.quotation) or not proof.quotation.strip():
            yield f"A verified quotation on {proof.place} does not fill {proof.start} to {proof.end}."


def _decisions(document: DocumentFacts) -> Iterator[str]:
    known = {finding.key for finding in document.findings}
    for decision in document.decisions:
        if decision.key not in known:
            yield f"A decision is about the value {decision.key}, which is not there."
        if not decision.who or not decision.when:
            yield f"Nothing says who decided on the value {decision.key}, or when."
    for finding in document.findings:
        if (finding.counts, finding.status) != _what_counts(finding, document.decisions):
            yield f"What counts of the value {finding.key} does not follow from the decisions on it."


def _what_counts(finding: Finding, decisions: Sequence[Decision]) -> tuple[str, str]:
    """The value and status that follow from what was decided."""
    standing: list[Decision] = []
    for decision in decisions:
        if decision.key != finding.key:
            continue
        if decision.verdict is Verdict.TAKEN_BACK:
            standing = standing[:-1]
        else:
            standing.append(decision)
    if not standing:
        return finding.shown, "in doubt" if finding.doubts else ""
    last = standing[-1]
    match last.verdict:
        case Verdict.CORRECTED:
            return last.value, last.verdict.value
        case Verdict.REJECTED:
            return "", last.verdict.value
    return finding.shown, last.verdict.value
