"""What a silent node's console means, and the nodes that do report."""

import asyncio
from collections import deque
from pathlib import Path

import pytest

from gateway.board.birth import Birth, diagnose, find_fault
from gateway.board.errors import NotReported
from gateway.board.port import Console
from gateway.cli.flash import FIRMWARE
from gateway.config import Mqtt
from sim_hardware.servers import Mosquitto
from tests.firmware.peers import Subscriber

STATUS = "ganglion/v1/riverside/water-1/status"
BIRTH = b'{"online":true,"kind":"water","boot":%d,"firmware":"0.2.0","board":"esp32-devkit","reset_cause":"restart"}'


@pytest.mark.parametrize(
    ("line", "meaning"),
    [
        ("3 mqtt: no connection: OSError(110, 'no address from cabinet, status 201')", "no network of that name"),
        ("3 mqtt: no connection: OSError(110, 'no address from cabinet, status 202')", "the password is wrong"),
        ("3 mqtt: no connection: OSError(110, 'no address from cabinet, status 1001')", "(status 1001)"),
        ("3 mqtt: broker refused: user name or password", "the broker refused the node: user name or password"),
        ("9 mqtt: [Errno 13] enrolment refused: 401 this token was used", "no certificate: 401 this token was used"),
        ("node.config.ConfigError: sensors.lanes must be 1 to 4", "refuses its configuration: sensors.lanes"),
        ("MemoryError: memory allocation failed, allocating 2048 bytes", "memory does not suffice"),
        (r"4 mqtt: no connection: ValueError('\nThe certificate Common Name (CN) does not',)", "of another name"),
        ("4 mqtt: no connection: OSError(113,)", "has no connection to the broker: OSError(113,)"),
        ("invalid header: 0xffffffff", "no MicroPython on the board"),
        ("ValueError: something else", "ended with ValueError: something else"),
        ("4 clock: corrected by 20 ms", "the last was: 4 clock: corrected by 20 ms"),
    ],
)
def test_consoles_tell_why(line: str, meaning: str) -> None:
    assert meaning in diagnose(["1 node: boot 1", line])


def test_a_silent_console() -> None:
    assert "press its EN button" in diagnose([])


def test_only_what_waiting_does_not_mend_ends_it() -> None:
    assert find_fault(["ConfigError: kind"], final=True)
    assert not find_fault(["no address from cabinet, status 202", "MemoryError: x"], final=True)


def test_the_firmware_says_what_is_looked_for() -> None:
    """These words are the firmware's own; without them its faults would be called unknown."""
    sources = "".join(path.read_text() for path in (FIRMWARE / "node").glob("*.py"))
    for words in (
        '"no address from %s, status %d"',
        '"broker refused: "',
        '"enrolment refused: %s %s"',
        '"no connection: %r"',
        "class ConfigError",
    ):
        assert words in sources, words


class Lines(Console):
    """A console that has said what a test wants."""

    def __init__(self, *lines: str) -> None:
        self.lines = deque(lines)


async def wait(broker: Mosquitto, seconds: float, *lines: str) -> int:
    async with Birth(Mqtt("127.0.0.1", broker.port), "riverside", "water-1") as birth:
        with Subscriber(broker.port, "none") as other:
            await asyncio.to_thread(other.publish, STATUS, b'{"online":false}')
            await asyncio.to_thread(other.publish, STATUS, b"no status")
            if not lines:
                await asyncio.to_thread(other.publish, STATUS, BIRTH % 8, retain=True)
            return (await birth.wait(seconds, Lines(*lines), lambda line: None)).boot


async def test_a_birth_ends_the_wait_and_nothing_else_does(broker: Mosquitto) -> None:
    """Neither what the broker has kept of an earlier boot, nor a will, nor nonsense."""
    with Subscriber(broker.port, "none") as other:
        other.publish(STATUS, BIRTH % 7, retain=True)
    assert await wait(broker, 20) == 8
    with pytest.raises(NotReported, match="within 1 s: its console says nothing of a fault"):
        await wait(broker, 1, "hello")


async def test_a_refused_configuration_ends_the_wait_at_once(broker: Mosquitto) -> None:
    async with asyncio.timeout(20):
        with pytest.raises(NotReported, match="refuses its configuration: kind"):
            await wait(broker, 600, "ConfigError: kind")


async def test_a_broker_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotReported, match="cannot be listened to from this machine"):
        async with Birth(Mqtt("127.0.0.1", 9), "riverside", "water-1"):
            pass
