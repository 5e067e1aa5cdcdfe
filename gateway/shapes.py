"""Where the values of a shape are. Pure; whoever asks keeps the answer, as shapes come over and over."""

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

from gateway.records import Shape


def lanes(shape: Shape) -> dict[str, list[int]]:
    """The places of each channel, channels in the order in which they come."""
    found: dict[str, list[int]] = {}
    for at, (channel, _) in enumerate(shape.places):
        found.setdefault(channel, []).append(at)
    return found


def picker(places: Sequence[int]) -> Callable[[Sequence[Any]], tuple[Any, ...]]:
    """`itemgetter` that gives a tuple also of one, and of none."""
    return itemgetter(*places) if len(places) > 1 else lambda values: tuple([values[at] for at in places])
