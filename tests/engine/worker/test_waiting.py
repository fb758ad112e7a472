"""Who is next: persons in the order they came, groups in turns."""

import pytest

pytest.importorskip("llama_cpp")

from localai_app.engine.protocol import Generate
from localai_app.engine.worker.sequence import Sequence
from localai_app.engine.worker.text import TextStream
from localai_app.engine.worker.waiting import Waiting


def request(number: int, group: str | None = None) -> Sequence:
    """A person's, or one of ``group``."""
    generate = Generate(id=number, prompt=[], background=group is not None, group=group or "")
    return Sequence(generate, [1, 2, 3], object(), TextStream([]), 0.0)


def waiting(*sequences: Sequence) -> Waiting:
    line = Waiting()
    for sequence in sequences:
        line.add(sequence)
    return line


def ids(sequences: list[Sequence]) -> list[int]:
    return [sequence.request.id for sequence in sequences]


def test_a_person_is_first_and_persons_keep_their_order() -> None:
    first, second = request(2), request(1)
    line = waiting(request(3, ""), first, second)
    assert line.person is first
    line.remove(first)
    assert line.person is second
    line.remove(second)
    assert line.person is None
    assert len(line) == 1


def test_each_group_offers_its_first() -> None:
    line = waiting(request(1, "a"), request(2, "a"), request(3, "b"), request(4, ""))
    assert sorted(ids(line.background([]))) == [1, 3, 4]
    assert line.of_group("a") is line.background([])[0]
    assert line.of_group("none") is None


def test_the_group_with_the_fewest_that_run_is_next() -> None:
    line = waiting(request(1, "a"), request(2, "b"), request(3, "c"))
    running = [request(11, "a"), request(12, "a"), request(13, "b"), request(14, "not waiting")]
    assert ids(line.background(running)) == [3, 2, 1]


def test_among_equals_the_one_whose_turn_is_longest_ago_is_next() -> None:
    line = waiting(*(request(number, "abc"[number // 3]) for number in range(9)))
    taken = []
    while len(line):
        following = line.background([])[0]
        line.remove(following)
        taken.append(following.request.id)
    assert taken == [0, 3, 6, 1, 4, 7, 2, 5, 8]


def test_one_that_had_begun_is_the_first_of_its_group_again() -> None:
    line = waiting(request(1, "a"), request(2, "a"), request(3))
    line.add(request(9, "a"), first=True)
    line.add(request(10), first=True)
    assert line.of_group("a") is not None
    assert ids(line.background([])) == [9]
    assert line.person is not None
    assert line.person.request.id == 10


def test_all_that_wait_are_listed_once() -> None:
    line = waiting(request(1, "a"), request(2, "a"), request(3), request(4, ""))
    assert sorted(ids(list(line))) == [1, 2, 3, 4]
    assert len(line) == 4
    for sequence in list(line):
        line.remove(sequence)
    assert not list(line)
    assert len(line) == 0
