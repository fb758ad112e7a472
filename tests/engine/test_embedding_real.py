"""The real embedding model in a real worker, against its publisher's weights in numpy."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from localai_app.engine.client import WorkerEngine
from localai_app.engine.protocol import LoadSettings, Sampling, Segment
from localai_app.errors import ContextOverflow, RequestFailed
from tests.minilm_oracle import Oracle

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

TEXTS = (
    *("hello world", "a", ".", "?!", "123", "x²+y³ ½", "UPPER and lower", "tab\tand\nline", "a_b-c/d@e.f"),
    *("Müller fährt über die Straße nach Köln.", "Äpfel, ÖL, Übergröße", "naïve café résumé", "ẞ ß ss"),
    *("fu\u0308r Mu\u0308nchen", "İstanbul ığ", "tiếng Việt", "ČŠŽ đ ł ø å", "Ærø œuvre", "ﬁnd ﬂow"),
    *(
        "日本語のテキストです。",
        "漢字",
        "中文文本测试",
        "混合 mixed テキスト text",
        "한국어 문장입니다",
        "가",
    ),
    *("Привет, мир!", "ΑΒΓ Ωμέγα", "العربية", "שלום עולם", "ไทย", "emoji 🙂 here", "🙂🙂", "\u2603"),
    *("zero\u200bwidth soft\u00adhyphen", "don’t “quote” — dash…", "<b>tag</b> & $5 ~ `x` ^ | =", "\ufffd"),
    *(
        "The patient's file (2024-05-01): €3,500!",
        "[CLS] is text [SEP] here",
        "[MASK]",
        "##ing",
        "\u00a0nbsp\u00a0",
    ),
    *("supercalifragilistic" * 4, "word " * 400, "Straße " * 150, "中" * 300, "a. " * 200, "e\u0301" * 90),
    *(
        "What is the notice period of the lease?",
        "Either party may end it with three months' notice.",
        "q" * 90,
    ),
)

PASSAGES = (
    *("The lease may be ended with three months' notice.", "Photosynthesis turns light into sugar."),
    *("The invoice of the dentist is due within 30 days.", "Mount Everest is the highest mountain."),
    *("Backups are written every night and kept for a year.", "The cat slept on the warm roof."),
    *(
        "Patients' records are kept for ten years after the last visit.",
        "Bread needs flour, water and yeast.",
    ),
    *("The parliament passed the budget on Friday.", "A violin has four strings."),
    *("Employees get 30 days of paid leave per year.", "The river Rhine flows into the North Sea."),
    *("The warranty does not cover damage by water.", "Basalt forms when lava cools quickly."),
    *("Passwords have at least twelve characters.", "The train to Berlin leaves at nine."),
    *("Interest is paid on the first of each month.", "Penguins live in the southern hemisphere."),
    *("Smoking is forbidden in all rooms.", "The museum is closed on Mondays."),
)
QUESTIONS = {
    "How long in advance must a tenant give notice?": 0,
    "When is the dental bill payable?": 2,
    "How often is the data saved?": 4,
    "How long are medical files stored?": 6,
    "How many vacation days do workers have?": 10,
    "Is water damage insured by the guarantee?": 12,
    "How long must a password be?": 14,
    "On which day can I not visit the museum?": 19,
}


@pytest.fixture(scope="module")
def engine(minilm: Path) -> Iterator[WorkerEngine]:
    engine = WorkerEngine()
    engine.load(minilm, LoadSettings(embedding=True))
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def oracle(minilm_original: Path) -> Oracle:
    return Oracle(minilm_original)


def test_vectors_are_those_of_the_original_model(engine: WorkerEngine, oracle: Oracle) -> None:
    assert len(TEXTS) >= 50
    wanted = np.array([oracle.vector(text) for text in TEXTS])
    for _ in range(2):  # one by one and many at once, as the worker tries it
        cosines = (engine.embed(TEXTS) * wanted).sum(axis=1)
        assert cosines.min() > 0.9999, TEXTS[int(cosines.argmin())]
    other = (engine.embed(TEXTS) * np.roll(wanted, 1, axis=0)).sum(axis=1)
    assert np.median(other) < 0.5, "positive control: another text's vector is another one"


def test_tokens_are_counted_as_the_original_counts_them(engine: WorkerEngine, oracle: Oracle) -> None:
    for text in TEXTS:
        assert engine.count([Segment(text=text)]) == len(oracle.tokens(text)), text


def test_a_question_finds_its_passage_among_twenty(engine: WorkerEngine) -> None:
    passages, questions = engine.embed(PASSAGES), engine.embed(list(QUESTIONS))
    assert list((questions @ passages.T).argmax(axis=1)) == list(QUESTIONS.values())


def test_a_blank_text_is_like_nothing(engine: WorkerEngine) -> None:
    vectors = engine.embed(["", " \n\t\u00a0", "word"])
    assert list(np.linalg.norm(vectors, axis=1).round(4)) == [0, 0, 1]
    assert engine.embed([]).shape == (0, 384)
    assert engine.count([Segment(text=" ")]) == 0


def test_a_text_that_is_too_long_is_refused_and_the_worker_goes_on(engine: WorkerEngine) -> None:
    with pytest.raises(
        ContextOverflow, match="Text 2 has 602 tokens; this embedding model reads at most 512"
    ):
        engine.embed(["short", "word " * 600])
    assert engine.embed(["word " * 510]).shape == (1, 384)


def test_a_stop_is_obeyed_at_once(engine: WorkerEngine) -> None:
    stop = threading.Event()
    ended: list[float] = []

    def embed() -> None:
        with pytest.raises(RequestFailed, match="stopped"):
            engine.embed(["word " * 500] * 2000, stop=stop)
        ended.append(time.monotonic())

    thread = threading.Thread(target=embed)
    thread.start()
    while not engine.in_use:
        time.sleep(0.001)
    stop.set()
    thread.join(60)
    assert ended, "two thousand long texts take minutes"
    # The worker is free again, too: it answers before it could have finished a tenth of them.
    assert engine.embed(["free"]).shape == (1, 384)


def test_it_cannot_write_and_says_so(engine: WorkerEngine) -> None:
    with pytest.raises(RequestFailed, match="no generating model"):
        list(engine.generate([Segment(text="hi")], Sampling()))


def test_texts_from_several_threads_keep_their_vectors(engine: WorkerEngine) -> None:
    wanted = engine.embed(PASSAGES)
    found: dict[int, Any] = {}

    def embed(start: int) -> None:
        found[start] = engine.embed(PASSAGES[start:] + PASSAGES[:start])

    threads = [threading.Thread(target=embed, args=(start,)) for start in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for start, vectors in found.items():
        assert (vectors * np.roll(wanted, -start, axis=0)).sum(axis=1).min() > 0.9999
    assert len(found) == 8
