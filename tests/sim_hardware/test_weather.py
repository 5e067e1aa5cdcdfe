"""The weather of the city: seasons, days and fronts as they are outside, and the same to the bit from the same seed."""

import math
from functools import cache

import numpy as np
import pytest
from msgspec import ValidationError, convert
from msgspec.structs import astuple, replace

from sim_hardware.city.records import Floats, Sky
from sim_hardware.city.weather import Climate, Weather, sunshine, vapour

MARCH = 1_362_096_000
"""2013-03-01."""
EUROPE = Climate()
T, RH, P, WIND, FROM, MIXING, INVERSION, RAIN = range(8)


@cache
def year(climate: Climate = EUROPE, seed: int = 1) -> Floats:
    """(days, hours, minutes, what Sky has) of two years."""
    weather = Weather(np.random.SeedSequence(seed), climate)
    minutes = np.array([astuple(weather.step(MARCH + 60 * minute)) for minute in range(730 * 1440)])
    return minutes.reshape(730, 24, 60, 8)


def months(of: Floats, *which: int) -> Floats:
    """Days of these months, 0 is January."""
    month = (np.arange(len(of)) % 365 / 30.44 + 2) % 12
    return of[np.isin(month.astype(int), which)]


def kept(values: Floats, lag: int) -> float:
    return float(np.corrcoef(values[:-lag], values[lag:])[0, 1])


def test_the_same_seed_gives_the_same_weather_from_any_minute_on() -> None:
    def some(seed: int) -> list[Sky]:
        weather = Weather(np.random.SeedSequence(seed), EUROPE)
        return [weather.step(MARCH + 7 * 60 + 60 * minute) for minute in range(50)]

    assert some(3) == some(3)
    assert some(3) != some(4)


@pytest.mark.soak
def test_the_climate_is_what_was_asked_for() -> None:
    lived = year()
    assert lived[..., T].mean() == pytest.approx(EUROPE.mean_temperature, abs=1.2)
    by_month = [months(lived, month)[..., T].mean() for month in range(12)]
    assert max(by_month) - min(by_month) == pytest.approx(EUROPE.yearly_swing, abs=4)
    assert by_month.index(max(by_month)) in {5, 6, 7}
    by_hour = lived[..., T].mean(axis=(0, 2))
    assert by_hour.max() - by_hour.min() == pytest.approx(EUROPE.daily_swing, rel=0.25)
    assert by_hour.argmax() in {13, 14, 15}
    assert by_hour.argmin() in {4, 5, 6}
    assert lived[..., WIND].mean() == pytest.approx(EUROPE.mean_wind, rel=0.15)
    assert lived[..., RH].mean() == pytest.approx(EUROPE.humidity, abs=5)
    assert lived[..., RAIN].sum() / 60 / 2 == pytest.approx(EUROPE.yearly_rain, rel=0.4)
    assert 0.04 < (lived[..., RAIN].mean(axis=2) > 0.1).mean() < 0.15  # share of hours: it does not drizzle all year


def test_nothing_is_what_it_cannot_be() -> None:
    flat = year().reshape(-1, 8)
    assert np.isfinite(flat).all()
    assert flat[:, RH].min() > 5
    assert flat[:, RH].max() <= 100
    assert flat[:, WIND].min() >= 0.2
    assert flat[:, WIND].max() < 25
    assert flat[:, FROM].min() >= 0
    assert flat[:, FROM].max() < 360
    assert flat[:, MIXING].min() >= 40
    assert flat[:, MIXING].max() <= 2500
    assert flat[:, INVERSION].min() >= 0
    assert flat[:, INVERSION].max() <= 1
    assert flat[:, RAIN].min() == 0
    assert 96_000 < flat[:, P].min() < flat[:, P].max() < 105_500


def test_warm_afternoons_are_dry() -> None:
    hourly = year().mean(axis=2)
    within_days = [np.corrcoef(day[:, T], day[:, RH])[0, 1] for day in hourly]
    assert np.mean(within_days) < -0.6


def test_minutes_hold_together_and_days_forget() -> None:
    """Steps between minutes are small; pressure and wind are kept for as long as at a weather station, about."""
    lived = year()
    assert np.abs(np.diff(lived[..., T].ravel())).max() < 0.5
    assert np.abs(np.diff(lived[..., P].ravel())).max() < 120
    pressure = lived[:, :, 0, P].ravel()
    assert kept(pressure, 1) > 0.96
    assert 0.3 < kept(pressure, 24) < 0.9
    wind = lived.mean(axis=2)[..., WIND].ravel()
    assert 0.7 < kept(wind, 1) < 0.95
    assert 0.05 < kept(wind, 48) < 0.4


def test_wind_and_mixing_follow_the_sun() -> None:
    lived = year()
    wind = lived[..., WIND].mean(axis=(0, 2))
    assert wind[12:16].mean() > 1.25 * wind[0:5].mean()
    summer, winter = months(lived, 5, 6, 7)[..., MIXING], months(lived, 11, 0, 1)[..., MIXING]
    assert summer[:, 14].mean() > 1.4 * winter[:, 14].mean()
    assert summer[:, 14].mean() > 2.5 * summer[:, 3].mean()


def test_a_lid_lies_on_calm_nights() -> None:
    """The inversion is for nights without wind, and holds the mixed layer down."""
    flat = year().reshape(-1, 24, 60, 8)
    night = flat[:, 0:4].reshape(-1, 8)
    calm, windy = night[night[:, WIND] < 1.5], night[night[:, WIND] > 4]
    assert calm[:, INVERSION].mean() > 4 * windy[:, INVERSION].mean()
    assert calm[:, MIXING].mean() < 0.5 * windy[:, MIXING].mean()
    assert flat[:, 12:15, :, INVERSION].mean() < 0.3 * flat[:, 0:4, :, INVERSION].mean()


def test_behind_a_front_the_wind_has_turned_and_it_is_colder() -> None:
    """Fronts are where pressure is lowest for two days around: it rains there, and the wind veers."""
    hourly = year().mean(axis=2).reshape(-1, 8)
    pressure = hourly[:, P]
    lows = [
        hour
        for hour in range(48, len(hourly) - 48)
        if pressure[hour] == pressure[hour - 24 : hour + 25].min() and pressure[hour] < pressure.mean() - 1000
    ]
    assert len(lows) > 30
    raining = np.mean([hourly[low - 4 : low + 5, RAIN].mean() for low in lows])
    assert raining > 3 * hourly[:, RAIN].mean()
    turned = [math.radians(hourly[low + 10, FROM] - hourly[low - 14, FROM]) for low in lows]
    assert 20 < math.degrees(math.atan2(np.sin(turned).mean(), np.cos(turned).mean())) < 130
    assert np.mean([hourly[low + 12, T] - hourly[low - 12, T] for low in lows]) < -1
    assert np.mean([hourly[low + 8, WIND] - hourly[low - 24, WIND] for low in lows]) > 0.5


def test_the_south_has_its_summer_in_january() -> None:
    south = replace(EUROPE, hemisphere="south")
    january, july = 1_357_689_600, 1_373_328_000  # 2013-01-09 and 2013-07-09, noon is 12 h later
    for climate, summer, winter in ((EUROPE, july, january), (south, january, july)):
        assert sunshine(summer + 43_200, climate)[0] > 0.8
        assert sunshine(winter + 43_200, climate)[0] < 0.35
        assert sunshine(summer, climate)[0] == 0
        assert sunshine(summer, climate)[2] > 0.9


def test_the_mean_of_the_sun_is_its_mean() -> None:
    day = 1_362_096_000
    minutes = [sunshine(day + 60 * minute, EUROPE) for minute in range(1440)]
    assert np.mean([sun for sun, _, _ in minutes]) == pytest.approx(np.mean([mean for _, mean, _ in minutes]), rel=0.01)


def test_water_boils_at_nearly_one_bar() -> None:
    """The Magnus formula is made for weather: 6.112 hPa at 0 °C, 1013 hPa at 100 °C within 3 %."""
    assert 6.112 * math.exp(vapour(100) - vapour(0)) == pytest.approx(1013, rel=0.03)
    assert 6.112 * math.exp(vapour(20) - vapour(0)) == pytest.approx(23.39, rel=0.005)


@pytest.mark.parametrize("wrong", [{"hemisphere": "east"}, {"mean_wind": 0}, {"fog": 1}, {"wind_from": 360}])
def test_a_climate_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        convert(wrong, Climate)
