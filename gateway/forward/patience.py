"""How long to wait before a database is asked again. Pure but for the dice, which are handed in."""

from random import Random
from typing import Final

from msgspec import Struct

from gateway.backoff import backoff
from gateway.errors import Passing, TargetError


class Patience(Struct, frozen=True):
    """Waits in seconds."""

    first: float = 0.5
    """After the first failure; doubled with each further one."""
    most: float = 30.0
    """Where the doubling ends."""
    lasting: float = 60.0
    """When only a person can help."""
    asked: float = 900.0
    """The most that a server may ask for."""

    def wait(self, error: TargetError, failures: int, dice: Random) -> float:
        """Seconds to wait after the `failures`-th failure in a row.

        At least what the server asked for (Retry-After), within reason.
        """
        if not isinstance(error, Passing):
            return self.lasting
        asked = min(error.retry_after or 0.0, self.asked)
        return max(asked, backoff(failures, self.first, self.most, dice))


USUAL: Final = Patience()
