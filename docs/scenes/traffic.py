"""Counters: what they tell in trouble, minute by minute."""

from typing import Any

import numpy as np
from scenes.judged import DAY, HOUR, MINUTE, bound, judge, noise, packs, show

from gateway.detect.plan import Plan, Street
from gateway.records import Incident, Pack

LANE_M = 6.5
"""m, a vehicle over a loop."""
NAMES = ("traffic-0001", "traffic-0002", "traffic-0003")
STREET = Plan((Street("Market Street", NAMES, metres=(0.0, 300.0, 600.0)),))


def _lane(seed: int, speed: np.ndarray, volume: np.ndarray, occupancy: np.ndarray | None = None) -> dict[str, Any]:
    """Windows of a minute with the noise of single drivers."""
    kmh = np.round(np.maximum(speed * (1 + noise(seed, len(speed), 0.05)), 1), 1)
    count = np.random.default_rng(seed + 1).poisson(volume)
    if occupancy is None:
        occupancy = 100 * count * LANE_M / (kmh / 3.6) / 60
    return {"volume": count, "speed": np.where(count, kmh, np.nan), "occupancy": np.round(occupancy, 1)}


def _named(lane: str, values: dict[str, Any]) -> dict[str, Any]:
    return {f"{lane}/{name}": each for name, each in values.items()}


def _queue() -> tuple[dict[int, dict[str, Any]], list[Pack]]:
    """Three counters of a street, two hours: a queue grows from the last of them past the second."""
    minute = np.arange(1, 121)
    shown, every = {}, []
    for number, begin in ((1, None), (2, 62), (3, 55)):
        full = np.zeros(len(minute), bool) if begin is None else (minute >= begin) & (minute < 95)
        speed = np.where(full, 9.0, 50.0)
        if begin is not None:
            speed[begin - 6 : begin - 1] = np.linspace(38, 30, 5)
        occupied = np.where(full, 62 + noise(number, len(minute), 5), 8 + noise(number, len(minute), 1.5))
        shown[number] = _lane(10 * number, speed, np.where(full, 9.0, 12.0), occupied)
        every += packs(f"traffic-000{number}", minute * MINUTE, _named("lane1", shown[number]))
    return shown, every


def example() -> Incident:
    """The incident that detection.md shows."""
    return judge(_queue()[1], "jam", STREET)[0]


def jam(axes: Any) -> None:
    """It opens at the counter whose speed has collapsed, and takes in the next."""
    shown, every = _queue()
    minute = np.arange(1, 121)
    axes.plot(minute, shown[3]["speed"], label="speed, km/h (0003)", color="tab:blue")
    axes.plot(minute, shown[3]["occupancy"], label="occupancy, % (0003)", color="tab:orange")
    axes.plot(minute, shown[2]["occupancy"], label="occupancy, % (0002)", color="tab:orange", lw=0.8, ls="-.")
    bound(axes, 30, "30 %, 60 % of 50 km/h")
    show(axes, judge(every, "jam", STREET), 120 * MINUTE, MINUTE)
    axes.set(xlabel="minutes", ylim=(0, 85))


def crash(axes: Any) -> None:
    """Something stands between two counters, and the traffic gets by: denser above, emptier below."""
    minute = np.arange(1, 61)
    held = (minute > 20) & (minute <= 42)
    occupied = {2: np.where(held, 24, 9) + noise(1, 60, 0.8), 3: np.where(held, 4, 9) + noise(2, 60, 0.5)}
    every: list[Pack] = []
    for number, each in occupied.items():
        values = _lane(10 * number, np.where(held & (number == 2), 38.0, 50.0), np.full(60, 11.0), each)
        every += packs(f"traffic-000{number}", minute * MINUTE, _named("lane1", values))
    axes.plot(minute, occupied[2], color="tab:orange", label="occupancy, % (0002)")
    axes.plot(minute, occupied[3], color="tab:orange", lw=0.8, ls="-.", label="occupancy, % (0003)")
    show(axes, judge(every, "crash", STREET), 60 * MINUTE, MINUTE)
    axes.set(xlabel="minutes")


def wrong_way(axes: Any) -> None:
    """One vehicle against the traffic, and four minutes later another."""
    minute = np.arange(1, 61)
    values = _lane(6, np.full(60, 50.0), np.full(60, 9.0))
    values["wrong_way"] = np.isin(minute, (25, 29)).astype(float)
    axes.plot(minute, values["volume"], color="tab:blue", lw=0.8, label="vehicles a minute")
    axes.step(minute, values["wrong_way"], where="mid", color="tab:green", label="wrong_way")
    show(axes, judge(packs("traffic-0001", minute * MINUTE, _named("lane1", values)), "wrong_way"), HOUR, MINUTE)
    axes.set(xlabel="minutes")


def stuck_loop(axes: Any) -> None:
    """A loop that says occupied for ever, beside a sound one."""
    minute = np.arange(1, 91)
    bad = (minute > 30) & (minute <= 65)
    volume = np.where(bad, 0.0, 8.0)
    first = _lane(1, np.full(90, 48.0), volume)
    first["occupancy"] = np.where(bad, 100.0, first["occupancy"])
    second = _lane(5, np.full(90, 46.0), np.full(90, 7.0))
    found = judge(packs("traffic-0001", minute * MINUTE, _named("lane1", first) | _named("lane2", second)), "stuck")
    axes.plot(minute, first["occupancy"], color="tab:orange", label="occupancy, %")
    axes.plot(minute, first["volume"], color="tab:blue", label="vehicles a minute")
    bound(axes, 99.9, "99.9 %")
    show(axes, found, 90 * MINUTE, MINUTE)
    axes.set(xlabel="minutes")


def chatter(axes: Any) -> None:
    """A cable that bounces."""
    minute = np.arange(1, 61)
    bad = (minute > 20) & (minute <= 38)
    values = _lane(2, np.full(60, 50.0), np.where(bad, 95.0, 9.0))
    found = judge(packs("traffic-0001", minute * MINUTE, _named("lane1", values)), "chatter")
    axes.plot(minute, values["volume"], color="tab:blue", label="vehicles a minute")
    bound(axes, 60, "one a second")
    show(axes, found, 60 * MINUTE, MINUTE)
    axes.set(xlabel="minutes")


def impossible(axes: Any) -> None:
    """An amplifier whose occupancy has come loose: vehicles are counted, and nothing was ever occupied."""
    minute = np.arange(1, 91)
    bad = (minute > 30) & (minute <= 60)
    values = _lane(3, np.full(90, 50.0), np.full(90, 10.0))
    values["occupancy"] = np.where(bad, 0.0, values["occupancy"])
    found = judge(packs("traffic-0001", minute * MINUTE, _named("lane1", values)), "impossible")
    axes.plot(minute, values["volume"], color="tab:blue", label="vehicles a minute")
    axes.plot(minute, values["occupancy"], color="tab:orange", label="occupancy, %")
    show(axes, found, 90 * MINUTE, MINUTE)
    axes.set(xlabel="minutes")


def dead_lane(axes: Any) -> None:
    """A lane that dies on a Friday at noon, beside one that goes on."""
    step = 5 * MINUTE
    after = np.arange(step, 5 * DAY + 1, step)
    hour = (after % DAY) / HOUR
    rate = np.maximum(1.5, 40 * np.exp(-(((hour - 8) / 2.5) ** 2)) + 45 * np.exp(-(((hour - 17) / 3) ** 2)))
    bad = (after > 4 * DAY + 11 * HOUR) & (after <= 4 * DAY + 15 * HOUR)
    lanes = {name: _lane(seed, np.full(len(after), 45.0), rate) for name, seed in (("lane1", 4), ("lane2", 7))}
    lanes["lane1"]["volume"] = np.where(bad, 0, lanes["lane1"]["volume"])
    lanes["lane1"]["speed"] = np.where(bad, np.nan, lanes["lane1"]["speed"])
    for values in lanes.values():
        values["occupancy"] = np.round(values["volume"] * LANE_M / (45 / 3.6) / step * 100, 1)
    named = _named("lane1", lanes["lane1"]) | _named("lane2", lanes["lane2"])
    found = judge(packs("traffic-0001", after, named), "dead_lane")
    last = (after > 4 * DAY) & (after < 5 * DAY)
    for name, colour in (("lane2", "tab:gray"), ("lane1", "tab:blue")):
        axes.plot(
            after[last] / HOUR, lanes[name]["volume"][last], color=colour, lw=0.8, label=f"{name}, vehicles in 5 min"
        )
    axes.plot(after[last] / HOUR, rate[last], color="black", ls="--", lw=0.8, label="usual")
    show(axes, found, 5 * DAY, HOUR)
    axes.set(xlabel="hour", xlim=(96, 120))


SCENES = {
    "detect-jam": jam,
    "detect-crash": crash,
    "detect-wrong-way": wrong_way,
    "detect-stuck-loop": stuck_loop,
    "detect-chatter": chatter,
    "detect-impossible": impossible,
    "detect-dead-lane": dead_lane,
}
