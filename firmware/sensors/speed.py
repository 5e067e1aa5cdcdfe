# Speeds of vehicles over a window.

from micropython import const

from sensors.mean import Mean

# 10 km/h: who drives more slowly against the traffic parks, or backs up in a queue
WRONG_WAY_CM_S = const(278)


class Speed:
    """Arithmetic mean of the vehicles' speeds where they are counted (time mean speed), and the newest of them."""

    def __init__(self):
        self._mean = Mean()
        self._newest = None

    def add(self, cm_s):
        self._mean.add(cm_s)
        self._newest = cm_s

    def take(self):
        """km/h since the last call; None without a vehicle."""
        return _kmh(self._mean.take(3))

    def newest(self):
        return _kmh(self._newest)


def _kmh(cm_s):
    return None if cm_s is None else round(cm_s * 0.036, 1)
