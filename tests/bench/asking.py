"""Answers from documents: the app's whole way against the same model handed the right paragraph.

Ours: all articles of a set are added as files, indexed with the real embedding model, and each question is
asked in a new conversation in search mode. The rival is the same model in the same run with the same rules,
given only the paragraph that holds the answer. Answers are scored by the word overlap (F1) that SQuAD uses,
markers aside. Every citation that is shown as verified is checked again by code of this file.

``LOCALAI_APP_EVAL`` names the folder with ``xquad/``; without it nothing is measured. ``QUESTIONS`` is how
many the larger model is asked (default 100: about an hour on one core).
"""

import json
import os
import random
import re
import string
import tempfile
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from localai_app.app import App, open_app
from localai_app.chat import prompt
from localai_app.chat.conversation import Message, Parameters, Role, Status
from localai_app.chat.service import TurnFinished
from localai_app.documents.document import Citation, PageKind, Passage
from localai_app.documents.grounding import Mode, Sources, given_text
from localai_app.engine.protocol import Sampling, Text
from localai_app.paths import Paths
from tests.bench import report

LARGER = "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"
SMALLER = "SmolLM2-135M-Instruct.Q4_1.gguf"
QUESTIONS = int(os.environ.get("QUESTIONS", "100"))
SMALLER_QUESTIONS = min(QUESTIONS, 25)
ANSWER_TOKENS = 64
BRIEF = "Answer in a few words."
MARKER = re.compile(r"\s*\[[\d ,;–-]+\]")


@dataclass(frozen=True)
class Question:
    """A question, its right answers, and the paragraph that holds them."""

    text: str
    answers: tuple[str, ...]
    paragraph: str


@dataclass
class Outcome:
    """What came of the questions that one model was asked."""

    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)
    verified: int = 0
    verbatim: int = 0
    answers_verified: int = 0
    not_found: int = 0


def main() -> None:
    """Measure and report."""
    folder = os.environ.get("LOCALAI_APP_EVAL")
    if not folder or not (Path(folder) / "xquad").is_dir():
        print("asking: LOCALAI_APP_EVAL names no folder with xquad/; nothing is measured")
        return
    rows: list[report.Row] = []
    for file, count, target in ((LARGER, QUESTIONS, 0.9), (SMALLER, SMALLER_QUESTIONS, None)):
        if report.model_if_here(file) is None:
            print(f"asking: {file} is not here; `make bench` fetches it")
            continue
        with tempfile.TemporaryDirectory() as temporary:
            rows += measure(Path(folder), Path(temporary), file, count, target)
    report.write("asking", rows)


def measure(
    evaluation: Path, temporary: Path, file: str, count: int, target: float | None
) -> list[report.Row]:
    """All rows of one model."""
    articles, questions = load(evaluation / "xquad" / "xquad.en.json")
    random.Random(1).shuffle(questions)
    paths = Paths(
        data=temporary / "data",
        config=temporary / "config",
        cache=temporary / "cache",
        models=(report.model(file).parent,),
    )
    with open_app(paths) as app:
        add(app, temporary / "articles", articles)
        app.models.select(report.model(file), keep=False)
        outcome = Outcome()
        for question in questions[:count]:
            ask(app, question, outcome)
            outcome.theirs.append(score(handed(app, question), question.answers))
    return rows_of(file.split("-", 1)[0], len(outcome.ours), outcome, target)


def load(file: Path) -> tuple[dict[str, str], list[Question]]:
    """The articles by title, their paragraphs one after another, and all questions."""
    articles: dict[str, str] = {}
    questions: list[Question] = []
    for article in json.loads(file.read_text())["data"]:
        paragraphs = [paragraph["context"] for paragraph in article["paragraphs"]]
        articles[article.get("title") or f"article {len(articles) + 1}"] = "\n\n".join(paragraphs)
        questions += [
            Question(asked["question"], tuple(one["text"] for one in asked["answers"]), paragraph["context"])
            for paragraph in article["paragraphs"]
            for asked in paragraph["qas"]
        ]
    return articles, questions


def add(app: App, folder: Path, articles: dict[str, str]) -> None:
    """Add the articles as text files and wait until they are indexed."""
    folder.mkdir()
    for title, text in articles.items():
        name = re.sub(r"[^\w ]", "_", title)
        (folder / f"{name}.txt").write_text(text)
    app.documents.add([folder])
    assert app.documents.wait(3600), "indexing did not end"


def ask(app: App, question: Question, outcome: Outcome) -> None:
    """Ask the app, and check what its answer cites."""
    conversation = app.chat.create(Sources(mode=Mode.SEARCH))
    app.chat.set_system_prompt(conversation.id, BRIEF)
    app.chat.set_parameters(conversation.id, Parameters(max_tokens=ANSWER_TOKENS))
    *_, last = app.chat.send(conversation.id, question.text)
    assert isinstance(last, TurnFinished)
    answer = last.answer
    assert answer.status in (Status.COMPLETE, Status.CUT_OFF), answer.error
    outcome.ours.append(score(answer.text, question.answers))
    outcome.not_found += "not found in these documents" in answer.text.lower()
    verified = [citation for citation in answer.citations if citation.verified]
    outcome.verified += len(verified)
    outcome.verbatim += sum(stands_there(app, answer.text, citation) for citation in verified)
    outcome.answers_verified += bool(verified)


def handed(app: App, question: Question) -> str:
    """What the model says when it is given the right paragraph and nothing else."""
    model = app.models.load()
    text = question.paragraph
    passage = Passage(1, "article.txt", 1, 1, PageKind.PART, "", 0, len(text), "", text, 1.0)
    asked = Message(1, 1, None, Role.USER, question.text, Status.COMPLETE, datetime.now(UTC))
    grounded = prompt.Grounded(given_text([passage]), Mode.SEARCH, model.chat_template is None)
    segments = app.engine.render(prompt.build(BRIEF, [asked], (), grounded).messages)
    generation = app.engine.generate(segments, Sampling(temperature=0), max_tokens=ANSWER_TOKENS)
    return "".join(event.text for event in generation if isinstance(event, Text))


def score(answer: str, right: tuple[str, ...]) -> float:
    """F1 of the answer's words against the best of the right ones, as SQuAD counts."""
    return max(f1(_words(MARKER.sub("", answer)), _words(one)) for one in right)


def f1(said: list[str], right: list[str]) -> float:
    """Harmonic mean of precision and recall of words."""
    common = sum((Counter(said) & Counter(right)).values())
    return 2 * common / (len(said) + len(right)) if common else 0.0


def _words(text: str) -> list[str]:
    text = "".join(character for character in text.lower() if character not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def stands_there(app: App, answer: str, citation: Citation) -> bool:
    """Whether the quotation is on the page, and the page has the answer's numbers that it is cited for."""
    page = app.documents.page(citation.document_id, citation.page).text
    if not citation.quotation or page[citation.start : citation.end] != citation.quotation:
        return False
    if citation.found:
        return True
    before = MARKER.sub("", re.split(r"(?<=[.!?])\s+(?=[A-Z])", answer[: citation.at].rstrip())[-1])
    plain = unicodedata.normalize("NFKC", citation.quotation)
    return all(number in plain for number in re.findall(r"\d[\d.,]*\d|\d", before))


def rows_of(name: str, count: int, outcome: Outcome, target: float | None) -> list[report.Row]:
    """The figures as rows."""
    ours, theirs = sum(outcome.ours) / count, sum(outcome.theirs) / count
    share = outcome.verbatim / outcome.verified if outcome.verified else 1.0
    rival = "the same model handed the right paragraph"
    return [
        report.Row(
            f"F1 of {count} answers, {name}",
            round(ours / theirs, 3) if theirs else 0.0,
            "ratio",
            "higher",
            target,
            rival,
            round(ours, 3),
            round(theirs, 3),
        ),
        report.Row(
            f"citations shown as verified that stand on their page, {name}",
            round(share, 4),
            "share",
            "higher",
            1.0,
            "",
            outcome.verbatim,
            None,
        ),
        report.Row(
            f"answers with a verified citation, {name}",
            round(outcome.answers_verified / count, 3),
            "share",
            "higher",
            None,
            "",
            outcome.answers_verified,
            None,
        ),
        report.Row(
            f"answers “not found”, {name}",
            round(outcome.not_found / count, 3),
            "share",
            "lower",
            None,
            "",
            outcome.not_found,
            None,
        ),
    ]


if __name__ == "__main__":
    main()
