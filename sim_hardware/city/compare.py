"""`python -m sim_hardware.city.compare DATA OUT` holds the city against places that are real.

DATA is a folder of measurements (`air/`, `water/`, `traffic/`; docs/city.md tells which), OUT gets one SVG a plot.
Every number that is compared is a JSON object on a line of its own: plot, figure, city, data. Needs matplotlib.
"""

import json
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np

from sim_hardware.city.measured import STATIONS, Lived, Real, beats, pairs

# Each plot draws city and data, and gives the figures (name, city, data).

_NIGHT: Final = slice(2, 5)
Figures = list[tuple[str, float, float]]
Source = Real | Lived
_LOOKS: Final = {"city": {"color": "#c2410c"}, "data": {"color": "#1e3a8a"}}


def _both(city: Source, data: Source, figures: Callable[[Source, str], dict[str, float]]) -> Figures:
    ours, theirs = figures(city, "city"), figures(data, "data")
    return [(name, value, theirs[name]) for name, value in ours.items()]


def air_day(axes: Any, city: Source, data: Source) -> Figures:
    """Median of PM2.5 by hour, against that of all hours: winter solid, summer dashed."""
    axes.set(xlabel="hour of the day", ylabel="PM2.5 / median", title="Air: a day (winter solid, summer dashed)")

    def figures(of: Source, name: str) -> dict[str, float]:
        values = of.pm2_5[: len(of.pm2_5) // 24 * 24].reshape(-1, 24, len(STATIONS))
        month = (np.arange(len(values)) // 30.44 + 2) % 12  # from March; 0 is January
        found = {}
        for season, days, line in (
            ("all year", month >= 0, None),
            ("winter", np.isin(month // 1, (11, 0, 1)), "-"),
            ("summer", np.isin(month // 1, (5, 6, 7)), "--"),
        ):
            by_hour = np.nanmedian(values[days], axis=(0, 2))
            found[f"highest / lowest hour, {season}"] = by_hour.max() / by_hour.min()
            if line:
                axes.plot(by_hour / np.nanmedian(values[days]), line, label=f"{name}, {season}", **_LOOKS[name])
        return found

    return _both(city, data, figures)


def air_memory(axes: Any, city: Source, data: Source) -> Figures:
    """Autocorrelation of the logarithm of PM2.5, mean of the stations."""
    axes.set(xlabel="hours later", ylabel="autocorrelation of log PM2.5", title="Air: memory")

    def figures(of: Source, name: str) -> dict[str, float]:
        logs = np.log(np.maximum(of.pm2_5, 1))
        lags = [1, 2, 3, 4, 6, 9, *range(12, 121, 4)]
        kept = [float(np.mean([beats(station, lag) for station in logs.T])) for lag in lags]
        axes.plot(lags, kept, label=name, **_LOOKS[name])
        return {f"{lag} h later": kept[lags.index(lag)] for lag in (1, 6, 24, 48)}

    return _both(city, data, figures)


def air_distance(axes: Any, city: Source, data: Source) -> Figures:
    """Correlation of PM2.5 between two stations over the distance between them."""
    axes.set(xlabel="km apart", ylabel="correlation of PM2.5", title="Air: neighbours", ylim=(0.5, 1))

    def figures(of: Source, name: str) -> dict[str, float]:
        away, correlation = pairs(of.pm2_5)
        axes.plot(away, correlation, ".", label=name, **_LOOKS[name])
        near, far = correlation[away < 12], correlation[away > 35]
        return {"mean": correlation.mean(), "below 12 km": near.mean(), "above 35 km": far.mean()}

    return _both(city, data, figures)


def air_wind(axes: Any, city: Source, data: Source) -> Figures:
    """Median of PM2.5 by wind speed, against that of all hours."""
    axes.set(xlabel="wind, m/s", ylabel="PM2.5 / median", title="Air: what the wind leaves")

    def figures(of: Source, name: str) -> dict[str, float]:
        level = np.full(len(of.pm2_5), np.nan)
        known = np.isfinite(of.pm2_5).any(axis=1) & np.isfinite(of.wind)
        level[known] = np.nanmedian(of.pm2_5[known], axis=1)
        edges = np.array([0, 0.75, 1.25, 1.75, 2.5, 3.5, 4.5, 7])
        steps = [known & (of.wind >= low) & (of.wind < high) for low, high in pairwise(edges)]
        medians = np.array([np.median(level[step]) for step in steps]) / np.nanmedian(level)
        axes.plot((edges[1:] + edges[:-1]) / 2, medians, "o-", label=name, **_LOOKS[name])
        return {"below 0.75 m/s": medians[0], "from 4.5 m/s": medians[-1]}

    return _both(city, data, figures)


def air_spread(axes: Any, city: Source, data: Source) -> Figures:
    """How often PM2.5 is above so many times its median."""
    axes.set(xlabel="PM2.5 / median", ylabel="share of hours above", title="Air: clean and dirty hours", xscale="log")

    def figures(of: Source, name: str) -> dict[str, float]:
        known = of.pm2_5[np.isfinite(of.pm2_5)]
        shares = np.linspace(0.005, 0.995, 100)
        axes.plot(np.quantile(known, 1 - shares) / np.median(known), shares, label=name, **_LOOKS[name])
        logs = np.log(np.maximum(known, 1))
        skew = float(((known - known.mean()) ** 3).mean() / known.std() ** 3)
        return {"mean, µg/m³": known.mean(), "skewness": skew, "spread of the logarithm": logs.std()}

    return _both(city, data, figures)


def traffic_day(axes: Any, city: Source, data: Source) -> Figures:
    """Traffic by hour against its mean: vehicles of the city, bicycles of the bridge."""
    axes.set(xlabel="hour of the day", ylabel="flow / mean", title="Traffic: a day (working solid, weekend dashed)")

    def figures(of: Source, name: str) -> dict[str, float]:
        counted, hour = of.bridge
        free, by = (hour // 24 + 3) % 7 >= 5, []
        for kind, line in ((~free, "-"), (free, "--")):
            by.append(np.array([np.nanmean(counted[kind & (hour % 24 == h)]) for h in range(24)]) / np.nanmean(counted))
            axes.plot(by[-1], line, label=f"{name}, {'weekend' if line == '--' else 'working'}", **_LOOKS[name])
        working, weekends = by
        return {
            "hour of the morning's height": int(working[:12].argmax()),
            "hour of the evening's height": 12 + int(working[12:].argmax()),
            "height / noon, working days": working.max() / working[12],
            "weekend / working day": weekends.mean() / working.mean(),
            "hour of the weekend's height": int(weekends.argmax()),
        }

    return _both(city, data, figures)


def water_day(axes: Any, city: Source, data: Source) -> Figures:
    """Water by hour against its mean; mean of the homes."""
    axes.set(xlabel="hour of the day", ylabel="litres / mean", title="Water: a day (working solid, weekend dashed)")

    def figures(of: Source, name: str) -> dict[str, float]:
        rhythms, still = [], []
        for hours, first in of.meters:
            there = np.isfinite(hours).all(axis=1) & (np.nansum(hours, axis=1) > 0)
            free = (first + np.arange(len(hours)) + 3) % 7 >= 5
            rhythms.append([hours[there & kind].mean(axis=0) / hours[there].mean() for kind in (~free, free)])
            still.append((hours[there, _NIGHT] == 0).mean())
        working, weekends = np.mean(rhythms, axis=0)
        axes.plot(working, "-", label=f"{name}, working", **_LOOKS[name])
        axes.plot(weekends, "--", label=f"{name}, weekend", **_LOOKS[name])
        return {
            "highest hour / mean, working days": working.max(),
            "hour of the morning's height, working days": int(working[:12].argmax()),
            "hour of the morning's height, weekend": int(weekends[:12].argmax()),
            "weekend / working day": weekends.mean() / working.mean(),
            "share of hours from 2 to 5 without a litre": float(np.median(still)),
        }

    return _both(city, data, figures)


def water_litres(axes: Any, city: Source, data: Source) -> Figures:
    """How many days of all homes use more than so many litres."""
    axes.set(xlabel="litres a day and home", ylabel="share of days above", title="Water: small and large days")

    def figures(of: Source, name: str) -> dict[str, float]:
        full = [hours[np.isfinite(hours).all(axis=1)].sum(axis=1) for hours, _ in of.meters]
        days, shares = np.concatenate(full), np.linspace(0.01, 0.99, 99)
        axes.plot(np.quantile(days, 1 - shares), shares, label=name, **_LOOKS[name])
        return {"median of days, l": float(np.median(days)), "95 % of days below, l": float(np.quantile(days, 0.95))}

    return _both(city, data, figures)


PLOTS: Final[dict[str, Callable[[Any, Source, Source], Figures]]] = {
    "air-day": air_day,
    "air-memory": air_memory,
    "air-distance": air_distance,
    "air-wind": air_wind,
    "air-spread": air_spread,
    "traffic-day": traffic_day,
    "water-day": water_day,
    "water-litres": water_litres,
}


def main(data: Path, out: Path) -> None:
    """Draw all of PLOTS into `out` and print their figures."""
    import matplotlib as mpl

    mpl.use("svg")
    # The same drawing from the same numbers: no ids by chance, no date; letters stay letters.
    mpl.rcParams.update({"svg.hashsalt": "city", "svg.fonttype": "none", "path.simplify_threshold": 0.5})
    from matplotlib import pyplot as plt

    out.mkdir(parents=True, exist_ok=True)
    city, real = Lived(), Real(data)
    for name, draw in PLOTS.items():
        figure, axes = plt.subplots(figsize=(6, 3.4), layout="constrained")
        for told, ours, theirs in draw(axes, city, real):
            line = {"plot": name, "figure": told, "city": round(float(ours), 3), "data": round(float(theirs), 3)}
            print(json.dumps(line), flush=True)  # noqa: T201
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
        figure.savefig(out / f"{name}.svg", metadata={"Date": None})
        plt.close(figure)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m sim_hardware.city.compare DATA_FOLDER OUT_FOLDER")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
