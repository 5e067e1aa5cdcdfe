"""Sums of homes' water for everybody who is no operator. Pure.

One sum a zone and day, decided once (`gateway.privacy.told`) and the same on every way out. What may be told:

- No home can be reckoned from it. Whatever sums are added to and taken from each other, what is left are whole groups
  of homes that are in the same of the sets that were summed up. So each of these groups has to be of `LEAST_HOMES` or
  more. The flow through a shown inlet of a zone that is metered whole counts as a sum of its homes.
- No sum is mostly one home's: none has used more than `MOST_SHARE` of it (the dominance rule of official statistics).
- Sums are of whole days that are over, so two never tell the same hour of a home twice: who joins today is in no sum
  that could be taken from yesterday's.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct

from gateway.cap.area import Places
from gateway.detect.plan import LEAST_HOMES, Plan, Zone
from gateway.query.client import Series
from gateway.records import NodeView

MOST_SHARE: Final = 0.5
"""Of a zone's water that one home may have used."""
COARSE: Final = 10
"""Litres to which a sum is rounded."""
LATE_SECONDS: Final = 3600
"""How long packs of a day that is over are waited for before it is summed up."""

Key = tuple[str, str]
"""(site, node)."""
Homes = frozenset[Key]


class DaySum(Struct, frozen=True):
    """What the homes of a zone used together in a day."""

    site: str
    zone: str
    """Its name."""
    slug: str
    """Of its own among the plan's areas."""
    day: date
    begin: int
    """Unix seconds; so `end`."""
    end: int
    litres: int
    homes: int


def newest_day(now: float, zone: ZoneInfo) -> tuple[date, int, int]:
    """The newest day that was over `LATE_SECONDS` before `now`; its begin and end, midnight by the clock of `zone`.
    Unix seconds."""
    today = datetime.fromtimestamp(now - LATE_SECONDS, zone).date()
    day = today - timedelta(days=1)
    begin, end = (int(datetime.combine(each, time.min, zone).timestamp()) for each in (day, today))
    return day, begin, end


def day_statement(begin: int, end: int) -> str:
    """Of each meter, its register from `begin` to `end` (Unix seconds); InfluxQL."""
    values = ", ".join(f'{each}("volume") AS "{each}"' for each in ("first", "last", "min", "max", "count"))
    return f'SELECT {values} FROM "water" WHERE time >= {begin}s AND time <= {end}s GROUP BY "site", "node"'


def used(series: Iterable[Series]) -> dict[Key, float]:
    """Litres of each meter, out of the answer to `day_statement`."""
    found: dict[Key, float] = {}
    for each in series:
        for values in each.values:
            row = dict(zip(each.columns, values, strict=True))
            # One whose register fell was exchanged, or is wrong: what its home used is not known.
            if row["count"] >= 2 and row["first"] == row["min"] and row["last"] == row["max"]:
                found[each.tags.get("site", ""), each.tags.get("node", "")] = row["last"] - row["first"]
    return found


def day_sums(
    plan: Plan,
    sites: Sequence[str],
    nodes: Sequence[NodeView],
    litres: Mapping[Key, float],
    day: tuple[date, int, int],
) -> tuple[DaySum, ...]:
    """The sums that may be told, in the plan's order: a zone that would betray what those before it hide has none."""
    found: list[DaySum] = []
    for site in sites:
        behind = list(metered_whole(plan, site, nodes)[1].values())
        told = list(behind)
        for area, zone in zip(Places(plan).areas, plan.zone, strict=False):
            if zone.site not in ("", site):
                continue
            homes = _fitting(frozenset((site, name) for name in homes_of(zone, site, nodes)) & litres.keys(), behind)
            of_each = [litres[home] for home in homes]
            if len(homes) < LEAST_HOMES or max(of_each) > MOST_SHARE * sum(of_each) or not apart([*told, homes]):
                continue
            if sum(of_each) > 0:  # else it would tell that nobody was at home
                told.append(homes)
                total = round(sum(of_each) / COARSE) * COARSE
                found.append(DaySum(site, zone.name, area.slug, *day, total, len(homes)))
    return tuple(found)


def apart(sets: Sequence[Homes]) -> bool:
    """Whether nothing that can be reckoned from the sums over these sets is of few homes.

    A combination of sums gives homes that are in the same of the sets the same weight, so what is left of it is always
    whole groups of such homes.
    """
    groups: Counter[tuple[int, ...]] = Counter()
    for home in frozenset[Key]().union(*sets):
        groups[tuple(number for number, each in enumerate(sets) if home in each)] += 1
    return all(size >= LEAST_HOMES for size in groups.values())


def homes_of(zone: Zone, site: str, nodes: Iterable[NodeView]) -> tuple[str, ...]:
    """The water meters of a zone's homes that were heard of, in the plan's order."""
    meters = {view.node for view in nodes if view.site == site and view.kind == "water"}
    return tuple(name for name in dict.fromkeys(zone.nodes) if name in meters and name not in zone.inlet)


def metered_whole(plan: Plan, site: str, nodes: Sequence[NodeView]) -> tuple[frozenset[str], dict[str, Homes]]:
    """Of the inlets of zones that are metered whole: those that must not be shown, as few homes are all that they
    measure, alone or less the others; and by name of the zone the homes behind those that may be."""
    hidden: set[str] = set()
    behind: dict[str, Homes] = {}
    for number, zone in enumerate(plan.of(site).zone):
        if not zone.full:
            continue
        homes = frozenset((site, name) for name in homes_of(zone, site, nodes))
        if len(homes) < LEAST_HOMES or not apart([*behind.values(), homes]):
            hidden |= set(zone.inlet)
        else:
            behind[f"{number} {zone.name}"] = homes
    return frozenset(hidden), behind


def _fitting(homes: Homes, behind: Iterable[Homes]) -> Homes:
    """The homes but for some, where few of a zone are missing whose inlets are shown: these less the sum would be
    theirs. Which is no matter of what they used: the first by name."""
    for whole in behind:
        missing = len(whole - homes)
        if homes < whole and missing < LEAST_HOMES:
            homes = frozenset(sorted(homes)[LEAST_HOMES - missing :])
    return homes
