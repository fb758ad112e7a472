from hypothesis import given
from hypothesis import strategies as st

from localai_app.engine.worker.text import TextStream


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces, position, turn = [], 0, 0
    while position < len(data):
        size = sizes[turn % len(sizes)]
        pieces.append(data[position : position + size])
        position, turn = position + size, turn + 1
    return pieces


sizes = st.lists(st.integers(1, 5), min_size=1, max_size=8)


@given(st.text(), sizes)
def test_text_comes_whole_however_its_bytes_are_split(text: str, cuts: list[int]) -> None:
    stream = TextStream()
    shown = [stream.feed(piece) for piece in cut(text.encode(), cuts)]
    assert "".join(shown) + stream.finish() == text
    assert "\ufffd" not in "".join(shown) or "\ufffd" in text


@given(st.binary(), sizes)
def test_bytes_that_are_no_text_never_raise(data: bytes, cuts: list[int]) -> None:
    stream = TextStream()
    shown = "".join(stream.feed(piece) for piece in cut(data, cuts)) + stream.finish()
    assert shown.encode() or not data or data.decode("utf-8", "ignore") == ""


@given(
    st.text(alphabet="abc", max_size=40),
    st.lists(st.text(alphabet="abc", min_size=1, max_size=4), max_size=3),
    sizes,
)
def test_nothing_of_a_stop_string_or_after_it_is_shown(text: str, stop: list[str], cuts: list[int]) -> None:
    stream = TextStream(stop)
    shown = "".join(stream.feed(piece) for piece in cut(text.encode(), cuts)) + stream.finish()
    assert text.startswith(shown)
    assert not any(string in shown for string in stop)
    if not any(string in text for string in stop):
        assert shown == text
        assert not stream.stopped
    else:
        assert stream.stopped


def test_the_beginning_of_a_stop_string_is_held_until_it_is_none() -> None:
    stream = TextStream(["END"])
    assert stream.feed(b"so EN") == "so "
    assert stream.feed(b"ough") == "ENough"


def test_half_a_character_at_the_end_is_dropped() -> None:
    stream = TextStream()
    assert stream.feed("né".encode()[:-1]) == "n"
    assert stream.finish() == ""
