"""One event, one incident: a zone whose water does not add up, and whose main is known to leak two nights later."""

import asyncio
from functools import cache
from itertools import pairwise
from pathlib import Path

import aiomqtt
import msgspec
import pytest

from gateway.config import Mqtt
from gateway.detect.detectors import Detectors, Settings
from gateway.detect.plan import Plan, Zone
from gateway.journal.access import JournalAccess
from gateway.journal.store import Journal
from gateway.outlet import IncidentOutlet
from gateway.records import Acknowledged, Incident, Pack
from sim_hardware.city.truth import Truth, score
from sim_hardware.servers import Mosquitto
from tests.gateway.commandline import CommandLine
from tests.gateway.receiving import until
from tests.gateway.streets import START, detect, pack
from tests.gateway.test_rules_balance import DAY, HOMES, zone

INLET, SECOND = "water-0001", "water-0099"
METERS = tuple(f"water-{1 + n:04d}" for n in range(1, HOMES + 1))
LOST_LH = 600.0
BEGIN, END = 12, 17
"""Days between which the main leaks."""


@cache
def packs(*, split: bool = False) -> list[Pack]:
    """Of the inlet, or of two that share what comes in, and of every home: 20 days of windows of half an hour."""
    flow = zone(20, litres=0.1)
    flow[BEGIN * DAY : END * DAY, 0] += LOST_LH
    found = []
    for n, (inflow, *homes) in enumerate(flow.tolist(), 1):
        came = {INLET: inflow / 4, SECOND: 3 * inflow / 4} if split else {INLET: inflow}
        each = {**came, **dict(zip(METERS, homes, strict=True))}
        found += [pack(name, 30 * n, {"flow": value}) for name, value in each.items()]
    return found


def wanted(*, split: bool = False) -> Settings:
    return Settings(Plan(zone=(Zone("old town", METERS, (INLET, SECOND) if split else (INLET,), full=True),)))


@cache
def found(*, split: bool = False) -> dict[str, Incident]:
    return detect(packs(split=split), Detectors(wanted(split=split)))


def of_the_zone(*, split: bool = False) -> Incident:
    """There is one; homes that fill a tub within half an hour have theirs, whatever the main does."""
    (incident,) = (each for each in found(split=split).values() if each.node in (INLET, SECOND))
    return incident


def day(time: int) -> float:
    return (time - START) / 86_400


@pytest.mark.parametrize("split", [False, True])
def test_it_is_one_incident_whose_kind_sharpens(split: bool) -> None:
    """Within a day it is known that water is lost, after two nights where; with two inlets it is still one place."""
    incident = of_the_zone(split=split)
    assert [kind for kind, _ in incident.told] == ["balance", "main_leak"]
    lost, leaks = (time for _, time in incident.told)
    assert 0 < day(lost) - BEGIN < 1 < day(leaks) - BEGIN < 50 / 24
    assert incident.id == f"balance.riverside.{INLET}.{lost}"
    assert incident.was[0].summary.startswith("Seen: ")
    assert "may be lost" in incident.summary
    assert {"loss", "least flow of a day"} <= {each.what for each in incident.evidence}
    assert incident.closed is not None
    assert 0 < day(incident.closed) - END < 1.5
    assert incident.nodes == ((SECOND,) if split else ())


def test_the_score_counts_it_once() -> None:
    """Found when it is told as what it is; nothing is false, before that neither."""
    begin, end = (START + 86_400 * each for each in (BEGIN, END))
    truth = Truth("main_leak", "riverside", "old town", (INLET, *METERS), begin, end, LOST_LH)
    incident = of_the_zone()
    result = score([truth], [incident], end)
    assert (result.injected, result.detected, result.raised, result.false) == (1, 1, 1, 0)
    result = score([truth], [steps()[0]], end)
    assert (result.detected, result.raised, result.false) == (0, 1, 0)


def test_restarts_change_nothing() -> None:
    """Before it is told, between the two kinds, and while only what was lost before has yet to run off."""
    fed, detectors, incidents = packs(), Detectors(wanted()), {}
    cuts = [round(each * DAY) * (1 + HOMES) + 7 for each in (3, 12.1, 13, 13.5, 15, 17.3, 17.8)]
    for begin, end in pairwise([0, *cuts, len(fed)]):
        incidents.update(detect(fed[begin:end], detectors))
        detectors = Detectors.load(detectors.save(), wanted())
    assert incidents == found()


def steps() -> list[Incident]:
    """The incident as it opened, as it turned, and as it ended."""
    ended = of_the_zone()
    turned = msgspec.structs.replace(ended, closed=None)
    (was,) = ended.was
    opened = msgspec.structs.replace(turned, kind=was.kind, summary=was.summary, was=(), confirmed=None)
    return [opened, turned, ended]


def test_the_journal_the_list_and_the_figures_go_by_the_kind_of_now(tmp_path: Path) -> None:
    """Who has taken note of it, has; `show` tells what it was."""
    line = CommandLine(tmp_path, 1)
    opened, turned, _ = steps()
    journal = Journal.open(tmp_path / "data", 2**20)
    journal.found(1, [opened])
    journal.acknowledge(opened.id, Acknowledged("Ada", START))
    journal.found(2, [turned])
    assert [(each.kind, each.acknowledged) for each in journal.incidents(open_only=True)] == [
        ("main_leak", Acknowledged("Ada", START))
    ]
    assert journal.figures().incidents_open == {"main_leak": 1}
    journal.close()
    (row,) = (each for each in line.invoke("incidents", COLUMNS="300").stdout.splitlines() if INLET in each)
    assert "confirmed as main_leak, acknowledged by Ada" in row
    shown = line.invoke("incidents", "show", opened.id, COLUMNS="1000").stdout
    rows = {row[:13].strip(): row[13:].strip() for row in shown.splitlines()}
    assert rows["what"] == "main_leak, warning"
    assert rows["why"] == turned.summary
    assert rows["was balance"].endswith(opened.summary)


async def test_the_broker_retains_it_under_one_topic(tmp_path: Path, broker: Mosquitto) -> None:
    """The change of kind is told there like any other; at its end the topic is empty."""
    journal = await JournalAccess.open(tmp_path / "journal", 2**20)
    running = asyncio.create_task(IncidentOutlet(journal, Mqtt("127.0.0.1", broker.port), "riverside").run())

    async def delivered() -> bool:
        return not await journal.call(Journal.incidents_for, "mqtt", 1)

    heard: list[tuple[str, str]] = []
    try:
        async with aiomqtt.Client("127.0.0.1", broker.port) as client:
            await client.subscribe("ganglion/v1/riverside/incident/#", qos=1)
            for place, each in enumerate(steps(), 1):
                await journal.call(Journal.found, place, [each])
                await until(delivered)
            async with asyncio.timeout(20):
                async for message in client.messages:
                    kind = msgspec.json.decode(message.payload, type=Incident).kind if message.payload else ""
                    heard.append((str(message.topic), kind))
                    if not kind:
                        break
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await journal.close()
    assert len({topic for topic, _ in heard}) == 1
    assert [kind for _, kind in heard] == ["balance", "main_leak", "main_leak", ""]
