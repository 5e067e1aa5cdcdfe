"""A week whose figures are known by hand, written to a real InfluxDB and asked for as a report does."""

from collections.abc import Callable, Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from msgspec import structs

from gateway.config import Influx
from gateway.detect.plan import Plan, Street, Zone
from gateway.journal.registry import Registry
from gateway.journal.store import Journal
from gateway.query.client import ask
from gateway.records import Acknowledged, DeadLetter, Incident, NodeView, Pack, Reading, Severity
from gateway.report.figures import Measured, Remembered, Week, week_of
from gateway.report.gather import measure, remember, weeks_with_data
from gateway.report.weeks import HOUR, IsoWeek, Span
from sim_hardware.servers import InfluxDB
from tests.gateway.databases import write

ZONE = ZoneInfo("Europe/Berlin")
SPAN = Span(IsoWeek(2026, 47), ZONE)
HOMES = tuple(f"water-{number:04d}" for number in range(1, 13))
PLAN = Plan(
    street=(Street("Mill Lane", ("traffic-0001", "traffic-0002")),),
    zone=(
        Zone("Mill Quarter", (*HOMES, "air-0001", "air-0002", "air-0003"), ("water-0100",), full=True),
        Zone("Old Town", ("water-0200", "water-0201"), ("water-0202",)),
        Zone("Nearly Mill", HOMES[:-2]),
    ),
)
PER_HOME, LOST = 10, 30
"""l/h"""

Lines = list[str]
Measure = Callable[..., Measured]


@pytest.fixture
def measured(influx: InfluxDB, influx_db: str) -> Measure:
    """What a report finds of lines in a database."""

    def find(lines: Lines, span: Span = SPAN) -> Measured:
        write(influx.url, influx_db, lines)
        settings = Influx(url=influx.url, database=influx_db)
        return measure(lambda statement: ask(settings, statement), "riverside", span)

    return find


def line(kind: str, node: str, time: int, channel: str = "", **fields: float) -> str:
    tags = f",channel={channel}" if channel else ""
    return f"{kind}{tags},node={node},site=riverside {','.join(f'{k}={v}' for k, v in fields.items())} {time}"


def ends(span: Span, windows: int = 1) -> Iterator[tuple[int, int]]:
    """(hour, end) of each window of a week, so many an hour."""
    for hour in range(span.hours):
        for window in range(1, windows + 1):
            yield hour, span.time(hour) + window * HOUR // windows


def report(measured: Measured, remembered: Remembered | None = None, span: Span = SPAN, plan: Plan = PLAN) -> Week:
    return week_of(measured, remembered or Remembered(), plan, "riverside", span, now=span.end + 60)


def traffic_lines() -> Lines:
    """Two counters of one street: 12 and 24 vehicles an hour in two lanes, 60 on Tuesday at 08:00; before, half of it.

    The second is silent all Thursday, and lacks one window of four in Friday's first hour.
    """
    lines = []
    for span, share in ((SPAN, 2), (SPAN.before, 1)):
        for hour, end in ends(span, 4):
            rush = span is SPAN and span.keys[hour][:2] == (1, 8)
            lines += [
                line("traffic", "traffic-0001", end, lane, volume=7.5 if rush else 0.75 * share, speed=speed)
                for lane, speed in (("lane1", 40), ("lane2", 60))
            ]
            silent = span is SPAN and (span.day_of[hour] == 3 or end == SPAN.edges[4] + HOUR)
            if not silent:
                lines.append(line("traffic", "traffic-0002", end, "lane1", volume=30 if rush else 3 * share))
    return lines


def test_traffic(measured: Measure) -> None:
    found = report(measured(traffic_lines()))
    assert found.traffic is not None
    (street,) = found.traffic.flows
    hours = dict(zip(SPAN.keys, street.hours, strict=True))
    assert (street.name, street.counters) == ("Mill Lane", ("traffic-0001", "traffic-0002"))
    assert hours[0, 0, 0, 0] == (12 + 24) / 2
    assert hours[1, 8, 0, 0] == (60 + 120) / 2
    assert hours[3, 5, 0, 0] == 12, "half of its counters are known"
    assert hours[4, 0, 0, 0] == (12 + 24) / 2, "three of four windows stand for the hour"
    assert set(street.before) == {(6 + 12) / 2}
    assert (street.known, street.busiest, street.busiest_vehicles) == (168, SPAN.time(32), 90)
    assert street.speed == 50
    assert street.vehicles == 168 * 18 + (90 - 18) - 24 * (18 - 12)
    # Over what both counters know in both weeks: 168 h of one, 144 of the other.
    now, before = 168 * 12 + 48 + 144 * 24 + 96, 168 * 6 + 144 * 12
    assert (street.change.now, street.change.before) == (now, before)
    assert street.change.share == pytest.approx(now / before - 1)
    assert found.traffic.change.compared == pytest.approx((168 + 144) / 336)
    assert "Traffic was 105 % above the week before." in found.summary
    assert "The busiest hour began on Tue 17 Nov 08:00 on Mill Lane, with 90 vehicles." in found.summary
    (share,) = found.quality.kinds
    assert (share.kind, share.nodes, share.expected) == ("traffic", 2, 336)
    assert share.heard == pytest.approx(336 - 24 - 0.25, abs=0.06), "an hour has 3 of its 4 windows"
    assert found.quality.longest is not None
    assert (found.quality.longest.where, found.quality.longest.hours) == ("traffic-0002", 24)
    assert found.quality.longest.begin == SPAN.edges[3]
    assert (found.water, found.air) == (None, None)


def water_lines(span: Span = SPAN, silent: str = "", day: int = -1) -> Lines:
    """Registers each hour: `PER_HOME` at each home, but nothing from 02:00 to 04:00; `LOST` more through the inlet."""
    lines = []
    drawn = 0
    keys = span.keys
    start = span.begin
    lines += [line("water", node, start, volume=1000) for node in (*HOMES, "water-0100")]
    for hour, end in ends(span):
        drawn += 0 if 2 <= keys[hour][1] < 4 else PER_HOME
        for node in HOMES:
            if node != silent or span.day_of[hour] != day:
                lines.append(line("water", node, end, volume=1000 + drawn))
        lines.append(line("water", "water-0100", end, volume=1000 + len(HOMES) * drawn + LOST * (hour + 1)))
        lines += [line("water", f"water-020{n}", end, volume=5 * hour) for n in range(3)]
        lines.append(line("water", "water-0300", end, volume=hour))
    return lines


def test_water_balance(measured: Measure) -> None:
    found = report(measured(water_lines()))
    assert found.water is not None
    mill, old, nearly = found.water.zones
    day = 22 * PER_HOME * len(HOMES)
    assert (mill.homes, mill.inlets, mill.balance) == (12, 1, "")
    assert [each.metered for each in mill.days] == [day] * 7
    assert [each.inflow for each in mill.days] == [day + 24 * LOST] * 7
    assert [each.loss for each in mill.days] == [24 * LOST] * 7
    assert mill.loss is not None
    assert (mill.loss.litres, mill.loss.days) == (7 * 24 * LOST, 7)
    assert mill.loss_share == pytest.approx(24 * LOST / (day + 24 * LOST))
    assert (mill.nights, mill.night, mill.night_of) == ((LOST,) * 7, LOST, "inlets")
    assert mill.change is not None
    assert mill.change.share is None
    assert old.withheld == "Fewer than 10 homes: their sum is not shown."
    assert nearly.withheld.startswith("It differs from other zones by fewer than 10 homes")
    assert (old.days, nearly.days, found.water.unzoned) == ((), (), 1)
    assert "Of the water that came into Mill Quarter, 5.0 m³ (21 %) passed no meter." in found.summary


def test_a_silent_home_is_estimated_and_never_taken_for_nothing(measured: Measure) -> None:
    """One of twelve is silent all Wednesday: its own mean stands for that day, and for the two that it touches not."""
    found = report(measured(water_lines(silent=HOMES[0], day=2)))
    assert found.water is not None
    mill = found.water.zones[0]
    assert [each.estimated for each in mill.days] == [0, 0, 1, 1, 0, 0, 0]  # Thursday's first hour began at no reading
    assert {each.metered for each in mill.days} == {22 * PER_HOME * len(HOMES)}


def test_two_silent_homes_of_twelve_are_too_many(measured: Measure) -> None:
    """11 are more than 0.9 of 12, 10 are not."""
    lines = [each for each in water_lines(silent=HOMES[0], day=2) if not (HOMES[1] in each and wednesday(each))]
    found = report(measured(lines))
    assert found.water is not None
    mill = found.water.zones[0]
    assert [each.metered is None for each in mill.days] == [False, False, True, True, False, False, False]
    assert [each.loss is None for each in mill.days] == [False, False, True, True, False, False, False]
    assert mill.loss is not None
    assert (mill.loss.days, mill.loss.litres) == (5, 5 * 24 * LOST)


def wednesday(text: str) -> bool:
    return SPAN.edges[2] < int(text.rsplit(" ", 1)[1]) <= SPAN.edges[3]


def test_a_meter_that_was_never_heard_leaves_no_balance(measured: Measure) -> None:
    lines = [each for each in water_lines() if HOMES[0] not in each]
    views = remember_packs([(HOMES[0], "water", "volume")])
    found = report(measured(lines), Remembered(nodes=views))
    assert found.water is not None
    assert found.water.zones[0].balance == "1 of its 12 meters were not heard."
    assert {each.loss for each in found.water.zones[0].days} == {None}
    assert {each.metered for each in found.water.zones[0].days} == {11 * 22 * PER_HOME}


@pytest.mark.parametrize(("week", "hours"), [("2026-W13", 167), ("2026-W43", 169)])
def test_a_week_in_which_clocks_are_changed(influx: InfluxDB, influx_db: str, week: str, hours: int) -> None:
    """Its Sunday has 23 or 25 hours, and one or three at night."""
    span = Span(IsoWeek.parse(week), ZONE)
    write(influx.url, influx_db, water_lines(span))
    settings = Influx(url=influx.url, database=influx_db)
    found = report(measure(lambda text: ask(settings, text), "riverside", span), span=span)
    assert found.water is not None
    mill = found.water.zones[0]
    sunday = hours - 6 * 24
    assert (found.hours, found.over) == (hours, True)
    assert [each.loss for each in mill.days] == [24 * LOST] * 6 + [sunday * LOST]
    assert [each.metered for each in mill.days] == [22 * PER_HOME * 12] * 7, "it is the night that is longer or shorter"
    assert mill.nights == (LOST,) * 7
    assert [each.share for each in found.quality.kinds] == [1]


def air_lines() -> Lines:
    """5 µg/m³ at three stations; at one 20 on Tuesday, and on Wednesday 10 hours alone."""
    lines = []
    for hour, end in ends(SPAN):
        day, clock = SPAN.keys[hour][:2]
        lines += [line("air", f"air-000{n}", end, pm2_5=5) for n in (2, 3)]
        if day != 2 or clock < 10:
            lines.append(line("air", "air-0001", end, pm2_5=20 if day == 1 else 5))
    return lines


def test_air_days(measured: Measure) -> None:
    """20 µg/m³ are (100 - 51) / (35.4 - 9.1) * (20 - 9.1) + 51 = 71 by US EPA's AQI, and 5 are 50 / 9 * 5 = 28."""
    found = report(measured(air_lines()))
    assert found.air is not None
    first = found.air.stations[0]
    assert [(each.index, each.hours) for each in first.days] == [(28, 24), (71, 24), (None, 10)] + [(28, 24)] * 4
    assert (found.air.station_days, found.air.unknown) == ((19, 1, 0, 0, 0, 0), 1)
    (zone,) = found.air.zones
    assert (zone.name, zone.stations, [each.index for each in zone.days]) == ("Mill Quarter", 3, [28] * 7)
    assert found.air.corrected == 0
    assert "The worst was moderate, on 1 station-day." in found.summary


def test_air_by_europes_bands_and_by_none(measured: Measure) -> None:
    """A European day shows its worst hour. A day before the first table of a region has no index, and says so."""
    found = measured([*air_lines(), line("air", "air-0001", SPAN.time(3) + HOUR, pm2_5=60)])
    europe = week_of(found, Remembered(), PLAN, "riverside", SPAN, now=SPAN.end, region="europe")
    assert europe.air is not None
    assert [each.index for each in europe.air.stations[0].days] == [4, 3, None, 1, 1, 1, 1]
    old = Span(IsoWeek(2020, 10), ZONE)
    lines = [line("air", "air-0001", end, pm2_5=5) for _, end in ends(old)]
    early = report(measured(lines, old), span=old)
    assert early.air is not None
    assert "the oldest table of us" in early.air.nothing
    assert early.air.nothing in early.summary


def test_humid_air_is_corrected(measured: Measure) -> None:
    """0.524 * 20 - 0.0862 * 50 + 5.75 = 11.9 µg/m³: (100 - 51) / (35.4 - 9.1) * (11.9 - 9.1) + 51 = 56."""
    found = report(measured([line("air", "air-0001", end, pm2_5=20, humidity=50) for _, end in ends(SPAN)]))
    assert found.air is not None
    assert {each.index for each in found.air.stations[0].days} == {56}
    assert found.air.corrected == 1


def incident(kind: str, node: str, opened: int, lasted: int | None, severity: Severity = "warning") -> Incident:
    closed = None if lasted is None else opened + lasted
    return Incident(f"{kind}.riverside.{node}.{opened}", kind, "riverside", node, "", severity, opened, closed, "Why.")


def remember_packs(nodes: list[tuple[str, str, str]]) -> tuple[NodeView, ...]:
    """Views of nodes that have sent one pack before the week."""
    registry = Registry()
    when = SPAN.begin - HOUR
    packs = [
        Pack.of("riverside", node, "telemetry", kind, 1, 3, when, (Reading(when, "", quantity, 1.0),))
        for node, kind, quantity in nodes
    ]
    registry.take(1, packs, [], float(when))
    return tuple(registry.views())


def test_incidents_and_what_the_journal_knows(tmp_path: Path, measured: Measure) -> None:
    begin = SPAN.begin
    known = [
        incident("jam", "traffic-0001", begin + 60, 1800),
        incident("jam", "traffic-0001", begin - 60, 1800),  # before the week, ended in it
        incident("jam", "traffic-0001", begin - 9999, 60),  # of the week before alone
        incident("leak", HOMES[0], begin + 120, None, "critical"),
        incident("main_burst", "water-0100", begin + 180, 3600, "critical"),
        incident("jam", "traffic-0001", SPAN.end, None),  # of the next week
    ]
    held = [structs.replace(incident("drift", "air-0001", begin + 240, 60), held=True)]
    drill = [structs.replace(incident("jam", "traffic-0002", begin + 300, 60), drill=True)]
    journal = Journal.open(tmp_path / "data", 2**20)
    journal.found(1, [*known, *held, *drill])
    journal.acknowledge(known[4].id, Acknowledged("Ada", begin + 180 + 420))
    letters = [(begin - 1, "json"), (begin, "json"), (begin + 5, "json"), (begin + 9, "size"), (SPAN.end, "json")]
    when = begin + 7200
    pack = Pack.of("riverside", "air-0001", "telemetry", "air", 1, 5, when, (Reading(when, "", "pm2_5", 5.0),))
    dead = [DeadLetter("topic", b"{", reason, "because", float(time)) for time, reason in letters]
    journal.commit([pack, *dead], float(when))

    remembered = remember(journal, "riverside", SPAN, {known[4].id: ("mail to duty", "MQTT")})
    journal.close()
    lines = [
        line("health", "air-0001", begin + 60, clock_error=0.5),
        line("health", "air-0002", begin + 60, clock_error=1),
        line("health", "air-0002", begin + 90, clock_error=-7.25),
        line("health", "air-0003", begin - 60, clock_error=99),
    ]
    found = report(measured([*lines, *water_lines()]), remembered)
    cases = found.incidents.cases
    assert [(each.kind, each.where) for each in cases] == [
        ("leak", "a home in Mill Quarter"),
        ("main_burst", "water-0100"),
        ("jam", "traffic-0001"),
        ("jam", "traffic-0001"),
    ]
    leak, burst, earlier, jam = cases
    assert (leak.id, leak.what, leak.lasted) == ("", "", None)
    assert (burst.acknowledged_by, burst.acknowledged_after, burst.told) == ("Ada", 420, ("mail to duty", "MQTT"))
    assert (earlier.earlier, jam.earlier, jam.lasted) == (True, False, 1800)
    assert [(each.kind, each.now, each.before) for each in found.incidents.counts] == [
        ("jam", 1, 2),
        ("leak", 1, 0),
        ("main_burst", 1, 0),
    ]
    assert (found.incidents.held, [each.where for each in found.incidents.drills]) == (1, ["traffic-0002"])
    assert [(each.where, each.number) for each in found.quality.dead_letters] == [("json", 2), ("size", 1)]
    assert (found.quality.gaps, [each.where for each in found.quality.gap_nodes]) == (5, ["air-0001"])
    assert ([(each.where, each.number) for each in found.quality.clocks], found.quality.clocks_off) == (
        [("air-0002", 7.2)],
        1,
    )
    sentence = "3 incidents opened, after 2 in the week before; so few say nothing of a trend; 1 still open."
    assert sentence in found.summary


def test_a_week_that_is_not_over(measured: Measure) -> None:
    """On Monday at noon, twelve hours could have come."""
    lines = [line("air", "air-0001", end, pm2_5=5) for hour, end in ends(SPAN) if hour < 9]
    found = week_of(measured(lines), Remembered(), PLAN, "riverside", SPAN, now=SPAN.begin + 12 * HOUR)
    assert not found.over
    assert found.summary[0].startswith("The week is not over")
    assert [(each.heard, each.expected) for each in found.quality.kinds] == [(9, 12)]
    assert found.quality.site is not None
    assert (found.quality.site.begin, found.quality.site.hours) == (SPAN.time(9), 3)


def test_nothing_at_all(measured: Measure) -> None:
    """Neither zero nor a plot."""
    found = report(measured([line("air", "air-0001", SPAN.begin - 30 * 86_400, pm2_5=5)]))
    assert found.empty
    assert (found.traffic, found.water, found.air, found.quality.kinds) == (None, None, None, ())


def test_weeks_with_data(influx: InfluxDB, influx_db: str) -> None:
    """A window that ends as a week begins is of the week before."""
    begins = Span(IsoWeek(2026, 45), ZONE).begin
    write(influx.url, influx_db, [line("air", "air-0001", begins, pm2_5=5), line("water", "w", SPAN.end, volume=5)])
    settings = Influx(url=influx.url, database=influx_db)
    found = weeks_with_data(lambda statement: ask(settings, statement), "riverside", SPAN)
    assert list(map(str, found)) == ["2026-W47", "2026-W44"]
