"""A request says the same whatever company it is in, on real weights.

Another batch is another order of additions, which moves logits a little: how much is measured here with
one and two threads and with longer and shorter slices of the prompt. Where the likeliest token stands
clear of the second by more, it must be the same token in every company. Each token that follows is told
(teacher-forced), so that one close call does not hide all that comes after it. Under the deterministic
profile all logits are the same bits.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("llama_cpp")

from localai_app.engine.client import PromptMessage, WorkerEngine
from localai_app.engine.protocol import Accepted, Done, Event, Generate, LoadSettings, Sampling, Text
from localai_app.engine.worker.drafting import StepCost
from localai_app.engine.worker.llama import Context, Entry, Logits, Model
from localai_app.engine.worker.scheduler import Scheduler
from localai_app.engine.worker.sequence import TokenSampler

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

LENGTH = 4096
ANSWER = 24
INSTRUCTIONS = (
    "You read one paragraph from the records of a hospital. Say in one sentence who it is about, what "
    "happened and when, and which ward was in charge. Use only what the paragraph says. If it does not "
    "say something, write that it is not said. Do not repeat the paragraph, and add nothing of your own.\n\n"
)
PARAGRAPHS = (
    "Maria Huber, aged 47, came to the ward on Monday with a broken wrist and went home on Friday.",
    "The lift in the east wing stood still for three hours on 4 May; nobody was hurt.",
    "Dr. Olsen moved from surgery to the eye clinic in March and took two nurses with her.",
    "In the night to Sunday the emergency power was tested, which took eleven minutes.",
    "A patient of ward 7 thanked the kitchen for its soup and asked for the recipe.",
    "The archive holds all files since 1961, but those of 1974 were lost in a flood.",
)
COPIED = "Copy this list: alpha 1, beta 2, gamma 3, delta 4, epsilon 5, zeta 6, eta 7, theta 8. The list: "


@dataclass
class Teacher(TokenSampler):
    """Tells each next token, and keeps the logits that stood for it."""

    tokens: list[int]
    """Empty: the likeliest is taken."""
    logits: list[Logits] = field(default_factory=list)

    def next(self, logits: Logits) -> int:
        self.logits.append(logits)
        at = len(self.logits) - 1
        return self.tokens[at] if self.tokens else int(logits.argmax())


class Classroom:
    """A context as the scheduler's backend, with a teacher in place of sampling."""

    def __init__(self, room: "Room", *, threads: int, batch_size: int, drafts: bool) -> None:
        context = self._context = room.context
        self._threads = threads
        self.length, self.batch_size = context.length, batch_size
        self.sequences, self.drops_parts, self.drafts = context.sequences, context.drops_parts, drafts
        self.keep, self.share, self.save, self.load = (
            context.keep,
            context.share,
            context.save,
            context.load,
        )
        self.checkpoint, self.rewind = context.checkpoint, context.rewind
        self.log_probabilities = context.log_probabilities
        self.piece = room.model.vocabulary.piece

    def decode(self, entries: list[Entry], *, fixed_threads: bool) -> None:
        self._context.use_threads(self._threads)
        self._context.decode(entries)

    def sample(self, sampler: TokenSampler, row: int) -> int:
        assert isinstance(sampler, Teacher)
        return sampler.next(self._context.logits(row))

    def incomplete(self, sampler: TokenSampler) -> bool:
        return False

    def closed(self, sampler: TokenSampler) -> bool:
        return False

    def ends_generation(self, token: int) -> bool:
        return False

    def remember(self, answer: str, tokens: list[int]) -> None:
        pass


class Room:
    """One context for all lessons: none frees its memory before the process ends."""

    def __init__(self, path: Path) -> None:
        settings = LoadSettings(context_length=LENGTH)
        self.lesson: Lesson | None = None
        self.model = Model(path, settings, lambda _fraction: None)
        self.context = Context(self.model, settings, threads=2, should_abort=self._should_abort)

    def _should_abort(self) -> bool:
        return self.lesson is not None and self.lesson.scheduler.abort


class Lesson:
    """A scheduler on a real context that is empty."""

    def __init__(
        self, room: Room, *, threads: int = 1, batch_size: int = 512, drafting: bool = False
    ) -> None:
        room.context.clear()
        backend = Classroom(room, threads=threads, batch_size=batch_size, drafts=drafting)
        self.events: list[Event] = []
        self.scheduler = Scheduler(backend, self.events.append)
        self._ids = itertools.count(1)
        room.lesson = self

    def submit(self, prompt: list[int], told: list[int], **options: object) -> Teacher:
        teacher = Teacher(told)
        request = Generate(id=next(self._ids), prompt=[], max_tokens=len(told) or ANSWER, **options)  # type: ignore[arg-type]
        self.scheduler.submit(request, list(prompt), teacher, 0.0)
        return teacher

    def run(self) -> None:
        for _ in range(5000):
            if self.scheduler.idle:
                return
            self.scheduler.step()
        raise AssertionError("the scheduler does not come to an end")


@dataclass
class Course:
    """The requests of one model, what each says alone, and how far logits move by themselves."""

    room: Room
    prompts: list[list[int]]
    told: list[list[int]]
    alone: list[list[Logits]]
    tolerance: float

    def check(self, teachers: Sequence[Teacher]) -> None:
        """Each of ``teachers`` saw what its request shows alone."""
        clear = 0
        for teacher, reference in zip(teachers, self.alone, strict=True):
            assert len(teacher.logits) == len(reference)
            for found, expected in zip(teacher.logits, reference, strict=True):
                second, first = np.partition(expected, -2)[-2:]
                if first - second > self.tolerance:
                    clear += 1
                    assert found.argmax() == expected.argmax()
                # A wrong cache moves them by 10 and more.
                assert moved(found, expected) < 3 * self.tolerance
        assert clear > len(self.told) * ANSWER / 4, "enough of the answer is no close call"


def moved(found: Logits, expected: Logits) -> float:
    """How far they are apart at most."""
    return float(np.abs(found - expected).max())


def one(room: Room, prompt: list[int], told: list[int], *, threads: int, batch_size: int = 512) -> Teacher:
    """A request alone."""
    lesson = Lesson(room, threads=threads, batch_size=batch_size)
    teacher = lesson.submit(prompt, told)
    lesson.run()
    return teacher


@pytest.fixture(scope="module", params=["SmolLM2", "Gemma"])
def course(request: pytest.FixtureRequest, starter_model: Path) -> Course:
    path = starter_model if request.param == "SmolLM2" else request.getfixturevalue("gemma_base")
    room = Room(path)
    vocabulary = room.model.vocabulary
    bos = [vocabulary.bos] if vocabulary.adds_bos else []
    texts = [*(f"{INSTRUCTIONS}{paragraph}\n\nAnswer:" for paragraph in PARAGRAPHS), COPIED]
    prompts = [[*bos, *vocabulary.tokenize(text)] for text in texts]
    told, alone = [], []
    for prompt in prompts:
        # The last one is told to copy, so that guesses hold.
        copied = vocabulary.tokenize(COPIED)[4 : 4 + ANSWER] if prompt is prompts[-1] else []
        teacher = one(room, prompt, copied, threads=1)
        alone.append(teacher.logits)
        told.append(copied or [int(logits.argmax()) for logits in teacher.logits])
    tolerance = 0.0
    for at, (prompt, tokens, reference) in enumerate(zip(prompts, told, alone, strict=True)):
        for threads, batch_size in ((2, 512), (1, 64))[at > 1 :]:  # threads move them less
            teacher = one(room, prompt, tokens, threads=threads, batch_size=batch_size)
            tolerance = max(tolerance, *map(moved, teacher.logits, reference))
    assert 0 < tolerance < 3, "another order of additions, nothing else"
    return Course(room, prompts, told, alone, tolerance)


def test_side_by_side_is_as_alone(course: Course) -> None:
    lesson = Lesson(course.room)
    teachers = [lesson.submit(*pair) for pair in zip(course.prompts, course.told, strict=True)]
    lesson.run()
    course.check(teachers)


def test_one_after_another_is_as_alone(course: Course) -> None:
    """Each begins with what those before left in the cache."""
    lesson = Lesson(course.room)
    teachers = []
    for prompt, tokens in zip(course.prompts, course.told, strict=True):
        teachers.append(lesson.submit(prompt, tokens, slot="chat"))
        lesson.run()
    course.check(teachers)
    assert lesson.scheduler.reused > 4 * 60


def test_a_group_is_as_each_alone(course: Course) -> None:
    lesson = Lesson(course.room)
    teachers = [
        lesson.submit(prompt, tokens, background=True, group="records")
        for prompt, tokens in zip(course.prompts, course.told, strict=True)
    ]
    lesson.run()
    course.check(teachers)
    # One of them begins otherwise, so what all have in common is not kept when those that run end together.
    assert lesson.scheduler.reused > 3 * 60


def test_a_group_that_a_person_interrupts_is_as_each_alone(course: Course) -> None:
    """Steps are ended early, requests are suspended and go on, beside an answer that is written."""
    lesson = Lesson(course.room)
    teachers = [
        lesson.submit(prompt, tokens, background=True, group="records")
        for prompt, tokens in zip(course.prompts, course.told, strict=True)
    ]
    persons = []
    for number in range(2 * len(course.prompts)):
        for _ in range(3):
            lesson.scheduler.step()
        lesson.scheduler.hurry()
        lesson.scheduler.step()
        if number % 2:
            at = number // 2
            persons.append(lesson.submit(course.prompts[at], course.told[at], slot=f"chat {at}"))
            if lesson.scheduler._background:  # as where there is no room
                lesson.scheduler._suspend(lesson.scheduler._background[-1])
    lesson.run()
    course.check(teachers)
    course.check(persons)


class FreeGuesses(StepCost):
    """Whether guesses pay is not for a clock to say here."""

    def of(self, tokens: int) -> float:
        return 1.0


@pytest.mark.parametrize("slot", ["", "chat"])
def test_with_guesses_is_as_without(course: Course, slot: str) -> None:
    lesson = Lesson(course.room, drafting=True)
    lesson.scheduler._cost = FreeGuesses()
    teachers = []
    for prompt, tokens in zip(course.prompts, course.told, strict=True):
        teachers.append(lesson.submit(prompt, tokens, slot=slot))
        lesson.run()
    course.check(teachers)
    assert lesson.scheduler.accepted > 10, "positive control: guesses held"
    assert lesson.scheduler.drafted > lesson.scheduler.accepted, "and others did not"


def test_a_deterministic_request_gives_the_same_bits_in_every_company(course: Course) -> None:
    prompt, tokens = course.prompts[0], course.told[0]
    first = Lesson(course.room, drafting=True)
    expected = first.submit(prompt, tokens, deterministic=True)
    first.run()
    again = first.submit(prompt, tokens, deterministic=True)
    first.run()

    busy = Lesson(course.room, drafting=True)
    for other, said in zip(course.prompts[1:4], course.told[1:4], strict=True):
        busy.submit(other, said, slot="before")
        busy.run()
    others = [
        busy.submit(other, said, background=bool(number % 2), group="records" if number % 2 else "")
        for number, (other, said) in enumerate(zip(course.prompts[1:], course.told[1:], strict=True))
    ]
    for _ in range(4):
        busy.scheduler.step()
    among = busy.submit(prompt, tokens, deterministic=True, slot="before")
    behind = busy.submit(course.prompts[1], course.told[1])
    busy.run()
    for found in (again, among):
        assert all(map(np.array_equal, found.logits, expected.logits))
        assert len(found.logits) == len(tokens)
    assert all(len(teacher.logits) == ANSWER for teacher in (*others, behind))
    shorter = one(course.room, prompt, tokens, threads=1, batch_size=64)
    assert not all(map(np.array_equal, shorter.logits, expected.logits)), "positive control: other bits"


# ---------------------------------------------------------------- through the worker


@pytest.fixture(scope="module")
def engine(starter_model: Path) -> Iterator[WorkerEngine]:
    engine = WorkerEngine()
    engine.load(starter_model)
    yield engine
    engine.close()


def test_the_same_deterministic_request_is_answered_alike_before_among_and_after_others(
    engine: WorkerEngine,
) -> None:
    prompt = engine.render([PromptMessage("user", "Tell me a short story about a lighthouse.")])
    sampling = Sampling(temperature=1.0, seed=11)

    def ask() -> str:
        events = list(engine.generate(prompt, sampling, max_tokens=60, deterministic=True, slot="story"))
        assert isinstance(events[-1], Done)
        assert events[-1].usage.reused_tokens == 0
        return "".join(event.text for event in events if isinstance(event, Text))

    expected = ask()
    groups = [
        engine.generate(
            engine.render([PromptMessage("user", INSTRUCTIONS + paragraph)]),
            Sampling(seed=number),
            max_tokens=30,
            background=True,
            group="records",
        )
        for number, paragraph in enumerate(PARAGRAPHS)
    ]
    assert any(isinstance(event, Accepted) for event in groups[0])
    assert ask() == expected
    for group in groups[1:]:
        assert isinstance(list(group)[-1], Done)
    assert ask() == expected
