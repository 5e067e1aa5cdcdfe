"""A whole node and the real broker: what is wanted of it, what it is asked, crashes, no clock, an outage."""

import json
import time
from collections.abc import Callable, Iterator
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pytest

from gateway.records import Pack
from sim_hardware.servers import Mosquitto
from tests.firmware.board import Board
from tests.firmware.importer import load
from tests.firmware.nodes import BEGIN, FOREVER, HARD, POWER_ON, WATCHDOG, split, until_acknowledged, values
from tests.firmware.peers import Heard, Subscriber, tell

Switch = Callable[..., Board]
KEYS = load("node.wanted").KEYS
OPS = load("node.commands")._OPS
HOUR = 3_600
RESET = 80 + HARD
CONNECTED = "    while not node.uplink.connected:\n        await asyncio.sleep_ms(100)\n"
CRASH = """
    import machine
    machine.WDT(timeout=1000)  # the one that the node has, but sooner
    time.sleep_ms(1 << 30)  # nothing else runs until it bites
"""
PANIC = "    import machine\n    machine.reset()  # nobody had said so before\n"


class Gateway(Subscriber):
    """Speaks with one node. Each level is heard in its order, whatever comes on the others meanwhile."""

    def __init__(self, port: int, kind: str = "water") -> None:
        super().__init__(port, "ganglion/v1/#")
        self.root = f"ganglion/v1/riverside/{kind}-1/"
        self.pending: list[Heard] = []

    def hear(self, level: str) -> Heard:
        """The next message on this level."""
        for heard in self.pending:
            if heard.topic == self.root + level:
                self.pending.remove(heard)
                return heard
        while (heard := self.next()).topic != self.root + level:
            self.pending.append(heard)
        return heard

    def told(self, level: str) -> Any:
        """The next message on this level, of JSON."""
        return json.loads(self.hear(level).payload)

    def birth(self) -> Any:
        """The next status that is no will."""
        while not (status := self.told("status"))["online"]:
            pass
        return status

    def packs(self, stream: str, boot: int) -> Iterator[Pack]:
        """Of one boot: an earlier one's may come again."""
        while True:
            yield from (pack for pack in split(self.hear(stream)) if pack.boot == boot)

    def unheard(self, level: str) -> list[Heard]:
        """What has come on this level, and was not asked for."""
        return [each for each in self.pending if each.topic == self.root + level]

    def want(self, **config: object) -> None:
        self.publish(self.root + "config", json.dumps(config).encode(), retain=True)

    def ask(self, number: str, op: str, **more: object) -> Any:
        """The answer to a command."""
        self.publish(self.root + "command", json.dumps({"id": number, "op": op, **more}).encode())
        answer = self.told("reply")
        assert answer["id"] == number
        return answer


# What is wanted of the configuration.


def test_a_wanted_configuration_is_taken_by_a_restart(broker: Mosquitto, switch_on: Switch) -> None:
    """Key by key; what is refused is named with its reason. The same again changes nothing."""
    with Gateway(broker.port) as gateway:
        with switch_on("water", broker.port) as board:
            gateway.birth()
            gateway.want(
                window_s=30, health_s=0, mqtt={"host": "elsewhere"}, sensors={"reeds": 7}, outbox_kib=64, colour="red"
            )
            report = gateway.told("config/reported")
            assert board.ended() == RESET
        assert report["taken"] == {"window_s": 30, "outbox_kib": 64}
        assert report["refused"].keys() == {"health_s", "mqtt", "sensors", "colour"}
        assert "from 1 to 86400" in report["refused"]["health_s"]
        assert "reeds" in report["refused"]["sensors"]
        for key in ("mqtt", "colour"):
            assert all(known in report["refused"][key] for known in KEYS)

        with switch_on("water", broker.port, BEGIN + HOUR, cause=HARD) as board:
            birth = gateway.birth()
            assert (birth["boot"], birth["reset_cause"]) == (2, "restart")
            assert gateway.told("config/reported") == report
            times = [pack.time for pack in islice(gateway.packs("telemetry", 2), 5)]
            assert [after - before for before, after in pairwise(times)] == [30] * 4, "not its window, or a restart"
            # Back to what the board itself is configured to be.
            gateway.want()
            assert gateway.told("config/reported") == {"taken": {}, "refused": {}}
            assert board.ended() == RESET
        with switch_on("water", broker.port, BEGIN + 2 * HOUR, cause=HARD):
            assert gateway.birth()["boot"] == 3
            times = [pack.time for pack in islice(gateway.packs("telemetry", 3), 3)]
            assert [after - before for before, after in pairwise(times)] == [60] * 2
    with Gateway(broker.port) as later:
        assert later.told("config/reported") == {"taken": {}, "refused": {}}, "not retained"


@pytest.mark.parametrize("wanted", [b"no JSON", b"[1]", b'{"window_s": 30', b"7"])
def test_what_is_no_configuration_changes_nothing(broker: Mosquitto, switch_on: Switch, wanted: bytes) -> None:
    """It is refused as a whole, and the node goes on in its boot."""
    with Gateway(broker.port) as gateway, switch_on("water", broker.port):
        gateway.birth()
        gateway.publish(gateway.root + "config", wanted)
        assert gateway.told("config/reported") == {"taken": {}, "refused": {"": "not a JSON object"}}
        assert gateway.ask("1", "time")["ok"]
        assert not gateway.unheard("status")


# Commands.


def test_a_node_answers(broker: Mosquitto, switch_on: Switch) -> None:
    """What it measures now, what it has logged, its time; and why it does not do what it cannot."""
    with Gateway(broker.port, "air") as gateway, switch_on("air", broker.port):
        gateway.birth()
        told = values(next(gateway.packs("telemetry", 1)))

        sample = gateway.ask("now", "sample")
        assert sample["ok"]
        now = {each["n"]: each["v"] for each in sample["readings"]}
        assert now.keys() == told.keys()
        assert now == pytest.approx(told, rel=0.2)
        assert {each["n"]: each["u"] for each in sample["readings"]}["co2"] == "ppm"

        logs = gateway.ask("logs", "logs")
        assert logs["ok"]
        assert any("node: boot 1, firmware " in line for line in logs["lines"])
        assert any("mqtt: connected, session new" in line for line in logs["lines"])
        assert logs["last_words"] == ""
        assert len(json.dumps(logs)) < 4096

        clock = gateway.ask("clock", "time")
        assert clock["known"] is True
        assert BEGIN * 1000 < clock["unix_ms"] < time.time() * 1000

        unknown = gateway.ask("?", "dance")
        assert not unknown["ok"]
        assert all(op in unknown["error"] for op in OPS)
        assert "quantity" in gateway.ask("half", "calibrate")["error"]
        assert not gateway.ask("words", "time", offset_ms="soon")["ok"]


def test_what_is_no_command_is_passed_over(broker: Mosquitto, switch_on: Switch) -> None:
    """Nobody could be answered; the next one is."""
    with Gateway(broker.port) as gateway, switch_on("water", broker.port):
        gateway.birth()
        for nonsense in (
            b"{",
            b"[]",
            b'{"op":"time"}',
            b'{"id":7,"op":"time"}',
            b'{"id":"%s","op":"time"}' % (33 * b"x"),
        ):
            gateway.publish(gateway.root + "command", nonsense)
            assert gateway.ask(nonsense.decode()[:8], "time")["ok"]
        assert gateway.ask(32 * "x", "time")["ok"]


def test_a_reboot_that_comes_twice_is_one(broker: Mosquitto, switch_on: Switch) -> None:
    """The acknowledgement of a command may be lost with the boot that carried it out."""
    with Gateway(broker.port) as gateway:
        with switch_on("water", broker.port) as board:
            gateway.birth()
            assert gateway.ask("again", "reboot") == {"id": "again", "ok": True}
            assert board.ended() == RESET
        with switch_on("water", broker.port, BEGIN + HOUR, cause=HARD) as board:
            birth = gateway.birth()
            assert (birth["boot"], birth["reset_cause"]) == (2, "restart")
            assert gateway.ask("again", "reboot") == {"id": "again", "ok": True}
            assert next(gateway.packs("telemetry", 2)).time > BEGIN + HOUR
            assert gateway.ask("alive", "time")["ok"]
            assert not gateway.unheard("status"), "it has restarted"
            assert gateway.ask("another", "reboot")["ok"]
            assert board.ended() == RESET


# Memory.


LOADED = """
    import sys
    def loaded():
        return " ".join(name[5:] for name in sys.modules if name.startswith("node."))
    print("begun", loaded())
    while node.clock.error_ms != 90:
        await asyncio.sleep_ms(100)
    print("set", loaded())
"""
SELDOM = {"setup", "config", "checks", "files", "version", "calibration", "clockset", "health"}


def test_what_is_seldom_needed_is_not_in_memory(broker: Mosquitto, switch_on: Switch) -> None:
    """Nor does a check of what is wanted leave it there, and each says the same of what is wrong as the first."""
    life = CONNECTED + LOADED + FOREVER
    with Gateway(broker.port) as gateway, switch_on("water", broker.port, life=life) as board:
        gateway.birth()
        assert not SELDOM & set(board.line("begun").split())
        for reeds in (3, 4):
            gateway.want(sensors={"reeds": reeds})
            refused = gateway.told("config/reported")["refused"]
            assert refused["sensors"].startswith("sensors.reeds must be 1, or 2")
            answer = gateway.ask(f"c-{reeds}", "calibrate", quantity="co2", offset=0, gain=1, version=1)
            assert answer["error"].startswith("calibration.co2: what can be calibrated is flow")
        gateway.ask("right", "time", offset_ms=90)
        assert set(board.line("set").split()) & SELDOM == {"files"}, "what is wanted keeps it"


# Crashes.


def test_three_crashes_make_a_boot_safe(broker: Mosquitto, switch_on: Switch, tmp_path: Path) -> None:
    """Of whatever kind: then nothing is measured, but the node is there, says why, and can be told what to do."""
    kept = tmp_path / "calibration.json"
    kept.write_text('{"version": 1, "temperature": {"offset": -1, "gain": 1}}')
    crashes = ((POWER_ON, "power_on", CRASH), (WATCHDOG, "watchdog", PANIC), (HARD, "panic", CRASH))
    with Gateway(broker.port) as gateway:
        for n, (cause, name, life) in enumerate(crashes):
            with switch_on("water", broker.port, BEGIN + n * HOUR, CONNECTED + life, cause) as board:
                birth = gateway.birth()
                assert birth["reset_cause"] == name
                assert "safe" not in birth
                assert board.ended() == (RESET if life == PANIC else 80 + WATCHDOG)
        with switch_on("water", broker.port, BEGIN + 3 * HOUR, cause=WATCHDOG) as board:
            birth = gateway.birth()
            assert birth["safe"] == "3 crashes, the last while: send"
            assert (birth["boot"], birth["reset_cause"]) == (4, "watchdog")
            assert gateway.ask("now", "sample")["readings"] == []
            assert next(gateway.packs("health", 4)).time == BEGIN + 3 * HOUR + 60
            assert gateway.ask("better", "calibrate", quantity="flow", offset=0, gain=1.5, version=2)["ok"]
            assert json.loads(kept.read_text()).keys() == {"version", "temperature", "flow"}, "none is forgotten"
            gateway.want(window_s=20, colour="red")
            report = gateway.told("config/reported")
            assert report["taken"] == {"window_s": 20}
            assert report["refused"].keys() == {"colour"}
            assert board.ended() == RESET
        assert not [pack for heard in gateway.unheard("telemetry") for pack in split(heard) if pack.boot == 4]


def test_the_last_words_of_a_boot_are_told(broker: Mosquitto, switch_on: Switch, tmp_path: Path) -> None:
    """What ends the whole program is kept over the reset, for who asks for the log."""
    failing = """
import main
def build():
    raise ValueError("no good")
main.build = build
main.main()
"""
    with Gateway(broker.port) as gateway:
        with Board(failing, tmp_path) as board:
            assert board.ended() == 1
        with switch_on("water", broker.port, cause=HARD):
            assert gateway.birth()["reset_cause"] == "panic"
            words = gateway.ask("why", "logs")["last_words"]
    # The end of them: how much of the beginning is left depends on how long the paths are.
    assert 'File "<stdin>", line 5, in build' in words
    assert words.rstrip().endswith("ValueError: no good")


# A clock that nobody has set.


def test_the_gateway_tells_the_time(broker: Mosquitto, switch_on: Switch) -> None:
    """A board without battery and NTP measures at once; its packs wait until it is told how wrong its clock is."""
    life = """
    while len(node.outbox) < 3:
        await asyncio.sleep_ms(10)
    print("waiting", node.outbox.acked)
""" + until_acknowledged(5)
    with Gateway(broker.port) as gateway:
        began = time.time()
        with switch_on("water", broker.port, None, life, window_s=1) as board:
            assert gateway.birth()["clock"] is False
            board.line("boot")
            up = time.time()
            assert board.line("waiting") == "0"
            sent = time.time()
            answer = gateway.ask("what", "time")
            got = time.time()
            middle_ms = int((sent + got) * 500)
            unsure = (got - sent) / 2 + 0.1  # s: nobody can say when on the way the node looked at its clock
            assert answer["known"] is False
            assert answer["unix_ms"] < 946_684_800_000 + 60_000, "not in the first minute of 2000"
            assert not gateway.unheard("telemetry")
            assert not gateway.unheard("health")
            assert not gateway.ask("absurd", "time", offset_ms=-1_000_000_000_000)["ok"]
            asked = time.time()
            answer = gateway.ask("set", "time", offset_ms=middle_ms - answer["unix_ms"])
            assert answer["ok"]
            assert answer["known"] is True
            assert asked - unsure <= answer["unix_ms"] / 1000 <= time.time() + unsure
            found = list(islice(gateway.packs("telemetry", 1), 4))
            assert board.line("dropped") == "0"
    times = [pack.time for pack in found]
    assert began - 1 - unsure <= times[0] <= up + 3 + unsure, "not when it was measured"
    assert times[1] == times[0] + 1, "the windows that ended before"
    assert times == sorted(set(times))
    assert times[-1] <= time.time() + 1 + unsure


# An outage.


def test_an_outage_costs_nothing(broker: Mosquitto, switch_on: Switch, tmp_path: Path) -> None:
    """What was measured meanwhile comes in its order, many packs to a message, and what was sent last comes again."""
    life = """
    from node import outbox, uplink
    uplink._FIRST_MS, uplink._LONGEST_MS, uplink._RECOVERY_MS = 20, 100, 20
    outbox._LINGERING = 1000  # in life 16 packs are minutes; here they would be gone before the broker is stopped
    outbox._LINGER_MS = 60_000
    import os
    while node.outbox.acked < 5:
        await asyncio.sleep_ms(100)
    print("before", node.outbox.seq)
    while node.uplink.connected:
        await asyncio.sleep_ms(100)
    while len(node.outbox) < 20:
        await asyncio.sleep_ms(1000)
    world.link_up = False  # until somebody else listens at the broker
    while len(node.outbox) < 60:
        await asyncio.sleep_ms(1000)
    print("away", node.outbox.seq)
    while "back" not in os.listdir():
        await asyncio.sleep_ms(1000)
    world.link_up = True
    last = node.outbox.seq + 10
    while node.outbox.acked < last:
        await asyncio.sleep_ms(100)
    print("last", last, node.outbox.dropped)
"""
    with switch_on("water", broker.port, life=life, window_s=15, health_s=300) as board:
        with Subscriber(broker.port) as early:
            board.line("before")
            before = _measured(early)
        broker.stop()
        board.line("away")
        broker.start()
        with Subscriber(broker.port) as late:
            tell(tmp_path, "back")
            last, dropped = board.line("last").split()
            after = _measured(late)
    assert dropped == "0"
    assert any(len(message) > 5 for message in after), "one by one"
    assert all(len({pack.stream for pack in message}) == 1 for message in after)
    numbers = [pack.seq for message in after for pack in message]
    assert numbers == list(range(numbers[0], numbers[-1] + 1)), "not in order, or not once"
    sent = {pack.seq: pack for message in before for pack in message}
    assert numbers[0] <= max(sent) + 1, "a gap"
    assert sent.keys() >= set(range(numbers[0]))
    assert numbers[-1] >= int(last) - 1
    for message in after:
        for pack in message:
            assert sent.get(pack.seq, pack) == pack, "not as it was"
    times = [pack.time for message in after for pack in message]
    assert times == sorted(times)


def _measured(subscriber: Subscriber) -> list[list[Pack]]:
    """The packs of each message that has come until now."""
    subscriber.publish("test/marker", b"")
    heard = iter(subscriber.next, Heard("test/marker", b"", False))
    return [split(each) for each in heard if each.topic.rpartition("/")[2] in ("telemetry", "event", "health")]
