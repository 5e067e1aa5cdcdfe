"""Where everything stands: a city for any number of nodes, with or without a map."""

import importlib.resources

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_hardware import city
from sim_hardware.city.layout import Layout, lay_out
from sim_hardware.city.scenario import Scenario, parse, places

MAP = parse(importlib.resources.files(city).joinpath("example.toml").read_text(), "example.toml")


def laid(scenario: Scenario, nodes: int, seed: int = 1) -> Layout:
    return lay_out(scenario, places(nodes), np.random.SeedSequence(seed))


@given(st.integers(1, 400), st.sampled_from([Scenario("a"), Scenario("a", inlet_meters=True), MAP]))
@settings(deadline=None)
def test_any_number_of_nodes(nodes: int, scenario: Scenario) -> None:
    """Every node stands in a street or district that there is, and no district has more meters than homes."""
    found = laid(scenario, nodes)
    assert {kind: len(slots) for kind, slots in found.slots.items()} == {
        kind: sum(place.kind == kind for place in places(nodes)) for kind in ("traffic", "water", "air")
    }
    lengths = np.array([road.length_m for road in found.roads])
    assert ((found.metres >= 0) & (found.metres <= lengths[found.street])).all()
    for district in (found.meters, found.stations, found.district_of()):
        assert ((district >= 0) & (district < len(found.districts))).all()
    homes = np.array([district.homes for district in found.districts])
    assert (np.bincount(found.meters[~found.inlet], minlength=len(homes)) <= homes).all()
    assert (np.bincount(found.meters[found.inlet], minlength=len(homes)) <= 1).all()
    assert all(0 <= road.district < len(found.districts) for road in found.roads)
    assert len(found.names) == len(found.roads) + len(found.districts) + nodes


@pytest.mark.parametrize("scenario", [Scenario("a"), MAP], ids=["chosen", "map"])
def test_a_hundred_thousand(scenario: Scenario) -> None:
    """As few take a second."""
    found = laid(scenario, 100_000)
    assert len(found.places) == 100_000
    assert 1 <= len(found.districts) <= 400


def test_ten_counters_stand_along_one_street_in_order() -> None:
    """So that a jam at the fifth grows to the fourth."""
    found = laid(Scenario("a"), 30)
    assert len(found.roads) == 1
    assert found.metres.tolist() == [200 + 400 * n for n in range(10)]


def test_the_same_seed_is_the_same_map() -> None:
    """Another one moves the districts, not the streets."""
    one, same, other = (laid(Scenario("a"), 300, seed).districts for seed in (1, 1, 2))
    assert one == same != other
    assert laid(Scenario("a"), 300, 1).roads == laid(Scenario("a"), 300, 2).roads


def test_districts_lie_apart() -> None:
    """As far as districts do; the middle has the most homes."""
    districts = laid(Scenario("a"), 3000).districts
    at = np.array([(each.x_km, each.y_km) for each in districts])
    apart = np.hypot(*(at[:, None] - at[None]).transpose(2, 0, 1)) + 99 * np.eye(len(at))
    assert (apart.min(axis=1) > 0.5).all()
    assert (apart.min(axis=1) < 3).all()


def test_what_is_placed_stands_there() -> None:
    """The others go where there is room, as streets are long and districts large."""
    found = laid(MAP, 60)
    street = {road.name: index for index, road in enumerate(found.roads)}
    district = {each.name: index for index, each in enumerate(found.districts)}
    assert (found.street[0], found.metres[0]) == (street["Bridge Street"], 800)
    assert (found.street[1], found.metres[1]) == (street["Market Street"], 300)
    assert found.meters[:2].tolist() == [district["Harbour"], district["Hillside"]]
    assert found.stations[0] == district["Old Town"]
    assert found.inlet[:2].tolist() == [True, False], "one that is placed measures a home, if nothing is said"
    assert found.inlet.sum() == len(found.districts)
    counts = np.bincount(found.street, minlength=len(street))
    assert counts.argmax() == street["Ring Road"]
    assert laid(MAP, 1).metres.tolist() == [800]


def test_no_street_is_too_full_by_default() -> None:
    """At the height of a day, whatever flows into it; unless the scenario asks for more."""
    net = "".join(
        f'[[street]]\nname = "{name}"\nlength_m = 900\n{more}\n'
        for name, more in (
            ("a", 'into = "c"'),
            ("b", 'into = "c"\nlanes = 4'),
            ("c", 'into = "d"\ngreen = 0.5'),
            ("d", "lanes = 1"),
            ("e", 'into = "f"\nonward = 0.9\npeak = 3000'),
            ("f", ""),
        )
    )
    roads = {road.name: road for road in laid(parse(f'site = "a"\n{net}', "net"), 30).roads}
    leaves: dict[str, float] = {}
    for name in "abcdef":
        comes = sum(leaves[way] * roads[way].onward for way in leaves if roads[way].into == "abcdef".index(name))
        leaves[name] = comes + roads[name].peak
    for name, road in roads.items():
        assert road.peak > 0
        most = road.capacity * road.lanes * road.green
        if name not in "ef":
            assert leaves[name] <= 0.6 * most
    assert (roads["e"].peak, roads["e"].onward) == (3000, 0.9)
    assert leaves["f"] >= 2700


def test_targets() -> None:
    """By sort: what chance may strike. Meters at inlets are none of homes."""
    found = laid(MAP, 60).targets()
    assert len(found["node"]) == 60
    assert found["city"] == [""]
    assert found["street"][0] == "West Avenue"
    assert "water-0001" not in found["water"]
    assert "water-0002" in found["water"]
    assert len(found["water"]) == 20 - 4
