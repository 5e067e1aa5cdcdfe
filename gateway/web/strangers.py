"""A port for strangers: fewer connections than the operators', and less patience."""

from typing import Final

from starlette.types import ASGIApp

from gateway.config import Citizens
from gateway.connections import Limits
from gateway.http import HttpServer

LIMITS: Final = Limits(most=500, of_one=100, answer_seconds=60.0, body_bytes=2**14, rate=(20.0, 400.0))


def server(settings: Citizens, app: ASGIApp, limits: Limits = LIMITS) -> HttpServer:
    """Raises ConfigError as HttpServer does."""
    return HttpServer(settings, app, "citizens", limits=limits)
