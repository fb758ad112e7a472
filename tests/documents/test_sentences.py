"""Sentences end where a reader of the language says they end."""

import pytest

from localai_app.documents.sentences import sentences


def parts(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text)]


@pytest.mark.parametrize(
    "text",
    [
        [
            "The fee is due.",
            "It is paid by Dr. J. Smith of Acme Inc. before noon!",
            "Is it?",
            "“Yes.”",
            "Good.",
        ],
        ["See Sec. 4 and Art. 5 of No. 12, e.g. the annex.", "It was signed in 2019.", "Then it ended."],
        ["Am 3. Oktober gilt § 9 Abs. 2 z. B. nicht.", "Das ist bzw. war so."],
        ["Согласно ст. 5 и т.д. срок истёк.", "Да?", "Нет."],
        ["ما هو الأجل؟", "تنتهي المدة اليوم.", "نعم."],
        ["समझौता समाप्त होता है।", "क्या यह सही है?"],
    ],
)
def test_sentences_end_where_they_end(text: list[str]) -> None:
    assert parts("  " + " ".join(text) + "\n") == text


def test_sentences_without_spaces_between_them_end_too() -> None:
    assert parts("合同于今日终止。费用是多少？“不退还！”好") == [
        "合同于今日终止。",
        "费用是多少？",
        "“不退还！”",
        "好",
    ]


def test_a_blank_line_ends_a_sentence_and_a_line_does_not() -> None:
    assert parts("one\ntwo\n\nthree") == ["one\ntwo", "three"]


def test_nothing_but_white_space_is_no_sentence() -> None:
    assert parts(" \n\n \t") == []
