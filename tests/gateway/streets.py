"""Packs for the tests of detectors: of one node minute by minute, and of a whole quiet city."""

from collections.abc import Iterable, Mapping, Sequence
from random import Random

from gateway.detect.detectors import Detectors
from gateway.records import Incident, Pack, Reading
from sim_hardware.city.city import DRIFT, FAULTS, City
from sim_hardware.city.incidents import DEAD, NO_POWER, STUCK
from sim_hardware.city.scenario import Scenario, places

START = 1_795_417_200
"""2026-11-23, a Monday, 07:00 UTC."""

Values = Mapping[str, float]


def pack(node: str, minute: float, values: Values, site: str = "riverside") -> Pack:
    """One window that ends so many minutes after START; names as in a pack: `[channel/]quantity`."""
    time = START + round(60 * minute)
    kind = node.partition("-")[0]
    readings = []
    for name, value in values.items():
        channel, _, quantity = name.rpartition("/")
        readings.append(Reading(time, channel, quantity, value))
    return Pack.of(site, node, "telemetry", kind, 1, round(minute), time, tuple(readings))


def series(node: str, name: str, values: Iterable[float | None], begin: int = 1, step: int = 1) -> list[Pack]:
    """One reading a window; None is a lost pack."""
    return [pack(node, begin + n * step, {name: v}) for n, v in enumerate(values) if v is not None]


def detect(packs: Iterable[Pack], detectors: Detectors | None = None) -> dict[str, Incident]:
    """Incidents by id, in their newest form."""
    return {incident.id: incident for incident in (detectors or Detectors()).feed(packs)}


def minutes(incidents: Mapping[str, Incident]) -> list[tuple[str, str, int, int | None]]:
    """(kind, node or node/channel, minutes from START to its opening, to its closing), in order of opening."""
    rows = []
    for each in incidents.values():
        assert (each.opened - START) % 60 == 0
        closed = None if each.closed is None else (each.closed - START) // 60
        place = f"{each.node}/{each.channel}".rstrip("/")
        rows.append((each.kind, place, (each.opened - START) // 60, closed))
    return sorted(rows, key=lambda row: row[2])


def city(days: float, nodes: int, seed: int = 1, scenario: Scenario | None = None) -> list[Pack]:
    """What the nodes of a city would send, each minute in order of nodes; of the chips' noise only that of CO2."""
    return lived(days, nodes, seed, scenario)[0]


def lived(days: float, nodes: int, seed: int = 1, scenario: Scenario | None = None) -> tuple[list[Pack], City]:
    """And the city itself, which knows its truth up to then."""
    where = places(nodes)
    scenario = scenario or Scenario("riverside")
    town, site = City(scenario, where, seed, START), scenario.site
    packs = []
    frozen: dict[str, Values] = {}
    dice = Random(seed)
    for minute in range(1, round(24 * 60 * days) + 1):
        state = town.minute().tolist()
        for place, fields in zip(where, state, strict=True):
            faults = int(fields[FAULTS])
            if faults & (DEAD | NO_POWER):
                continue
            values = _READ[place.kind](fields)
            if "co2" in values:  # the air is stiller than an SCD41: sim_hardware/chips/scd41.py
                values = {**values, "co2": float(round(values["co2"] + dice.gauss(0, 4)))}
            if faults & STUCK:  # the particle counter repeats itself
                values = {**values, **{name: frozen[place.node][name] for name in _PARTICLES}}
            frozen[place.node] = values
            packs.append(pack(place.node, minute, values, site))
    return packs, town


def _traffic(fields: Sequence[float]) -> Values:
    values = {}
    for lane, (flow, speed) in enumerate((fields[0:2], fields[2:4]), 1):
        if not flow:
            continue  # the street has no such lane
        length = 0.0065  # km: a vehicle over a loop
        values |= {
            f"lane{lane}/volume": round(flow / 60),
            f"lane{lane}/occupancy": min(100.0, 100 * flow * length / speed),
            f"lane{lane}/speed": float(speed * fields[DRIFT]),
        }
    return values


def _water(fields: Sequence[float]) -> Values:
    # A meter of one litre a pulse, whose one reed does not see which way the water runs.
    litres = round(abs(float(fields[0])) * fields[DRIFT] / 60)
    return {"flow": 60.0 * litres, "temperature": round(float(fields[1]), 1)}


def _air(fields: Sequence[float]) -> Values:
    names = (*_PARTICLES, "co2", "temperature", "humidity", "pressure")
    drifts = (*(fields[DRIFT],) * len(_PARTICLES), 1.0, 1.0, 1.0, 1.0)
    # Rounded coarser than any of the chips does: a hard case for what looks for repetition.
    return {name: round(float(v * drift), 1) for name, v, drift in zip(names, fields, drifts, strict=False)}


_PARTICLES = ("pm1_0", "pm2_5", "pm10")
_READ = {"traffic": _traffic, "water": _water, "air": _air}
