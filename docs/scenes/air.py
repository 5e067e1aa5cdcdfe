"""Stations: what they tell of bad air, and of their own faults."""

from typing import Any

import numpy as np
from scenes.judged import DAY, HOUR, MINUTE, bound, judge, noise, packs, show

from gateway.detect.plan import Plan, Zone
from gateway.records import Pack

HALF = 30 * MINUTE


def _site(every_s: int, days: float, seed: int, stations: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Ends of windows (s), and PM2.5 [stations, windows]: the weather of all, and what each makes of it."""
    after = np.arange(every_s, days * DAY + 1, every_s)
    dice = np.random.default_rng(seed)
    steps = 0.25 * np.sqrt(every_s / HOUR) * dice.normal(size=len(after))
    weather, level = np.empty(len(after)), 0.0
    for at, step in enumerate(steps):
        level += step - level * every_s / (30 * HOUR)
        weather[at] = level
    own = dice.normal(0, 0.08, (stations, 1)) + dice.normal(0, 0.06, (stations, len(after)))
    return after, np.exp(np.log(16) + weather + own)


def _packs(after: np.ndarray, values: dict[str, np.ndarray]) -> list[Pack]:
    stations = len(next(iter(values.values())))
    every: list[Pack] = []
    for number in range(stations):
        own = {name: each[number] for name, each in values.items()}
        every += packs(f"air-{number + 1:04d}", after, own)
    return every


def episode(axes: Any) -> None:
    """Smoke over the whole site."""
    after = np.arange(1, 361) * MINUTE
    rise = 70 * np.clip((after / MINUTE - 90) / 60, 0, 1) * np.clip((270 - after / MINUTE) / 60, 0, 1)
    pm = np.array([18 + rise * (0.9 + 0.05 * n) + noise(n, 360, 2) for n in range(5)]).round()
    found = judge(_packs(after, {"pm2_5": pm}), "air_episode")
    for each in pm:
        axes.plot(after[::3] / HOUR, each[::3], color="tab:blue", lw=0.3)
    axes.plot(after / HOUR, np.median(pm, axis=0), color="tab:blue", label="PM2.5, median, µg/m³")
    bound(axes, 55.5, "55.5")
    axes.axhline(45, color="gray", ls=":", lw=0.8, label="45")
    show(axes, found, 6 * HOUR, HOUR)
    axes.set(xlabel="hours")


def place(axes: Any) -> None:
    """A fire in one zone: two of its stations agree. An hour before, one that is broken, alone."""
    after = np.arange(1, 361) * MINUTE
    smoke = 110 * np.clip((after / MINUTE - 120) / 15, 0, 1) * np.clip((255 - after / MINUTE) / 45, 0, 1)
    share = (1.0, 0.7, 0, 0, 0, 0)
    pm = np.array([14 + smoke * share[n] + noise(n, 360, 1.5) for n in range(6)])
    pm[5] += np.where((after > 20 * MINUTE) & (after < 90 * MINUTE), 80, 0)
    pm = np.maximum(pm, 1).round()
    names = [f"air-{n + 1:04d}" for n in range(6)]
    plan = Plan(zone=(Zone("harbour", tuple(names[:3])), Zone("hill", tuple(names[3:]))))
    found = judge(_packs(after, {"pm2_5": pm}), "air_episode", plan)
    lines = ((0, "tab:blue", "air-0001"), (1, "tab:cyan", "air-0002"), (5, "tab:gray", "air-0006, broken"))
    for number, colour, label in lines:
        axes.plot(after / HOUR, pm[number], color=colour, lw=0.8, label=label)
    axes.plot(after / HOUR, np.median(pm, axis=0), color="tab:green", lw=0.8, label="the site's median")
    bound(axes, 55.5, "55.5")
    show(axes, found, 6 * HOUR, HOUR)
    axes.set(xlabel="hours")


def stuck(axes: Any) -> None:
    """A particle counter that repeats itself for fifty minutes."""
    after = np.arange(1, 121) * MINUTE
    pm = (20 + noise(4, 120, 2)).round()
    pm[40:90] = pm[40]
    found = judge(packs("air-0001", after, {"pm1_0": (pm * 0.7).round(), "pm2_5": pm, "pm10": pm + 4}), "stuck")
    axes.step(after / MINUTE, pm, where="pre", color="tab:blue", label="PM2.5, µg/m³")
    show(axes, found, 120 * MINUTE, MINUTE)
    axes.set(xlabel="minutes")


def barometer(axes: Any) -> None:
    """A barometer that drifts away from those of its site by 90 Pa a day, until it is mended."""
    after = np.arange(HALF, 28 * DAY + 1, HALF)
    weather = 101_300 + 700 * np.sin(after / DAY / 5 * 2 * np.pi)
    pressure = np.array([weather + 40 * n + noise(n, len(after), 8) for n in range(5)])
    pressure[0] += 90 * np.clip(after / DAY - 14, 0, None) * (after < 22 * DAY)
    found = judge(_packs(after, {"pressure": pressure.round()}), "drift")
    away = pressure - np.median(pressure, axis=0)
    for each in away[1:]:
        axes.plot(after[::12] / DAY, each[::12], color="tab:gray", lw=0.5)
    axes.plot(after[::6] / DAY, away[0][::6], color="tab:blue", label="pressure less the site's\nmedian, Pa")
    show(axes, found, 28 * DAY, DAY)
    axes.set(xlabel="day")


def fault(axes: Any) -> None:
    """A station of six that shows twice too much from the 30th day, and is mended three days later."""
    after, pm = _site(HALF, 40, 2)
    pm[2] *= np.where((after > 30 * DAY) & (after < 33 * DAY), 2.0, 1.0)
    found = judge(_packs(after, {"pm2_5": pm.round(1)}), "gain")
    shown = slice(2 * 24 * 27, 2 * 24 * 40, 4)
    for each in np.delete(pm, 2, axis=0):
        axes.plot(after[shown] / DAY, each[shown], color="tab:gray", lw=0.4)
    axes.plot(after[shown] / DAY, pm[2][shown], color="tab:blue", lw=0.9, label="PM2.5, µg/m³")
    axes.plot([], [], color="tab:gray", lw=0.4, label="its neighbours")
    show(axes, found, 40 * DAY, DAY)
    axes.set(xlabel="day", xlim=(27, 40))


SCENES = {
    "detect-episode": episode,
    "detect-place": place,
    "detect-stuck": stuck,
    "detect-drift": barometer,
    "detect-fault": fault,
}
