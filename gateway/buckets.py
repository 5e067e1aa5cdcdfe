"""How often anybody may do something: so many a second for long, and so many at once; by address in a bounded table."""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

MOST_KNOWN: Final = 4096
"""Addresses that are remembered. Beyond them the one that was quiet for longest begins anew."""

Clock = Callable[[], float]


class Bucket:
    """So many a second, and so many at once."""

    def __init__(self, rate: float, most: float, clock: Clock = time.monotonic) -> None:
        self._rate, self._most, self._clock = rate, most, clock
        self._left, self._time = most, clock()

    def left(self) -> float:
        """How often it may be taken from now."""
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._time) * self._rate)
        self._time = now
        return self._left

    def take(self) -> bool:
        """Whether there was one; then it is gone."""
        if self.left() < 1:
            return False
        self._left -= 1
        return True


class Buckets:
    """One for each name. In memory alone, and gone with the process."""

    def __init__(self, rate: float, most: float, clock: Clock = time.monotonic, known: int = MOST_KNOWN) -> None:
        """`known` is how many names are remembered."""
        self._rate, self._most, self._clock, self._known = rate, most, clock, known
        self._of: OrderedDict[str, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._of)

    def left(self, name: str) -> float:
        """As Bucket.left. To ask makes nobody remembered."""
        return self._of[name].left() if name in self._of else self._most

    def take(self, name: str) -> bool:
        """As Bucket.take."""
        if name not in self._of:
            self._of[name] = Bucket(self._rate, self._most, self._clock)
        self._of.move_to_end(name)
        if len(self._of) > self._known:
            self._of.popitem(last=False)
        return self._of[name].take()


def whose(address: str, bits: int = 64) -> str:
    """By what an address is counted: of version 6 its network of so many bits; 64 are a subscriber's, or a part of
    what they have. Empty for programs of this machine, and for what is no address: those are not counted."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return whose(str(found.ipv4_mapped), bits)
        if not found.is_loopback:
            return str(ipaddress.ip_network((int(found), bits), strict=False))
    return "" if found.is_loopback else str(found)
