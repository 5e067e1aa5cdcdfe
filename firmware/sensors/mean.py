# A mean that grows value by value.


class Mean:
    def __init__(self):
        self._sum = self._count = 0

    def add(self, value):
        self._sum += value
        self._count += 1

    def take(self, digits):
        """The mean of what came since the last call, rounded; None if nothing came."""
        if not self._count:
            return None
        mean = round(self._sum / self._count, digits)
        self._sum = self._count = 0
        return mean
