"""Two rankings become one in which neither is lost."""

import numpy as np
import pytest

from localai_app.documents.fusion import MEANING, UNKNOWN, Fluency, fused
from localai_app.models.embedding_facts import EmbeddingFacts, facts_of


def scores(words: list[float], similarities: list[float], trust: float, ordinary: float = 0.1) -> list[float]:
    count = len(words)
    return fused(
        np.array(words), np.array(similarities, np.float32), np.full(count, trust), ordinary
    ).tolist()


def test_the_best_of_both_has_all_of_the_score() -> None:
    assert scores([9.0, 3.0, 0.0], [0.8, 0.1, 0.45], MEANING) == pytest.approx(
        [1.0, (1 - MEANING) / 3, MEANING / 2]
    )


def test_what_is_less_like_the_query_than_any_chunk_loses_nothing_by_it() -> None:
    assert scores([4.0, 4.0], [0.1, -0.9], MEANING)[1] == pytest.approx(1 - MEANING)


@pytest.mark.parametrize("words", [[0.0, 0.0], [5.0, 5.0]])
def test_meaning_orders_what_words_leave_equal(words: list[float]) -> None:
    low, high = scores(words, [0.2, 0.3], UNKNOWN)
    assert low < high


def test_where_meaning_is_not_trusted_it_overrules_no_words() -> None:
    with_words, without = scores([1.0, 0.0], [0.0, 0.9], UNKNOWN)
    assert with_words > without


def test_nothing_found_has_no_score() -> None:
    assert scores([0.0], [0.1], MEANING) == [0.0]
    assert scores([], [], MEANING) == []


def test_a_model_is_trusted_with_the_languages_that_its_publisher_names() -> None:
    fluency = Fluency(facts_of("all-MiniLM-L6-v2"), {"en": 9.0, "de": 1.0})
    assert fluency.trust("en") == MEANING
    assert fluency.trust("de") == UNKNOWN


def test_of_an_unknown_model_its_tokeniser_tells() -> None:
    fluency = Fluency(EmbeddingFacts(), {"en": 1.3, "de": 2.0, "ru": 5.0})
    assert fluency.trust("en") == MEANING
    assert UNKNOWN < fluency.trust("de") < MEANING
    assert fluency.trust("ru") == fluency.trust("xx") == UNKNOWN
