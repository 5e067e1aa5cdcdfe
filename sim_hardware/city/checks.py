"""What the types of a scenario's tables cannot say: names that exist, places that are possible, times in order."""

import contextlib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from gateway.errors import ConfigError
from gateway.near import hint
from sim_hardware.city.cells import from_above, largest_capacity, shortest_m
from sim_hardware.city.incidents import DAY_MIN, KINDS, Target
from sim_hardware.city.tables import NODE, DistrictTable, NodeTable, Planned, Scenario, StreetTable, clock
from sim_hardware.city.toml_lines import Path, line_of

_TABLES: Final[dict[str, type[Struct]]] = {
    "incident": Planned,
    "district": DistrictTable,
    "street": StreetTable,
    "node": NodeTable,
}
_Named = DistrictTable | StreetTable | NodeTable
_NODE: Final = re.compile(NODE)
_LAID_OUT: Final = re.compile(r"(street|district) [0-9]+")


class Wrong(ConfigError):
    """Something in the file, with the path of its key."""

    def __init__(self, path: Path, message: str) -> None:
        dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
        super().__init__(f"{dotted}: {message}" if dotted else message)
        self.path = path


@contextlib.contextmanager
def lines_told(text: str, name: str, cure: str = "") -> Iterator[None]:
    """What is wrong with the text of a TOML file is raised as ConfigError with the file's name and the line.

    `cure` is put behind what the types of the tables refuse.
    """
    try:
        yield
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line (\d+)", str(error))
        raise ConfigError(f"{name}:{line[1] if line else len(text.splitlines())}: not TOML: {error}") from error
    except msgspec.ValidationError as error:
        reason, _, where = str(error).partition(" - at `")
        # The place that msgspec names: `$.incident[0].kind`.
        path = [key or int(number) for key, number in re.findall(r"\.(\w+)|\[(\d+)\]", where)]
        raise ConfigError(f"{name}:{line_of(text, path)}: {Wrong(path, reason)}{cure}") from error
    except Wrong as error:
        raise ConfigError(f"{name}:{line_of(text, error.path)}: {error}") from error


def check_keys(given: Mapping[str, Any]) -> None:
    """Raises Wrong for a key that no table has."""
    _refuse_unknown(given, Scenario, ())
    for name, kind in _TABLES.items():
        tables = given.get(name)
        for number, table in enumerate(tables if isinstance(tables, list) else ()):
            if isinstance(table, dict):
                _refuse_unknown(table, kind, (name, number))
    climate, chances = given.get("climate"), given.get("random")
    if isinstance(climate, dict):
        fields = {field.name: field.type for field in msgspec.structs.fields(Scenario)}
        _refuse_unknown(climate, fields["climate"], ("climate",))
    for key in chances if isinstance(chances, dict) else ():
        if key not in KINDS:
            raise Wrong(("random", key), f"there is no such kind of incident{hint(key, KINDS)}")


def check(scenario: Scenario) -> None:
    """Raises Wrong for the first thing that cannot be."""
    known = _names(scenario)
    _check_streets(scenario)
    _check_nodes(scenario, known)
    times = [_check_incident(scenario, known, number, each) for number, each in enumerate(scenario.incident)]
    _check_overlaps(scenario.incident, times)


def _refuse_unknown(table: Mapping[str, Any], kind: type[Struct], path: Path) -> None:
    known = [field.name for field in msgspec.structs.fields(kind)]
    for key in table:
        if key not in known:
            raise Wrong((*path, key), f"there is no such key{hint(key, known)}")


def _names(scenario: Scenario) -> dict[str, Target]:
    """What each name is. Raises Wrong for one that is given twice, or that only a node can have."""
    found: dict[str, Target] = {}
    sorts: dict[Target, Sequence[_Named]]
    sorts = {"district": scenario.district, "street": scenario.street, "node": scenario.node}
    for sort, tables in sorts.items():
        for number, table in enumerate(tables):
            if table.name in found:
                said = f"{table.name!r} is the name of a {found[table.name]} already; give this one another"
                raise Wrong((sort, number, "name"), said)
            if sort != "node" and _NODE.fullmatch(table.name):
                raise Wrong((sort, number, "name"), f"{table.name!r} is what a node is called; choose another name")
            if (own := _LAID_OUT.fullmatch(table.name)) and not sorts[own[1]]:  # type: ignore[index] # one of two
                said = f"{table.name!r} is what a {own[1]} is called that is laid out by itself; choose another name"
                raise Wrong((sort, number, "name"), said)
            found[table.name] = sort
    return found


def _check_streets(scenario: Scenario) -> None:
    districts = [table.name for table in scenario.district]
    number = {table.name: index for index, table in enumerate(scenario.street)}
    for index, table in enumerate(scenario.street):
        if table.district and table.district not in districts:
            cure = hint(table.district, districts) or "; add a [[district]] of this name"
            raise Wrong(("street", index, "district"), f"there is no district {table.district!r}{cure}")
        if districts and not table.district:
            raise Wrong(("street", index), f"district: is missing; say in which district {table.name!r} is")
        if table.into and table.into not in number:
            raise Wrong(("street", index, "into"), f"there is no street {table.into!r}{hint(table.into, number)}")
        if table.onward is not None and not table.into:
            raise Wrong(("street", index, "onward"), "is the share that flows on; say where to with into")
        if table.length_m < (least := shortest_m(table.limit_kmh)):
            said = f"a street of {table.limit_kmh:g} km/h is {least:.0f} m or longer; join it to the next"
            raise Wrong(("street", index, "length_m"), said)
        if (table.capacity or 0) > (most := largest_capacity(table.limit_kmh)):
            said = f"at {table.limit_kmh:g} km/h no lane carries more than {most:.0f} veh/h; lower it"
            raise Wrong(("street", index, "capacity"), said)
    into = [number[table.into] if table.into else -1 for table in scenario.street]
    if left := set(range(len(into))) - set(from_above(into)):
        index, seen = min(left), []
        while index not in seen:  # downward from any of them: it ends in the circle
            seen.append(index)
            index = into[index]
        circle = [scenario.street[each].name for each in (*seen[seen.index(index) :], index)]
        raise Wrong(("street", index, "into"), f"flows in a circle: {' > '.join(circle)}; let one of them end")


def _check_nodes(scenario: Scenario, known: Mapping[str, Target]) -> None:
    taken: dict[tuple[str, float], str] = {}
    lengths = {table.name: table.length_m for table in scenario.street}
    for number, table in enumerate(scenario.node):
        sort = "street" if table.kind == "traffic" else "district"
        names = [name for name, each in known.items() if each == sort]
        if table.at not in names:
            cure = hint(table.at, names) or f"; add a [[{sort}]] of this name"
            raise Wrong(("node", number, "at"), f"there is no {sort} {table.at!r} for {table.name}{cure}")
        if table.inlet and table.kind != "water":
            raise Wrong(("node", number, "inlet"), f"{table.name} is no water meter; remove it")
        if table.at_m is not None and sort != "street":
            raise Wrong(("node", number, "at_m"), "is a place along a street; remove it")
        if sort == "street":
            _check_metres(("node", number, "at_m"), table.at_m, lengths[table.at])
            place = (table.at, lengths[table.at] / 2 if table.at_m is None else table.at_m)
        elif table.inlet:
            place = (table.at, 0.0)
        else:
            continue  # a district has room for any number
        if place in taken:
            raise Wrong(("node", number, "at"), f"{taken[place]} stands in the same place; move one of them")
        taken[place] = table.name


def _check_metres(path: Path, metres: float | None, length: float) -> None:
    if metres is not None and metres > length:
        raise Wrong(path, f"the street is {length:g} m long; name a place on it")


def _check_incident(scenario: Scenario, known: Mapping[str, Target], number: int, each: Planned) -> tuple[int, int]:
    """(begin, end) in minutes after the start."""
    path, line = ("incident", number), KINDS[each.kind]
    if not each.at and "city" not in line.at:
        raise Wrong((*path, "kind"), f"a {each.kind} is at a {_or(line.at)}; name it with at")
    if each.at:
        sort: Target | None = known.get(each.at)
        if found := _NODE.fullmatch(each.at):
            sort = "node" if "node" in line.at else found[1]  # type: ignore[assignment] # a kind of node
        if "city" in line.at:
            raise Wrong((*path, "at"), f"a {each.kind} is over the whole city; remove it")
        if sort not in line.at:
            names = [name for name, sort in known.items() if sort in line.at]
            said = f"there is no {_or(line.at)} {each.at!r}"
            raise Wrong((*path, "at"), said + (hint(each.at, names) or "; name one that there is"))
    if each.at_m is not None:
        if known.get(each.at) != "street":
            raise Wrong((*path, "at_m"), "is a place along a street; remove it, or name a street with at")
        _check_metres((*path, "at_m"), each.at_m, {s.name: s.length_m for s in scenario.street}[each.at])
    least, most, _ = line.size
    if each.size is not None and not least <= each.size <= most:
        said = f"a {each.kind} is {least:g} to {most:g} ({line.unit})" if most else f"a {each.kind} has no size"
        raise Wrong((*path, "size"), f"{said}; {'change' if most else 'remove'} it")
    if each.end is not None and each.lasts is not None:
        raise Wrong((*path, "lasts"), "says what end says already; remove one of them")
    start = round(scenario.start_hour * 60)
    begin, end = _times(each, path, start)
    if begin < 0:
        raise Wrong((*path, "begin"), f"is before the city starts, at {scenario.start_hour:g} o'clock; choose a later")
    if end <= begin:
        raise Wrong((*path, "end"), "must be after begin")
    if each.daily and end - begin > DAY_MIN:
        raise Wrong((*path, "daily"), "it comes every day but lasts longer than one; shorten it")
    return begin, end


def _times(each: Planned, path: Path, start: int) -> tuple[int, int]:
    key = "begin"
    try:
        clock(each.begin, start)
        key = "lasts" if each.end is None else "end"
        return each.times(start)
    except ValueError as error:
        raise Wrong((*path, key), str(error)) from error


def _check_overlaps(incidents: tuple[Planned, ...], times: list[tuple[int, int]]) -> None:
    """Two of one kind at one place at one time are one."""
    seen: dict[tuple[str, str, float | None], list[int]] = {}
    for number, each in enumerate(incidents):
        others = seen.setdefault((each.kind, each.at, each.at_m), [])
        for other in others:
            if _meet(times[other], incidents[other].daily, times[number], each.daily):
                said = f"overlaps with incident[{other}], the same kind at the same place; join or part them"
                raise Wrong(("incident", number, "begin"), said)
        others.append(number)


def _meet(one: tuple[int, int], daily: bool, two: tuple[int, int], too: bool) -> bool:
    """Whether two spans of minutes, each perhaps every day again, have a minute in common."""
    (begin, end), (first, last) = one, two
    if daily and too:
        return (first - begin) % DAY_MIN < end - begin or (begin - first) % DAY_MIN < last - first
    if too:
        return _meet(two, too, one, daily)
    days = max(0, (first - end) // DAY_MIN + 1) if daily else 0  # until it ends after the other begins
    return begin + days * DAY_MIN < last and first < end + days * DAY_MIN


def _or(targets: tuple[Target, ...]) -> str:
    words = {"traffic": "counter", "water": "water meter", "air": "air station"}
    return " or ".join(words.get(each, each) for each in targets)
