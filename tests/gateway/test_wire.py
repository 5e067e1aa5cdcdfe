"""The MQTT 5 codec: bytes by the standard, and whatever else may come, in whatever pieces."""

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ingest.reasons import reason_words
from gateway.ingest.wire import (
    DISCONNECT,
    Connack,
    Control,
    Disconnect,
    Message,
    Parser,
    Pingresp,
    ProtocolError,
    Suback,
    Unsuback,
    encode_connect,
    encode_pubacks,
    encode_subscribe,
    encode_unsubscribe,
)

MOST = 32_768


def text(value: bytes) -> bytes:
    return struct.pack(">H", len(value)) + value


def packet(head: int, body: bytes, width: int = 1) -> bytes:
    """With a length of at least `width` bytes: longer than needed is what a careless broker might write."""
    size, length = len(body), bytearray()
    while size > 127 or len(length) + 1 < width:
        length.append(size & 127 | 128)
        size >>= 7
    return bytes([head, *length, size]) + body


def publish(message: Message, properties: bytes = b"", *, dup: bool = False, width: int = 1) -> bytes:
    topic, payload, mid, retained = message
    head = 0x30 | 8 * dup | 2 * bool(mid) | retained
    identifier = struct.pack(">H", mid) if mid else b""
    return packet(head, text(topic) + identifier + packet(0, properties)[1:] + payload, width)


def parse(pieces: list[bytes]) -> tuple[list[Message], list[Control]] | str:
    """All packets, or the words of the error that ended it."""
    parser = Parser(MOST)
    messages: list[Message] = []
    controls: list[Control] = []
    try:
        for piece in pieces:
            more, others = parser.feed(piece)
            messages += more
            controls += others
    except ProtocolError as error:
        return str(error)
    return messages, controls


def chopped(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:stop] for start, stop in pairwise(places)]


messages_ = st.tuples(
    st.binary(min_size=1, max_size=60), st.binary(max_size=300), st.integers(0, 65_535), st.booleans()
)
properties_ = st.sampled_from(
    [b"", b"\x02\0\0\0\x09", b"\x01\x01", b"\x26\0\x01a\0\x02bc\x26\0\0\0\0", b"\x0b\x80\x01\x03\0\x04text"]
)
publishes_ = st.builds(publish, messages_, properties_, dup=st.booleans(), width=st.integers(1, 4))
CONTROLS: list[tuple[bytes, Control]] = [
    (b"\x20\x03\x01\x00\x00", Connack(True, 0)),
    (
        packet(0x20, b"\x00\x00" + packet(0, b"\x13\0\x14\x21\0\x10\x24\x01\x27\0\0\x80\0\x22\0\x0a")[1:]),
        Connack(False, 0, "", 20, 16, 1, 32_768),
    ),
    (packet(0x20, b"\x00\x87" + packet(0, b"\x1f\0\x04away")[1:]), Connack(False, 0x87, "away")),
    (b"\x90\x05\x00\x01\x00\x01\x87", Suback(1, (1, 0x87))),
    (b"\xb0\x04\x00\x02\x00\x11", Unsuback(2, (0x11,))),
    (b"\xd0\x00", Pingresp()),
    (b"\xe0\x00", Disconnect(0)),
    (b"\xe0\x01\x8e", Disconnect(0x8E)),
    (b"\xe0\x09\x8b\x07\x1f\x00\x04bye!", Disconnect(0x8B, "bye!")),
]
streams_ = st.lists(publishes_ | st.sampled_from([data for data, _ in CONTROLS]), max_size=8).map(b"".join)
cuts_ = st.lists(st.integers(0, 10_000), max_size=30)


@given(st.lists(st.tuples(messages_, properties_, st.integers(1, 4)), max_size=8), cuts_)
def test_messages_are_the_same_however_they_are_chopped(
    wanted: list[tuple[Message, bytes, int]], cuts: list[int]
) -> None:
    data = b"".join(publish(message, properties, width=width) for message, properties, width in wanted)
    assert parse(chopped(data, cuts)) == ([message for message, _, _ in wanted], [])


@given(st.binary(max_size=200), cuts_)
def test_any_bytes_give_packets_or_the_error(data: bytes, cuts: list[int]) -> None:
    assert parse(chopped(data, cuts)) == parse([data])


@given(streams_, st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=3), cuts_)
def test_spoilt_packets_give_packets_or_the_error(data: bytes, faults: list[tuple[int, int]], cuts: list[int]) -> None:
    """One byte or another is wrong; it does not matter in which pieces it comes, not even byte by byte."""
    spoilt = bytearray(data)
    for place, value in faults if data else ():
        spoilt[place % len(data)] = value
    whole = parse([bytes(spoilt)])
    assert parse(chopped(bytes(spoilt), cuts)) == whole
    assert parse([bytes([byte]) for byte in spoilt]) == whole


@given(publishes_, st.data())
def test_no_packet_reads_from_the_next(data: bytes, drawn: st.DataObject) -> None:
    """A PUBLISH that ends before its fields do is refused, also when the bytes behind it would fit."""
    body = data[1:]
    sizes = next(at for at, byte in enumerate(body) if byte < 128) + 1
    fields = body[sizes:]
    need = 2 + int.from_bytes(fields[:2], "big") + (2 if data[0] & 2 else 0)
    short = drawn.draw(st.integers(0, need), label="bytes left")
    assert isinstance(parse([packet(data[0], fields[:short]) + data]), str)


@pytest.mark.parametrize(("data", "control"), CONTROLS)
def test_what_a_broker_answers(data: bytes, control: Control) -> None:
    assert parse([data]) == ([], [control])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (publish((b"a", b"", 1, False), b"\x23\x00\x01"), "topic alias"),
        (publish((b"a", b"", 1, False), b"\x7f"), "property 0x7F"),
        (publish((b"a", b"", 1, False), b"\x02\x00"), "ends before"),
        (publish((b"", b"x", 1, False)), "without topic"),
        (b"\x32\x06\x00\x01a\x00\x00\x00", "packet identifier"),
        (b"\x34\x06\x00\x01a\x00\x01\x00", "type 0x34"),  # QoS 2
        (b"\x40\x02\x00\x01", "type 0x40"),  # PUBACK of what was never published
        (b"\x32\x80\x80\x80\x80", "more than four bytes"),
        (b"\x32\xff\xff\x7f", "at most 32768"),  # before its bytes have come
        (b"\x20\x01\x00", "ends before"),
        (b"\x20\x02\x00\x00", "ends before"),
        (b"\x90\x02\x00\x01", "ends before"),
    ],
)
def test_what_is_refused_is_said(data: bytes, words: str) -> None:
    said = parse([data])
    assert isinstance(said, str)
    assert words in said


def test_the_largest_packet_is_taken() -> None:
    payload = b"x" * (MOST - 4 - 3 - 2 - 1)
    data = publish((b"t", payload, 7, False))
    assert len(data) == MOST
    assert parse([data]) == ([(b"t", payload, 7, False)], [])
    assert "at most" in str(parse([publish((b"t", payload + b"x", 7, False))]))


def test_what_is_sent_is_as_the_standard_says() -> None:
    """Field by field, after sections 3.1, 3.4, 3.8, 3.10 and 3.14."""
    hello = encode_connect(
        "id",
        keepalive=30,
        session_expiry=604_800,
        receive_maximum=2048,
        maximum_packet_size=MOST,
        username="me",
        password="pw",
    )
    body = b"".join(
        (
            *(text(b"MQTT"), b"\x05", b"\xc0", b"\x00\x1e"),
            *(b"\x0d", b"\x11\x00\x09\x3a\x80", b"\x21\x08\x00", b"\x27\x00\x00\x80\x00"),
            *(text(b"id"), text(b"me"), text(b"pw")),
        )
    )
    assert hello == packet(0x10, body)
    bare = encode_connect("id", keepalive=1, session_expiry=0, receive_maximum=1, maximum_packet_size=1)
    assert bare[9] == 0, "a clean start, a will or a login that nobody asked for"
    assert encode_pubacks([1, 258, 65_535]) == b"\x40\x02\x00\x01\x40\x02\x01\x02\x40\x02\xff\xff"
    assert encode_subscribe(1, ["a", "b/+"]) == b"\x82\x0d\x00\x01\x00\x00\x01a\x01\x00\x03b/+\x01"
    assert encode_unsubscribe(2, ["a"]) == b"\xa2\x06\x00\x02\x00\x00\x01a"
    assert DISCONNECT == b"\xe0\x00"


def test_reasons_are_words() -> None:
    assert reason_words(0x87) == "not authorized"
    assert reason_words(0x97, "3 clients") == "a quota is used up (3 clients)"
    assert "0xEE" in reason_words(0xEE)
