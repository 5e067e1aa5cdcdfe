"""Series with their scores, alarms and labelled windows, as SVG."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from gateway.errors import GanglionError
from gateway.evaluate.judge import Judged
from gateway.evaluate.series import Run
from gateway.evaluate.sets import Drawn
from gateway.evaluate.times import seconds

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST: Final = 40
"""Series in one drawing: more nobody looks at."""


class PlotError(GanglionError):
    """Nothing can be drawn."""


def plot(drawn: Sequence[Drawn], path: Path) -> None:
    """Of each series two panels: values with windows (shaded) and alarms (lines); the score. Raises PlotError."""
    from matplotlib.figure import Figure

    drawn = drawn[:MOST]
    figure = Figure(figsize=(12, 2.4 * max(1, len(drawn))), layout="constrained")
    panels = figure.subplots(2 * max(1, len(drawn)), 1, squeeze=False, height_ratios=[3, 1] * max(1, len(drawn)))
    for each, (above, below) in zip(drawn, panels[:, 0].reshape(-1, 2), strict=False):
        _series(each, above, below)
    try:
        figure.savefig(path, format="svg")
    except OSError as error:
        raise PlotError(f"{path} cannot be written: {error.strerror}") from error


def _series(drawn: Drawn, above: "Axes", below: "Axes") -> None:
    time = drawn.time.astype("datetime64[s]")
    dense = len(time) > 20_000  # as a picture: a path of so many points makes a file that no browser likes
    above.plot(time, drawn.values, linewidth=0.6, color="tab:blue", rasterized=dense)
    below.plot(time, drawn.run.score, linewidth=0.6, color="tab:orange", rasterized=dense)
    below.set_ylim(0, 1.05)
    for first, last in drawn.windows:
        for panel in (above, below):
            panel.axvspan(*np.array([first, last]).astype("datetime64[s]"), color="tab:green", alpha=0.2, linewidth=0)
    for alarm in time[drawn.run.alarm]:
        above.axvline(alarm, color="tab:red", linewidth=1)
    above.set_title(drawn.name, fontsize=9, loc="left")
    above.set_xticklabels([])
    below.set_ylabel("score", fontsize=8)


def plot_each(drawn: Sequence[Drawn], folder: Path) -> int:
    """A file for each series in `folder`, which is made; says how many. Raises PlotError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PlotError(f"{folder} cannot be made: {error.strerror}") from error
    for each in drawn:
        plot([each], folder / f"{re.sub(r'[^A-Za-z0-9._-]+', '_', each.name)}.svg")
    return len(drawn)


def plot_judged(rows: Sequence[Judged], path: Path, time_format: str) -> None:
    """What `ganglion detect` has printed. Raises PlotError."""
    by_series: dict[str, list[Judged]] = {}
    for row in rows:
        by_series.setdefault(row.series, []).append(row)
    drawn = []
    for name, judged in by_series.items():
        time = np.array([seconds(each.time, time_format) for each in judged], np.int64)
        values = np.array([float(each.value.replace(",", ".")) if each.value else np.nan for each in judged])
        run = Run(np.array([each.score for each in judged]), np.array([each.alarm == 1 for each in judged]))
        drawn.append(Drawn(name, time, values, run, []))
    plot(drawn, path)
