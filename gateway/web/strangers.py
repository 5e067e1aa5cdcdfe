"""A port for strangers: so many connections, and none that is held open for nothing.

The operators' pages are of the same process, and a process has only so many files.
"""

import asyncio
from typing import Final

from starlette.types import ASGIApp
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from gateway.config import Citizens
from gateway.http import HttpServer

MOST_CONNECTIONS: Final = 500
"""At once. Who comes then is sent away: a process has 1024 files where nobody gave it more."""
PATIENCE_SECONDS: Final = 60.0
"""For a question to come, and for its answer to be fetched."""
BACKLOG: Final = 128
"""Connections that are taken in before the first of them is counted."""


def server(settings: Citizens, app: ASGIApp) -> HttpServer:
    """Raises ConfigError as HttpServer does."""
    return HttpServer(settings, app, "citizens", protocol=Strangers, backlog=BACKLOG)


class Strangers(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """What uvicorn makes of each connection."""

    most = MOST_CONNECTIONS
    patience = PATIENCE_SECONDS

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        if len(self.connections) > self.most:
            transport.abort()
        else:
            self._wait()

    def _wait(self) -> None:
        asyncio.get_running_loop().call_later(self.patience, self._look, self.cycle)

    def _look(self, before: object) -> None:
        """The cycle is that of the question that came last."""
        if self.transport.is_closing():
            return
        if self.cycle is before:
            self.transport.abort()
        else:
            self._wait()
