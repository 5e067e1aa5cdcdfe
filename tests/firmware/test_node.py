"""A whole node on MicroPython with chips on its pins, run fast, against the real broker."""

import json
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest

from gateway.ingest.decode import decode_pack, decode_status
from gateway.quantities import KINDS
from gateway.records import Pack
from sim_hardware.servers import Mosquitto
from tests.firmware.board import Board
from tests.firmware.importer import load
from tests.firmware.nodes import BEGIN, packs, split, until_acknowledged, values
from tests.firmware.peers import Subscriber
from tests.firmware.sntp import OFFSET_S, address, listening, serve_time

Switch = Callable[..., Board]
VERSION = load("node.version").VERSION

EXPECTED: dict[str, dict[str, float]] = {
    "traffic": {
        "lane1/volume": 10,
        "lane1/class_short": 10,
        "lane1/speed": 50,
        "lane1/occupancy": 7.8,
        "lane2/volume": 3,
        "lane2/class_long": 3,
        "lane2/speed": 36,
        "lane2/occupancy": 7,
        "lane1/wrong_way": 0,
        "lane2/wrong_way": 0,
        **{f"lane1/class_{name}": 0 for name in ("motorcycle", "medium", "long")},
        **{f"lane2/class_{name}": 0 for name in ("motorcycle", "short", "medium")},
    },
    "water": {"flow": 600, "flow_min": 600},
    "air": {
        "pm1_0": 12,
        "pm2_5": 31,
        "pm10": 52,
        "co2": 612,
        "temperature": 21.5,
        "humidity": 55,
        "pressure": 101_300,
    },
}
WITHIN = {"flow": 60, "flow_min": 3, "pm1_0": 1, "pm2_5": 1, "pm10": 1, "co2": 4, "pressure": 5, "occupancy": 0.05}


@pytest.mark.parametrize("kind", KINDS)
def test_windows_sum_up_what_is_on_the_pins(broker: Mosquitto, switch_on: Switch, kind: str) -> None:
    """Through drivers, window, outbox and broker: what was put before the chips comes out, and nothing is absent."""
    with (
        Subscriber(broker.port) as city,
        switch_on(kind, broker.port, life=until_acknowledged(6)) as board,
    ):
        found = list(islice(packs(city, "telemetry"), 5))
        assert board.line("dropped") == "0"
    assert [pack.time for pack in found] == [BEGIN + 60 * n for n in range(1, 6)]
    assert [pack.seq for pack in found] == [0, 2, 3, 4, 5], "seq 1 is the health of the first window"
    registers = []
    for pack in found:
        measured = values(pack)
        if kind == "water":
            registers.append(measured.pop("volume"))
        assert measured.keys() == EXPECTED[kind].keys()
        for name, value in EXPECTED[kind].items():
            within = WITHIN.get(name.rpartition("/")[2], 0.1)
            assert measured[name] == pytest.approx(value, abs=within), name
    for pack, before, after in zip(found[1:], registers, registers[1:], strict=False):
        assert after - before == values(pack)["flow"] / 60, "the register and the flow disagree"


@pytest.mark.parametrize(
    ("late", "window", "first"),
    [(0, 60, 60), (5, 60, 60), (7, 60, 120), (59, 60, 120), (3599, 60, 3660), (1, 15, 15), (2, 15, 30), (13, 120, 240)],
)
def test_windows_end_on_whole_multiples_of_their_length(
    broker: Mosquitto, switch_on: Switch, late: int, window: int, first: int
) -> None:
    """In Unix time; one in which the node was up for less than nine tenths is not sent."""
    with Subscriber(broker.port) as city, switch_on("water", broker.port, BEGIN + late, window_s=window):
        found = list(islice(packs(city, "telemetry"), 3))
    assert [pack.time - BEGIN for pack in found] == [first, first + window, first + 2 * window]
    assert found[0].seq == 0, "what was not sent is no gap"


def test_boots_are_counted_and_the_register_goes_on(broker: Mosquitto, switch_on: Switch, tmp_path: Path) -> None:
    """Over two losses of power: the number of the boot in birth and packs, the meter's total where it was."""
    with Subscriber(broker.port) as city:
        register = 0
        seen: dict[tuple[int, int], Pack] = {}
        for boot in (1, 2, 3):
            with switch_on("water", broker.port, BEGIN + 3600 * boot, until_acknowledged(5)) as board:
                assert board.line("boot") == str(boot)
                birth = city.next()
                found: list[Pack] = []
                # What was made before it was connected is on flash: an earlier boot's comes again.
                for pack in packs(city, "telemetry"):
                    assert seen.setdefault((pack.boot, pack.seq), pack) == pack
                    found += [pack] * (pack.boot == boot)
                    if len(found) == 3:
                        break
                board.line("end")
            assert birth.topic == "ganglion/v1/riverside/water-1/status"
            assert json.loads(birth.payload) == {
                "online": True,
                "kind": "water",
                "boot": boot,
                "firmware": VERSION,
                "board": "esp32-devkit",
                "reset_cause": "power_on",
                "clock": True,
            }
            assert decode_status(birth.payload).online
            assert max(seen)[0] == boot
            volumes = [values(pack)["volume"] for pack in found]
            assert volumes == pytest.approx([register + 10, register + 20, register + 30], abs=1)
            register = json.loads((tmp_path / "nvs-meter.json").read_text())["pulses"]
            assert register >= volumes[-1]
            while (heard := city.next()).topic != birth.topic:
                assert all(pack.boot <= boot for pack in split(heard))
            assert heard.payload == b'{"online":false}'


def test_a_dead_chip_costs_its_own_readings_alone(broker: Mosquitto, switch_on: Switch) -> None:
    """While it is silent they are absent, never 0; when it answers again they are back by themselves."""
    life = """
    for name in ("scd", "bme", "pms"):
        chip = {"scd": scd, "bme": bme, "pms": pms}[name]
        await asyncio.sleep_ms(110_000)
        chip.dead = True
        await asyncio.sleep_ms(130_000)
        chip.dead = False
""" + until_acknowledged(18)
    own = {
        **dict.fromkeys(("co2",), "scd"),
        **dict.fromkeys(("temperature", "humidity", "pressure"), "bme"),
        **dict.fromkeys(("pm1_0", "pm2_5", "pm10"), "pms"),
    }
    with Subscriber(broker.port) as city, switch_on("air", broker.port, life=life) as board:
        found = list(islice(packs(city, "telemetry"), 16))
        board.line("dropped")
    absent = [{own[name] for name in own.keys() - values(pack).keys()} for pack in found]
    # Dead from 110 s, 350 s and 590 s on, for 130 s each; then up to a minute until the next attempt.
    assert absent[0] == set()
    for first, name in ((2, "scd"), (6, "bme"), (10, "pms")):
        assert name in absent[first + 1], name
        assert all(each <= {name} for each in absent[first : first + 3])
    assert absent[-2:] == [set(), set()]
    assert all(value > 0 for pack in found for value in values(pack).values())


@pytest.mark.parametrize("flash", ["", "outbox._store = None"], ids=["flash", "none"])
def test_a_full_heap_costs_the_oldest_packs_and_not_the_newest(switch_on: Switch, flash: str) -> None:
    """Half of what is in RAM makes room for the window that has just ended: to flash if that is possible without a
    heap, else it is counted; and the node lives on."""
    life = f"""
    outbox = node.outbox
    {flash}
    outbox.online = True  # as on a connection: packs stay in RAM
    for n in range(40):
        outbox.put({BEGIN} + 60 * n, "telemetry", "x" * 100)
    print("before", len(outbox._fresh), outbox.dropped)
    readings = [("flow", "l/h", 600.5), ("flow_min", "l/h", 590.5)]
    chain = None
    try:
        while True:
            chain = (chain,)
    except MemoryError:
        pass
    node.send("telemetry", readings, {BEGIN} + 2400)
    chain = None
    print("outbox", len(outbox), outbox.dropped, outbox.seq, len(outbox._fresh))
    found = outbox.next()
    while found:
        print("pack", found.packs[0][1], found.packs[0][2] - {BEGIN}, found.packs[0][3] == b"x" * 100)
        outbox.published(found)
        outbox.acknowledged(found.number)
        found = outbox.next()
    print("done", len(outbox), outbox.dropped)
"""
    with switch_on("water", 1, life=life) as board:
        assert board.line("before") == "40 0"
        waiting, dropped, seq, in_ram = (int(word) for word in board.line("outbox").split())
        assert (seq, in_ram) == (41, 21), "the newest is not among them, or more than half made room"
        assert waiting + dropped == 41
        assert dropped == 20 if flash else dropped <= 20
        assert [board.line("pack") for _ in range(waiting)] == [f"{n} {60 * n} {n < 40}" for n in range(dropped, 41)], (
            "not the oldest were dropped"
        )
        assert board.line("done") == f"0 {dropped}"


def test_packs_from_before_the_clock_was_known_wait_for_it(broker: Mosquitto, switch_on: Switch) -> None:
    """A board without a battery measures at once; its windows are stamped when the time is known, never before."""
    with listening() as server, Subscriber(broker.port) as city:
        life = """
    from node import sntp
    sntp._WAIT_MS = sntp._WAY_MS = 20_000
    while len(node.outbox) < 4:
        await asyncio.sleep_ms(10)
    print("waiting", node.outbox.acked, node.clock.unix_ms())
    while not node.clock.known():
        await asyncio.sleep_ms(10)
    print("known", node.clock.offset, node.clock.unix_ms())
""" + until_acknowledged(6)
        with switch_on("water", broker.port, None, life, window_s=1, ntp=address(server)) as board:
            acked, waited_ms = (int(word) for word in board.line("waiting").split())
            served = serve_time(server, OFFSET_S)
            offset, known_ms = (int(word) for word in board.line("known").split())
            board.line("dropped")
            now = time.time() + OFFSET_S
        heard = [each.payload for each in (city.next() for _ in range(6)) if each.topic.endswith("/telemetry")]
    assert acked == 0
    times = [decode_pack("riverside", "water-1", "telemetry", payload, now=now, kind="water").time for payload in heard]
    # It asked when it was switched on, and halves the time until it was answered.
    took_s = known_ms / 1000 - offset - served.asked
    assert -took_s / 2 - 1.05 <= offset - (served.at + OFFSET_S - served.asked) <= 0.05
    assert times[:3] == [times[0], times[0] + 1, times[0] + 2], "the windows that ended before"
    assert times[2] - offset in (waited_ms // 1000, waited_ms // 1000 - 1), "not when it was measured"
    assert times == sorted(set(times))
