"""A listening socket that counts what it has let in: also those who do not get as far as a question.

With TLS nobody else sees a connection before its handshake is done, and a process has only so many files.
"""

import socket
import weakref
from collections import Counter
from typing import Any, Final

from gateway.buckets import whose

AT_ONCE: Final = 100
"""That are sent away in one turn."""


class _Counted(socket.socket):
    """A connection; its end, however it ends, is told once."""

    ended: "weakref.finalize[..., Any]"

    def close(self) -> None:
        super().close()
        self.ended()


class CountingListener(socket.socket):
    """Accepts, and closes at once what is beyond its bounds."""

    def bound(self, most: int, of_one: int) -> None:
        """So many connections at once, and so many of one address; of this machine there may be as many as of all."""
        self._most, self._of_one = most, of_one
        self._held: Counter[str] = Counter()

    def accept(self) -> tuple[socket.socket, Any]:
        """The next that is within the bounds. Raises BlockingIOError when nobody is there, and, so that who is served
        gets a turn, after many who are not."""
        for _ in range(AT_ONCE):
            connection, address = super().accept()
            who = whose(str(address[0]))
            if self._held.total() >= self._most or (who and self._held[who] >= self._of_one):
                connection.close()
                continue
            counted = _Counted(connection.family, connection.type, connection.proto, connection.detach())
            counted.setblocking(False)
            self._held[who] += 1
            counted.ended = weakref.finalize(counted, self._let_go, who)
            return counted, address
        raise BlockingIOError

    @property
    def held(self) -> int:
        """Connections that are open."""
        return self._held.total()

    def _let_go(self, who: str) -> None:
        self._held[who] -= 1
        if not self._held[who]:
            del self._held[who]
