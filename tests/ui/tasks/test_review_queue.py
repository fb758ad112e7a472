from localai_app.ui.tasks.review_queue import Entry, ReviewQueue

A, B, C, D = (1, "a"), (1, "b"), (2, "c"), (3, "d")


def queue(*entries: Entry) -> ReviewQueue:
    made = ReviewQueue()
    made.update(entries)
    return made


def test_the_service_s_order_is_kept() -> None:
    made = queue(A, B, C)
    assert [made.position(each) for each in (A, B, C)] == [1, 2, 3]
    assert made.after(None) == A
    assert made.after(A) == B


def test_what_was_decided_keeps_its_place_and_is_gone_past() -> None:
    made = queue(A, B, C)
    made.decide(A)
    made.update([B, C])
    assert made.position(A) == 1
    assert made.step(B, -1) == A
    assert made.waiting == 2
    assert made.after(C) == B, "from the beginning again, but not to what is decided"


def test_a_decision_that_is_on_its_way_is_not_asked_for_again() -> None:
    made = queue(A, B)
    made.decide(A)
    made.update([A, B])
    assert not made.is_waiting(A)
    assert made.after(B) is None


def test_what_is_taken_back_waits_again() -> None:
    made = queue(A, B)
    made.decide(A)
    made.undecide(A)
    assert made.after(None) == A
    made.undecide(D)
    assert D not in made


def test_new_findings_take_the_place_that_their_doubt_gives_them() -> None:
    made = queue(A, C)
    made.decide(A)
    made.update([B, C, D])
    assert [made.position(each) for each in (B, A, C, D)] == [1, 2, 3, 4]


def test_what_is_there_no_more_is_gone_past() -> None:
    made = queue(A, B, C)
    made.update([A, C])
    assert len(made) == 2
    assert made.step(A, 1) == C
    made.drop(C)
    assert made.step(A, 1) is None
    assert made.position(C) == 0


def test_from_nowhere_a_step_goes_to_the_first_that_waits() -> None:
    made = queue(A, B)
    made.decide(A)
    assert made.step(None, 1) == B
    assert made.step(D, -1) == B
    assert ReviewQueue().step(None, 1) is None
    assert ReviewQueue().last() is None
