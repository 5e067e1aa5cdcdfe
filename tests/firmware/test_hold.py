"""A gateway without room holds its site: whole nodes keep their packs in the outbox, and a broker sees none of them."""

from collections.abc import Callable
from itertools import count, islice
from pathlib import Path

from gateway.records import Pack
from sim_hardware.servers import Mosquitto
from tests.firmware.board import Board
from tests.firmware.nodes import BEGIN, FOREVER, POWER_ON, split
from tests.firmware.peers import Listener, Subscriber
from tests.firmware.sleeper import Sleeper
from tests.firmware.test_battery import DAY, HOUR, STILL, heard, numbers
from tests.firmware.test_node_life import Gateway
from tests.firmware.test_node_trouble import keys, messages

Switch = Callable[..., Board]

HOLD = "ganglion/v1/riverside/hold"
HELD = b'{"hold":true,"reason":"the journal is full"}'
STREAMS = ("telemetry", "event", "health")
QUICK = """
    from node import node as whole, outbox, uplink
    whole._KEEP_MS = outbox._KEEP_MS = 20
    uplink._RECOVERY_MS, uplink._RELEASE_MS = 20, 200
"""
TELLS = """
    told, made = None, 0
    while True:
        await asyncio.sleep_ms(100)
        if node.uplink.held != told:
            told = node.uplink.held
            print("held", told)
        if node.outbox.seq != made:
            made = node.outbox.seq
            print("made", made, node.outbox._store.packs, node.outbox.dropped)
"""


_asked = count()


def said(gateway: Gateway) -> list[Pack]:
    """All packs that have come up to the answer to a command, and are not asked for again."""
    gateway.ask(f"up-to-{next(_asked)}", "time")
    found = [each for each in gateway.pending if each.topic.rpartition("/")[2] in STREAMS]
    gateway.pending = [each for each in gateway.pending if each not in found]
    return [pack for each in found for pack in split(each)]


def until_stored(board: Board, packs: int) -> int:
    """Wait until so many packs are on flash; how many."""
    while True:
        _, stored, dropped = (int(word) for word in board.line("made").split())
        assert not dropped
        if stored >= packs:
            return stored


def arrived(gateway: Gateway, last: tuple[int, int]) -> list[tuple[int, int]]:
    """(boot, seq) of all packs as they come, up to this one."""
    found: list[tuple[int, int]] = []
    for packs in messages(gateway):
        found += keys(packs)
        if last in found:
            return found
    raise AssertionError


def test_a_held_node_keeps_its_packs_over_a_loss_of_power(broker: Mosquitto, on_flash: Switch) -> None:
    """It learns of the hold at its boot, is there, answers, and sends no pack; then all goes, in order and once."""
    with Gateway(broker.port) as gateway:
        gateway.publish(HOLD, HELD, retain=True)
        with on_flash(broker.port, BEGIN, QUICK + TELLS, window_s=10) as board:
            assert gateway.birth()["boot"] == 1
            assert board.line("held") == "True"
            first = until_stored(board, 12)
            assert not said(gateway)
        with on_flash(broker.port, BEGIN + HOUR, QUICK + TELLS, POWER_ON, window_s=10) as board:
            assert gateway.birth()["boot"] == 2
            assert board.line("held") == "True"
            assert until_stored(board, first + 12) >= first + 12
            assert not said(gateway)
            gateway.publish(HOLD, b"", retain=True)
            assert board.line("held") == "False"
            found = arrived(gateway, (2, 20))
    of_first = [seq for boot, seq in found if boot == 1]
    of_second = [seq for boot, seq in found if boot == 2]
    assert len(of_first) >= first
    assert found == [(1, n) for n in range(len(of_first))] + [(2, n) for n in range(len(of_second))]


def test_a_hold_comes_and_goes(broker: Mosquitto, on_flash: Switch) -> None:
    """Packs go, then wait on flash, then go again: each once, none before its elders."""
    with Gateway(broker.port) as gateway, on_flash(broker.port, BEGIN, QUICK + TELLS, window_s=10) as board:
        found: list[tuple[int, int]] = []
        for _ in range(2):
            before = len(found)
            while len(found) < before + 5:
                found += keys(next(messages(gateway)))
            gateway.publish(HOLD, HELD, retain=True)
            assert board.line("held False") == ""
            assert board.line("held") == "True"
            found += keys(said(gateway))
            until_stored(board, 10)
            assert not said(gateway)
            gateway.publish(HOLD, b"", retain=True)
        found += arrived(gateway, (1, found[-1][1] + 10))
    assert found == [(1, n) for n in range(len(found))]


def test_what_is_no_hold_holds_nothing(broker: Mosquitto, switch_on: Switch) -> None:
    """Nor does a hold go on after it."""
    payloads = [b"no JSON", b"[true]", b"true", b"{}", b'{"hold":1}', b'{"hold":"true"}', b'{"hold":null}']
    payloads += [b'{"hold":false}', b'{"hold":true', b"\xff\xfe\x00", b"[" * 3000, b'{"held":true}']
    with Gateway(broker.port) as gateway, switch_on("water", broker.port, BEGIN, QUICK + TELLS) as board:
        for payload in payloads:
            assert board.line("held False") == ""
            gateway.publish(HOLD, HELD, retain=True)
            assert board.line("held") == "True"
            made = int(board.line("made").split()[0])
            gateway.publish(HOLD, payload, retain=True)
            arrived(gateway, (1, made - 1))


def test_a_hold_of_another_site_is_not_ours(broker: Mosquitto, switch_on: Switch) -> None:
    with Gateway(broker.port) as gateway, switch_on("water", broker.port, BEGIN, QUICK + TELLS):
        gateway.publish("ganglion/v1/hillside/hold", HELD, retain=True)
        assert len(list(islice(gateway.packs("telemetry", 1), 3))) == 3


def test_a_hold_that_was_taken_back_meanwhile(broker: Mosquitto, on_flash: Switch) -> None:
    """The node is away as it ends: nobody tells it so but the broker's silence."""
    with on_flash(broker.port, BEGIN, QUICK + TELLS, window_s=10) as board, Gateway(broker.port) as gateway:
        gateway.publish(HOLD, HELD, retain=True)
        assert board.line("held True") == ""
        until_stored(board, 8)
        broker.stop()
        assert board.line("held") == "None"
        broker.start()
        with Subscriber(broker.port, "nothing") as other:
            other.publish(HOLD, b"", retain=True)
        assert board.line("held False") == ""


def test_a_broker_that_does_not_acknowledge_the_birth(switch_on: Switch) -> None:
    """After some seconds packs go all the same."""
    with Listener() as broker, switch_on("water", broker.port) as board:
        link = broker.accept()
        link.session()
        assert link.publish().topic.endswith("/status")
        assert link.publish().topic.endswith("/telemetry")
        board.kill()


def test_a_firmware_on_trial_proves_itself_while_held(broker: Mosquitto, switch_on: Switch) -> None:
    """It measures, and it hears: that nobody takes its packs is no fault of its."""
    life = """
    class Trial:
        def confirm(self):
            print("confirmed", node.uplink.held, node.outbox.seq > 0, node.outbox.acked)
    node._later._parts["update"] = Trial()
"""
    with Subscriber(broker.port) as city:
        city.publish(HOLD, HELD, retain=True)
        with switch_on("water", broker.port, BEGIN, QUICK + life + FOREVER) as board:
            assert board.line("confirmed") == "True True 0"


def test_a_node_on_a_battery_sleeps_while_held(broker: Mosquitto, tmp_path: Path, image: Path) -> None:
    """It says that it is there, hears, and keeps its packs for a later wake: after one and two hours, as after a
    failure."""
    (tmp_path / "board").mkdir()
    battery = {"window_s": HOUR, "report_s": DAY}
    meter = Sleeper(tmp_path / "board", image, broker.port, STILL, battery=battery)
    meter.patience(1 << 30)  # a report that does not end by itself never does
    with Subscriber(broker.port) as city:
        city.publish(HOLD, HELD, retain=True)
        meter.live(lambda: sum(wake.connections for wake in meter.wakes) >= 3)
        kept = heard(city)
        city.publish(HOLD, b"", retain=True)
        meter.live(lambda: sum(wake.connections for wake in meter.wakes) >= 4)
        sent = heard(city)
    assert not numbers(kept)
    assert sum(each.topic.endswith("/status") for each in kept) == 3
    ends = [line for line in meter.lines if line.endswith(", sleeps")]
    assert ["held" in line for line in ends] == [True] * 3 + [False]
    found = numbers(sent)
    assert found == [(1, seq) for seq in range(len(found))]
    assert len(found) >= 3 + 4, "a health report for each wake, and the windows between"
