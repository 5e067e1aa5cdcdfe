"""A water meter on a battery: days of deep sleep on the real interpreter, with the real broker."""

import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from gateway.records import Pack
from sim_hardware.servers import Mosquitto
from tests.firmware.importer import load
from tests.firmware.nodes import decoded, values
from tests.firmware.peers import Heard, Subscriber
from tests.firmware.sleeper import BEGIN, BEGIN_US, DEEP_SLEEP, Sleeper

configuration = load("node.config")

HOUR, DAY = 3_600, 86_400
PIN, PINS, TIMER = 2, 3, 4
TOPIC = "ganglion/v1/riverside/water-1"

EVENINGS = "return 60_000 if since // 3_600_000_000 % 24 in (18, 19) else 0, (us // 3_600_000_000 + 1) * 3_600_000_000"
"""60 l/h for two hours a day."""
STEADY = "return 20_000, us + 3_600_000_000"
STILL = "return (0, us + 3_600_000_000) if us <= world.now else None"

BRIEF = {
    *("main", "node", "node.wake", "node.register", "node.scratch"),
    *("drivers", "drivers.reed", "drivers.contact"),
}

Board = Callable[..., Sleeper]


@pytest.fixture
def board(tmp_path: Path, image: Path, broker: Mosquitto) -> Board:
    (tmp_path / "board").mkdir()
    return lambda flow, **given: Sleeper(tmp_path / "board", image, broker.port, flow, **given)


def lid(opens_s: int) -> str:
    """A housing that is opened once."""
    at = BEGIN_US + opens_s * 1_000_000
    return f"""
class Lid:
    def next_us(self):
        return {at} if world.now < {at} else None
    def fire(self):
        return 13, 1
hardware.line(13).drive(int(world.now >= {at}))
hardware.attach_pins(Lid())
"""


def heard(city: Subscriber) -> list[Heard]:
    """All until now."""
    city.publish("test/marker", b"")
    return list(iter(city.next, Heard("test/marker", b"", False)))


def split(messages: list[Heard], stream: str) -> Iterator[Pack]:
    """A message may carry several packs."""
    for each in messages:
        if not each.topic.endswith(f"/{stream}"):
            continue
        records = json.loads(each.payload)
        starts = [i for i, record in enumerate(records) if "bt" in record] + [len(records)]
        for begin, end in pairwise(starts):
            part = records[begin:end]
            part[0]["bn"] = records[0]["bn"]
            yield decoded(Heard(each.topic, json.dumps(part).encode(), False))


def numbers(messages: list[Heard]) -> list[tuple[int, int]]:
    """(boot, seq) of all packs, sorted."""
    return sorted((p.boot, p.seq) for stream in ("telemetry", "event", "health") for p in split(messages, stream))


@pytest.mark.soak
def test_two_days(broker: Mosquitto, board: Board) -> None:
    """Each pulse is counted, and each hour told, in one boot, with one connection a day; pulse wakes load next to
    nothing."""
    meter = board(EVENINGS)
    with Subscriber(broker.port) as city:
        meter.live(seconds=2.5 * DAY)
        messages = heard(city)
    reports = [wake for wake in meter.wakes if wake.connections]
    assert len(reports) == 1 + 3, "one at the boot, one a day"
    for one, two in pairwise(reports[1:]):
        assert two.woke_us - one.woke_us == pytest.approx(DAY * 1_000_000, abs=60_000_000)
    pulses = [wake for wake in meter.wakes if wake.reason == PIN]
    assert meter.truth() == 24
    assert len(pulses) == 2 * 24, "an edge each"
    assert all(wake.modules == BRIEF for wake in pulses)
    assert all(wake.awake_us < 70_000 for wake in pulses)
    windows = [wake for wake in meter.wakes if wake.reason == TIMER and not wake.connections]
    assert all("node.net" not in wake.modules and "node.node" not in wake.modules for wake in windows)

    found = list(split(messages, "telemetry"))
    assert [pack.time for pack in found] == [BEGIN + HOUR * n for n in range(1, 1 + len(found))]
    assert len(found) >= 40
    for pack in found[1:]:
        hour = (pack.time - BEGIN) // HOUR
        ran = 120 * (hour // 24) + 60 * min(2, max(0, hour % 24 - 18))
        assert values(pack)["volume"] == pytest.approx(ran, abs=10)
        assert values(pack)["flow"] == pytest.approx(60 if hour % 24 in (19, 20) else 0, abs=10)
    assert {pack.boot for pack in found} == {1}
    own = numbers(messages)
    assert own == [(1, seq) for seq in range(len(own))]
    births = [json.loads(each.payload) for each in messages if each.topic.endswith("/status")]
    assert [birth["online"] for birth in births] == [True] * 4, "no will"
    assert [birth["sleeps_s"] for birth in births] == [DAY] * 4


def test_an_open_housing_is_told_at_once(broker: Mosquitto, board: Board) -> None:
    """And once."""
    opens = 5 * HOUR + 1234
    meter = board(STILL, lid=lid(opens))
    with Subscriber(broker.port) as city:
        meter.live(seconds=8 * HOUR)
        messages = heard(city)
    (event,) = split(messages, "event")
    assert values(event) == {"tamper": True}
    assert event.time == pytest.approx(BEGIN + opens, abs=30)
    (wake,) = [wake for wake in meter.wakes if wake.reason == PINS]
    assert wake.connections == 1


def test_a_burst_is_told_with_the_pulse_that_proves_it(broker: Mosquitto, board: Board) -> None:
    """The window ends early; while it lasts nothing is told early again."""
    meter = board(
        "return (2_400_000 if since > 10_000_000_000 else 0), us + 600_000_000",
        ml=100_000,
        battery={"burst_l_h": 1_000, "window_s": HOUR, "report_s": DAY},
    )
    with Subscriber(broker.port) as city:
        meter.live(seconds=4.6 * HOUR)
        messages = heard(city)
    found = list(split(messages, "telemetry"))
    (burst,) = [pack for pack in found if pack.time % HOUR]
    # It begins at 10,000 s; the third hour has 800 s of it, 533 l; of the fourth 1,100 l are too many.
    assert burst.time - BEGIN == pytest.approx(3 * HOUR + 1650, abs=160)
    assert values(burst)["flow"] == pytest.approx(2_400, abs=240)
    early = [wake for wake in meter.wakes if wake.connections and abs(wake.woke_us / 1e6 - burst.time) < 60]
    assert len(early) == 1


@pytest.mark.soak
def test_three_days_without_a_broker(broker: Mosquitto, board: Board) -> None:
    """Nothing is lost, all comes in order, and it is tried ever more seldom."""
    meter = board("return 10_000, us + 3_600_000_000", battery={"window_s": 2 * HOUR, "report_s": 12 * HOUR})
    with Subscriber(broker.port) as city:
        meter.live(lambda: len(meter.wakes) > 1)
        first = heard(city)
    broker.kill()
    meter.patience(300)
    meter.live(seconds=3 * DAY)
    tries = [wake.slept_us // 1_000_000 for wake in meter.wakes if "node.report" in wake.modules][1:]
    waits = [b - a for a, b in pairwise(tries)]
    assert min(waits) >= HOUR
    assert waits[:4] == sorted(waits[:4])
    assert 6 <= len(tries) <= 16
    broker.start()
    meter.patience(15_000)
    with Subscriber(broker.port) as city:
        meter.live(lambda: meter.wakes[-1].connections > 0)
        rest = heard(city)
    found = list(split(rest, "telemetry"))
    times = [pack.time for pack in found]
    assert times == list(range(times[0], times[-1] + 1, 2 * HOUR))
    assert times[0] == BEGIN + 2 * HOUR
    assert times[-1] - times[0] >= 2.9 * DAY
    own = numbers(first + rest)
    assert own == [(1, seq) for seq in range(len(own))]
    assert values(found[-1])["volume"] == pytest.approx(10 * (times[-1] - BEGIN) / HOUR, abs=10)


def test_a_loss_of_power_costs_a_window(broker: Mosquitto, board: Board) -> None:
    """A new boot, which tells that its register is an older one; the outbox on flash is sent."""
    meter = board(STEADY)
    with Subscriber(broker.port) as city:
        meter.live(seconds=6.9 * HOUR)
        meter.lose_power(seconds=600)
        meter.live(lambda: meter.wakes[-1].cause == 1 and len(meter.wakes) > 3)
        messages = heard(city)
        meter.live(lambda: meter.now_s() >= 9 * HOUR and "node.battery" in meter.wakes[-1].modules)
    (event,) = split(messages, "event")
    assert values(event) == {"register_restored": True}
    own = numbers(messages)
    assert {boot for boot, _ in own} == {1, 2}
    assert [seq for boot, seq in own if boot == 1] == list(range(sum(boot == 1 for boot, _ in own)))
    kept = json.loads((meter.folder / "nvs-meter.json").read_text())["pulses"]
    assert meter.truth() - kept == 4, "two of the window, one while it was off, and one since the last checkpoint"


def test_the_clock_that_loses_an_hour_a_day(broker: Mosquitto, board: Board) -> None:
    """Asked once after the boot it is known how it drifts; then each window ends when it should."""
    right = """
    def correct():
        from node.clock import rtc_ms
        node.clock.correct(world.now // 1000 - rtc_ms())
    node.uplink.on_connect.append(correct)
"""
    meter = board(STILL, ppm=-45_000, built=right, battery={"window_s": HOUR, "report_s": DAY})
    with Subscriber(broker.port) as city:
        meter.live(seconds=1.6 * DAY)
        messages = heard(city)
    assert len(list(split(messages, "telemetry"))) > 20
    ends = [w.slept_us / 1e6 - BEGIN for w in meter.wakes if w.reason == TIMER and "node.report" not in w.modules]
    late = [(end + HOUR / 2) % HOUR - HOUR / 2 for end in ends if end > 3 * HOUR]
    assert max(map(abs, late)) < 30, late
    assert len(late) > 25
    assert sum(w.connections for w in meter.wakes) <= 1 + 1 + 2


def test_water_that_runs_backwards(broker: Mosquitto, board: Board) -> None:
    """Two contacts: told at once, and so is its end."""
    meter = board("return (-60_000 if 7_400 < since // 1_000_000 < 12_700 else 60_000), us + 600_000_000", second=14)
    with Subscriber(broker.port) as city:
        meter.live(seconds=4.6 * HOUR)
        messages = heard(city)
    events = [(values(pack), pack.time - BEGIN) for pack in split(messages, "event")]
    assert [event["reverse_flow"] for event, _ in events] in ([True, False], [True, True, False]), "again at a report"
    assert 2 * HOUR < events[0][1] < 2.6 * HOUR
    assert 3.5 * HOUR < events[-1][1] < 4.1 * HOUR
    register = json.loads((meter.folder / "nvs-meter.json").read_text())
    assert register["reverse"] == meter.truth(backward=True) > 5
    assert "reverse_volume" in values(next(split(messages, "telemetry")))


def test_what_is_wanted_is_heard_at_the_next_report(broker: Mosquitto, board: Board) -> None:
    """A command and a new configuration wait with the broker; both are answered in one wake each."""
    meter = board(STILL, battery={"window_s": 4 * HOUR, "report_s": 12 * HOUR})
    with Subscriber(broker.port) as city:
        meter.live(lambda: bool(meter.wakes))
        city.publish(f"{TOPIC}/command", b'{"id":"a","op":"sample"}')
        meter.live(lambda: meter.wakes[-1].connections > 0 and len(meter.wakes) > 1)
        while not (said := city.next()).topic.endswith("/reply"):  # a node does not wait until the broker has told it
            pass
        reply = json.loads(said.payload)
        assert (reply["id"], reply["ok"]) == ("a", True)
        wanted = {"battery": {"window_s": 2 * HOUR, "report_s": 6 * HOUR}}
        city.publish(f"{TOPIC}/config", json.dumps(wanted).encode(), retain=True)
        meter.live(lambda: meter.resets > 0)
        meter.live(lambda: meter.wakes[-1].cause != DEEP_SLEEP)
        messages = heard(city)
    said = [json.loads(each.payload) for each in messages if each.topic.endswith("/config/reported")]
    assert said[0] == {"taken": wanted, "refused": {}}
    births = [json.loads(each.payload) for each in messages if each.topic.endswith("/status")]
    assert births[-1]["sleeps_s"] == 6 * HOUR
    assert births[-1]["boot"] == 2


GOOD: dict[str, Any] = {"kind": "water", "site": "riverside", "node": "water-1", "mqtt": {"host": "gateway.lan"}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "air", "battery": {"window_s": 3600}}, "battery: only a water meter can sleep"),
        ({"battery": {"window": 3600}}, "unknown key battery.window"),
        ({"battery": {"window_s": 59}}, "battery.window_s must be a whole number from 60 to 86400"),
        ({"battery": {"report_s": 3599}}, "battery.report_s must be a whole number from 3600 to 604800"),
        ({"battery": {"burst_l_h": 0}}, "battery.burst_l_h must be a number above 0, or null"),
        ({"battery": {"burst_l_h": True}}, "battery.burst_l_h must be a number above 0, or null"),
    ],
)
def test_a_wrong_configuration(changes: dict[str, Any], message: str) -> None:
    """The key, and what may stand there."""
    with pytest.raises(configuration.ConfigError) as refused:
        configuration.check(GOOD | changes)
    assert str(refused.value) == message


def test_the_complete_configuration() -> None:
    """Nothing of it means mains."""
    assert configuration.check(GOOD)["battery"] == {}
    assert configuration.check(GOOD | {"battery": {"window_s": 900}})["battery"] == {
        "report_s": DAY,
        "window_s": 900,
        "burst_l_h": None,
    }
