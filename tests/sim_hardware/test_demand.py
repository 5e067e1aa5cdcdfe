"""What homes draw: like real meters by hour, day and home, and each home's life its own."""

import gzip
import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from msgspec import Struct

from sim_hardware.city.demand import GARDENS, HOME_L_DAY, SPRINKLER, USES, Crowd, Homes, Mood, even, keys, noise
from sim_hardware.city.records import Floats, Ints

DATA = Path(os.environ.get("GANGLION_DATA", Path(__file__).parents[3] / "shared" / "data"))
REAL = DATA / "water" / "daiad_hourly_meters_even.csv.gz"
MARCH = int(np.datetime64("2016-03-01", "m").astype(int))
"""Minutes since 1970."""
JULY = int(np.datetime64("2016-07-01", "m").astype(int))
MILD, DRY = Mood(14.0, False), Mood(20.0, True)
SEED = np.array([1], np.uint64)


def homes(n: int, seed: int = 1) -> Homes:
    return Homes(keys(np.array([seed], np.uint64), np.arange(n)))


def lived(what: Homes | Crowd, begin: int, minutes: int, mood: Mood = MILD) -> Floats:
    """(minutes, homes), l/h."""
    return np.array([what.wanted(begin + minute, mood).copy() for minute in range(minutes)])


@cache
def spring() -> Floats:
    """Hours of 80 homes over 120 days from March: (hours, homes), litres as a register of whole litres shows them."""
    what = homes(80)
    hours = np.array([lived(what, MARCH + 60 * hour, 60).sum(axis=0) / 60 for hour in range(120 * 24)])
    return np.diff(np.floor(np.cumsum(hours, axis=0)), axis=0, prepend=0)


# like real meters -------------------------------------------------------------------------------------------------


class Shape(Struct, frozen=True):
    """What hourly meters look like; medians over homes but for the first two."""

    litres: tuple[float, float, float]
    """A day: quartiles over homes."""
    rhythm: Floats
    """(2, 24): working and weekend days, over the mean of all hours; the mean of homes."""
    still_night: float
    """Share of the hours from 2 to 5 without a litre, on days on which someone is there."""
    still_day: float
    """From 8 to 23."""
    unevenness: float
    """Standard deviation of an hour over its mean."""
    kept: float
    """Correlation of an hour with the next."""
    days: float
    """Standard deviation of a day over its mean."""
    hour: Floats
    """25, 50, 75 and 95 % of hours that have a flow use less than this, litres."""


def shape(meters: list[Floats], first_day: list[int]) -> Shape:
    """Of meters by (day, hour), NaN where unknown; `first_day` since 1970."""
    litres, rows, rhythms = [], [], []
    for meter, first in zip(meters, first_day, strict=True):
        known = np.isfinite(meter).all(axis=1)
        litres.append(meter[known].sum(axis=1).mean())
        there = known & (np.nansum(meter, axis=1) > 0)
        weekend = (first + np.arange(len(meter)) + 3) % 7 >= 5
        used = meter[there]
        flat = used.ravel()
        rhythms.append([used[weekend[there] == one].mean(axis=0) / used.mean() for one in (False, True)])
        rows.append(
            [
                (used[:, 2:5] == 0).mean(),
                (used[:, 8:23] == 0).mean(),
                flat.std() / flat.mean(),
                np.corrcoef(flat[1:], flat[:-1])[0, 1],
                used.sum(axis=1).std() / used.sum(axis=1).mean(),
                *np.percentile(flat[flat > 0], [25, 50, 75, 95]),
            ]
        )
    low, middle, high = np.percentile(litres, [25, 50, 75])
    night, day, uneven, kept, days, *hour = np.median(rows, axis=0)
    return Shape((low, middle, high), np.mean(rhythms, axis=0), night, day, uneven, kept, days, np.array(hour))


@cache
def real() -> Shape:
    """Of the Alicante meters with 60 full days; without those that leak (hardly ever rest) or stand empty."""
    if not REAL.exists():
        pytest.skip(
            f"no real meters to hold the city against: {REAL} is absent; set GANGLION_DATA to the data's folder"
        )
    with gzip.open(REAL, "rt") as lines:
        table = np.loadtxt(lines, delimiter=",", skiprows=1)
    meters, first_day = [], []
    for user in np.unique(table[:, 0]):
        of = table[table[:, 0] == user]
        second, register = of[np.argsort(of[:, 1], kind="stable"), 1:3].T
        apart, litres = np.diff(second), np.diff(register)
        good = (apart > 3000) & (apart < 4200) & (litres >= 0) & (litres < 1500)
        first = int(second[0]) // 86_400
        hours = np.full((int(second[-1]) // 86_400 - first + 1, 24), np.nan)
        hours.ravel()[((second[1:][good] - 1800) // 3600).astype(int) - first * 24] = litres[good]
        full = hours[np.isfinite(hours).all(axis=1)]
        if len(full) >= 60 and full.sum(axis=1).mean() > 20 and (full.min(axis=1) > 0).mean() < 0.05:
            meters.append(hours)
            first_day.append(first)
    assert len(meters) > 20
    return shape(meters, first_day)


@cache
def ours() -> Shape:
    hours = spring()
    return shape([hours[:, home].reshape(-1, 24) for home in range(hours.shape[1])], [MARCH // 1440] * hours.shape[1])


def test_homes_use_what_real_homes_use() -> None:
    """Litres a day: the quartiles over homes, within a fifth."""
    assert ours().litres == pytest.approx(real().litres, rel=0.2)


@pytest.mark.parametrize("weekend", [0, 1])
def test_days_have_the_rhythm_of_real_days(weekend: int) -> None:
    """By the hour: highly correlated, and never further off than half of a mean hour."""
    city, town = ours().rhythm[weekend], real().rhythm[weekend]
    assert np.corrcoef(city, town)[0, 1] > 0.9
    assert np.abs(city - town).max() < 0.5
    assert city[2:5].mean() < 0.25


def test_weekends_use_more_as_real_ones_do() -> None:
    city, town = (each.rhythm[1].mean() / each.rhythm[0].mean() for each in (ours(), real()))
    assert city == pytest.approx(town, abs=0.07)


def test_homes_rest_as_often_as_real_homes() -> None:
    """By night and by day."""
    assert ours().still_night == pytest.approx(real().still_night, abs=0.06)
    assert ours().still_day == pytest.approx(real().still_day, abs=0.08)


def test_hours_and_days_are_as_uneven_as_real_ones() -> None:
    assert ours().unevenness == pytest.approx(real().unevenness, rel=0.15)
    assert ours().kept == pytest.approx(real().kept, abs=0.08)
    assert ours().days == pytest.approx(real().days, rel=0.2)
    assert ours().hour == pytest.approx(real().hour, rel=0.25)


# a home -----------------------------------------------------------------------------------------------------------


def test_the_uses_make_the_mean() -> None:
    assert sum(use.per_day * use.litres for use in USES) == pytest.approx(HOME_L_DAY, rel=0.01)
    assert pytest.approx(120, rel=0.02) == HOME_L_DAY / 2.2
    assert spring().sum(axis=0).mean() / 120 == pytest.approx(HOME_L_DAY, rel=0.1)


def test_healthy_homes_seldom_look_like_a_leak() -> None:
    """Leak detection waits for a day without an hour at rest: in hardly one of a thousand days."""
    days = spring().T.reshape(-1, 24)
    assert (days.min(axis=1) > 0).mean() < 0.002


def test_draws_are_those_of_a_home() -> None:
    """Whole litres at fixtures' rates, minutes of exact rest between them; nothing like half an hour above 500 l/h."""
    flow = lived(homes(60), JULY, 7 * 1440, DRY)
    assert flow.min() == 0
    assert (flow == 0).mean() > 0.9
    assert flow.max() < 2500, "what a common meter can take, l/h"
    high = np.lib.stride_tricks.sliding_window_view(flow >= 500, 30, axis=0).all(axis=-1)
    assert not high.any()
    assert np.unique(flow).size > 1000


def test_some_are_away_for_a_whole_week() -> None:
    """Seven days on end of exactly nothing; some travel more than others."""
    what = homes(300)
    daily = {
        share: np.array(
            [lived(what, MARCH + 1440 * day, 1440, Mood(14.0, False, share)).sum(axis=0) for day in range(40)]
        )
        for share in (0.028, 0.11)
    }
    for share, litres in daily.items():
        assert (litres == 0).mean() == pytest.approx(share, abs=0.35 * share)
    empty = np.lib.stride_tricks.sliding_window_view(daily[0.11] == 0, 6, axis=0).all(axis=-1)
    assert 0.1 < empty.any(axis=0).mean() < 0.5
    assert (np.sum(daily[0.11] == 0, axis=0) > 7).any()


def test_gardens_drink_on_dry_evenings() -> None:
    """About one home in seven, between 20 and 22 and the minutes after; never in rain or cold."""
    wet, dry = (lived(homes(400), JULY, 7 * 1440, Mood(20.0, sprinkles)) for sprinkles in (False, True))
    more = (dry - wet).reshape(7, 1440, -1)
    assert (more >= 0).all()
    assert (more[:, : 20 * 60] == 0).all()
    assert (more[:, 22 * 60 + 35 :] == 0).all()
    gardens = more.sum(axis=(0, 1)) > 0
    assert gardens.mean() == pytest.approx(GARDENS, abs=0.05)
    each = more[..., gardens].sum(axis=(0, 1)).mean() / 60 / 7
    assert each == pytest.approx(SPRINKLER.per_day * SPRINKLER.litres, rel=0.25)


def test_warmth_makes_thirsty() -> None:
    cold, warm = (lived(homes(300), MARCH, 3 * 1440, Mood(ground, False)).mean() for ground in (4.0, 24.0))
    assert 1.05 < warm / cold < 1.25


# each its own -----------------------------------------------------------------------------------------------------


def test_a_home_does_not_know_how_many_others_there_are() -> None:
    """To the bit."""
    few, many = lived(homes(7), MARCH, 600), lived(homes(900), MARCH, 600)
    assert few.tobytes() == many[:, :7].tobytes()
    some = np.array([3, 6])
    assert lived(Homes(keys(SEED, some)), MARCH, 600).tobytes() == few[:, some].tobytes()


@pytest.mark.parametrize("later", [1, 29, 30, 31, 1440])
def test_a_home_is_the_same_whenever_its_city_begins(later: int) -> None:
    """What was under way at the beginning is there as well; also after a leap in time."""
    what = homes(50)
    whole = lived(what, MARCH + 400, later + 120)
    assert lived(homes(50), MARCH + 400 + later, 120).tobytes() == whole[later:].tobytes()
    assert lived(what, MARCH + 400, 90).tobytes() == whole[:90].tobytes()


def test_another_seed_is_other_homes() -> None:
    one, other = (lived(homes(40, seed), MARCH, 600) for seed in (1, 2))
    assert not np.array_equal(one, other)


def test_noise_is_even_and_of_no_pattern() -> None:
    """Over keys and over counters: ten bins, neighbours, single bits."""
    of = keys(SEED, np.arange(300))
    bits = np.array([noise(of, counter) for counter in range(300)])
    numbers = even(bits)
    assert ((numbers >= 0) & (numbers < 1)).all()
    bins = np.histogram(numbers, 10, (0, 1))[0]
    assert np.abs(bins - 9000).max() < 5 * 9000**0.5
    for one, other in ((numbers[1:], numbers[:-1]), (numbers[:, 1:], numbers[:, :-1])):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 5 / numbers.size**0.5
    for place in range(64):
        assert abs(float((bits >> np.uint64(place) & np.uint64(1)).mean()) - 0.5) < 2.5 / numbers.size**0.5


# the sum of many --------------------------------------------------------------------------------------------------


def crowd(counts: Ints, seed: int = 3) -> Crowd:
    return Crowd(np.array([seed, 4], np.uint64), counts)


def test_a_crowd_is_like_the_sum_of_its_homes() -> None:
    """Mean, minute-to-minute and hour-to-hour noise, and how long a draw is remembered."""
    one = lived(homes(400), MARCH, 14 * 1440).sum(axis=1)
    other = lived(crowd(np.array([400])), MARCH, 14 * 1440)[:, 0]
    assert other.mean() == pytest.approx(one.mean(), rel=0.06)
    assert other.mean() * 24 / 400 == pytest.approx(HOME_L_DAY, rel=0.06)
    by_hour = [each.reshape(14, 24, 60).mean(axis=2) for each in (one, other)]
    assert np.corrcoef(*(each.mean(axis=0) for each in by_hour))[0, 1] > 0.98
    left = [(each.reshape(-1, 60) - each.reshape(-1, 60).mean(axis=1, keepdims=True)) for each in (one, other)]
    assert left[1].std() == pytest.approx(left[0].std(), rel=0.2)
    kept = [np.corrcoef(each[:, 3:].ravel(), each[:, :-3].ravel())[0, 1] for each in left]
    assert kept[1] == pytest.approx(kept[0], abs=0.15)
    workdays = [each[:4].std(axis=0).mean() for each in by_hour]
    assert workdays[1] == pytest.approx(workdays[0], rel=0.35)


def test_a_crowd_of_none_draws_nothing() -> None:
    flow = lived(crowd(np.array([0, 300])), MARCH, 1440)
    assert (flow[:, 0] == 0).all()
    assert flow[:, 1].mean() > 0


def test_a_crowd_is_the_same_whenever_its_city_begins() -> None:
    """And the next one, of another seed, is another."""
    counts = np.array([300, 20])
    whole = lived(crowd(counts), MARCH, 300)
    assert lived(crowd(counts), MARCH + 100, 200).tobytes() == whole[100:].tobytes()
    assert not np.array_equal(lived(crowd(counts, 9), MARCH, 300), whole)
