"""How much of what should have come has come. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import numpy as np
from msgspec import Struct

from gateway.liveness import silent
from gateway.records import NodeView
from gateway.report.hourly import Bools, Floats, Hourly, runs
from gateway.report.weeks import HOUR, Span

CLOCK_SECONDS: Final = 2.0
"""A correction of a node's clock that is worth a look, as in `ganglion nodes`."""
MOST: Final = 10
"""Nodes that are named of each trouble."""


class KindShare(Struct, frozen=True):
    kind: str
    nodes: int
    """Heard in the week or the one before."""
    heard: float
    """Hours of nodes, each as far as its usual windows came."""
    expected: float
    """Hours of nodes: of the week, from when a new node was first heard."""
    share: float
    """heard / expected"""


class Outage(Struct, frozen=True):
    """A stretch of whole hours of which nothing came."""

    where: str
    begin: int
    """Unix seconds."""
    hours: int


class Named(Struct, frozen=True):
    """A number of something at one place."""

    where: str
    number: float


class Quality(Struct, frozen=True, kw_only=True):
    kinds: tuple[KindShare, ...]
    longest: Outage | None
    """Of one node."""
    site: Outage | None
    """The longest of the whole site: no node of it was heard."""
    clocks: tuple[Named, ...]
    """Seconds by which clocks were corrected at most, those above `CLOCK_SECONDS`; the worst first."""
    clocks_off: int
    """How many those are in all."""
    dead_letters: tuple[Named, ...]
    """In the week, by reason, of all sites of the gateway."""
    gaps: int
    """Packs that never came, as of when the report was made, of the boots still known: the journal knows no time."""
    gap_nodes: tuple[Named, ...]
    """Who lacks most."""
    offline: tuple[Named, ...]
    """When the report was made, with the hours since they were heard; the longest first."""
    offline_nodes: int
    silent: tuple[Named, ...]
    """Likewise those that are connected and say nothing."""
    silent_nodes: int


def shares(kinds: Mapping[str, Hourly], span: Span, until: int) -> tuple[KindShare, ...]:
    """`until` (Unix seconds) ends what can have come."""
    found = []
    for kind, measured in kinds.items():
        heard, expected = _expected(measured, span, until)
        if expected.sum() > 0:
            came, whole = float(np.minimum(heard, expected).sum()), float(expected.sum())
            found.append(KindShare(kind, len(measured.nodes), round(came, 1), round(whole, 1), came / whole))
    return tuple(found)


def longest_of(
    kinds: Mapping[str, Hourly], span: Span, until: int, place: Callable[[str], str]
) -> tuple[Outage | None, Outage | None]:
    """The longest outage of (a node, the whole site); of several the first."""
    best: tuple[int, int, str] | None = None
    anybody: Bools = np.zeros(_hours(span, until), bool)
    some = False
    for measured in kinds.values():
        now, before = measured.counts()
        for node, pace, hours, ago in zip(measured.nodes, _pace(measured), now, before, strict=True):
            heard = hours[: len(anybody)] > 0
            anybody |= heard
            some = True
            begin = 0 if ago.any() else int(np.argmax(heard)) if heard.any() else len(heard)
            for first, length in runs(~heard[begin:]):
                if length >= max(1.0, pace) and (best is None or length > best[0]):
                    best = (length, begin + first, node)
    node_outage = None if best is None else Outage(place(best[2]), span.time(best[1]), best[0])
    silences = sorted(runs(~anybody), key=lambda run: -run[1]) if some else []
    site = Outage("the whole site", span.time(silences[0][0]), silences[0][1]) if silences else None
    return node_outage, site


def clocks_of(errors: Mapping[str, float], place: Callable[[str], str]) -> tuple[tuple[Named, ...], int]:
    """`errors`: of each node the largest correction, s. (The worst, how many in all.)"""
    off = {node: abs(error) for node, error in errors.items() if abs(error) > CLOCK_SECONDS}
    return _worst(off, place), len(off)


def absent(
    nodes: Iterable[NodeView], now: float, place: Callable[[str], str]
) -> tuple[tuple[tuple[Named, ...], int], tuple[tuple[Named, ...], int]]:
    """((offline, how many), (silent, how many)) at `now`."""
    views = list(nodes)
    gone = {view.node: (now - view.received) / HOUR for view in views if view.online is False}
    mute = {view.node: since / HOUR for view in views if (since := silent(view, now)) is not None}
    return (_worst(gone, place), len(gone)), (_worst(mute, place), len(mute))


def gaps_of(nodes: Iterable[NodeView], place: Callable[[str], str]) -> tuple[int, tuple[Named, ...]]:
    gaps = {view.node: float(view.gaps) for view in nodes if view.gaps}
    return round(sum(gaps.values())), _worst(gaps, place)


def counted(reasons: Mapping[str, int]) -> tuple[Named, ...]:
    return tuple(
        Named(reason, number) for reason, number in sorted(reasons.items(), key=lambda each: (-each[1], each[0]))
    )


def _worst(numbers: Mapping[str, float], place: Callable[[str], str]) -> tuple[Named, ...]:
    order: Sequence[tuple[str, float]] = sorted(numbers.items(), key=lambda each: (-each[1], each[0]))
    return tuple(Named(place(node), round(number, 1)) for node, number in order[:MOST])


def _hours(span: Span, until: int) -> int:
    return max(0, min(span.hours, (until - span.begin) // HOUR))


def _pace(measured: Hourly) -> Floats:
    """(nodes,) hours from one with windows to the next, by the median: 1 for all but rare windows."""
    both = np.concatenate([each > 0 for each in reversed(measured.counts())], axis=1)
    gaps = [np.diff(np.flatnonzero(row)) for row in both]
    return np.array([np.median(gap) if len(gap) else 1.0 for gap in gaps], np.float64)


def _expected(measured: Hourly, span: Span, until: int) -> tuple[Floats, Floats]:
    """(nodes,) hours that came, and hours that should have."""
    now, before = measured.counts()
    hours = _hours(span, until)
    heard = now[:, :hours]
    first = np.where(heard.any(axis=1), np.argmax(heard > 0, axis=1) if hours else 0, hours)
    first = np.where((before > 0).any(axis=1), 0, first)
    part = np.minimum(heard / np.maximum(np.nan_to_num(measured.usual()), 1)[:, None], 1)
    return part.sum(axis=1) * _pace(measured), (hours - first).astype(np.float64)
