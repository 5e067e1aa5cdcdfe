"""Curves in a terminal, by plotext."""

from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np

from gateway.query.curves import Curve

WIDTH: Final = 80
HEIGHT: Final = 20
"""Without a terminal."""
LEAST: Final = (40, 10)
MOST_CURVES: Final = 8
"""More are no longer told apart."""
TICKS: Final = 5
PLAIN: Final = str.maketrans("┌┐└┘├┤┬┴┼─│", "+++++++++-|")
"""A frame of ASCII."""


def plot(
    found: list[Curve], unit: str, title: str, zone: ZoneInfo, *, size: tuple[int, int] | None, unicode: bool = True
) -> str:
    """Lines of text for people. `size` is that of a terminal in characters, and brings colours; None is none.

    Without `unicode` the terminal has ASCII alone.
    """
    import plotext

    shown = found[:MOST_CURVES]
    plotext.clear_figure()
    if size is None:
        plotext.theme("clear")
    width, height = size or (WIDTH, HEIGHT)
    plotext.plotsize(max(width, LEAST[0]), max(height, LEAST[1]))
    plotext.title(title)
    for number, curve in enumerate(shown):
        there = np.isfinite(curve.values)
        marker = "braille" if unicode else "*+xo#@%&"[number]
        plotext.plot(curve.times[there].tolist(), curve.values[there].tolist(), marker=marker, label=curve.label)
    times = np.concatenate([each.times for each in shown])
    ticks = np.linspace(times.min(), times.max(), TICKS if times.max() > times.min() else 1)
    form = "%H:%M" if times.max() - times.min() < 86_400 else "%d %b %H:%M"
    plotext.xticks(ticks.tolist(), [datetime.fromtimestamp(each, zone).strftime(form) for each in ticks.tolist()])
    text = plotext.build()
    plotext.clear_figure()
    if size is None:
        text = plotext.uncolorize(text)
    more = f"and {len(found) - len(shown)} more series, not drawn\n" if len(found) > len(shown) else ""
    if not unicode:
        text = text.translate(PLAIN).encode("ascii", "replace").decode()
    lines = [line.rstrip() for line in text.splitlines()]
    return "\n".join(lines).rstrip() + f"\n{unit + ', ' if unit else ''}times of {zone.key}\n{more}"
