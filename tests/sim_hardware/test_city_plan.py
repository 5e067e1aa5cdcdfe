"""The plan that a city gives to its gateway: streets in the direction of travel, districts with their meters."""

import importlib.resources
import tomllib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from gateway.cli.main import make_app
from gateway.detect.plan import Plan, Street, Zone
from gateway.errors import ConfigError
from sim_hardware import city
from sim_hardware.city.city import City, layout_of
from sim_hardware.city.plan import as_toml, plan_of, write_plan
from sim_hardware.city.scenario import Scenario, parse, places

MAP = parse(importlib.resources.files(city).joinpath("example.toml").read_text(), "example.toml")


def drawn(scenario: Scenario, nodes: int) -> Plan:
    return plan_of(layout_of(scenario, places(nodes), 1))


def read(text: str) -> Plan:
    return msgspec.convert(tomllib.loads(text), Plan)


def test_counters_come_in_the_direction_of_travel() -> None:
    """By where they stand, not by their numbers: the first and the second are put elsewhere by the scenario."""
    plan = drawn(MAP, 60)
    streets = {street.name: street for street in plan.street}
    assert "traffic-0001" in streets["Bridge Street"].counters
    assert "traffic-0002" in streets["Market Street"].counters
    for street in plan.street:
        assert len(street.metres) == len(street.counters)
        assert list(street.metres) == sorted(street.metres)
    at = streets["Bridge Street"].counters.index("traffic-0001")
    assert streets["Bridge Street"].metres[at] == 800
    assert at > 0, "it stands behind one with a higher number"


def test_each_node_is_in_one_zone_and_each_counter_in_one_street() -> None:
    """Inlets are told apart: they are no home's."""
    plan = drawn(MAP, 90)
    inside = [name for zone in plan.zone for name in (*zone.nodes, *zone.inlet)]
    assert sorted(inside) == sorted(place.node for place in places(90))
    counters = [name for street in plan.street for name in street.counters]
    assert sorted(counters) == sorted(place.node for place in places(90) if place.kind == "traffic")
    inlets = {zone.name: zone.inlet for zone in plan.zone}
    assert inlets["Harbour"] == ("water-0001",)
    assert all(len(its) == 1 for its in inlets.values())


def test_it_is_the_plan_of_the_city_that_runs() -> None:
    """The same seed: `layout_of` is what the city itself stands on."""
    town = City(MAP, places(45), 7, 1_795_392_000)
    assert plan_of(town.layout) == plan_of(layout_of(MAP, places(45), 7))
    assert town.layout.districts == layout_of(MAP, places(45), 7).districts


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    """Long arrays too; a plan that cannot be written is told."""
    layout = layout_of(Scenario("a", inlet_meters=True), places(900), 1)
    write_plan(tmp_path / "plan.toml", layout)
    text = (tmp_path / "plan.toml").read_text()
    assert read(text) == plan_of(layout)
    assert max(map(len, text.splitlines())) <= 120
    with pytest.raises(ConfigError, match=r"nowhere/plan\.toml cannot be written"):
        write_plan(tmp_path / "nowhere" / "plan.toml", layout)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60), st.text(max_size=3).map(repr))
@settings(max_examples=60, derandomize=True, deadline=None)
def test_any_name_survives(name: str, site: str) -> None:
    """Quotes, backslashes, control characters, letters of any script."""
    plan = Plan((Street(name, ("traffic-0001",), site, (0.5,)),), (Zone(name, (), ("water-0001",), site=site),))
    assert read(as_toml(plan)) == plan


def test_a_fleet_writes_its_plan_before_it_begins(tmp_path: Path) -> None:
    """One that cannot be written is a wrong option."""
    wrong = ["fleet", "--nodes", "30", "--seed", "1", "--plan", str(tmp_path / "none" / "plan.toml")]
    found = CliRunner().invoke(make_app(), [*wrong, "--data", str(tmp_path / "run")])
    assert found.exit_code == 2
    assert "plan.toml cannot be written" in found.output
    assert not (tmp_path / "run").exists()


def test_a_district_is_full_where_each_home_has_a_meter() -> None:
    """And an inlet; and the file says so."""
    text = 'site = "a"\ninlet_meters = true\n' + "".join(
        f'[[district]]\nname = "{name}"\nx_km = {x}\ny_km = 0\nhomes = {homes}\n'
        for name, x, homes in (("small", 0, 4), ("large", 1, 40))
    )
    few = '[[node]]\nname = "water-0001"\nat = "small"\ninlet = true\n' + "".join(
        f'[[node]]\nname = "water-{n:04d}"\nat = "small"\n' for n in range(2, 6)
    )
    plan = drawn(parse(text + few, "few.toml"), 36)
    assert [(zone.name, zone.full) for zone in plan.zone] == [("small", True), ("large", False)]
    assert read(as_toml(plan)) == plan
    without = parse(text.replace("inlet_meters = true", "") + few.replace("inlet = true", ""), "without.toml")
    assert not any(zone.full for zone in drawn(without, 36).zone)
