"""Months of a simulated city, in which everything happens that can, against what the detectors make of its packs.

`python -m tests.bench.detection.city --days 60 --nodes 120 --cache /tmp/city` prints figures (JSON lines); tables for
people go to standard error. The city is kept below the cache's folder, where one is given: only the first run is slow.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from gateway.detect.detectors import Detectors, Settings
from gateway.records import Incident, Pack
from sim_hardware.city import truth
from sim_hardware.city.city import layout_of
from sim_hardware.city.incidents import KINDS, MONTH_D
from sim_hardware.city.layout import Layout
from sim_hardware.city.plan import plan_of
from sim_hardware.city.scenario import load, places
from sim_hardware.city.tables import Planned
from sim_hardware.city.truth import Run, Score, Truth, score
from tests.bench.detection.city_packs import DAY_MIN, TRUTH, Months, kept, live
from tests.bench.result import show

SCENARIO: Final = Path(__file__).with_name("city.toml")
START: Final = 1_795_392_000
"""2026-11-23, a Monday, midnight UTC: the stoves are lit, the nights are long."""
SLICE: Final = 256
"""Packs at once, as the gateway's own runner feeds them."""

# Chance puts these at any node; here only where the node can tell: boards other than meters have no lid contact, and a
# meter whose contact is dead looks like a home in which nobody is, for longer than the city lets it be dead. A drift
# shows at counters too, where chance does not put it. So many a month and node of these kinds.
_SEEN_AT: Final[Mapping[str, tuple[tuple[str, ...], float]]] = {
    "tamper": (("water",), 0.4),
    "dead": (("traffic", "air"), 0.3),
    "drift": (("traffic",), 0.05),
}
TARGETS: Final = {"jam": 3 * 60, "burst": 15 * 60}
"""Seconds from the beginning of an incident to that it is told, median."""
RECALL: Final = 0.95
FALSE: Final = 0.1
"""False incidents a node-month."""


def months(days: int, nodes: int, seed: int) -> Months:
    """The city of the bench."""
    scenario = load(SCENARIO)
    layout = layout_of(scenario, places(nodes), seed)
    more = tuple(_planned(layout, days, seed))
    return Months(msgspec.structs.replace(scenario, incident=scenario.incident + more), nodes, days, seed, START)


def _planned(layout: Layout, days: int, seed: int) -> Iterator[Planned]:
    """What chance shall not put anywhere."""
    dice = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(8,)))
    for kind, (at, rate) in _SEEN_AT.items():
        names = [layout.places[slot].node for sort in at for slot in layout.slots[sort].tolist()]
        free = dict.fromkeys(names, 0)
        for begin in np.sort(
            dice.integers(0, days * DAY_MIN, dice.poisson(rate * len(names) * days / MONTH_D))
        ).tolist():
            name = names[int(dice.integers(len(names)))]
            line = KINDS[kind]  # type: ignore[index] # a kind of the table
            lasts = max(5, round(line.lasts * dice.lognormal(0, 0.4)))
            size = float(np.clip(line.size[2] * dice.lognormal(0, 0.35), *line.size[:2]))
            if begin >= free[name]:
                free[name] = begin + lasts
                yield Planned(kind, begin, name, lasts=lasts, size=size)  # type: ignore[arg-type]


def city(wanted: Months, folder: Path) -> Iterator[list[Pack]]:
    """Its packs, day by day; once all were asked for, its truth is in the folder too."""
    if (folder / TRUTH).exists():
        return kept(wanted, folder)
    folder.mkdir(parents=True, exist_ok=True)
    return live(wanted, folder)


def judged(
    truths: Sequence[Truth], incidents: Sequence[Incident], run: Run, learn_days: int
) -> tuple[Score, list[Truth], list[Incident]]:
    """The score, what was missed, and what is false.

    Of the first days nothing counts: detectors learn what is usual then, and have not been installed in the middle of
    everything that can happen. What began in them is neither missed nor found later, wherever it goes on.
    """
    begin = run.begin + 86_400 * learn_days
    heard = [each for each in incidents if each.opened >= begin]
    early = [msgspec.structs.replace(each, shown=(each.begin, each.begin)) for each in truths if each.begin < begin]
    due = [each for each in truths if each.begin >= begin]
    found = score(early + due, heard, run.end, msgspec.structs.replace(run, begin=begin))
    missed = [each for each in due if each.ripe(run.end) and all(each.found_by(one) is None for one in heard)]
    false = [one for one in heard if not any(each.told_by(one) for each in truths)]
    return found, missed, false


def run(console: Console, arguments: Sequence[str] = ()) -> bool:
    """Figures of one city. True when they are what is aimed at."""
    options = argparse.ArgumentParser(prog="city", description=__doc__.partition("\n")[0])
    options.add_argument("--days", type=int, default=45)
    options.add_argument("--nodes", type=int, default=120)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--learn", type=int, default=7, help="days at the beginning that do not count")
    options.add_argument("--cache", type=Path, help="a folder in which cities are kept")
    options.add_argument("--list", type=Path, help="what was missed and what was false, as JSON lines")
    given = options.parse_args(arguments)
    if given.learn >= given.days:
        options.error(f"--learn {given.learn}: of {given.days} days nothing would count")
    with tempfile.TemporaryDirectory() as passing:
        return _judge(console, months(given.days, given.nodes, given.seed), given.cache or Path(passing), given)


def _judge(console: Console, wanted: Months, cache: Path, given: argparse.Namespace) -> bool:
    folder = cache / wanted.key()
    layout = layout_of(wanted.scenario, places(wanted.nodes), wanted.seed)
    detectors = Detectors(Settings(plan_of(layout)))
    incidents: dict[str, Incident] = {}
    count, spent, began = 0, 0.0, time.perf_counter()
    for number, day in enumerate(city(wanted, folder), 1):
        count += len(day)
        before = time.perf_counter()
        for at in range(0, len(day), SLICE):
            incidents |= {each.id: each for each in detectors.feed(day[at : at + SLICE])}
        spent += time.perf_counter() - before
        if number % 10 == 0:
            console.print(f"city: {number} days, {len(incidents)} incidents")
    whole, truths = truth.read(folder / TRUTH)
    assert whole is not None
    told = [each for each in incidents.values() if not each.held]
    found, missed, false = judged(truths, told, whole, given.learn)
    on = {"nodes": given.nodes, "days": given.days, "seed": given.seed, "learnt_days": given.learn, "packs": count}
    _print(found, on)
    show("detection", "city_held", len(incidents) - len(told), "incidents", **on)
    show("detection", "city_packs_per_second", count / spent, "packs/s", **on)
    show("detection", "city_made_per_second", count / (time.perf_counter() - began - spent), "packs/s", **on)
    _tables(console, found, missed, false)
    if given.list:
        lines = [*({"missed": each} for each in missed), *({"false": each} for each in false)]
        given.list.write_bytes(b"".join(msgspec.json.encode(each) + b"\n" for each in lines))
    return _good(found)


def _print(found: Score, on: Mapping[str, int]) -> None:
    """The figures of all together, and of each kind and cause."""
    for kind, line in (("all", found), *found.kinds.items()):
        where = {**on, "kind": kind, "injected": line.injected, "raised": line.raised}
        for name, unit in (("recall", "share"), ("precision", "share"), ("false_per_node_month", "1/node-month")):
            value = getattr(line, name)
            if value is not None:
                show("detection", f"city_{name}", value, unit, **where)
        show("detection", "city_false", line.false, "incidents", **where)
        if delay := found.delay_s.get(kind):
            show("detection", "city_delay_s", delay.median, "s", **where, max=delay.max)
    for cause, (injected, detected) in found.causes.items():
        show("detection", "city_cause_recall", detected / injected, "share", **on, cause=cause, injected=injected)


def _tables(console: Console, found: Score, missed: Sequence[Truth], false: Sequence[Incident]) -> None:
    """The same for people."""
    kinds = Table("kind", "injected", "found", "raised", "false", "false/node-month", "delay min, median", "max")
    for kind, line in (("all", found), *found.kinds.items()):
        delay = found.delay_s.get(kind)
        times = [f"{each / 60:.1f}" for each in (delay.median, delay.max)] if delay else ["-", "-"]
        rate = "-" if line.false_per_node_month is None else f"{line.false_per_node_month:.3f}"
        kinds.add_row(kind, *(str(n) for n in (line.injected, line.detected, line.raised, line.false)), rate, *times)
    causes = Table("cause", "injected", "found", "missed at")
    places = {kind: Counter(each.place or "the city" for each in missed if each.kind == kind) for kind in KINDS}
    for cause, (injected, detected) in found.causes.items():
        at = ", ".join(name for name, _ in places[cause].most_common(6))  # type: ignore[index] # a kind of truth
        causes.add_row(cause, str(injected), str(detected), at)
    wrong = Table("false", "number", "at")
    for kind, number in Counter(each.kind for each in false).most_common():
        at = Counter(each.node or "the site" for each in false if each.kind == kind).most_common(6)
        wrong.add_row(kind, str(number), ", ".join(f"{name} {n}" for name, n in at))
    for table in (kinds, causes, wrong):
        console.print(table)


def _good(found: Score) -> bool:
    slow = [kind for kind, limit in TARGETS.items() if (own := found.delay_s.get(kind)) and own.median > limit]
    return (found.recall or 0) >= RECALL and (found.false_per_node_month or 0) <= FALSE and not slow


if __name__ == "__main__":
    sys.exit(not run(Console(stderr=True, width=160), sys.argv[1:]))
