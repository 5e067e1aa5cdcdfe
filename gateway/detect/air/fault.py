"""`Fault`: a station of a site reads what its neighbours do not confirm, for hours to days."""

from typing import Final

import numpy as np

from gateway.detect.air import neighbours, repeats
from gateway.detect.air.station import HORIZONS, Kind, StationMemory, Verdicts
from gateway.detect.memory import Bools, Floats, Ints

HOUR: Final = 3600
DAY: Final = 24.0
LEARN: Final = repeats.LEARN
"""Hours over which a station's mean is learned: longer than a month's drift is to be seen, shorter than a season."""
LEARN_COVARIANCE: Final = 120 * DAY
"""Hours over which it is learned how the stations go together."""
LEARN_SPREAD: Final = 180 * DAY
"""Hours over which a statistic's spread is learned: a drift of weeks must not widen it. Our choice."""
LEARN_PROFILE: Final = 20.0
"""Days over which the profile of the day is learned."""
WARM: Final = 14 * DAY
"""Hours learned from before neighbours are believed: two weeks of weather."""
FLOOR: Final = 0.05
"""Least standard deviation of a statistic: a lasting difference of 5 % is within any instrument's calibration."""
CLIP: Final = 3.0
"""Standard deviations that one hour counts at most: two hours of smoke beside a station are no fault."""
THRESHOLDS: Final[Floats] = np.array([[9.0, 3.4, 3.0], [13.0, 6.0, 5.0]])
"""Standard deviations of the station's own past by filter (gain, offset) and horizon. Short averages have heavier tails
and more chances to err. Measured, with DAY_MEAN, on Beijing's 12 stations for 0.1 false alarms a month."""
DAY_CLIP: Final = 3.0
DAY_MEAN: Final = 2.28
"""Standard deviations: the mean over the last 24 hours, each clipped, that tells a fault. A step fills a plain mean in
a day, an exponential one never quite; and clipping asks for a whole day instead of some bad hours."""
REFERENCE: Final = 0.5
"""Of the usual level: the offset that the offset's filter is matched to."""
SUSPECT: Final = 0.5
"""Score from which on nothing is learned, and below which a fault ends."""
SLOWLY: Final = 0.5
"""Rate at which spreads are learned while suspect: our choice."""
QUIET: Final = DAY
"""Hours below it that end a fault."""
PATIENCE: Final = 30 * DAY
"""Hours that a fault stands before the difference is taken for the place's (a sensor changed or moved): our choice."""
STRANGE: Final = 2.0
"""Standard deviations of the stations' logarithms within which the regression between them was learned: our choice."""
UNREST: Final = 9.0
"""Most that one neighbour's squared deviation counts for unrest: itself faulty, it must not hide others."""
TELL: Final = 2
"""Neighbours needed for an expectation, at least."""
BLAME: Final = 3
"""Neighbours needed to be blamed by them: of two, both may have failed alike, which looks the same."""
MIXED: Final = 0.3
"""Share of hours far above, and as many far below, over a day: noise."""


class Fault:
    """All stations of a site and one quantity, or several such layers of equally many stations.

    The expectation is a regression on the other stations' logarithms, learned slowly and without what is suspect.
    Three averages of the surprise, each by two matched filters (most in dirty air for a gain; most in clean air for
    an offset), are compared with their own past in this station.
    """

    def __init__(self, stations: int, layers: int = 1) -> None:
        """Raises ValueError for more stations than are compared: split the site."""
        if not 1 <= stations <= neighbours.MOST:
            raise ValueError(f"{stations} stations: 1 to {neighbours.MOST} are compared with one another")
        self.stations = stations
        self.layers = layers
        self.memory = StationMemory.blank(stations * layers)
        # neighbours agree until it is known better: one common factor, and 0.2 in each station's logarithm
        own = np.tile(np.arange(stations), layers)
        self.memory.covariance[np.arange(stations * layers), own] += 0.05

    def step(self, time: int, values: Floats) -> Verdicts:
        """Take a frame: Unix seconds and readings, (stations,) or (layers, stations), NaN where missing.

        An hour is judged when a later one begins; until then the last verdict stands. A frame of an hour that is
        closed is left out. Raises ValueError for another shape.
        """
        values = np.asarray(values, np.float64)
        if values.size != len(self.memory) or values.shape[-1] != self.stations:
            raise ValueError(f"values of shape {values.shape} for {self.layers} x {self.stations} stations")
        m, hour = self.memory, time // HOUR
        flat = values.reshape(-1)
        begun = over = np.zeros(len(m), bool)
        current = int(m.hour[0])
        if hour > current:
            if current >= 0:
                begun, over = self._close(current)
                self._fade(current, hour - current - 1)
            m.hour[:] = hour
            m.total[:] = 0.0
            m.count[:] = 0
        if hour == m.hour[0]:
            known = np.isfinite(flat)
            m.total += np.where(known, flat, 0.0)
            m.count += known
        return self._verdicts(begun, over, values.shape)

    def _fade(self, hour: int, missed: int) -> None:
        """Evidence grows old in a gap of so many hours after this one."""
        if missed > 0:
            fade = np.exp(-missed / HORIZONS)
            self.memory.weighted *= fade
            self.memory.energy *= fade
            self.memory.day[:, (hour + 1 + np.arange(min(missed, 24))) % 24] = 0.0

    def _verdicts(self, begun: Bools, over: Bools, shape: tuple[int, ...]) -> Verdicts:
        m = self.memory
        score = np.where(m.kind > 0, 1.0, np.clip(m.score, 0.0, 1.0))
        each = (score, begun, over, m.kind, m.last, m.expected, m.since)
        return Verdicts(*(np.array(column).reshape(shape) for column in each))

    def _close(self, hour: int) -> tuple[Bools, Bools]:
        """Judge the hour, and learn from it."""
        m, shape = self.memory, (self.layers, self.stations)
        known = m.count > 0
        seen = np.where(known, m.total / np.maximum(m.count, 1), np.nan)
        grid, faulty = known.reshape(shape), (m.kind > 0).reshape(shape)
        any_known = np.repeat(grid.any(1), self.stations)
        self._learn_level(seen.reshape(shape), any_known)
        level = np.exp(m.level)
        scaled = neighbours.scale(np.nan_to_num(seen), level)
        mean = m.mean[:] = np.where(m.learnt > 0, m.mean, np.log(level * (1 + neighbours.CLEAN)))
        deviation = np.where(known, scaled - mean - m.profile[:, hour % 24], 0.0)
        # nobody is told by a silent or faulty station, and less by a suspect one
        distrust = np.full(len(m), neighbours.PRECISION**2)
        distrust += np.where(~known | (m.kind > 0), neighbours.UNKNOWN, np.minimum(m.score / SUSPECT, 1.0) ** 4)
        covariance = m.covariance.reshape(*shape, -1)[:, :, : self.stations]
        surprise = neighbours.robust_surprise(
            deviation.reshape(shape), covariance, distrust.reshape(shape), m.variance.reshape(shape), grid
        ).reshape(-1)
        usable = grid & ~faulty
        judges = (usable.sum(1, keepdims=True) - usable).reshape(-1)
        told = judges >= TELL
        expected_scaled = mean + deviation + m.profile[:, hour % 24] - surprise
        expected = neighbours.unscale(expected_scaled, level)
        m.expected[:] = np.where(told, expected, np.nan)
        surprise = surprise / self._strangeness(deviation.reshape(shape), covariance, usable)
        judged = known & told
        ratio = self._compare(surprise, expected, level, judged)
        by_neighbours = np.where(m.learnt >= WARM, ratio.max((1, 2)), 0.0)
        noisy = np.where(m.learnt >= WARM, m.wild.min(1) / MIXED, 0.0)
        for other in (noisy, np.where(m.learnt >= WARM, self._day(surprise, judged, hour), 0.0)):
            by_neighbours = np.maximum(by_neighbours, other)
        by_neighbours[judges < BLAME] = 0.0
        stuck = repeats.stuck(m, seen, expected_scaled, known, told)
        score = np.where(known, np.maximum(np.where(told, by_neighbours, 0.0), stuck), m.score)
        kind = self._kind(ratio, noisy, stuck, seen, expected)
        begun, over = self._turn(score, kind, known, hour, stuck)
        self._learn(surprise, deviation, known, judged, any_known, hour)
        return begun, over

    def _strangeness(self, deviation: Floats, covariance: Floats, usable: Bools) -> Floats:
        """How far beyond what is known all stations are together, (series,): 1 is within it, and the least.

        What they share is an episode. The regression was not learned there, so what each is off by says less.
        """
        count = usable.sum(1)
        ordered = np.sort(np.where(usable, deviation, np.inf), axis=1)
        middle = ordered[np.arange(self.layers), np.maximum(count - 1, 0) // 2]
        common = np.where(count > 0, np.abs(middle), 0.0)
        usual = np.sqrt(np.einsum("sii->si", covariance).mean(1))
        return np.repeat(np.maximum(common / (STRANGE * usual), 1.0) ** 2, self.stations)

    def _learn_level(self, seen: Floats, any_known: Bools) -> None:
        m = self.memory
        middle = np.ones(self.layers)
        rows = any_known[:: self.stations]
        if rows.any():
            middle[rows] = np.nanmedian(seen[rows], axis=1)
        m.hours += any_known
        rate = np.where(any_known, np.maximum(1 / np.maximum(m.hours, 1), 1 / (2 * LEARN)), 0.0)
        m.level += rate * (np.log(np.maximum(np.repeat(middle, self.stations), 1e-3)) - m.level)

    def _compare(self, surprise: Floats, expected: Floats, level: Floats, judged: Bools) -> Floats:
        """The statistics over their thresholds, (series, filters, horizons)."""
        m = self.memory
        deviation = np.sqrt(m.variance)
        clipped = np.clip(surprise, -CLIP * deviation, CLIP * deviation)
        offset = np.log1p(REFERENCE * level / (expected + neighbours.CLEAN * level))
        gain = expected / (expected + neighbours.CLEAN * level)
        filters = np.stack([gain, offset], -1)[..., None]
        rate = judged[:, None, None] / HORIZONS
        m.weighted += rate * (filters * clipped[:, None, None] - m.weighted)
        m.energy += rate * (filters * filters - m.energy)
        m.judged += judged
        m.shift += judged * (surprise - m.shift) / (3 * DAY)
        far = np.stack([surprise, -surprise], -1) > neighbours.FAR * deviation[:, None]
        m.wild += judged[:, None] * (far - m.wild) / DAY
        deviations = np.abs(self._statistics()) / np.sqrt(m.spread + FLOOR**2)
        return np.asarray(deviations / (THRESHOLDS * self._unrest(deviations, judged & (m.kind == 0))))

    def _day(self, surprise: Floats, judged: Bools, hour: int) -> Floats:
        """The mean of the last 24 hours over its threshold; hours that were not judged count as none."""
        m = self.memory
        clipped = np.clip(surprise / np.sqrt(np.maximum(m.variance, 1e-12)), -DAY_CLIP, DAY_CLIP)
        m.day[:, hour % 24] = np.where(judged, clipped, 0.0)
        # Squared, so that nothing is suspect for an ordinary day.
        return np.asarray((m.day.mean(1) / DAY_MEAN) ** 2)

    def _unrest(self, deviations: Floats, usable: Bools) -> Floats:
        """How far the others deviate from their expectations at this time: 1 is as usual, and the least.

        Smoke over the city, a front or an inversion lets many stations deviate at once: weather, no fault.
        """
        square = np.minimum(deviations**2, UNREST) * usable[:, None, None]
        grid = square.reshape(self.layers, self.stations, *deviations.shape[1:])
        count = usable.reshape(self.layers, self.stations)
        others = np.maximum(count.sum(1, keepdims=True) - count, 1)[..., None, None]
        mean = (grid.sum(1, keepdims=True) - grid) / others
        return np.asarray(np.sqrt(np.maximum(mean, 1.0)).reshape(deviations.shape))

    def _statistics(self) -> Floats:
        """Matched filters' outputs per unit of noise: correlation with the filter over its norm."""
        m = self.memory
        return np.asarray(m.weighted / np.sqrt(np.maximum(m.energy, 1e-6)))

    def _kind(self, ratio: Floats, noisy: Floats, stuck: Floats, seen: Floats, expected: Floats) -> Ints:
        # which filter fits better, and whether the fast averages see it too
        gain, offset = (ratio * THRESHOLDS).max(2).T
        fast = (ratio[:, :, 0].max(1) >= SUSPECT) | (np.abs(self.memory.day.mean(1)) >= DAY_MEAN)
        kind = np.where(offset > gain, Kind.OFFSET, Kind.GAIN)
        kind = np.where(fast, kind, Kind.DRIFT)
        kind = np.where(noisy > ratio.max((1, 2)), Kind.NOISY, kind)
        still = self.memory.run >= repeats.STUCK // 2
        kind = np.where((stuck >= 1) | still, Kind.STUCK, kind)
        nothing = (seen <= 0) | (still & (seen < 0.05 * expected))  # NaN compares false
        return np.asarray(np.where(nothing, Kind.ZERO, kind), np.int64)

    def _turn(self, score: Floats, kind: Ints, known: Bools, hour: int, stuck: Floats) -> tuple[Bools, Bools]:
        """Which faults begin and end."""
        m = self.memory
        faulty = m.kind > 0
        suspect = score >= SUSPECT
        # a dead chip is another matter than one that is off: it is told again
        worse = faulty & (stuck >= 1) & ((kind == Kind.STUCK) | (kind == Kind.ZERO)) & (m.kind > Kind.ZERO)
        m.since[:] = np.where(faulty | (suspect & (m.since > 0)), m.since, np.where(suspect, hour * HOUR, 0))
        m.score[:] = score
        m.quiet[:] = np.where(known, np.where(suspect, 0.0, m.quiet + 1), m.quiet)
        m.since[worse] = ((hour - m.run) * HOUR)[worse]
        m.stood[:] = np.where(faulty & ~worse, m.stood + known, 0.0)
        begun = known & (~faulty & (score >= 1) | worse)
        accepted = faulty & (m.stood >= PATIENCE) & (stuck < 1) & known
        over = faulty & ((m.quiet >= QUIET) | accepted)
        if accepted.any():
            self._accept(accepted)
        m.kind[:] = np.where(begun, kind, np.where(over, Kind.NONE, m.kind))
        m.since[over] = 0
        return begun, over

    def _accept(self, rows: Bools) -> None:
        """Take a difference that nobody mended for the place's own."""
        m = self.memory
        m.mean[rows] += m.shift[rows]
        m.weighted[rows] = 0.0
        m.energy[rows] = 0.0
        m.wild[rows] = 0.0
        m.day[rows] = 0.0
        m.shift[rows] = 0.0
        m.score[rows] = 0.0

    def _learn(
        self,
        surprise: Floats,
        deviation: Floats,
        known: Bools,
        judged: Bools,
        any_known: Bools,
        hour: int,
    ) -> None:
        """What is missing or suspect is learned as if it were what was expected, so that it goes with the season."""
        m = self.memory
        faulty = m.kind > 0
        sound = known & ~faulty & ((m.score < SUSPECT) | (m.learnt < WARM) & (m.run < repeats.STUCK))
        m.learnt += sound
        told = np.where(sound, deviation, deviation - surprise)
        rate = np.where(sound, np.maximum(1 / np.maximum(m.learnt, 1), 1 / LEARN), 1 / LEARN)
        m.mean[:] = np.where(any_known & (m.learnt > 0), m.mean + rate * told, m.mean)
        shape = (self.layers, self.stations)
        grid = told.reshape(shape)
        target = grid[:, :, None] * grid[:, None, :]
        # the expectation-maximisation update of a covariance: what is filled in keeps its own variance
        np.einsum("sii->si", target)[...] += np.where(sound, 0.0, m.variance).reshape(shape)
        part = m.covariance.reshape(*shape, -1)[:, :, : self.stations]
        rate = np.where(any_known, np.maximum(1 / (m.hours + 100), 1 / LEARN_COVARIANCE), 0.0)
        part += rate.reshape(shape)[:, :, None] * (target - part)
        m.profile[:, hour % 24] += np.where(sound & judged, surprise, 0.0) / LEARN_PROFILE
        m.profile -= m.profile.mean(1, keepdims=True)  # a day's course alone: all hours higher is a drift
        # not at all would cut off the tails, and at the full rate a slow drift would widen its own measure
        rate = np.where(judged & ~faulty, np.maximum(1 / (m.judged + 50), 1 / LEARN_SPREAD), 0.0)
        rate *= np.where(m.score < SUSPECT, 1.0, SLOWLY)
        m.variance += rate * (np.minimum(surprise * surprise, neighbours.FAR**2 * m.variance) - m.variance)
        square = self._statistics() ** 2
        settled = m.judged[:, None, None] > HORIZONS / 2
        m.spread += rate[:, None, None] * settled * (np.minimum(square, neighbours.FAR**2 * m.spread) - m.spread)
