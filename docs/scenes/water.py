"""Homes and districts: what their meters tell in trouble."""

from typing import Any

import numpy as np
from scenes.judged import DAY, HOUR, MINUTE, START, bound, judge, noise, packs, show

from gateway.detect.plan import Plan, Zone
from gateway.detect.water.burst import LARGE_L
from gateway.detect.water.home import HIGH_FLOW
from gateway.records import Pack


def _burst() -> list[Pack]:
    """A home's evening: a shower, a bath, and a pipe that bursts at 21:00 and is shut off at 22:30."""
    minute = np.arange(1, 361)
    flow = np.where((minute > 30) & (minute <= 38), 540.0, 0.0)
    flow += np.where((minute > 95) & (minute <= 107), 780.0, 0.0)
    flow += np.where((minute > 180) & (minute <= 270), 1500.0 + noise(1, 360, 25).round(), 0.0)
    return packs("water-0007", 18 * HOUR + minute * MINUTE, {"flow": flow, "volume": 412_000 + np.cumsum(flow) / 60})


def burst(axes: Any) -> None:
    """Above the flow that must not pause, below the litres of each draw."""
    given = _burst()
    flow = np.array([pack.values[0] for pack in given])
    hour = np.array([(pack.time - START) / HOUR for pack in given])
    litres, run = [], 0.0
    for each in flow:
        run = run + each / 60 if each >= HIGH_FLOW else 0.0
        litres.append(run)
    axes.plot(hour, flow, color="tab:blue", label="flow, l/h")
    axes.plot(hour, litres, color="tab:green", label="litres of the draw")
    bound(axes, LARGE_L, "300 l")
    axes.axhline(HIGH_FLOW, color="gray", ls=":", lw=0.8, label="500 l/h")
    show(axes, judge(given, "burst"), 24 * HOUR, HOUR)
    axes.set(xlabel="hour of the day")


def _home(days: int, seed: int) -> np.ndarray:
    """l/h of each hour: silent nights, use by day."""
    dice = np.random.default_rng(seed)
    use = dice.exponential(25, (days, 24)) * (dice.random((days, 24)) < 0.55)
    use[:, 0:6] *= dice.random((days, 6)) < 0.15
    return use.round().reshape(-1)


def leak(axes: Any) -> None:
    """A cistern that runs on with 12 l/h from the 21st day, for three days."""
    hours = np.arange(1, 26 * 24 + 1)
    leaking = (hours > 20 * 24 + 14) & (hours <= 23 * 24 + 17)
    flow = _home(26, 3) + np.where(leaking, 12.0, 0.0)
    found = judge(packs("water-0007", hours * HOUR, {"flow": flow, "volume": 5000 + np.cumsum(flow)}), "leak")
    axes.step(hours / 24, flow, where="pre", color="tab:blue", lw=0.9, label="litres in an hour")
    bound(axes, 12, "the leak, 12 l/h")
    show(axes, found, 26 * DAY, DAY)
    axes.set(xlabel="day", xlim=(18, 26))


def backflow(axes: Any) -> None:
    """A pump presses water back: the register of what ran backwards grows."""
    minute = np.arange(1, 181)
    back = np.where((minute > 40) & (minute <= 80), 0.8, 0.0)
    values = {"flow": np.zeros(180), "volume": 9000.0, "reverse_volume": 3 + np.cumsum(back)}
    given = packs("water-0007", minute * MINUTE, values)
    given += packs("water-0007", [42 * MINUTE + 11], {"reverse_flow": 1.0}, "event")
    axes.plot(minute, values["reverse_volume"], color="tab:blue", label="reverse_volume, l")
    axes.plot([42.2], [4], "k^", ms=5, label="reverse_flow")
    show(axes, judge(given, "backflow"), 180 * MINUTE, MINUTE)
    axes.set(xlabel="minutes")


def frost(axes: Any) -> None:
    """A cold night in a meter's pit."""
    after = np.arange(10, 24 * 60 + 1, 10)
    celsius = np.round(4.6 + 3.2 * np.cos((after / 60 - 15) / 24 * 2 * np.pi) + noise(2, len(after), 0.08), 2)
    given = packs("water-0007", after * MINUTE, {"flow": np.zeros(len(after)), "temperature": celsius})
    axes.plot(after / 60, celsius, color="tab:blue", label="temperature, °C")
    bound(axes, 3, "3 °C")
    axes.axhline(4, color="gray", ls=":", lw=0.8, label="4 °C")
    show(axes, judge(given, "frost"), DAY, HOUR)
    axes.set(xlabel="hour of the day")


def stopped(axes: Any) -> None:
    """A meter that ran every day stands still for 36 days."""
    hours = np.arange(1, 100 * 24 + 1)
    flow = np.where((hours > 50 * 24) & (hours <= 86 * 24), 0.0, _home(100, 5))
    register = 5000 + np.cumsum(flow)
    found = judge(packs("water-0007", hours * HOUR, {"flow": flow, "volume": register}), "stopped")
    axes.plot(hours[::6] / 24, register[::6] / 1000, color="tab:blue", label="volume, m³")
    show(axes, found, 100 * DAY, DAY)
    axes.set(xlabel="day")


def rollback(axes: Any) -> None:
    """A register that jumps back by 800 l, and goes on from there."""
    hours = np.arange(1, 4 * 24 + 1)
    register = 61_000 + np.cumsum(_home(4, 8)) - np.where(hours > 30, 800.0, 0.0)
    flow = np.diff(register, prepend=register[0])
    found = judge(packs("water-0007", hours * HOUR, {"flow": np.maximum(flow, 0), "volume": register}), "rollback")
    axes.step(hours, register / 1000, where="post", color="tab:blue", label="volume, m³")
    show(axes, found, 4 * DAY, HOUR)
    axes.set(xlabel="hour")


def tamper(axes: Any) -> None:
    """A housing is opened, shut, and rattles once more."""
    minute = np.arange(1, 61)
    given = packs("water-0007", minute * MINUTE, {"flow": np.zeros(60)})
    told = ((20, 1.0), (31, 0.0), (33, 1.0), (34, 0.0))
    for at, state in told:
        given += packs("water-0007", [at * MINUTE + 5], {"tamper": state}, "event")
    axes.step([0, *(at for at, _ in told), 60], [0, *(state for _, state in told), 0], where="post", label="tamper")
    show(axes, judge(given, "tamper"), HOUR, MINUTE)
    axes.set(xlabel="minutes")


INLET = Plan(zone=(Zone("harbour", nodes=("water-0007",), inlet=("water-0001",)),))


def _district(days: int, seed: int) -> np.ndarray:
    """l/h of each quarter of an hour at the inlet of some 250 homes."""
    hour = np.arange(days * 96) % 96 / 4
    day = (
        2200
        + 9000 * np.exp(-(((hour - 7.5) / 1.8) ** 2))
        + 7000 * np.exp(-(((hour - 19) / 2.5) ** 2))
        + 2500 * np.exp(-(((hour - 13) / 3) ** 2))
    )
    return (day * (1 + noise(seed, len(day), 0.05))).round()


def main_burst(axes: Any) -> None:
    """A main bursts in the night, and is shut after five hours."""
    quarter = np.arange(1, 8 * 96 + 1)
    burst_ = (quarter > 7 * 96 + 9) & (quarter <= 7 * 96 + 29)
    flow = _district(8, 1) + np.where(burst_, 14_000.0, 0.0)
    found = judge(packs("water-0001", quarter * 15 * MINUTE, {"flow": flow}), "main_burst", INLET)
    axes.plot(quarter / 96, flow / 1000, color="tab:blue", label="inflow, m³/h")
    show(axes, found, 8 * DAY, DAY)
    axes.set(xlabel="day", xlim=(5, 8))


def main_leak(axes: Any) -> None:
    """A leak of 1.5 m³/h from the eleventh day: the nights no longer come down to where they were."""
    quarter = np.arange(1, 18 * 96 + 1)
    flow = _district(18, 2) + np.where((quarter > 10 * 96 + 40) & (quarter <= 15 * 96 + 40), 1500.0, 0.0)
    found = judge(packs("water-0001", quarter * 15 * MINUTE, {"flow": flow}), "main_leak", INLET)
    least = flow.reshape(-1, 4).mean(axis=1).reshape(-1, 24).min(axis=1)
    axes.plot(quarter / 96, flow / 1000, color="tab:blue", lw=0.7, label="inflow, m³/h")
    axes.plot(np.arange(18) + 0.5, least / 1000, "o-", color="tab:green", ms=3, label="least hour of a day")
    show(axes, found, 18 * DAY, DAY)
    axes.set(xlabel="day", ylim=(0, 12))


SCENES = {
    "detect-leak": leak,
    "detect-burst": burst,
    "detect-backflow": backflow,
    "detect-tamper": tamper,
    "detect-frost": frost,
    "detect-stopped": stopped,
    "detect-rollback": rollback,
    "detect-main-burst": main_burst,
    "detect-main-leak": main_leak,
}
