"""What is no message is refused, on either side."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localai_app.models import hub_protocol as protocol
from localai_app.models.hub_protocol import Failed
from localai_app.models.puller import failure

MESSAGES = [
    protocol.Configure("https://huggingface.co", ("huggingface.co",), token="hf_x"),
    protocol.Search(1, "qwen", 20),
    protocol.Describe(2, "a/b", "main"),
    protocol.Fetch(3, "a/b", "0" * 40, "x.gguf", 5, "", "/tmp/x.part"),
    protocol.Cancel(3),
    protocol.Limit(1000),
]
EVENTS = [
    protocol.Ready(1, "huggingface_hub 2", "seccomp"),
    protocol.Connected("huggingface.co", False),
    protocol.Found(1, (protocol.FoundRepository("a/b", 1, 2, "", False, "mit"),)),
    protocol.Described(2, "a/b", "0" * 40, False, "mit", (protocol.RepositoryFile("x.gguf", 5, ""),)),
    protocol.Fetching(3, 2),
    protocol.Waiting(3, "network", 1.5),
    protocol.Fetched(3, 5),
    protocol.Failed(3, "gated", "no", 2.0),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_requests_come_back_as_they_went(message: protocol.Request) -> None:
    line = protocol.encode(message)
    assert line.count(b"\n") == 1
    assert protocol.decode_request(line) == message
    with pytest.raises(protocol.ProtocolError):
        protocol.decode_event(line)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_events_come_back_as_they_went(event: protocol.Event) -> None:
    assert protocol.decode_event(protocol.encode(event)) == event


@given(st.binary(max_size=200))
def test_noise_is_no_message(line: bytes) -> None:
    for decode in (protocol.decode_request, protocol.decode_event):
        with pytest.raises(protocol.ProtocolError):
            decode(line)


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"fetching","id":1,"done":-1}',
        b'{"type":"fetching","id":1,"done":1,"more":2}',
        b'{"type":"failed","id":1,"code":"unheard of"}',
        b'{"type":"connected","host":"' + b"x" * 2000 + b'","refused":false}',
    ],
)
def test_what_a_message_may_not_hold_is_refused(line: bytes) -> None:
    with pytest.raises(protocol.ProtocolError):
        protocol.decode_event(line)


@given(st.text(max_size=400), st.text(max_size=100))
def test_what_a_server_says_stays_one_line(detail: str, what: str) -> None:
    for code in ("gated", "changed", "tls", "refused_host"):
        line = failure(Failed(1, code, detail), what).line
        assert len(line.splitlines()) == 1
        assert len(line) < 800
