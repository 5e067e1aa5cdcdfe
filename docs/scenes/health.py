"""Nodes: what their own figures tell."""

from typing import Any

import numpy as np
from scenes.judged import DAY, HOUR, MINUTE, bound, judge, noise, packs, show

from gateway.records import Pack


def _health(after: np.ndarray, values: dict[str, Any], boot: Any = 1) -> list[Pack]:
    return packs("air-0001", after, values, "health", "health", boot)


def silent(axes: Any) -> None:
    """One node of three says nothing for 40 minutes."""
    minute = np.arange(1, 121)
    every: list[Pack] = []
    for number in range(3):
        heard = minute[(number != 1) | (minute <= 50) | (minute > 90)]
        name = f"air-{number + 1:04d}"
        every += packs(name, heard * MINUTE, {"co2": 420 + noise(number, len(heard), 4).round()})
        there = np.where(np.isin(minute, heard), number + 1, np.nan)
        axes.plot(minute, there, color="tab:blue", label=None if number else "heard")
    show(axes, judge(every, "silent"), 120 * MINUTE, MINUTE)
    axes.set(xlabel="minutes", yticks=(1, 2, 3), ylim=(0.5, 3.5), ylabel="node")


def power_fail(axes: Any) -> None:
    """The supervisor of a station's supply tells; half an hour later there is power again."""
    minute = np.arange(1, 91)
    on = (minute <= 20) | (minute > 50)
    given = packs("air-0001", minute[on] * MINUTE, {"co2": 420 + noise(1, int(on.sum()), 4).round()})
    given += packs("air-0001", [20 * MINUTE + 15], {"power_fail": 1.0}, "event")
    given += packs("air-0002", minute * MINUTE, {"co2": 420 + noise(2, 90, 4).round()})
    axes.plot(minute, np.where(on, 1, np.nan), color="tab:blue", label="heard")
    axes.plot(20.25, 1, "x", color="tab:orange", label="power_fail")
    show(axes, judge(given, "power_fail"), 90 * MINUTE, MINUTE)
    axes.set(xlabel="minutes", yticks=())


def boot_loop(axes: Any) -> None:
    """A node starts five times within half an hour."""
    after = np.arange(5, 60 * 6 + 1, 5)
    boot = 4 + np.sum([after >= at for at in (63, 70, 78, 85, 91)], axis=0)
    found = judge(_health(after * MINUTE, {"heap_free": 90_000.0}, boot), "boot_loop")
    axes.step(after / 60, boot, where="post", color="tab:blue", label="boot")
    show(axes, found, 6 * HOUR, HOUR)
    axes.set(xlabel="hours")


def weak_radio(axes: Any) -> None:
    """A container is parked before the access point, and driven away."""
    after = np.arange(10, 60 * 14 + 1, 10)
    rssi = np.round(-71 + noise(3, len(after), 1.5) - np.where((after > 180) & (after <= 600), 18, 0))
    axes.plot(after / 60, rssi, color="tab:blue", label="rssi, dBm")
    bound(axes, -85, "−85 dBm")
    axes.axhline(-80, color="gray", ls=":", lw=0.8, label="−80 dBm")
    show(axes, judge(_health(after * MINUTE, {"rssi": rssi}), "weak_radio"), 14 * HOUR, HOUR)
    axes.set(xlabel="hours")


def clock_drift(axes: Any) -> None:
    """A clock that loses a minute a day, until the board is changed."""
    hours = np.arange(1, 5 * 24 + 1)
    ppm = np.where((hours > 24) & (hours <= 84), 700.0, 8.0) + noise(1, len(hours), 3).round()
    axes.plot(hours / 24, ppm, color="tab:blue", label="clock_drift, ppm")
    bound(axes, 500, "500 ppm")
    values = {"clock_error": (ppm * 1e-6 * HOUR).round(3), "clock_drift": ppm}
    show(axes, judge(_health(hours * HOUR, values), "clock_drift"), 5 * DAY, DAY)
    axes.set(xlabel="day")


def falling_heap(axes: Any) -> None:
    """A program that forgets to let go, until it is started again."""
    after = np.arange(HOUR, 9 * DAY + 1, HOUR)
    started = after > 7.5 * DAY
    free = np.where(started, 120_000, 120_000 - 14_000 * np.clip(after / DAY - 1, 0, None)) + noise(2, len(after), 800)
    values = {"heap_free": free.round(), "heap_largest": (free * 0.7).round()}
    found = judge(_health(after, values, np.where(started, 2, 1)), "falling_heap")
    axes.plot(after / DAY, free / 1000, color="tab:blue", label="heap_free, kB")
    show(axes, found, 9 * DAY, DAY)
    axes.set(xlabel="day")


def flooding(axes: Any) -> None:
    """A loose contact makes an event every few seconds."""
    after = np.union1d(np.arange(60, 34 * HOUR + 1, 60), np.arange(30 * HOUR + 300, 31 * HOUR + 1500, 6))
    found = judge(packs("air-0001", after, {"co2": 420.0 + np.arange(len(after)) % 7}), "flooding")
    count = np.bincount(after // HOUR)
    axes.step(np.arange(len(count)), count, where="post", color="tab:blue", label="windows in an hour")
    bound(axes, 5 * 60 + 60, "5 x usual + 60")
    show(axes, found, 34 * HOUR, HOUR)
    axes.set(xlabel="hours", xlim=(24, 34))


SCENES = {
    "detect-silent": silent,
    "detect-power-fail": power_fail,
    "detect-boot-loop": boot_loop,
    "detect-weak-radio": weak_radio,
    "detect-clock-drift": clock_drift,
    "detect-falling-heap": falling_heap,
    "detect-flooding": flooding,
}
