# Raw ticks of a gas pixel, once a second -> an index from 1 to 500 of how unusual the air is for its place.
#
# The principle and the figures are those that Sensirion publishes for its SGP4x (Gas Index Algorithm, version 3.2): the
# signal is set against its own mean and spread of about the last day, the result goes through a logistic curve, and
# is smoothed the more the calmer it is. While the air is far from normal nothing is learnt, or else a long event
# would become the normal; but not for ever, for the normal may have changed.
#
# The board's floats have 24 bits: at 30,000 ticks their steps are 0.002, and a mean that learns over 12 hours moves
# by less than that in a second. So the mean is a whole number and a rest below 1.

from math import exp, log, sqrt

from micropython import const

_TOP = const(500)
_COLD_S = const(45)  # the hot plate's own drift is not the air's: what it says before is not even learnt
_LEARN_S = const(43_200)  # 12 h, for mean and variance; at first their time is as long as there was to learn
_LEARN_MEAN_S = const(20)
_LEARN_VARIANCE_S = const(2_500)
_FIRST_VARIANCE = const(2_500)  # ticks squared
_FAST_S = const(20)
_SLOW_S = const(500)

# (index of normal air, direction in which more gas moves the ticks, steepness, ticks added to the spread,
#  is the spread learnt, silence after a start in s, index above which nothing is learnt, for so long at most in s)
VOC = (100, -1, 1.495, 220, True, 45, 340, 10_800)
NOX = (1, 1, 2.323, 2_000, False, 300, 30, 43_200)


class GasIndex:
    """`figures` is VOC or NOX."""

    def __init__(self, figures):
        self._figures = figures
        self._bend = log(_TOP / figures[0] - 1)
        self._patience = figures[7]
        self._base = None  # whole ticks of the mean; None before the first value
        self._rest = 0.0
        self._variance = 0.0 + _FIRST_VARIANCE
        self._learnt = 0
        self.restart()

    def restart(self):
        """The chip was off: what it will say first is not to be believed. What was learnt of the place stays."""
        self._seconds = 0
        self._index = None

    def add(self, raw):
        """Take the ticks of this second; the index, or None while the chip is too cold to tell."""
        _, direction, steepness, widening, varies, silence, gate, patience = self._figures
        self._seconds = min(self._seconds + 1, silence + 1)
        if self._seconds <= _COLD_S:
            return None
        if self._base is None:
            self._base = raw
        away = (raw - self._base) - self._rest
        spread = (sqrt(self._variance) if varies else 0) + widening
        # 80: e to that is still a float of 24 bits
        power = min(self._bend - direction * away * steepness / spread, 80)
        self._smooth(_TOP / (1 + exp(power)))
        if self._index <= gate:
            self._patience = min(self._patience + 1, patience)
            self._learn(away)
        elif self._patience:
            self._patience -= 1
        else:
            self._learn(away)
        return max(1, self._index) if self._seconds > silence else None

    def _smooth(self, index):
        if self._index is None:
            self._index = self._fast = self._slow = index
            return
        self._fast += (index - self._fast) / _FAST_S
        self._slow += (index - self._slow) / _SLOW_S
        calm = exp(-0.2 * abs(self._fast - self._slow))
        self._index += (index - self._index) / (_FAST_S + (_SLOW_S - _FAST_S) * calm)

    def _learn(self, away):
        self._learnt = min(self._learnt + 1, _LEARN_S)
        self._rest += away / min(self._learnt + _LEARN_MEAN_S, _LEARN_S)
        whole = int(self._rest)
        self._base += whole
        self._rest -= whole
        self._variance += (away * away - self._variance) / min(self._learnt + _LEARN_VARIANCE_S, _LEARN_S)
