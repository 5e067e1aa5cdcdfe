"""The water network: no drop is lost, pressure answers to flow, and leaks, bursts and backflow do what they do."""

from collections.abc import Sequence

import numpy as np
import pytest
from msgspec import structs

from sim_hardware.city.pipes import Pipes
from sim_hardware.city.records import District, Effect, Floats, Sky
from sim_hardware.city.weather import Climate

MONDAY = 1_736_121_600
"""2025-01-06, 00:00 UTC."""
SKY = Sky(8.0, 70.0, 101_300.0, 3.0, 240.0, 800.0, 0.2, 0.0)
# A valley road: from the waterworks ever farther and higher; the last lies as far as the third, but low.
DISTRICTS = (
    District("quay", 0.0, 0.0, 400, height_m=2.0),
    District("market", 2.0, 0.0, 400, height_m=8.0),
    District("slope", 4.0, 0.0, 400, height_m=16.0),
    District("hilltop", 6.0, 0.0, 400, height_m=28.0),
    District("meadow", 2.0, 2.0, 400, height_m=4.0),
)
N = len(DISTRICTS)
MARKET, HILLTOP = 1, 3


def pipes(homes: int = 8, seed: int = 1, districts: Sequence[District] = DISTRICTS, **options: Climate) -> Pipes:
    """The first meters sit at the inlets, one each; then homes in turn."""
    n = len(districts)
    of = np.arange(n + n * homes) % n
    return Pipes(np.random.SeedSequence(seed), districts, of, np.arange(len(of)) < n, **options)


def lived(town: Pipes, minutes: int, effects: Sequence[Effect] = (), begin: int = MONDAY, sky: Sky = SKY) -> Floats:
    """(minutes, meters, 2)."""
    return np.array([town.step(begin + 60 * minute, sky, effects) for minute in range(minutes)])


def at(kind: str, where: Sequence[int], size: float, strength: float = 1.0) -> Effect:
    return Effect(kind, np.array(where), size, strength)


EVERYTHING = (
    at("leak", [6, 11], 40.0),
    at("burst", [8], 1800.0, 0.5),
    at("backflow", [9], 300.0),
    at("main_leak", [MARKET], 3000.0),
    at("main_burst", [HILLTOP], 60_000.0),
)


# balance ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("effects", [(), EVERYTHING], ids=["quiet", "storm"])
def test_no_drop_is_lost(effects: Sequence[Effect]) -> None:
    """Every minute and district: what flows in is what the homes took and what leaked; the inlet's meter sees all."""
    town = pipes()
    of = np.arange(N, 9 * N) % N
    for minute in range(1440):
        seen = town.step(MONDAY + 60 * minute, SKY, effects)[:, 0]
        where = town.balance()
        assert (where.metered == np.bincount(of, seen[N:], N)).all()
        assert (where.inflow == where.metered + where.unmetered + where.lost).all()
        assert (where.inflow == seen[:N]).all()
        assert (town.inflow() == where.inflow / 1000).all()


def test_where_every_home_has_a_meter_the_inlet_is_their_sum_and_the_losses() -> None:
    town = pipes(8, districts=[structs.replace(each, homes=8) for each in DISTRICTS])
    for minute in range(300, 600):
        seen = town.step(MONDAY + 60 * minute, SKY)[:, 0]
        assert (town.balance().unmetered == 0).all()
        assert seen[:N] == pytest.approx(seen[N:].reshape(8, N).sum(axis=0) + town.balance().lost, rel=1e-12)


def test_a_district_has_at_least_the_homes_that_carry_a_meter() -> None:
    town = pipes(8, districts=[structs.replace(each, homes=3) for each in DISTRICTS])
    lived(town, 60)
    assert (town.balance().unmetered == 0).all()


def test_the_night_flow_is_a_networks() -> None:
    """Between 2 and 4 a third of the mean, more than half of it losses; a day of 400 homes with them."""
    town = pipes()
    inflow, lost = np.empty((1440, N)), np.empty((1440, N))
    for minute in range(1440):
        town.step(MONDAY + 60 * minute, SKY)
        inflow[minute], lost[minute] = town.inflow(), town.balance().lost / 1000
    night = slice(120, 240)
    assert ((inflow[night].mean(axis=0) / inflow.mean(axis=0) > 0.2) & (inflow.mean(axis=0) > 0)).all()
    assert (inflow[night].mean(axis=0) / inflow.mean(axis=0) < 0.45).all()
    assert (lost[night].mean(axis=0) > 0.5 * inflow[night].mean(axis=0)).all()
    assert inflow.mean(axis=0) * 24 / 400 == pytest.approx(np.full(N, 0.262 + 0.072), rel=0.12)


# pressure ---------------------------------------------------------------------------------------------------------


def pressures(town: Pipes, minutes: int, effects: Sequence[Effect] = (), begin: int = MONDAY) -> Floats:
    found = []
    for minute in range(minutes):
        town.step(begin + 60 * minute, SKY, effects)
        found.append(town.pressure().copy())
    return np.array(found)


def test_pressure_falls_when_many_draw_most_far_away() -> None:
    """Lowest uphill at all times; from night to morning it falls more with every district along the road."""
    day = pressures(pipes(), 1440)
    quay, market, slope, hilltop, meadow = fall = day[120:240].mean(axis=0) - day[420:480].mean(axis=0)
    assert 0 < quay < market < slope < hilltop
    assert market < meadow
    assert fall.max() < 15
    assert (np.argmin(day, axis=1) == HILLTOP).all()
    assert day.min() > 20, "homes have their pressure on any usual day"
    assert day.max() < 100


def test_what_the_network_is_built_for_does_not_depend_on_its_meters() -> None:
    few, many = pressures(pipes(1), 30), pressures(pipes(60), 30)
    assert few == pytest.approx(many, abs=3)


def test_a_burst_of_a_main_takes_the_pressure_there_and_uphill() -> None:
    """Most where it is, much behind it, little before it and on the branch beside it."""
    quiet, struck = pressures(pipes(), 60), pressures(pipes(), 60, [at("main_burst", [MARKET + 1], 60_000.0)])
    quay, market, slope, hilltop, meadow = (quiet - struck)[30:].mean(axis=0)
    assert slope > hilltop > market > quay > 0
    assert hilltop > 1.5
    assert meadow == pytest.approx(market, rel=0.15), "it hangs on the market's main, which carries no more behind it"


def test_a_great_burst_starves_the_homes() -> None:
    """Where pressure is below service, all draw less: in the district, and uphill of it; never backwards."""
    morning = MONDAY + 7 * 3600
    burst = [at("main_burst", [MARKET + 1], 900_000.0)]
    quiet, struck = (lived(pipes(40), 90, effects, morning)[30:, N:, 0] for effects in ((), burst))
    share = struck.reshape(60, 40, N).sum(axis=(0, 1)) / quiet.reshape(60, 40, N).sum(axis=(0, 1))
    assert share[MARKET + 1] < 0.5
    assert share[HILLTOP] < 0.95
    assert share[0] == 1
    assert struck.min() == 0


@pytest.mark.parametrize("size", [3000.0, 30_000.0, 300_000.0, 1e6])
def test_flow_and_pressure_come_to_rest(size: float) -> None:
    """Minutes after the greatest burst they agree; when it is mended, pressure is back in minutes."""
    town = pipes()
    burst = [at("main_burst", [HILLTOP], size)]
    lived(town, 10, burst)
    flows = []
    for minute in range(10, 60):
        town.step(MONDAY + 60 * minute, SKY, burst)
        flows.append(town.balance().lost[HILLTOP])
        assert (town.pressure() > 0).all()
    assert np.ptp(flows) < 0.2 * np.mean(flows)
    usual = pressures(pipes(), 80)[-1]
    lived(town, 20, (), MONDAY + 3600)
    assert town.pressure() == pytest.approx(usual, abs=0.5)


# leaks and backflow -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "exponent"), [("leak", 1.15), ("burst", 0.5)])
def test_a_homes_leak_follows_the_pressure_and_shows_at_both_meters(kind: str, exponent: float) -> None:
    """At usual pressure it has its size; the inlet's meter shows the same litres."""
    town, struck = pipes(), pipes()
    home, usual = N + HILLTOP, None
    heavy = [at("main_burst", [HILLTOP], 30_000.0)]
    for minute in range(40):
        other = heavy if minute >= 20 else []
        usual = struck.pressure().copy() if usual is None else usual
        relative = struck.pressure()[HILLTOP] / usual[HILLTOP]
        one = town.step(MONDAY + 60 * minute, SKY, other)[:, 0]
        two = struck.step(MONDAY + 60 * minute, SKY, [*other, at(kind, [home], 1200.0, 0.5)])[:, 0]
        more = two - one
        assert more[home] == pytest.approx(600 * relative**exponent, rel=1e-9)
        if not other:  # which would lose less then
            assert more[HILLTOP] == pytest.approx(more[home], rel=0.1)
        untouched = [n for n in range(N, len(one)) if n % N != HILLTOP]
        assert (more[untouched] == 0).all()
    assert relative < 0.8, "the other burst should have made a difference"


@pytest.mark.parametrize(("kind", "exponent"), [("main_leak", 1.15), ("main_burst", 0.5)])
def test_a_mains_leak_shows_at_the_inlet_only(kind: str, exponent: float) -> None:
    town, struck = pipes(), pipes()
    usual = struck.pressure().copy()
    for minute in range(30):
        relative = struck.pressure() / usual
        one = town.step(MONDAY + 60 * minute, SKY)[:, 0]
        two = struck.step(MONDAY + 60 * minute, SKY, [at(kind, [MARKET], 8000.0, 0.75)])[:, 0]
        assert (one[N:] == two[N:]).all()
        background = 400 * 3.0 * relative[MARKET] ** 1.15
        leak = two[MARKET] - struck.balance().metered[MARKET] - struck.balance().unmetered[MARKET] - background
        assert leak == pytest.approx(6000 * relative[MARKET] ** exponent, rel=1e-9)


def test_a_crack_leaks_more_at_night_than_by_day() -> None:
    """For pressure is higher then: the reason why leaks are sought at night."""
    town = pipes()
    of_night, of_day = (
        lived(town, 60, [at("main_leak", [HILLTOP], 20_000.0)], MONDAY + hour * 3600)[20:, HILLTOP, 0]
        for hour in (3, 7)
    )
    lost = []
    for hour in (3, 7):
        lived(town, 60, [at("main_leak", [HILLTOP], 20_000.0)], MONDAY + hour * 3600)
        lost.append(town.balance().lost[HILLTOP])
    assert lost[0] > 1.02 * lost[1]
    assert of_night.mean() < of_day.mean(), "though more flows by day"


def test_a_leak_of_a_real_district_shows_in_the_night_flow() -> None:
    """BattLeDIM's leaks grow to 5 to 28 m³/h: the least of them doubles the night's flow of 400 homes."""
    nights = []
    for effects in ((), (at("main_leak", [MARKET], 5000.0),)):
        night = lived(pipes(), 120, effects, MONDAY + 2 * 3600)[:, MARKET, 0]
        nights.append(night.mean())
    assert nights[1] - nights[0] == pytest.approx(5000, rel=0.1)
    assert nights[1] > 2 * nights[0]


def test_backflow_turns_the_meter_backwards() -> None:
    """And the inlet's sees as much less; less pressure in the main lets more come back."""
    home = N + HILLTOP
    back = at("backflow", [home], 300.0)
    night = MONDAY + 3 * 3600
    quiet, struck = (lived(pipes(), 30, effects, night)[..., 0] for effects in ((), [back]))
    more = struck - quiet
    assert (more[:, home] < -250).all()
    assert struck[:, home].min() < 0
    assert more[:, HILLTOP] == pytest.approx(more[:, home], rel=0.1)
    burst = lived(pipes(), 30, [back, at("main_burst", [HILLTOP], 60_000.0)], night)[..., 0]
    assert burst[10:, home].mean() < struck[10:, home].mean() - 20


def test_a_leak_at_an_inlets_meter_is_a_leak_of_its_main() -> None:
    one, two = (lived(pipes(), 5, effects)[..., 0] for effects in ((), [at("leak", [MARKET], 500.0)]))
    assert (two - one)[0, MARKET] == pytest.approx(500, rel=1e-9)
    assert ((two - one)[:, N:] == 0).all()


def test_an_effect_that_is_none_of_the_waters_is_refused() -> None:
    with pytest.raises(ValueError, match="water knows no effect 'crash'"):
        pipes().step(MONDAY, SKY, [at("crash", [0], 1.0)])


def test_an_effect_without_strength_does_nothing() -> None:
    weak = [structs.replace(each, strength=0.0) for each in EVERYTHING]
    assert lived(pipes(), 60, weak).tobytes() == lived(pipes(), 60).tobytes()


# its own ----------------------------------------------------------------------------------------------------------


def test_the_same_seed_is_the_same_water() -> None:
    """To the bit, also when it is asked for more, and when both are made of one seed; another seed is another."""
    seed = np.random.SeedSequence(1).spawn(3)[1]
    of, role = np.arange(40) % N, np.arange(40) < N
    one, two = (Pipes(seed, DISTRICTS, of, role) for _ in range(2))
    first = lived(one, 200, EVERYTHING)
    second = []
    for minute in range(200):
        second.append(two.step(MONDAY + 60 * minute, SKY, EVERYTHING))
        two.pressure()
        two.balance()
    assert first.tobytes() == np.array(second).tobytes()
    assert not np.array_equal(lived(pipes(seed=1), 200), lived(pipes(seed=2), 200))


def test_a_homes_life_does_not_depend_on_the_meters_after_it() -> None:
    """To the bit, as long as all have their pressure."""
    few, many = lived(pipes(4), 500), lived(pipes(50), 500)
    assert few[:, N:, 0].tobytes() == many[:, N : 5 * N, 0].tobytes()


def test_a_city_without_inlets_or_without_meters_has_its_water_too() -> None:
    of = np.arange(10) % N
    town = Pipes(np.random.SeedSequence(1), DISTRICTS, of, np.zeros(10, bool))
    assert (lived(town, 60)[..., 0] >= 0).all()
    assert (town.inflow() > 0).all()
    none = Pipes(np.random.SeedSequence(1), DISTRICTS, np.zeros(0, int), np.zeros(0, bool))
    assert lived(none, 60).shape == (60, 0, 2)
    assert (none.inflow() > 0).all()


def test_districts_may_lie_anywhere() -> None:
    """One, two in the same place, an empty one: finite, and supplied."""
    for places in (DISTRICTS[:1], (DISTRICTS[0], DISTRICTS[0]), (DISTRICTS[0], structs.replace(DISTRICTS[1], homes=0))):
        town = pipes(1, districts=places)
        assert np.isfinite(lived(town, 120)).all()
        assert (town.pressure() > 20).all()


# temperature ------------------------------------------------------------------------------------------------------


def test_water_is_as_cold_as_the_ground_and_warms_where_it_stands() -> None:
    """A meter without flow comes to its cellar's temperature in hours; a draw brings the ground's back."""
    night = lived(pipes(), 5 * 60, (), MONDAY)
    ground = night[:, :N, 1]
    assert np.ptp(ground[-1]) == 0
    assert (night[-1, N:, 1] > ground[-1, 0] + 1).mean() > 0.6
    burst = lived(pipes(), 60, [at("burst", [N], 1800.0)])
    assert burst[-1, N, 1] == pytest.approx(burst[-1, 0, 1], abs=0.2)


@pytest.mark.parametrize(("hemisphere", "warmest"), [("north", 8), ("south", 2)])
def test_the_ground_follows_the_seasons_weeks_later(hemisphere: str, warmest: int) -> None:
    climate = Climate(hemisphere=hemisphere)  # type: ignore[arg-type]
    ground = {}
    for month in range(1, 13):
        begin = int(np.datetime64(f"2025-{month:02}-15", "s").astype(int))
        ground[month] = lived(pipes(1, climate=climate), 1, (), begin)[0, 0, 1]
    assert max(ground, key=ground.__getitem__) == warmest
    assert 5 < max(ground.values()) - min(ground.values()) < climate.yearly_swing


def test_august_is_quiet() -> None:
    """A twelfth of the homes more is away than in June, and July is not."""
    used = []
    for day in ("2025-06-09", "2025-07-14", "2025-08-11"):
        town = pipes()
        begin = int(np.datetime64(day, "s").astype(int))
        litres = []
        for minute in range(1440):
            town.step(begin + 60 * minute, SKY)
            litres.append(town.balance().unmetered.sum())
        used.append(np.mean(litres))
    assert used[1] == pytest.approx(used[0], rel=0.06)
    assert used[2] < 0.96 * used[1]


def test_hard_frost_can_freeze_a_meter_that_stands() -> None:
    """Its cellar is as cold as the weather lets it be."""
    frost = structs.replace(SKY, temperature=-25.0)
    cold, mild = (lived(pipes(), 240, (), MONDAY, sky)[-1, N:, 1] for sky in (frost, SKY))
    assert cold.min() < 3 < mild.min()
