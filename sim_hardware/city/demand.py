"""What households draw from the pipes: one by one behind their own meters, or as the sum of a district's others.

A home's minute is a pure function of (seed, meter, minute): every number is a hash of these three (`noise`), so a
meter's life is its own, whichever other meters there are and whenever the city begins.

How much and how often: about 120 l a person and day, made of the uses that end-use studies tell apart, each with the
rate of its fixture; six flushes and 0.7 showers a person and day. Rhythm, rest and spread are held against 32 real
hourly meters of Alicante (DAIAD, 2016/17) in tests/sim_hardware/test_demand.py.
"""

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from sim_hardware.city.records import Floats, Ints

Bits = NDArray[np.uint64]

HOME_L_DAY = 262.0
"""Of a mean home of 2.2 people; follows from `USES`."""

BLOCK_MIN = 30
"""Minutes that are drawn at once: one call of numpy costs as much as a thousand numbers."""
_TAIL_MIN = 64
"""A use that begins in a block ends less than this after it."""


def _variance(spread: float) -> float:
    """Of the factors that `_power` gives."""
    return (spread + 1) ** 2 / (2 * spread + 1) - 1


class Use(Struct, frozen=True):
    """One kind of use. Its litres are `litres * (spread + 1) * u ** spread`, u even in 0..1: `litres` in the mean."""

    per_day: float
    """In a mean home."""
    litres: float
    spread: float
    per_minute: float
    """Litres a minute that the fixture gives."""
    fills: int = 1
    gap_min: int = 0
    """From one fill to the next."""

    @property
    def variance(self) -> float:
        """Of one use's litres over its mean's square."""
        return _variance(self.spread)

    @property
    def minutes(self) -> int:
        """That one fill of the mean use lasts."""
        return max(1, round(self.litres / self.fills / self.per_minute))


USES = (
    Use(per_day=31.0, litres=1.9, spread=2.0, per_minute=5.0),  # taps
    Use(per_day=13.2, litres=6.0, spread=0.25, per_minute=7.0),  # toilets
    Use(per_day=1.54, litres=60.0, spread=0.8, per_minute=8.0),  # showers and baths
    Use(per_day=0.66, litres=48.0, spread=0.4, per_minute=7.0, fills=4, gap_min=16),  # washing and dish machines
)
SPRINKLER = Use(per_day=0.6, litres=150.0, spread=0.5, per_minute=7.0)
"""In a garden, on a dry summer day."""
GARDENS = 0.15
"""Share of the homes that have one."""
_SPRINKLE_MIN = (20 * 60, 22 * 60)
_PER_DAY = sum(use.per_day for use in USES)

# (hour, width, height) of the bells that a day is made of, over a floor: Alicante's working days rise at 7 and dine
# at 21, its weekends begin four hours later and use a tenth more.
_FLOOR = 0.07
_WORKDAY = ((7.3, 0.45, 1.8), (10.0, 2.4, 1.15), (15.5, 3.0, 0.7), (21.2, 2.0, 1.55))
_WEEKEND = ((11.2, 1.6, 2.1), (16.5, 3.0, 0.9), (21.2, 1.9, 1.25))
_WEEKEND_MORE = 1.1

_HOUSEHOLDS = np.array([0.33, 0.66, 0.83, 0.96])
"""Share of homes of up to 1, 2, 3, 4 people, the others have 5: a mean of 2.2 (our choice, near Europe's)."""
_SHARING = 0.6
"""A home's water grows with people ** this: 0.5 to 0.6 over 75 studies (Jegnie et al., Economic Record 2023)."""
_THRIFT = 0.8
"""Homes of one size use from 1 - this / 2 to 1 + this / 2 of their mean."""
_CLOCK_H = 0.6
"""Standard deviation of a home's clock: early and late risers."""
_SPELLS = ((60, 1.0), (180, 1.2), (1440, 0.2))
"""(minutes, spread) of how unlike the hours, parts of the day and days of a home are, `spread` as that of a `Use`:
nobody is in for many of them, in others everything happens."""
_AWAY_SPREAD = 2.0
"""Some homes are away much more often than others."""
_WEEK_MIN = 7 * 1440
_WARMER = 0.006
"""More water a day for each °C that the ground is above `_MILD`: showers, drinks."""
_MILD = 14.0

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1
# What is drawn for a home lies far apart, so that no minute's number is an hour's as well.
_LITRES, _AWAY_WEEK, _CHARACTER, *_SPELL = (n << 40 for n in range(1, 4 + len(_SPELLS)))


def noise(keys: Bits, counter: int) -> Bits:
    """Even random bits for each key and this counter: splitmix64 (Steele, Lea and Flood 2014), the counter's output."""
    mixed = keys + np.uint64(counter * _GOLDEN & _MASK)
    _mix(mixed)
    return mixed


def _mix(x: Bits) -> None:
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)


def even(bits: Bits) -> Floats:
    """In 0..1, without 1."""
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def keys(seed: Bits, numbers: Ints) -> Bits:
    """A key for each meter, from its number and the seed (one word) only."""
    return noise(noise(numbers.astype(np.uint64), 0) ^ seed, 0)


class Mood(Struct, frozen=True):
    """What weather and season do to everybody's use."""

    ground: float
    """°C, about a metre down."""
    sprinkles: bool
    """It is warm, and was dry."""
    away: float = 0.028
    """Share of the homes that are away for the week: most of the year, as in Alicante."""

    @property
    def thirst(self) -> float:
        """Factor on the uses of a day."""
        return max(0.5, 1 + _WARMER * (self.ground - _MILD))


def rhythm() -> Floats:
    """(2, 1440): how much is used by minute of a working and of a weekend day; 1 is the mean of a week."""
    hours = np.arange(1440) / 60
    days = []
    for bells, total in ((_WORKDAY, 1.0), (_WEEKEND, _WEEKEND_MORE)):
        day = np.full(1440, _FLOOR)
        for at, width, height in bells:
            day += height * np.exp(-0.5 * (((hours - at + 12) % 24 - 12) / width) ** 2)
        days.append(day / day.mean() * total * 7 / (5 + 2 * _WEEKEND_MORE))
    return np.array(days)


def _weekend(minute: int) -> int:
    return int((minute // 1440 + 3) % 7 >= 5)  # 1970-01-01 was a Thursday


def _power(u: Floats, spread: float) -> Floats:
    """Factors of mean 1; the greater the spread, the more of them are near 0."""
    factor: Floats = (spread + 1) * u**spread
    return factor


class Blocks:
    """Minutes of something that is drawn a block at a time; what lasts longer than its block goes into the next."""

    def __init__(self, width: int) -> None:
        self._rows = np.zeros((BLOCK_MIN + _TAIL_MIN, width))
        self._block: int | None = None

    def wanted(self, minute: int, mood: Mood) -> Floats:
        """l/h in this minute, were the pressure good: shape (width,), to be read only until the next call."""
        block, row = divmod(minute, BLOCK_MIN)
        if block != self._block:
            if self._block is None or block != self._block + 1:
                # The beginning, or a leap in time: what was under way comes from the hour before.
                self._rows[:] = 0
                for earlier in (2, 1):
                    self._draw((block - earlier) * BLOCK_MIN, mood)
                    self._shift()
            else:
                self._shift()
            self._draw(block * BLOCK_MIN, mood)
            self._block = block
        flow: Floats = self._rows[row]
        return flow

    def _shift(self) -> None:
        self._rows[:_TAIL_MIN] = self._rows[BLOCK_MIN:].copy()
        self._rows[_TAIL_MIN:] = 0

    def _draw(self, minute: int, mood: Mood) -> None:
        """Add what begins in the block from this minute."""
        raise NotImplementedError


class Homes(Blocks):
    """The homes that carry a meter, one by one."""

    def __init__(self, of: Bits) -> None:
        """`of`: the key of each home's meter."""
        super().__init__(len(of))
        self._keys = of
        character = [even(noise(of, _CHARACTER + n)) for n in range(9)]
        people = 1 + np.searchsorted(_HOUSEHOLDS, character[0], side="right")
        shares = np.diff(_HOUSEHOLDS, prepend=0, append=1)
        mean = float(shares @ np.arange(1, 6) ** _SHARING)
        thrift = 1 + _THRIFT * (character[1] - 0.5)
        self._size = people**_SHARING / mean * thrift / 1440
        clock = _CLOCK_H * 60 * 3**0.5 * (sum(character[2:6]) - 2)  # of four even numbers: near enough to a normal one
        self._clock = np.rint(clock).astype(int)
        self._leaves = (character[6] * _WEEK_MIN).astype(int)
        self._travels = _power(character[7], _AWAY_SPREAD)
        self._garden = character[8] < GARDENS
        self._rhythm = rhythm()
        self._uses = np.cumsum([use.per_day for use in USES])

    def _draw(self, minute: int, mood: Mood) -> None:
        middle = minute + BLOCK_MIN // 2
        now = self._rhythm[_weekend(middle)][(middle - self._clock) % 1440]
        for (lasts, spread), domain in zip(_SPELLS, _SPELL, strict=True):
            now *= _power(even(noise(self._keys, domain + middle // lasts)), spread)
        weeks = (middle + self._leaves) // _WEEK_MIN
        gone = noise(self._keys + weeks.astype(np.uint64), _AWAY_WEEK)
        now *= even(gone) >= mood.away * self._travels
        rate = now * self._size * (_PER_DAY * mood.thirst)
        self._begin(minute, rate, 0)
        if mood.sprinkles and _SPRINKLE_MIN[0] <= middle % 1440 < _SPRINKLE_MIN[1]:
            evening = _SPRINKLE_MIN[1] - _SPRINKLE_MIN[0]
            present = self._garden & (now > 0)
            self._begin(minute, present * SPRINKLER.per_day / evening, 1 << 60)

    def _begin(self, minute: int, rate: Floats, domain: int) -> None:
        """Begin uses with this chance a home and minute; `domain` keeps two kinds of chance apart."""
        limit = (np.minimum(rate, 0.999) * 2.0**64).astype(np.uint64)
        minutes = np.arange(minute, minute + BLOCK_MIN, dtype=np.uint64)
        bits = self._keys + ((minutes + np.uint64(domain)) * np.uint64(_GOLDEN))[:, None]
        _mix(bits)
        row, home = np.nonzero(bits < limit)
        if not len(row):
            return
        # Among the numbers below the limit all are as likely: where it lies says which use it is.
        which = bits[row, home] / limit[home] * self._uses[-1]
        kind = np.minimum(np.searchsorted(self._uses, which, side="right"), len(USES) - 1)
        kind = np.where(domain > 0, len(USES), kind)
        at = self._keys[home] + (minutes[row] + np.uint64(_LITRES + domain)) * np.uint64(_GOLDEN)
        _mix(at)
        self._pour(row, home, kind, even(at))

    def _pour(self, row: Ints, home: Ints, kind: Ints, u: Floats) -> None:
        """Lay uses over the minutes that they last."""
        litres, spread, per_minute, fills, gap = _TABLE.T[:, kind]
        litre = np.round(litres / fills * (spread + 1) * u**spread, 2)
        lasts = np.ceil(litre / per_minute).astype(int)
        lasts[lasts == 0] = 1
        minutes = lasts * fills.astype(int)
        ends = np.cumsum(minutes)
        step = np.arange(ends[-1]) - np.repeat(ends - minutes, minutes)
        fill, within = np.divmod(step, np.repeat(lasts, minutes))
        rows = np.repeat(row, minutes) + fill * np.repeat(gap.astype(int), minutes) + within
        width = self._rows.shape[1]
        cells = rows * width + np.repeat(home, minutes)
        flow = np.bincount(cells, np.repeat(60 * litre / lasts, minutes), self._rows.size)
        self._rows += flow.reshape(self._rows.shape)


_TABLE = np.array([[u.litres, u.spread, u.per_minute, u.fills, u.gap_min] for u in (*USES, SPRINKLER)])


class Crowd(Blocks):
    """The homes of each district that carry no meter, as their sum: a shot noise of the same uses.

    The uses that begin in a minute are Poisson, their litres together Gamma, so that mean and variance are those of as
    many single homes; the homes' uneven hours are one more Gamma a district and hour.
    """

    def __init__(self, key: Bits, homes: Ints) -> None:
        """`key`: two words. `homes`: how many in each district."""
        super().__init__(len(homes))
        self._key = key
        self._homes = homes
        # Early and late risers together have a softer rhythm than each of them.
        hours = (np.arange(1440) - 720) / 60
        clocks = np.fft.rfft(np.fft.ifftshift(np.exp(-0.5 * (hours / _CLOCK_H) ** 2)))
        self._rhythm = np.fft.irfft(np.fft.rfft(rhythm()) * clocks / clocks[0].real, 1440)

    def _draw(self, minute: int, mood: Mood) -> None:
        present = self._homes * (1 - mood.away)
        now = present.copy()
        for place, (lasts, spread) in enumerate(_SPELLS):
            shape = np.maximum(present, 1e-9) / _variance(spread)
            now *= self._random(minute // lasts, 1 + place).gamma(shape) / shape
        rng = self._random(minute // BLOCK_MIN, 0)
        clock = minute % 1440
        busy = self._rhythm[_weekend(minute), clock : clock + BLOCK_MIN, None] * (now * mood.thirst / 1440)
        for use in USES:
            self._pour(rng, use, busy * use.per_day)
        if mood.sprinkles and _SPRINKLE_MIN[0] <= clock < _SPRINKLE_MIN[1]:
            chance = GARDENS * SPRINKLER.per_day / (_SPRINKLE_MIN[1] - _SPRINKLE_MIN[0])
            self._pour(rng, SPRINKLER, np.broadcast_to(present * chance, busy.shape))

    def _random(self, block: int, domain: int) -> np.random.Generator:
        """Philox counts (Salmon et al. 2011): the numbers of a block are found without those before it."""
        return np.random.Generator(np.random.Philox(key=self._key, counter=np.array([0, 0, block, domain], np.uint64)))

    def _pour(self, rng: np.random.Generator, use: Use, rate: Floats) -> None:
        shape = 1 / use.variance
        litres = rng.gamma(rng.poisson(rate) * shape) * (use.litres / shape)
        flow = litres * (60 / (use.fills * use.minutes))
        for fill in range(use.fills):
            for within in range(use.minutes):
                begin = fill * use.gap_min + within
                self._rows[begin : begin + BLOCK_MIN] += flow
