# What the chips of a station have in common: series of values, and a task that takes readings or counts them.

from time import ticks_diff, ticks_ms

from sensors.mean import Mean

NEWEST_MS = 30_000  # an older value is not "now"


class Series(Mean):
    """One quantity: the mean of the window, and the newest value.

    `digits` is what it is rounded to, `low` and `high` are the ends of the range that the chip is made for.
    """

    def __init__(self, name, unit, digits, low, high):
        Mean.__init__(self)
        self.name = name
        self.unit = unit
        self.digits = digits
        self.low = low
        self.high = high
        self._newest = None
        self._at = 0

    def put(self, value, now):
        # As `add`, without the call, for the same reason as in `Chip.take`.
        self._sum += value
        self._count += 1
        self._newest = value
        self._at = now

    def newest(self, now):
        """The newest value, unless it is old; None for good then: ticks wrap, and it would look new again."""
        if self._newest is not None and ticks_diff(now, self._at) > NEWEST_MS:
            self._newest = None
        return self._newest


class Chip:
    """`run` is the task; `driver` has `read`, which gives a tuple with a value for each series, or None."""

    patience = 10  # readings that it may owe one after the other

    def __init__(self, name, driver, series):
        self.name = name
        self.series = series
        self.driver = driver
        self._spoilt = 0
        self._owed = 0

    def rejected(self):
        """Readings that were garbled, or that cannot be, since the boot."""
        return self._spoilt + getattr(self.driver, "garbled", 0)

    def poll(self):
        """Take what the chip has; False when that is nothing. Raises OSError when it has been so for too long."""
        try:
            found = self.driver.read()
        except ValueError:
            found = None
            self._spoilt += 1
        if found is not None and self.take(found):
            self._owed = 0
            return True
        self._owed += 1
        if self._owed > self.patience:
            self._owed = 0
            raise OSError(110, "no reading %d times, %d rejected so far" % (self.patience, self.rejected()))
        return False

    def take(self, values):
        """False when one of them cannot be (NaN is one): then the others of the same reading are not trusted either."""
        # By index, which takes nothing of the heap: a station does this each second.
        all_series = self.series
        for i in range(len(all_series)):
            if not all_series[i].low <= values[i] <= all_series[i].high:
                return self.reject()
        now = ticks_ms()
        for i in range(len(all_series)):
            all_series[i].put(values[i], now)
        return True

    def reject(self):
        self._spoilt += 1
        return False


def particles(most):
    """The series of a particle counter."""
    return [Series(name, "ug/m3", 1, 0, most) for name in ("pm1_0", "pm2_5", "pm10")]
