"""Who may try a password now: nobody finds one by trying, and nobody keeps others out by trying.

An account is never locked for all. What is counted is counted by address; only for an account that is attacked from
many addresses is there a bound of its own, and that does not concern addresses from which somebody has logged in before
(the idea of OWASP's device cookies, without a cookie).
"""

import asyncio
import contextlib
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator
from typing import Final

from gateway.buckets import Bucket, Buckets, Clock, whose

OF_ADDRESS: Final = (1 / 10, 10.0)
"""Wrong passwords of one address: one in ten seconds for long, ten at once."""
OF_ACCOUNT: Final = (1 / 60, 30.0)
"""Wrong passwords for one account from addresses that are not known: one a minute, thirty at once."""
OF_ONE_FOR_ACCOUNT: Final = (1 / 600, 5.0)
"""So many of these are by one address: alone it does not use up what all have, it is slow enough by its own bound."""
OF_STRANGERS: Final = (2.0, 20.0)
"""Attempts of all addresses that are not known: each costs a tenth of a second of a processor and 64 MiB."""
MOST_KNOWN: Final = 1000
"""Addresses from which somebody has logged in; the latest."""
MOST_WAITING: Final = 8
"""That wait for their turn: of those who are known, and of the others."""
MOST_OF_ONE: Final = 2
"""The same of one address, so that it does not fill the line. Of this machine, a proxy perhaps, all may be."""
SUBSCRIBER_BITS: Final = 56
"""A home has a network of that size, of version 6 (RIPE-690, 4.2): in its 256 networks of 64 bits are as many addresses
that nobody knows, enough to take every turn that strangers have."""
HERE: Final = "this machine"
WRONG_SECONDS: Final = 1.0
"""How long the answer to a wrong password waits. Nobody else does."""


class TooMany(Exception):
    """Not now; the message says why."""


class Attempts:
    """One a process. In memory alone."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._address = Buckets(*OF_ADDRESS, clock)
        self._account = Buckets(*OF_ACCOUNT, clock)
        self._share = Buckets(*OF_ONE_FOR_ACCOUNT, clock)
        self._strangers = Bucket(*OF_STRANGERS, clock)
        self._known: OrderedDict[str, None] = OrderedDict()
        self._waiting = {True: 0, False: 0}
        self._of_one: Counter[str] = Counter()
        self._turn = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def turn(self, name: str, address: str) -> AsyncIterator[None]:
        """One after the other. `address` is as the connection has it. Raises TooMany."""
        who = _whose(address)
        known = who in self._known
        if self._address.left(who) < 1:
            raise TooMany("Too many wrong passwords from your address: wait a minute.")
        if not known and self._account.left(name) < 1:
            raise TooMany("Too many wrong passwords for this name: wait a minute, or log in from where you did before.")
        full = self._waiting[known] >= MOST_WAITING or (self._of_one[who] >= MOST_OF_ONE and who != HERE)
        if full or not (known or self._strangers.take()):
            raise TooMany("Too many try to log in at once: wait a moment.")
        self._waiting[known] += 1
        self._of_one[who] += 1
        try:
            async with self._turn:
                yield
        finally:
            self._waiting[known] -= 1
            self._of_one[who] -= 1
            if not self._of_one[who]:
                del self._of_one[who]

    def failed(self, name: str, address: str) -> None:
        who = _whose(address)
        self._address.take(who)
        if who not in self._known and self._share.take(f"{who} {name}"):
            self._account.take(name)

    def succeeded(self, address: str) -> None:
        who = _whose(address)
        self._known[who] = None
        self._known.move_to_end(who)
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)


def _whose(address: str) -> str:
    return whose(address, SUBSCRIBER_BITS) or HERE
