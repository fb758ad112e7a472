import math
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localai_app.documents.document import Page, TextSource
from localai_app.documents.exhaustive import TASK
from localai_app.errors import UsageError
from localai_app.tasks.answer import NOT_FOUND, NOT_STATED, Answer, AnswerOptions
from localai_app.tasks.task import (
    Choose,
    Chosen,
    Finding,
    Form,
    Output,
    Source,
    Step,
    TaskFailed,
    Write,
    Written,
)
from tests.tasks.rounds import Driven, check_outcome, drive
from tests.tasks.sources import source_of

LEASE = (
    "This lease begins on 14 March 2026. The rent is EUR 1,940.50 a month. The tenant may keep one dog. "
    "Either party may terminate it with six months' notice. It is governed by the law of Norway."
)
FILLER = "The staircase is cleaned on Mondays and nobody may leave bicycles there at night. " * 8
QUESTION = "Which law governs the lease?"


def long_lease() -> Source:
    """Three windows; the second and the third hold something."""
    return source_of(
        FILLER, f"{FILLER} It is governed by the law of Norway.", f"The rent is EUR 900. {FILLER}",
        window=130, language="en",
    )  # fmt: skip


def ask(source: Source, respond: object, question: str = QUESTION, **options: object) -> Driven:
    driven = drive(Answer(), source, AnswerOptions(question, **options), respond)  # type: ignore[arg-type]
    check_outcome(driven.outcome, source)
    assert len(driven.outcome.findings) == 1
    return driven


def answer(source: Source, said: str | Output, question: str = QUESTION, **options: object) -> Finding:
    return ask(source, lambda _: said, question, **options).outcome.findings[0]


def lease() -> Source:
    return source_of(LEASE, language="en")


def chosen(*shares: float) -> Chosen:
    return Chosen(tuple(math.log(share) for share in shares))


def copies(step: Step) -> str:
    """Copies what is about law, and answers from it."""
    assert isinstance(step, Write)
    if step.instruction != TASK:
        return "It is governed by the law of Norway [1]."
    return "It is governed by the law of Norway." if "Norway" in step.content else "Not found."


def test_a_document_that_fits_one_window_is_answered_in_one_step() -> None:
    driven = ask(lease(), lambda _: "It is governed by the law of Norway [1].")
    (step,) = driven.steps
    assert isinstance(step, Write)
    assert LEASE in step.content
    assert step.content.count(QUESTION) == 1
    (finding,) = driven.outcome.findings
    assert finding.shown == finding.value == "It is governed by the law of Norway."
    assert [(one.page, one.quotation, one.verified) for one in finding.evidence] == [
        (1, "It is governed by the law of Norway.", True)
    ]
    assert not finding.doubts


def test_every_window_of_a_long_document_is_read_and_the_answer_given_from_what_was_found() -> None:
    source = long_lease()
    driven = ask(source, copies)
    assert [len(steps) for steps in driven.rounds] == [3, 1]
    read = "".join(step.content for step in driven.rounds[0] if isinstance(step, Write))
    assert all(page.text.strip() in read for page in source.pages)
    (last,) = driven.rounds[1]
    assert isinstance(last, Write)
    assert "Norway" in last.content
    assert "staircase" not in last.content
    assert [one.page for one in driven.outcome.findings[0].evidence] == [2]
    assert driven.outcome.unread == ()


def test_where_nothing_helps_the_answer_is_not_found_and_costs_no_further_step() -> None:
    driven = ask(long_lease(), lambda _: "Not found.", "Who feeds the dragon?")
    assert len(driven.rounds) == 1
    (finding,) = driven.outcome.findings
    assert finding.shown == NOT_FOUND
    assert finding.value is None
    assert not finding.doubts


def test_a_sentence_that_the_model_overlooks_is_found_by_the_app() -> None:
    def respond(step: Step) -> str:
        assert isinstance(step, Write)
        return "Not found." if step.instruction == TASK else copies(step)

    driven = ask(long_lease(), respond)
    assert [one.page for one in driven.outcome.findings[0].evidence] == [2]


def test_an_answer_in_other_words_is_put_down_to_the_sentence_it_rests_on() -> None:
    def respond(step: Step) -> str:
        assert isinstance(step, Write)
        if step.instruction != TASK:
            return "EUR 900 [1]."
        return "The answer: the rent is of EUR 900 per month" if "EUR 900" in step.content else "Not found."

    driven = ask(long_lease(), respond, "How much is due?")
    assert [one.quotation for one in driven.outcome.findings[0].evidence] == ["The rent is EUR 900."]
    assert driven.outcome.claims == 0


@pytest.mark.parametrize(
    "said", [NOT_FOUND, "Not found.", "Not found in this document", f"- {NOT_FOUND} [1]", ""]
)
def test_a_model_may_say_that_it_is_not_found(said: str) -> None:
    finding = answer(lease(), said)
    assert finding.value is None
    assert finding.shown == NOT_FOUND


def test_not_found_is_in_doubt_where_not_all_pages_were_read() -> None:
    source = source_of(LEASE, Page(2, "", source=TextSource.NONE, unread="a scan"), language="en")
    assert [doubt.code for doubt in answer(source, NOT_FOUND).doubts] == ["missing"]


def test_what_the_model_invents_is_in_doubt() -> None:
    finding = answer(lease(), "It is governed by the law of Sweden [1].")
    assert [doubt.words for doubt in finding.doubts] == ["Not on page 1: “Sweden”."]
    assert not any(one.verified for one in finding.evidence)
    assert answer(lease(), "Whales sing [1].").doubts


def test_an_answer_that_is_a_word_of_the_document_rests_on_the_sentence_that_was_asked_for() -> None:
    source = source_of(f"The landlord lives in Norway. {LEASE}", language="en")
    finding = answer(source, "Norway")
    assert [one.quotation for one in finding.evidence] == ["It is governed by the law of Norway."]
    assert not finding.doubts


def test_sentences_that_are_said_twice_are_shown_once() -> None:
    said = Written("It is governed by the law of Norway. " * 5 + "It is gov", incomplete=True)
    assert answer(lease(), said).shown == "It is governed by the law of Norway."


def test_copies_that_were_cut_off_are_asked_for_again_in_halves() -> None:
    def respond(step: Step) -> Output | str:
        assert isinstance(step, Write)
        if step.instruction == TASK and step.content.count("staircase") > 5:
            return Written("It is governed by", incomplete=True)
        return copies(step)

    driven = ask(long_lease(), respond)
    assert [len(steps) for steps in driven.rounds] == [3, 6, 1]
    assert driven.outcome.unread == ()
    assert [one.page for one in driven.outcome.findings[0].evidence] == [2]


def test_pages_whose_copies_are_cut_off_again_count_as_not_read() -> None:
    def respond(step: Step) -> Output | str:
        assert isinstance(step, Write)
        if "EUR 900" in step.content:
            return Written("The rent is", incomplete=True)
        return copies(step)

    driven = ask(long_lease(), respond)
    assert [page for page, _ in driven.outcome.unread] == [3]


def test_sentences_that_stand_nowhere_are_counted() -> None:
    said = "The tenant must feed the dragon twice a day."
    driven = ask(long_lease(), lambda _: said, "Who pays the gardener?")
    assert driven.outcome.claims == 3
    assert driven.outcome.findings[0].shown == NOT_FOUND


def test_more_than_fits_is_read_again_and_what_does_not_fit_then_is_reported() -> None:
    texts = (
        f"Rule {page}: law number {page} of the house is that law {page} governs room {page}."
        for page in range(60)
    )
    source = source_of(*texts, window=60, language="en")

    def respond(step: Step) -> str:
        assert isinstance(step, Write)
        if step.instruction != TASK:
            return "law 1 governs room 1 [1]."
        return "\n".join(re.findall(r"^Rule .*$", step.content, re.MULTILINE))

    driven = ask(source, respond)
    assert "did not fit" in driven.outcome.notes[0]
    (last,) = driven.rounds[-1]
    assert isinstance(last, Write)
    assert source.count(last.content) < 60 + 40


@pytest.mark.parametrize(
    ("said", "value", "original"),
    [
        ("14 March 2026", "2026-03-14", "14 March 2026"),
        ("The lease begins on 14 March 2026 [1].", "2026-03-14", "14 March 2026"),
        ("2026-03-14", "2026-03-14", "14 March 2026"),
    ],
)
def test_a_date_is_looked_up_and_normalised(said: str, value: str, original: str) -> None:
    finding = answer(lease(), said, "When does the lease begin?", form="date")
    assert (finding.value, finding.original) == (value, original)
    assert [one.quotation for one in finding.evidence] == [original]
    assert not finding.doubts


def test_an_amount_has_its_currency() -> None:
    finding = answer(lease(), "EUR 1,940.50", "What is the rent?", form="amount")
    assert finding.value == 1940.5
    assert finding.shown == "1,940.50 EUR"
    assert not finding.doubts


def test_a_number_that_stands_nowhere_is_in_doubt() -> None:
    finding = answer(lease(), "7", "How many dogs?", form="number")
    assert finding.value == 7
    assert [doubt.code for doubt in finding.doubts] == ["not_verified"]
    assert not any(one.verified for one in finding.evidence)


@pytest.mark.parametrize(
    ("shares", "value", "shown", "codes"),
    [
        ((0.9, 0.05, 0.05), True, "Yes", []),
        ((0.1, 0.85, 0.05), False, "No", []),
        ((0.5, 0.4, 0.1), True, "Yes", ["unsure"]),
        ((0.1, 0.1, 0.8), None, NOT_FOUND, []),
    ],
)
def test_yes_and_no_are_chosen_by_probability(
    shares: tuple[float, ...], value: bool | None, shown: str, codes: list[str]
) -> None:
    finding = answer(lease(), chosen(*shares), "May the tenant keep a dog?", form="yes_no")
    assert (finding.value, finding.shown) == (value, shown)
    assert [doubt.code for doubt in finding.doubts] == codes
    assert finding.confidence == pytest.approx(max(shares))
    assert sum(finding.scores.values()) == pytest.approx(1)
    assert [one.quotation for one in finding.evidence] == ["The tenant may keep one dog."]
    assert not any(one.verified for one in finding.evidence), "yes is no word of the page"


def test_one_of_some_is_chosen_and_no_other() -> None:
    choices = ("Sweden", "Norway")
    driven = ask(lease(), lambda _: chosen(0.1, 0.8, 0.1), form="one_of", choices=choices)
    (step,) = driven.steps
    assert isinstance(step, Choose)
    assert step.labels == (*choices, NOT_STATED)
    assert driven.outcome.findings[0].value == "Norway"


@pytest.mark.parametrize(
    "figures", [(math.nan,) * 3, (-math.inf,) * 3, (0.0, -math.inf, math.nan), (-1e9, 0, 0)]
)
def test_probabilities_of_a_broken_model_are_no_trouble(figures: tuple[float, ...]) -> None:
    finding = answer(lease(), Chosen(figures), "May the tenant keep a dog?", form="yes_no")
    assert 0 < finding.confidence <= 1


def test_words_recognised_with_low_confidence_are_in_doubt() -> None:
    page = Page(1, LEASE, source=TextSource.OCR, confidence=0.5)
    finding = answer(source_of(page, language="en"), "It is governed by the law of Norway [1].")
    assert [doubt.code for doubt in finding.doubts] == ["scan"]


def test_a_document_without_text_fails_by_name() -> None:
    with pytest.raises(TaskFailed, match="no text"):
        ask(source_of(""), lambda _: "")


@pytest.mark.parametrize(
    "options",
    [
        AnswerOptions(""),
        AnswerOptions(" ?\n"),
        AnswerOptions("x" * 501),
        AnswerOptions("Which?", "one_of"),
        AnswerOptions("Which?", "one_of", ("a",)),
        AnswerOptions("Which?", "one_of", ("a", "A")),
        AnswerOptions("Which?", "one_of", ("a", " ")),
        AnswerOptions("Which?", "one_of", ("a", "b" * 61)),
        AnswerOptions("Which?", "one_of", ("a", NOT_STATED)),
        AnswerOptions("Which?", "one_of", tuple(map(str, range(21)))),
        AnswerOptions("Which?", "free", ("a", "b")),
    ],
)
def test_options_that_cannot_be_worked_with_are_refused(options: AnswerOptions) -> None:
    with pytest.raises(UsageError) as refused:
        Answer().check(options)
    assert refused.value.hint


@pytest.mark.parametrize(
    "raw", [b"{}", b'{"question": "a", "from": "date"}', b'{"question": "a", "form": "list"}']
)
def test_options_are_decoded_strictly(raw: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(raw, type=AnswerOptions)


def test_a_column_has_the_question_and_the_form() -> None:
    kind = Answer()
    (column,) = kind.columns(AnswerOptions("When does\nit end?", "date"))
    assert (column.title, column.form) == ("When does it end?", Form.DATE)
    assert len(kind.label(AnswerOptions("Why " * 100))) <= 60


def test_a_fingerprint_tells_options_apart() -> None:
    kind = Answer()
    some = [
        AnswerOptions("A?"),
        AnswerOptions("B?"),
        AnswerOptions("A?", "date"),
        AnswerOptions("A?", "amount"),
    ]
    some += [
        AnswerOptions("A?", "yes_no"),
        AnswerOptions("A?", "one_of", ("a", "b")),
        AnswerOptions("A?", "one_of", ("a", "c")),
    ]
    prints = [kind.fingerprint(one) for one in some]
    assert len(set(prints)) == len(prints)
    assert all(re.fullmatch("[0-9a-f]{64}", one) for one in prints)


def test_the_price_is_what_it_comes_to() -> None:
    for source in (lease(), long_lease()):
        tokens = sum(source.count(page.text) for page in source.pages)
        cost = Answer().cost(tokens, source.window, AnswerOptions(QUESTION))
        assert cost.steps == pytest.approx(len(ask(source, copies).steps), abs=1)
        assert cost.read >= tokens
    assert Answer().cost(0, 1024, AnswerOptions(QUESTION)).steps == 0


@given(st.data())
def test_whatever_the_model_writes_the_outcome_is_valid(data: st.DataObject) -> None:
    source = source_of(
        *data.draw(
            st.lists(st.sampled_from([LEASE, FILLER, "1.", "租金为每月900元。"]), min_size=1, max_size=4)
        ),
        window=60,
    )
    form = data.draw(st.sampled_from(["free", "yes_no", "date", "amount", "number", "one_of"]))
    texts = st.one_of(
        st.text(max_size=60),
        st.lists(
            st.sampled_from(
                [*LEASE.split(". "), "Not found.", NOT_FOUND, "EUR 7", "[1]", "[9-12]", "1/2/2026"]
            )
        ).map(" ".join),
    )
    figures = st.lists(st.floats(), min_size=3, max_size=3).map(lambda some: Chosen(tuple(some)))

    def respond(step: Step) -> Output:
        if isinstance(step, Choose):
            return data.draw(figures)
        return Written(data.draw(texts), data.draw(st.booleans()))

    driven = ask(source, respond, form=form, choices=("a", "b") if form == "one_of" else ())
    assert driven.outcome.findings[0].shown
