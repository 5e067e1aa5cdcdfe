"""Commands: whatever comes is answered or passed over, once, and the node lives on."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.firmware.importer import load
from tests.firmware.test_node_wanted import JSON
from tests.micropython import run

commands = load("node.commands")
calibration = load("node.calibration")
COMMAND = load("node.scratch").COMMAND


class Node:
    """What commands reach of a node, and what they did to it."""

    def __init__(self) -> None:
        self.uplink = self.scratch = self.sensor = self.crumbs = self.clock = self
        self.online = True
        self.said: list[tuple[str, Any]] = []
        self.did: list[Any] = []
        self.kept: bytes | None = None
        self.rejected = {"crc": 2}
        self.table: dict[str, Any] = {}
        self.log = Log()
        self.news = asyncio.Event()

    def hear(self, level: str, handler: Any) -> None:
        assert level == "command"
        self.handler = handler

    async def say(self, level: str, payload: str) -> None:
        if not self.online:
            raise OSError(107, "no connection")
        self.said.append((level, json.loads(payload)))
        self.news.set()

    async def answered(self, number: str) -> None:
        while number not in [answer["id"] for _, answer in self.said]:
            self.news.clear()
            await self.news.wait()

    def read(self, slot: Any) -> bytes | None:
        assert slot == COMMAND
        return self.kept

    def write(self, slot: Any, data: bytes) -> None:
        assert slot == COMMAND
        assert len(data) <= COMMAND[1]
        self.kept = data

    async def restart(self, reason: str) -> None:
        self.did.append(("restart", reason))

    def sample(self) -> list[Any]:
        self.did.append("sample")
        return [("flow", "l/h", 4), ("temperature", "Cel", None)]

    def calibrated(self, readings: list[Any]) -> list[Any]:
        return readings

    def last_words(self) -> str:
        return "send"

    def calibrate(self, quantity: Any, offset: Any, gain: Any, version: Any) -> None:
        self.table = calibration.merge(self.table, quantity, offset, gain, version, "water")
        self.did.append(("calibrate", quantity))

    def correct(self, offset_ms: int) -> None:
        if abs(offset_ms) > 1_000_000:
            raise ValueError("not believed")
        self.did.append(("correct", offset_ms))

    def known(self) -> bool:
        return True

    def updater(self) -> Any:
        return self

    def retry(self) -> None:
        self.did.append("retry")


class Log:
    """Takes anything that can be said."""

    def __call__(self, name: str, text: str) -> None:
        assert isinstance(text, str)

    def lines(self, most: int) -> list[str]:
        return ["1 node: boots"]


def tell(node: Node, *payloads: bytes, part: Any = None) -> list[Any]:
    """What is answered to messages that come one after another."""
    part = part or commands.Commands(node)
    before = len(node.said)

    async def act() -> None:
        for payload in payloads:
            await part._answer(payload)

    asyncio.run(act())
    assert {level for level, _ in node.said} <= {"reply"}
    return [answer for _, answer in node.said[before:]]


def command(**said: Any) -> bytes:
    return json.dumps(said).encode()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    async def sleep_ms(ms: int) -> None:
        await asyncio.sleep(0)

    class Pin:
        OUT = 1

        def __init__(self, number: int, mode: int) -> None: ...

    monkeypatch.setattr(asyncio, "sleep_ms", sleep_ms, raising=False)
    monkeypatch.setattr(commands, "Pin", Pin)


FAST = tuple(op for op in commands._OPS if op != "identify")
"""Those of which nothing is left running."""

FIELDS = ("quantity", "offset", "gain", "version", "offset_ms", "extra")
ANY_COMMAND = st.fixed_dictionaries(
    {"id": st.text(max_size=40) | JSON, "op": st.sampled_from(FAST) | st.text(max_size=5) | JSON},
    optional={key: JSON | st.integers(-2_000_000, 2_000_000) for key in FIELDS},
)


@given(payload=st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_what_is_no_command_is_passed_over(payload: bytes) -> None:
    """Without a word, and without an effect."""
    node = Node()
    assert tell(node, payload) == node.did == []


@given(said=ANY_COMMAND)
def test_any_command_is_answered_once(said: dict[str, Any]) -> None:
    """If it has a name and an op; a second time with the same answer, and nothing happens again."""
    node = Node()
    payload = command(**said)
    part = commands.Commands(node)
    answers = tell(node, payload, payload, part=part)
    number, op = said["id"], said["op"]
    good = isinstance(number, str) and 1 <= len(number.encode()) <= 32 and isinstance(op, str)
    assert len(answers) == 2 * good
    assert len(node.did) <= 1
    if not good:
        return
    assert answers[0] == answers[1]
    assert answers[0]["id"] == number
    assert answers[0]["ok"] == ("error" not in answers[0])
    assert answers[0]["ok"] <= (op in commands._OPS)
    if not answers[0]["ok"]:
        assert answers[0]["error"]
        assert node.did == []
    assert node.table == calibration.check(node.table, "water"), "what was taken is good"


@pytest.mark.parametrize(
    ("said", "did", "answer"),
    [
        ({"op": "sample"}, "sample", {"readings": [{"n": "flow", "u": "l/h", "v": 4}]}),
        ({"op": "logs"}, None, {"lines": ["1 node: boots"], "rejected": {"crc": 2}, "last_words": "send"}),
        ({"op": "update"}, "retry", {}),
        ({"op": "reboot"}, ("restart", "command"), {}),
        (
            {"op": "calibrate", "quantity": "flow", "offset": 1, "gain": 1.5, "version": 1},
            ("calibrate", "flow"),
            {},
        ),
    ],
)
def test_each_op(said: dict[str, Any], did: Any, answer: dict[str, Any]) -> None:
    """Its effect and its answer."""
    node = Node()
    assert tell(node, command(id="x", **said)) == [{"id": "x", "ok": True, **answer}]
    assert node.did == [did] * (did is not None)


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"op": "run"}, "no such op; known are: reboot, identify, sample, logs, calibrate, time, update"),
        ({"op": "__init__"}, "no such op"),
        ({"op": "calibrate"}, "'quantity' is missing"),
        ({"op": "calibrate", "quantity": "co2", "offset": 1, "gain": 1, "version": 1}, "calibration.co2"),
        ({"op": "time", "offset_ms": 1.5}, "offset_ms must be a whole number"),
        ({"op": "time", "offset_ms": 10**30}, "not believed"),
    ],
)
def test_what_cannot_be_done_is_told(said: dict[str, Any], error: str) -> None:
    """What, and why; nothing is done."""
    node = Node()
    (answer,) = tell(node, command(id="x", **said))
    assert (answer["ok"], node.did) == (False, [])
    assert answer["error"].startswith(error)


def test_an_answer_that_was_lost_is_given_again() -> None:
    """The command was carried out, once."""
    node = Node()
    part = commands.Commands(node)
    node.online = False
    assert tell(node, command(id="x", op="update"), part=part) == []
    node.online = True
    assert tell(node, command(id="x", op="update"), part=part) == [{"id": "x", "ok": True}]
    assert node.did == ["retry"]


def test_a_reboot_comes_once_over_the_boot_that_it_brings() -> None:
    """The broker brings the command again to the next one: it is answered there."""
    node = Node()
    assert len(tell(node, command(id="r", op="reboot"))) == 1
    assert tell(node, command(id="r", op="reboot")) == [{"id": "r", "ok": True}]
    assert node.did == [("restart", "command")]
    tell(node, command(id="s", op="reboot"))
    assert node.did == [("restart", "command")] * 2


@given(ids=st.lists(st.integers(0, 12), max_size=40))
def test_the_last_few_are_remembered(ids: list[int]) -> None:
    """Who asks again within eight commands gets the answer of before; the memory does not grow."""
    node = Node()
    part = commands.Commands(node)
    expected, last = 0, list[int]()
    for number in ids:
        if number not in last:
            expected += 1
            last = [*last[-commands._REMEMBERED + 1 :], number]
        tell(node, command(id=str(number), op="update"), part=part)
        assert len(node.did) == expected
        assert len(part._answers) == len(last) <= commands._REMEMBERED


async def test_more_than_can_wait_is_passed_over() -> None:
    """The oldest are answered, in their order."""
    node = Node()
    part = commands.Commands(node)
    for n in range(7):
        node.handler(command(id=str(n), op="update"))
    task = asyncio.create_task(part.run())
    await asyncio.wait_for(node.answered("3"), 60)
    node.handler(command(id="later", op="update"))
    await asyncio.wait_for(node.answered("later"), 60)
    task.cancel()
    assert [answer["id"] for _, answer in node.said] == ["0", "1", "2", "3", "later"]


DEEP = b'{"id": "deep", "op": "calibrate", "quantity": "flow", "offset": 0, "version": 1, "gain": %s}'
PAYLOADS = [
    b"",
    b"\xff",
    b'{"id": "\xff", "op": "time"}',
    b'{1: 2, "id": "a", "op": "time"}',
    b'{"id": 1, "op": "time"}',
    b'{"id": "b", "op": "time", "offset_ms": 1e999}',
    b'{"id": "c", "op": "time", "offset_ms": %s}' % (b"9" * 300),
    b'{"id": "d", "op": "calibrate", "quantity": {"flow": 1}, "offset": 0, "gain": 1, "version": 1}',
    b'{"id": "e", "op": "calibrate", "quantity": 7, "offset": 0, "gain": 1, "version": 1}',
    b'{"id": "f", "op": "calibrate", "quantity": "flow", "offset": 0, "gain": {1: 2}, "version": 1}',
    DEEP % (b"[" * 100 + b"]" * 100),
    DEEP % (b"[" * 500 + b"]" * 500),
    DEEP % (b"[" * 1900 + b"]" * 1900),
    b'{"id":' * 650,
    b'{"id": "last", "op": "time"}',
]


def test_on_the_interpreter_of_the_board(tmp_path: Path) -> None:
    """Its JSON and its limits are others: the last command is answered all the same, and by the same task."""
    for n, payload in enumerate(PAYLOADS):
        (tmp_path / f"{n}").write_bytes(payload)
    printed = run(
        f"""
import asyncio, json
from node import calibration
from node.clock import Clock
from node.commands import Commands
from node.scratch import Scratch

class Node:
    def __init__(self):
        self.uplink, self.scratch = self, Scratch()
        self.clock = Clock(log=self.log, scratch=self.scratch)
    def hear(self, level, handler):
        self.handler = handler
    async def say(self, level, payload):
        print(payload)
    def log(self, name, text):
        pass
    def calibrate(self, quantity, offset, gain, version):
        calibration.merge({{}}, quantity, offset, gain, version, "water")

async def main():
    node = Node()
    part = Commands(node)
    task = asyncio.create_task(part.run())
    for n in range({len(PAYLOADS)}):
        with open("%d" % n, "rb") as f:
            node.handler(f.read())
        while part._queue:
            await asyncio.sleep_ms(1)
        await asyncio.sleep_ms(1)
    assert not task.done()

asyncio.run(main())
""",
        tmp_path,
    )
    answers = {answer["id"]: answer for answer in map(json.loads, printed)}
    assert [number for number in answers if number != "deep"] == ["a", "b", "c", "d", "e", "f", "last"]
    assert [answer["ok"] for number, answer in answers.items() if number != "deep"] == [True, *[False] * 5, True]
