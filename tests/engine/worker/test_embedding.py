"""How texts become decodes, with a context that only pretends; and every way to pool, in llama.cpp."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localai_app.engine.protocol import LoadSettings
from localai_app.engine.worker.embedding import ALONE, BatchSize, Embedder, TooLong
from localai_app.engine.worker.llama import Aborted, Context, Entry, LlamaError, Model
from tests import tiny_bert


class FakeContext:
    """Its vector of a text tells the text's tokens: their sum, their count and the first one."""

    length = 64
    batch_size = 128
    sequences = 4
    embedding_length = 3
    ranks = False
    text_batches = (128,)

    def __init__(self, seconds: Callable[[int, int], float] = lambda texts, tokens: 0.0) -> None:
        self.now = 0.0
        self.decodes: list[list[list[int]]] = []
        self.during: Callable[[], None] = lambda: None
        self._seconds = seconds

    def clear(self) -> None: ...

    def use_threads(self, count: int) -> None:
        assert count == 3

    def decode(self, entries: Sequence[Entry]) -> None:
        assert len(entries) <= self.batch_size
        texts: dict[int, list[int]] = {}
        for entry in entries:
            text = texts.setdefault(entry.sequence, [])
            assert entry.position == len(text)
            text.append(entry.token)
        self.decodes.append(list(texts.values()))
        self.now += self._seconds(len(texts), len(entries))
        self.during()

    def embedding(self, sequence: int, row: int) -> Any:
        text = self.decodes[-1][sequence]
        assert row == sum(map(len, self.decodes[-1][: sequence + 1])) - 1
        return np.array([sum(text), len(text), text[0]], dtype=np.float32)


class Vocabulary:
    """A letter is a token."""

    def tokenize(self, text: str, *, add_special: bool) -> list[int]:
        assert add_special
        return [ord(letter) for letter in text]


def embedder(context: Any, *, word_pieces: bool = False) -> Embedder:
    return Embedder(
        context,
        Vocabulary(),
        lambda: 3,
        word_pieces=word_pieces,
        clock=lambda: context.now,  # type: ignore[arg-type]
    )


def expected(text: str) -> Any:
    if not text.strip():
        return np.zeros(3)
    codes = [ord(letter) for letter in text]
    vector = np.array([sum(codes), len(codes), codes[0]])
    return vector / np.linalg.norm(vector)


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=64), max_size=40), st.data())
def test_every_text_gets_its_own_vector_however_they_are_put_together(
    texts: list[str], data: st.DataObject
) -> None:
    context = FakeContext(lambda texts, tokens: data.draw(st.floats(0.001, 1)))
    vectors, tokens = embedder(context).embed(1, texts)
    assert vectors.shape == (len(texts), 3)
    assert np.allclose(vectors, np.array([expected(text) for text in texts]).reshape(-1, 3), atol=1e-6)
    assert tokens == sum(len(text) for text in texts if text.strip())
    assert all(len(texts) <= context.sequences for texts in context.decodes)


@pytest.mark.parametrize(("per_decode", "per_square", "most"), [(0.0, 1.0, 1), (1.0, 0.0, 4)])
def test_the_faster_way_is_found_and_kept(per_decode: float, per_square: float, most: int) -> None:
    context = FakeContext(lambda texts, tokens: per_decode + per_square * tokens**2)
    tried = embedder(context)
    tried.embed(1, ["x" * 20] * 40)
    context.decodes.clear()
    tried.embed(2, ["x" * 20] * 40)
    assert {len(texts) for texts in context.decodes} == {most}


def test_short_and_long_texts_are_measured_apart() -> None:
    sizes = BatchSize([ALONE, 512])
    for size, short, long in ((ALONE, 2.0, 1.0), (512, 1.0, 2.0)) * 3:
        sizes.took(8, size, short)
        sizes.took(200, size, long)
    assert sizes.choose(9) == 512
    assert sizes.choose(250) == ALONE
    assert sizes.choose(30) in (ALONE, 512), "a length that is new begins with trials"


def test_one_disturbed_trial_decides_nothing() -> None:
    sizes = BatchSize([ALONE, 512])
    costs = {ALONE: [9.0, 1.0, 9.0], 512: [2.0, 2.0, 2.0]}
    for trial in range(3):
        for size, cost in costs.items():
            sizes.took(100, size, cost[trial])
    assert sizes.choose(100) == ALONE


def test_a_text_that_is_too_long_is_named_and_nothing_is_computed() -> None:
    context = FakeContext()
    with pytest.raises(
        TooLong, match="Text 2 has 65 tokens; this embedding model reads at most 64"
    ) as caught:
        embedder(context).embed(1, ["x" * 64, "x" * 65])
    assert (caught.value.needed, caught.value.available) == (65, 64)
    assert context.decodes == []


def test_an_interrupt_ends_the_request_it_names_and_no_other() -> None:
    context = FakeContext()
    tried = embedder(context)
    context.during = lambda: tried.interrupt(7)
    with pytest.raises(Aborted):
        tried.embed(7, ["x" * 60] * 9)
    assert len(context.decodes) == 1
    context.during = lambda: None
    tried.embed(8, ["x"])
    tried.forget(7)
    tried.embed(7, ["x"])


def test_marks_are_taken_off_letters_for_a_bert_vocabulary_only() -> None:
    context = FakeContext()
    assert embedder(context, word_pieces=True).tokenize("für") == [102, 117, 114]
    assert embedder(context, word_pieces=True).tokenize("fu\u0308r") == [102, 117, 114]
    assert embedder(context).tokenize("für") == [102, 252, 114]


@pytest.mark.parametrize("vector", [np.nan, np.inf, 0.0])
def test_a_vector_without_direction_is_an_error(vector: float) -> None:
    context = FakeContext()
    context.embedding = lambda sequence, row: np.full(3, vector, np.float32)  # type: ignore[method-assign]
    with pytest.raises(LlamaError, match="run over"):
        embedder(context).embed(1, ["x"])


# ---------------------------------------------------------------- llama.cpp


def load(path: Path, **settings: Any) -> tuple[Embedder, Context]:
    wanted = LoadSettings(embedding=True, **settings)
    model = Model(path, wanted, lambda fraction: None)
    context = Context(model, wanted, threads=1, should_abort=lambda: False)
    return Embedder(context, model.vocabulary, lambda: 1, word_pieces=True), context


TEXTS = ["a cat", "the dog and the bird", "z", "one two three four five six seven"]


@pytest.mark.parametrize(
    "pooling", [gguf.PoolingType.MEAN, gguf.PoolingType.CLS, gguf.PoolingType.LAST, gguf.PoolingType.NONE]
)
def test_texts_together_get_the_vectors_they_get_alone(tmp_path: Path, pooling: gguf.PoolingType) -> None:
    tried, _ = load(tiny_bert.build(tmp_path, pooling))
    alone = np.concatenate([tried.embed(1, [text])[0] for text in TEXTS])
    for _ in range(8):
        together, _ = tried.embed(1, TEXTS * 8)
        assert (together * np.tile(alone, (8, 1))).sum(axis=1).min() > 0.99999
    assert np.abs(alone @ alone.T - np.eye(len(TEXTS))).max() < 0.999, "other texts have other vectors"


def test_each_way_to_pool_gives_another_vector(tmp_path: Path) -> None:
    mean, first, last, nothing = (
        load(tiny_bert.build(tmp_path, pooling))[0].embed(1, ["the cat sat"])[0][0]
        for pooling in (
            gguf.PoolingType.MEAN,
            gguf.PoolingType.CLS,
            gguf.PoolingType.LAST,
            gguf.PoolingType.NONE,
        )
    )
    assert mean @ first < 0.99
    assert first @ last < 0.99
    assert np.allclose(last, nothing, atol=1e-5), "where the model says nothing, the last token counts"


def test_a_reranker_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LlamaError, match="reranker"):
        load(tiny_bert.build(tmp_path, gguf.PoolingType.RANK))


def test_no_more_tokens_are_taken_than_the_model_was_trained_on(tmp_path: Path) -> None:
    path = tiny_bert.build(tmp_path, gguf.PoolingType.MEAN)
    tried, context = load(path, context_length=4096)
    assert context.length == tiny_bert.CONTEXT
    tried.embed(1, ["a" * (tiny_bert.CONTEXT - 2)])
    with pytest.raises(TooLong):
        tried.embed(1, ["a" * (tiny_bert.CONTEXT - 1)])


def test_a_model_that_reads_much_takes_memory_for_2048_tokens_unless_asked(tmp_path: Path) -> None:
    path = tiny_bert.build(tmp_path, gguf.PoolingType.MEAN, context=8192)
    assert load(path)[1].length == 2048
    assert load(path, context_length=5000)[1].length == 5000
