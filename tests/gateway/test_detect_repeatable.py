"""The same packs give the same incidents: whatever the batches, saved and loaded anywhere, on a journal too."""

import asyncio
from functools import cache
from pathlib import Path
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.detect import runner
from gateway.detect.detectors import Detectors, Settings
from gateway.detect.runner import Runner
from gateway.errors import ConfigError
from gateway.journal.access import JournalAccess
from gateway.journal.store import DETECT, Journal
from gateway.records import Incident, Pack
from sim_hardware.city.scenario import load
from tests.gateway.streets import START, city, detect


@cache
def eventful() -> list[Pack]:
    """A morning with each kind of incident; packs lost, late, repeated and out of order."""
    dice = Random(7)
    packs = [each for each in city(1.6 / 24, 15, scenario=load(None)) if dice.random() > 0.03]
    packs += dice.sample(packs, 60)
    delays = {id(each): dice.choice([0, 0, 0, 0, 30, 90, 400]) for each in packs}
    return sorted(packs, key=lambda each: each.time + delays[id(each)])


def test_the_morning_has_incidents_of_each_kind() -> None:
    """Else the tests below would prove nothing."""
    assert {each.kind for each in detect(eventful()).values()} >= {"burst", "jam", "air_episode", "stuck"}
    assert sum(each.closed is not None for each in detect(eventful()).values()) > 3


@settings(max_examples=6, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 400), st.booleans()), min_size=1, max_size=40))
def test_batches_and_restarts_change_nothing(cuts: list[tuple[int, bool]]) -> None:
    """Batches of any size; after each, the detectors may be saved and loaded."""
    packs, detectors, incidents = eventful(), Detectors(), {}
    begin = 0
    for size, restart in [*cuts, (len(packs), True)]:
        incidents.update(detect(packs[begin : begin + size], detectors))
        begin += size
        if restart:
            detectors = Detectors.load(detectors.save())
    assert incidents == detect(packs)


def test_the_state_of_another_version_is_refused() -> None:
    """Rather than forgotten, or taken for something else."""
    for state in (b"nonsense", msgspec.msgpack.encode({"version": 1}), msgspec.msgpack.encode({"version": 2})):
        with pytest.raises(ConfigError, match="detectors' state"):
            Detectors.load(state)


async def test_the_runner_is_killed_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Incidents are kept before the state that knows of them: nothing is found twice, nothing is missed."""
    monkeypatch.setattr(runner, "BATCH", 5)
    monkeypatch.setattr(runner, "PACE", 0.0)
    monkeypatch.setattr(runner, "SAVE_SECONDS", 0.02)
    unique = list({(each.node, each.seq): each for each in eventful()}.values())
    dice = Random(3)
    journal = await JournalAccess.open(tmp_path, 2**26)
    await journal.call(Journal.commit, unique, float(START))
    kills = 0
    while (await journal.call(Journal.read, DETECT, 1)).more:
        task = asyncio.create_task(Runner(journal, Settings()).run())
        # Longer and longer: on a slow disk too it must come to an end.
        await asyncio.wait([task], timeout=dice.uniform(0.001, 0.03) * (1 + kills / 500))
        assert not task.done()
        task.cancel()
        await asyncio.wait([task])
        kills += 1
    assert kills > 3
    found = {each.id: each for each in await journal.call(Journal.incidents)}
    assert found == detect(unique)
    places = [place for place, _ in await journal.call(Journal.incidents_for, "mqtt", 1000)]
    await journal.close()
    assert len(places) == len(found)


async def test_the_runner_goes_on_with_what_comes_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for news, and tells each change once."""
    monkeypatch.setattr(runner, "PACE", 0.01)
    packs = city(1.6 / 24, 3, scenario=load(None))
    journal = await JournalAccess.open(tmp_path, 2**26)
    task = asyncio.create_task(Runner(journal, Settings()).run())
    incidents: dict[str, Incident] = {}
    for begin in range(0, len(packs), 60):
        await journal.call(Journal.commit, packs[begin : begin + 60], float(START))
        async with asyncio.timeout(10):
            while (await journal.call(Journal.read, DETECT, 1)).more:  # noqa: ASYNC110 another task
                await asyncio.sleep(0.005)
        incidents |= {each.id: each for each in await journal.call(Journal.incidents)}
    task.cancel()
    await asyncio.wait([task])
    await journal.close()
    assert incidents == detect(packs) != {}
