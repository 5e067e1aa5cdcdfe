"""Small repeatable noise, so that no healthy sensor ever repeats itself for long."""


class Noise:
    """Marsaglia's 32-bit xorshift (13, 17, 5), started from `seed`."""

    def __init__(self, seed: int) -> None:
        self._state = (seed * 2_654_435_761 + 1) & 0xFFFFFFFF or 1

    def below(self, n: int) -> int:
        """A whole number from 0 to n - 1."""
        x = self._state
        x ^= (x << 13) & 0xFFFFFFFF
        x ^= x >> 17
        self._state = x = x ^ (x << 5) & 0xFFFFFFFF
        return x % n

    def around(self, value: float, spread: float) -> float:
        """`value` plus noise within +-`spread`, nearer to it more often (the mean of two draws).

        Its standard deviation is `spread` / 2.45. A chip draws several times for each measurement: no calls here.
        """
        x = self._state
        x ^= (x << 13) & 0xFFFFFFFF
        x ^= x >> 17
        x ^= (x << 5) & 0xFFFFFFFF
        y = x ^ (x << 13) & 0xFFFFFFFF
        y ^= y >> 17
        self._state = y = y ^ (y << 5) & 0xFFFFFFFF
        return value + spread * (x % 2001 + y % 2001 - 2000) / 2000

    def about(self, value: int, spread: int) -> int:
        """As `around`, in whole numbers: on a board each float takes a piece of its heap."""
        x = self._state
        x ^= (x << 13) & 0xFFFFFFFF
        x ^= x >> 17
        x ^= (x << 5) & 0xFFFFFFFF
        y = x ^ (x << 13) & 0xFFFFFFFF
        y ^= y >> 17
        self._state = y = y ^ (y << 5) & 0xFFFFFFFF
        return value + spread * (x % 2001 + y % 2001 - 2000) // 2000
