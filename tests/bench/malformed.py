"""Packs and topics that are wrong in some way: made of good ones, by the seed, over and over the same. Pure."""

import random
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from tests.bench.packs import FIRST, KINDS, SITE, VARIETY, WINDOW_S, name, payload_form, tails

MOST_BYTES = 30_000
"""What is larger does not get through the broker to the gateway, as the two have agreed."""
SEQS = 100_000
"""Numbers before they begin again: a pack from the future would be refused for nothing else."""
STREAMS = ("telemetry", "event", "health", "status")

NUMBERS = (
    *("NaN", "Infinity", "-Infinity", "nan", "1e400", "-1e400", "1e-400", "-0", "0.0", "-1", "1.5", "00", "01", "+1"),
    *(".5", "5.", "0x10", "1e", "1_000", "9007199254740992", "9007199254740993", "18446744073709551616", "1" * 400),
    *("-9223372036854775809", "1e308", "123456789012345678901234567890", "1795430400.5", "0", "946684800", "1e9"),
    *("null", "true", "false", '"1"', "[]", "{}", "[1]", '{"v":1}', ""),
)
TEXTS = (
    *(b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\xf0\x9f\x98\x80", b"\x00", b"\x1b"),
    *(rb"\ud800", rb"\udc00\ud800", rb"\ud83d\ude00", rb"\u0000", rb"\u000", rb"\x41", rb"\n", b"\n", b"\\", b'\\"'),
    *("\ufeff".encode(), "\u202e".encode(), "e\u0301".encode(), "\u2028".encode(), "ｖ".encode(), b"", b" ", b"," * 40),
    *(b"lane1/lane2/volume", b"/volume", b"lane1/", b"x" * 33, b"n" * 4000, b"__class__", b"%s%n", b"'; DROP SERIES"),
)
FIELDS = ("bn", "bt", "bu", "bv", "bs", "bver", "n", "u", "v", "vs", "vb", "vd", "s", "t", "ut", "x_", "", "N", "v ")
TOPICS = (
    *(b"", b"/", b"//", b"#", b"+", b"ganglion/#", b"ganglion/v1/riverside/+/telemetry", b"$SYS/broker/uptime"),
    *(b"$share/g/ganglion/v1/riverside/air-1/telemetry", b"$ganglion/v1/riverside/air-1/telemetry"),
    *(b"ganglion/v1/riverside//telemetry", b"ganglion/v1//air-1/telemetry", b"/ganglion/v1/riverside/air-1/telemetry"),
    *(b"ganglion/v1/riverside/air-1/telemetry/", b"ganglion/v1/riverside/air-1", b"ganglion/v1/riverside/telemetry"),
    *(b"ganglion/v2/riverside/air-1/telemetry", b"Ganglion/v1/riverside/air-1/telemetry", b"x" * 5000),
    *(b"ganglion/v1/riverside/Air-1/telemetry", b"ganglion/v1/riverside/-air/telemetry", b"a/" * 150),
    *(b"ganglion/v1/riverside/$air/telemetry", b"ganglion/v1/riverside/air 1/telemetry"),
    *(b"ganglion/v1/riverside/" + b"n" * 33 + b"/telemetry", b"ganglion/v1/riverside/" + b"n" * 4000 + b"/health"),
    *("ganglion/v1/riverside/lüft/telemetry".encode(), "ganglion/v1/riverside/а-1/event".encode()),
    *(b"ganglion/v1/riverside/\xff\xfe/telemetry", b"ganglion/v1/riverside/air\x00/telemetry"),
    *(b"ganglion/v1/riverside/air-1\n/telemetry", b"ganglion/v1/riverside/air-1/telemetry\n", b"\xed\xa0\x80"),
    *("ganglion/v1/riverside/air\u202e/status".encode(), "ganglion/v1/riverside/\ufffe/status".encode()),
    *(b"ganglion/v1/riverside/air-1/Telemetry", b"ganglion/v1/riverside/air-1/config", b"ganglion/v1/hill/air-1/event"),
)
STATUSES = (
    *(b"", b"{}", b"null", b"[]", b'{"online":1}', b'{"online":true,"kind":"sea"}', b'{"online":true,"kind":7}'),
    *(b'{"online":true,"boot":-1}', b'{"online":true,"boot":1e99}', b'{"online":false}', b'{"online":true', b"\xff"),
    *(b'{"online":true,"firmware":"' + b"9" * 5000 + b'"}', b'{"online":true,"online":false}', b'{"online":"\\ud800"}'),
)

_NUMBER = re.compile(rb"(?<=:)-?[0-9][0-9.]*")
_TEXT = re.compile(rb'(?<=")[^"]*(?=")')

Mutation = Callable[[random.Random, bytes], bytes]


class Case(NamedTuple):
    topic: bytes
    payload: bytes
    mutation: str
    """What was done; several are joined by `+`."""


# On bytes.


def _place(dice: random.Random, payload: bytes) -> tuple[int, int]:
    begin = dice.randrange(len(payload) + 1)
    return begin, min(len(payload), begin + dice.randrange(1, 40))


def cut(dice: random.Random, payload: bytes) -> bytes:
    return payload[: dice.randrange(len(payload) + 1)]


def flip(dice: random.Random, payload: bytes) -> bytes:
    begin, _ = _place(dice, payload)
    return payload[:begin] + bytes((dice.randrange(256),)) + payload[begin + 1 :]


def insert(dice: random.Random, payload: bytes) -> bytes:
    begin, _ = _place(dice, payload)
    return (
        payload[:begin] + bytes(dice.choices(b'{}[],:"\\\0\xff 0-+eE.tfn/', k=dice.randrange(1, 5))) + payload[begin:]
    )


def remove(dice: random.Random, payload: bytes) -> bytes:
    begin, end = _place(dice, payload)
    return payload[:begin] + payload[end:]


def repeat(dice: random.Random, payload: bytes) -> bytes:
    begin, end = _place(dice, payload)
    return payload[:end] + payload[begin:end] * dice.choice((1, 1, 2, 50)) + payload[end:]


def glue(dice: random.Random, payload: bytes) -> bytes:
    return payload + dice.choice((b"", b",", b"\n", b" ", b"\0", b"]", b"}")) + dice.choice((payload, b"{}", b"x"))


def loose(dice: random.Random, payload: bytes) -> bytes:
    """JSON as other languages have it."""
    old, new = dice.choice(
        ((b"}]", b"},]"), (b'"', b"'"), (b",", b", /* */ "), (b'"n"', b"n"), (b":", b"="), (b"{", b"("), (b",{", b" {"))
    )
    return payload.replace(old, new, dice.choice((1, -1)))


def _replaced(dice: random.Random, payload: bytes, wanted: re.Pattern[bytes], new: bytes) -> bytes:
    found = list(wanted.finditer(payload))
    if not found:
        return payload + new
    begin, end = dice.choice(found).span()
    return payload[:begin] + new + payload[end:]


def number(dice: random.Random, payload: bytes) -> bytes:
    return _replaced(dice, payload, _NUMBER, dice.choice(NUMBERS).encode())


def text(dice: random.Random, payload: bytes) -> bytes:
    return _replaced(dice, payload, _TEXT, dice.choice(TEXTS))


def encoding(dice: random.Random, payload: bytes) -> bytes:
    said = payload.decode("utf-8", "replace")
    return dice.choice((b"\xef\xbb\xbf" + payload, said.encode("utf-16"), said.encode("utf-32-be"), payload.upper()))


def size(dice: random.Random, payload: bytes) -> bytes:
    """Just below, at and beyond the bound, and far beyond."""
    wanted = dice.choice((4095, 4096, 4097, 5000, dice.randrange(4096, MOST_BYTES)))
    more = max(0, wanted - len(payload))
    spaces = payload[:1] + b" " * more + payload[1:]
    records = payload[:-1] + b',{"n":"co2","v":1}' * (more // 18) + payload[-1:]
    return dice.choice((spaces, records, payload + b"\n" * more, bytes(wanted)))


def nesting(dice: random.Random, payload: bytes) -> bytes:
    depth = dice.choice((2, 10, 100, 500, 1000, 1990))
    opened, closed = dice.choice(((b"[", b"]"), (b'{"v":', b"}"), (b'[{"v":', b"}]")))
    depth = min(depth, 4000 // len(opened + closed)) if dice.random() < 0.9 else MOST_BYTES // len(opened + closed) // 2
    inner = opened * depth + dice.choice((b"1", b"", payload[:50])) + (closed * depth if dice.random() < 0.5 else b"")
    return inner if dice.random() < 0.5 else _replaced(dice, payload, _NUMBER, inner)


# On records.


def _senml(change: Callable[[random.Random, list[Any]], Any]) -> Mutation:
    def mutate(dice: random.Random, payload: bytes) -> bytes:
        try:
            records = msgspec.json.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return flip(dice, payload)  # something was done to it before
        if not isinstance(records, list) or not records or not all(isinstance(each, dict) for each in records):
            return flip(dice, payload)
        return msgspec.json.encode(change(dice, records))

    return mutate


def _field_lost(dice: random.Random, records: list[Any]) -> Any:
    record = dice.choice(records)
    if record:
        del record[dice.choice(list(record))]
    return records


def _field_more(dice: random.Random, records: list[Any]) -> Any:
    dice.choice(records)[dice.choice(FIELDS)] = dice.choice((0, 1, -1, 1.5, "", "x", None, True, [], {}, 2**60))
    return records


def _record_lost(dice: random.Random, records: list[Any]) -> Any:
    del records[dice.randrange(len(records))]
    return records


def _record_twice(dice: random.Random, records: list[Any]) -> Any:
    records.insert(dice.randrange(len(records) + 1), dict(dice.choice(records)))
    return records


def _mixed(dice: random.Random, records: list[Any]) -> Any:
    dice.shuffle(records)
    return records


def _no_record(dice: random.Random, records: list[Any]) -> Any:
    records[dice.randrange(len(records))] = dice.choice((None, 1, "x", [], [{}], {}, True))
    return records


def _other_form(dice: random.Random, records: list[Any]) -> Any:
    return dice.choice(([], {}, None, records[0], [records], {"e": records}, "x", 7))


def _other_time(dice: random.Random, records: list[Any]) -> Any:
    record = dice.choice(records)
    record[dice.choice(("bt", "t"))] = dice.choice((0, -1, 2**28, 2**31, 2**62, 946_684_800, -(2**28), 4_102_444_800))
    return records


MUTATIONS: dict[str, Mutation] = {
    "cut": cut,
    "flip": flip,
    "insert": insert,
    "remove": remove,
    "repeat": repeat,
    "glue": glue,
    "loose": loose,
    "number": number,
    "text": text,
    "encoding": encoding,
    "size": size,
    "nesting": nesting,
    "field_lost": _senml(_field_lost),
    "field_more": _senml(_field_more),
    "record_lost": _senml(_record_lost),
    "record_twice": _senml(_record_twice),
    "mixed": _senml(_mixed),
    "no_record": _senml(_no_record),
    "other_form": _senml(_other_form),
    "other_time": _senml(_other_time),
}
_TABLE = list(MUTATIONS.items())


class Malformed:
    """An endless row of cases. `nodes` is how many a pack may claim to be of, from the first place on."""

    def __init__(self, seed: int, start: int, nodes: int = 30) -> None:
        self._dice = random.Random(seed)
        self._start, self._nodes, self._seq = start, nodes, 0
        self._packs = Packs(start)

    def __iter__(self) -> "Malformed":
        return self

    def __next__(self) -> Case:
        dice = self._dice
        slot = dice.randrange(self._nodes)
        self._seq = (self._seq + 1) % SEQS
        stream = "telemetry" if (chance := dice.random()) < 0.85 else STREAMS[int(chance * 1000) % 4]
        topic = f"ganglion/v1/{SITE}/{name(slot)}/{stream}".encode()
        done = []
        if dice.random() < 0.15:
            done.append("topic")
            topic = dice.choice(TOPICS) if dice.random() < 0.7 else flip(dice, topic)
        if stream == "status":
            payload = dice.choice(STATUSES)
        else:
            payload = self._packs.message(slot, self._seq, dice.choice((1, 1, 1, 2, 3)))
        for _ in range(dice.choice((1, 1, 1, 2, 3))):
            word, mutate = _TABLE[dice.randrange(len(_TABLE))]
            payload = mutate(dice, payload)[:MOST_BYTES]
            done.append(word)
        return Case(topic, payload, "+".join(done))


class Packs:
    """Good ones."""

    def __init__(self, start: int) -> None:
        self._start = start
        self._tails = {kind: tails(kind) for kind in KINDS}

    def message(self, slot: int, seq: int, packs: int = 1) -> bytes:
        """`packs` packs of the node at a place in one message, the first with this number."""
        found = []
        kind = KINDS[slot % 3]
        _, base, step, most = FIRST[kind]
        for each in range(seq, seq + packs):
            value, tail = base + each * step % most, self._tails[kind][(each + slot) % VARIETY]
            found.append(payload_form(slot) % (self._start + WINDOW_S * each, each, value, tail))
        return b"[" + b",".join(pack[1:-1] for pack in found) + b"]"
