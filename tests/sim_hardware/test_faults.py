"""Faults of a fleet: what a file may say, when and where they happen, and what a link does to a connection."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from gateway.errors import ConfigError
from sim_hardware.city.layout import Layout, lay_out
from sim_hardware.city.scenario import Scenario, places
from sim_hardware.fleet.faults import KINDS, Calendar, Faults, Happening, at_nodes, load, parse
from sim_hardware.fleet.link import Link, Trouble

START = 1_795_762_800  # 07:00
MORNING = 7 * 60
DAY_S = 86_400


def layout(nodes: int = 30) -> Layout:
    return lay_out(Scenario("riverside"), places(nodes), np.random.SeedSequence(0))


def read(text: str, nodes: int = 30, broker: bool = True) -> Faults:
    return parse(text, "f.toml", layout(nodes), MORNING, broker)


def calendar(text: str, nodes: int = 30, seed: int = 1) -> Calendar:
    return Calendar(read(text, nodes), layout(nodes), START, seed)


def names(happening: Happening, nodes: int = 30) -> list[str]:
    return [places(nodes)[slot].node for slot in happening.slots]


def test_a_file_says_what_fails_when_and_where() -> None:
    """Times as in a scenario; lengths in the city's time; nodes by name, kind or district; for links all."""
    found = calendar(
        '[[fault]]\nkind = "power_cut"\nat = "07:30"\nnodes = ["air-0002", "water-0001"]\nlasts = "1h"\n'
        '[[fault]]\nkind = "kill"\nat = "1d 06:00"\nnodes = "traffic"\n'
        '[[fault]]\nkind = "latency"\nat = 5\nseconds = 90\nsize = 250\n'
        '[[fault]]\nkind = "link_loss"\nat = 6\nnodes = "district 1"\n'
        '[[fault]]\nkind = "broker_restart"\nat = 7\n'
    ).due(START + 2 * DAY_S)
    latency, loss, broker, cut, kill = found
    assert (latency.begin, latency.end, latency.size, len(latency.slots)) == (START + 300, START + 390, 250, 30)
    town = layout()
    assert loss.slots == tuple(np.flatnonzero(town.district_of() == town.names["district 1"][1]))
    assert 0 < len(loss.slots) < 30
    assert loss.end - loss.begin == KINDS["link_loss"].lasts_s
    assert (broker.kind, broker.slots, broker.end - broker.begin) == ("broker_restart", (), 60)
    assert (names(cut), cut.begin, cut.end) == (["water-0001", "air-0002"], START + 1800, START + 5400)
    assert (kill.begin, kill.end) == (START + 23 * 3600,) * 2
    assert names(kill) == [f"traffic-{n:04d}" for n in range(1, 11)]


def test_a_share_is_drawn_by_the_seed() -> None:
    """So many of all, never none; the same of the same seed."""
    text = '[[fault]]\nkind = "kill"\nat = 1\nnodes = "10 %"\n'
    draws = [calendar(text, 300, seed).due(START + 60)[0].slots for seed in (1, 1, 2)]
    assert [len(set(each)) for each in draws] == [30, 30, 30]
    assert draws[0] == draws[1] != draws[2]
    assert len(at_nodes(("0.1 %",), layout(), np.random.default_rng(1))) == 1


def test_chance_has_its_rates_and_the_seed_its_faults() -> None:
    """A month of a hundred nodes: each kind as often as was said, around its usual length and size."""
    text = "[random]\nkill = 0.5\nlink_dead = 0.1\nclock_jump = 0.2\nbroker_restart = 2\n"
    month = calendar(text, 100).due(START + 30 * DAY_S - 1)
    count = Counter(each.kind for each in month)
    for kind, mean in (("kill", 1500), ("link_dead", 300), ("clock_jump", 600), ("broker_restart", 60)):
        assert abs(count[kind] - mean) < 4 * mean**0.5, kind  # four standard deviations of Poisson's
    assert sorted(each.begin for each in month) == [each.begin for each in month]
    dead = [each.end - each.begin for each in month if each.kind == "link_dead"]
    assert np.median(dead) == pytest.approx(KINDS["link_dead"].lasts_s, rel=0.2)
    assert {np.sign(each.size) for each in month if each.kind == "clock_jump"} == {-1, 1}
    assert len({each.slots for each in month if each.kind == "kill"}) == 100
    assert calendar(text, 100).due(START + 30 * DAY_S - 1) == month
    # In many small steps, and with another rate of another kind.
    steps = calendar("[random]\nkill = 0.5\nlink_dead = 0.1\nlatency = 3\n", 100)
    by_hour = [each for hour in range(24 * 30) for each in steps.due(START + 3600 * hour + 3599)]
    for kind in ("kill", "link_dead"):
        assert [each for each in by_hour if each.kind == kind] == [each for each in month if each.kind == kind]
    assert calendar(text, 100, seed=2).due(START + 30 * DAY_S - 1) != month


def test_random_is_all_that_the_command_can_do() -> None:
    """The broker is restarted only by whom it belongs to."""
    for owned in (True, False):
        faults = load("random", layout(), MORNING, owned)
        assert faults.kinds() == set(KINDS) - (set() if owned else {"broker_restart"})


def test_only_nodes_whose_link_may_fail_pay_for_it() -> None:
    """By the relay all others need not go."""
    assert calendar('[[fault]]\nkind = "kill"\nat = 1\nnodes = "100 %"\n[random]\nkill = 1\n').reachable() == ()
    one = calendar('[[fault]]\nkind = "link_dead"\nat = 1\nnodes = "air-0001"\n')
    assert [places(30)[slot].node for slot in one.reachable()] == ["air-0001"]
    assert len(calendar("[random]\nlatency = 0.1\n").reachable()) == 30


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[[faults]]\nkind = "kill"\n', "f.toml:1: faults: there is no such key; the nearest is fault"),
        ('[[fault]]\nkind = "kil"\nat = 1\n', "f.toml:2: fault[0].kind: there is no fault 'kil'; the nearest is kill"),
        (
            '[[fault]]\nkind = "latency"\nat = 1\nlast = 3\n',
            "f.toml:4: fault[0].last: there is no such key; the nearest is lasts",
        ),
        ("[random]\nkils = 1\n", "f.toml:2: random.kils: there is no such fault; the nearest is kill"),
        ("[random]\nkill = -1\n", "f.toml:1: random: Expected `float` >= 0.0; change it"),
        ('[[fault]]\nkind = "kill"\nat = 1\n', "f.toml:1: fault[0]: nodes: a kill is at boards; say at which"),
        (
            '[[fault]]\nkind = "kill"\nat = 1\nnodes = "air-0099"\n',
            "f.toml:4: fault[0].nodes: this fleet has no node, kind of node or district 'air-0099'; the nearest is air",
        ),
        ('[[fault]]\nkind = "kill"\nat = 1\nnodes = "0 %"\n', "f.toml:4: fault[0].nodes: '0 %' is no share"),
        (
            '[[fault]]\nkind = "kill"\nat = 1\nnodes = "air"\nlasts = 2\n',
            "f.toml:5: fault[0].lasts: a kill is over at once; remove it",
        ),
        (
            '[[fault]]\nkind = "link_loss"\nat = 1\nlasts = 2\nseconds = 3\n',
            "f.toml:5: fault[0].seconds: says what lasts says already",
        ),
        (
            '[[fault]]\nkind = "link_loss"\nat = 1\nlasts = "2 weeks"\n',
            "f.toml:4: fault[0].lasts: '2 weeks' is no length: write minutes",
        ),
        (
            '[[fault]]\nkind = "link_loss"\nat = "7:3"\n',
            "f.toml:3: fault[0].at: '7:3' is no time",
        ),
        ('[[fault]]\nkind = "link_loss"\nat = "0d 06:00"\n', "f.toml:3: fault[0].at: is before the city starts"),
        (
            '[[fault]]\nkind = "latency"\nat = 1\nsize = 0\n',
            "f.toml:4: fault[0].size: a latency is 1 to 60000 (ms in each direction); change it",
        ),
        (
            '[[fault]]\nkind = "kill"\nat = 1\nnodes = "air"\nsize = 1\n',
            "f.toml:5: fault[0].size: a kill has no size; remove it",
        ),
        (
            '[[fault]]\nkind = "broker_restart"\nat = 1\nnodes = "air"\n',
            "f.toml:4: fault[0].nodes: a broker_restart is at no node; remove it",
        ),
        ('[[fault]]\nkind = "kill"\nat = [1]\n', "f.toml:3: fault[0].at: Expected"),
        ("[[fault]\n", "f.toml:1: not TOML"),
    ],
)
def test_what_a_file_may_not_say(text: str, message: str) -> None:
    """File, line, key, reason and cure."""
    with pytest.raises(ConfigError) as refused:
        read(text)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("text", "line"), [('[[fault]]\nkind = "broker_restart"\nat = 1\n', 2), ("[random]\nbroker_restart = 1\n", 2)]
)
def test_a_broker_of_somebody_else_is_left_alone(text: str, line: int) -> None:
    """With the reason."""
    with pytest.raises(ConfigError, match=f"f.toml:{line}: .*the broker is not this command's own.*ganglion demo"):
        read(text, broker=False)
    assert read(text).kinds() == {"broker_restart"}


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"No such file or directory.*name a file that is there, or `random`"):
        load(str(tmp_path / "none.toml"), layout(), MORNING, True)


Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextlib.asynccontextmanager
async def street(*nodes: str) -> AsyncIterator[tuple[Link, list[Ends]]]:
    """A link before a server that sends back what it gets; a connection through it for each node, which is up."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1000):
                writer.write(data)
        writer.transport.abort()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server, Link(server.sockets[0].getsockname()[1]).up(nodes) as link:
        ends = [await dialled(link, node) for node in nodes]
        for each in ends:
            await echoed(each)
        yield link, ends
        for _, writer in ends:
            writer.transport.abort()


async def dialled(link: Link, node: str) -> Ends:
    return await asyncio.open_connection("127.0.0.1", link.ports[node])


async def echoed(ends: Ends, text: bytes = b"x", seconds: float = 5) -> float:
    """How long it takes there and back (s). Raises TimeoutError."""
    began = time.monotonic()
    ends[1].write(text)
    assert await asyncio.wait_for(ends[0].readexactly(len(text)), seconds) == text
    return time.monotonic() - began


async def soonest(ends: Ends) -> float:
    """The least of some times there and back (s): this machine may be busy in between."""
    return min([await echoed(ends) for _ in range(5)])


async def close_behind(ends: Ends) -> float:
    """How long twenty that follow closely take there and back (s). They come in order."""
    began = time.monotonic()
    for n in range(20):
        ends[1].write(bytes((n,)))
        await asyncio.sleep(0.005)
    assert await ends[0].readexactly(20) == bytes(range(20))
    return time.monotonic() - began


async def broken(ends: Ends) -> bool:
    """Whether the other end breaks it, and nothing came before."""
    try:
        return await asyncio.wait_for(ends[0].read(), 5) == b""
    except ConnectionError:
        return True
    finally:
        ends[1].transport.abort()


async def test_a_lost_link_is_that_of_one_node() -> None:
    """It breaks and is refused until it is over, and as often as it began; the neighbour's does not notice."""
    async with street("air-0001", "air-0002") as (link, (one, two)):
        for _ in range(2):
            link.begin("link_loss", ["air-0001"])
        assert await broken(one)
        await echoed(two)
        link.end("link_loss", ["air-0001"])
        assert await broken(await dialled(link, "air-0001"))
        link.end("link_loss", ["air-0001"])
        again = await dialled(link, "air-0001")
        await echoed(again)
        again[1].transport.abort()


async def test_a_dead_link_passes_nothing_and_is_broken_at_its_end() -> None:
    """Also a connection that is made meanwhile."""
    async with street("air-0001", "air-0002") as (link, (one, two)):
        link.begin("link_dead", ["air-0001"])
        late = await dialled(link, "air-0001")
        for ends in (one, late):
            with pytest.raises(TimeoutError):
                await echoed(ends, seconds=0.2)
        await echoed(two)
        link.end("link_dead", ["air-0001"])
        assert await broken(one)
        assert await broken(late)


async def test_latency_is_added_in_each_direction() -> None:
    """With jitter, in order, and not once more for each of what follows closely."""
    async with street("air-0001", "air-0002") as (link, (one, two)):
        trouble: Trouble = "latency"
        link.begin(trouble, ["air-0001"], 100)
        took = [await echoed(one) for _ in range(5)]
        assert all(each >= 2 * 0.075 for each in took), took
        assert min(took) <= 2 * 0.125 + 0.03, took
        assert len(set(took)) == 5
        assert await soonest(two) < 0.15
        assert min([await close_behind(one) for _ in range(3)]) < 20 * 0.075
        link.end(trouble, ["air-0001"], 100)
        assert await soonest(one) < 0.15
