import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localai_app.engine import protocol
from localai_app.engine.protocol import (
    Embedded,
    Event,
    Generate,
    ProtocolError,
    Request,
    Segment,
    Text,
    decode_event,
    decode_request,
    encode,
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=8,
)


def is_a_message(line: bytes) -> bool:
    """Whether ``line`` is JSON for one of the event types, said without the decoder under test."""
    try:
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    tags = {kind.__struct_config__.tag for kind in Event.__args__}
    return isinstance(value, dict) and value.get("type") in tags


@given(st.binary())
def test_any_line_is_an_event_or_a_protocol_error(line: bytes) -> None:
    try:
        event = decode_event(line)
    except ProtocolError:
        return
    assert is_a_message(line)
    assert isinstance(event, Event)


@given(
    st.fixed_dictionaries(
        {"type": st.sampled_from([kind.__struct_config__.tag for kind in Event.__args__])},
        optional={
            "id": json_values,
            "text": json_values,
            "tokens": json_values,
            "reason": json_values,
            "extra": json_values,
        },
    )
)
def test_a_well_meant_but_wrong_message_is_refused(value: dict[str, object]) -> None:
    line = msgspec.json.encode(value)
    try:
        event = decode_event(line)
    except ProtocolError:
        return
    # What was accepted says the same when it is written again: nothing was guessed or dropped.
    assert msgspec.json.decode(encode(event)).items() >= value.items()


def test_an_unknown_field_is_refused_rather_than_ignored() -> None:
    with pytest.raises(ProtocolError):
        decode_event(b'{"type":"text","id":1,"text":"a","tokens":1,"html":"<b>"}')


def test_a_number_in_place_of_text_is_refused() -> None:
    with pytest.raises(ProtocolError):
        decode_event(b'{"type":"text","id":1,"text":7,"tokens":1}')


def test_a_request_is_no_event() -> None:
    with pytest.raises(ProtocolError):
        decode_event(encode(protocol.Hello()))


def test_deep_nesting_is_refused_not_a_crash() -> None:
    with pytest.raises(ProtocolError):
        decode_event(b'{"type":"text","id":' + b"[" * 100_000)


def test_a_line_over_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MAX_LINE", 10)
    with pytest.raises(ProtocolError, match="at most 10"):
        decode_event(encode(Text(id=1, text="a", tokens=1)))


@given(st.text(), st.lists(st.tuples(st.text(), st.booleans())), st.text())
def test_a_request_survives_its_line(stop: str, parts: list[tuple[str, bool]], slot: str) -> None:
    request: Request = Generate(
        id=3, prompt=[Segment(text=text, special=special) for text, special in parts], stop=[stop], slot=slot
    )
    line = encode(request)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode_request(line) == request


@given(st.lists(st.text(), min_size=1), st.lists(st.integers(1, 40), min_size=1))
def test_any_split_of_the_byte_stream_gives_the_same_lines(texts: list[str], cuts: list[int]) -> None:
    import os
    import threading

    events = [Text(id=1, text=text, tokens=index) for index, text in enumerate(texts)]
    stream = b"".join(map(encode, events))
    read_end, write_end = os.pipe()

    def write() -> None:
        with os.fdopen(write_end, "wb", buffering=0) as pipe:
            position = 0
            for turn in range(len(stream)):
                size = cuts[turn % len(cuts)]
                pipe.write(stream[position : position + size])
                position += size

    writer = threading.Thread(target=write)
    writer.start()
    with os.fdopen(read_end, "rb") as lines:
        received = [decode_event(line) for line in lines]
    writer.join()
    assert received == events


def test_vectors_travel_as_base64_float32() -> None:
    line = encode(Embedded(id=1, dimensions=1, vectors=b"\x00\x00\x80?", tokens=1))
    assert b'"vectors":"AACAPw=="' in line
