"""Where lines go: the seam between the forwarder and the servers' dialects."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

import urllib3

from gateway.config import Influx
from gateway.errors import ConfigError
from gateway.forward.influx_v1 import TargetV1
from gateway.forward.influx_v2 import TargetV2
from gateway.forward.server import detect_api
from gateway.secret import secret_of


class Target(Protocol):
    """A database. Blocking: called from a thread, one call at a time."""

    def prepare(self) -> None:
        """Make it ready for writes, as far as that is ours to do. Raises Passing or Lasting."""

    def write(self, lines: Sequence[bytes]) -> None:
        """Returns when the server has all of these lines. Raises Passing, Lasting or Poison."""


class Auto:
    """Asks the server what it is each time it is prepared, so that another server behind the same URL is noticed."""

    def __init__(self, settings: Influx) -> None:
        self._settings = settings
        self._target: Target | None = None

    def prepare(self) -> None:
        api = detect_api(self._settings.url, secret_of(self._settings, "token"))
        self._target = TARGETS[api](self._settings)
        self._target.prepare()

    def write(self, lines: Sequence[bytes]) -> None:
        if self._target is None:
            raise RuntimeError("prepare() comes before write()")
        self._target.write(lines)


TARGETS: Final[Mapping[str, Callable[[Influx], Target]]] = {"auto": Auto, "v1": TargetV1, "v2": TargetV2}


def make_target(settings: Influx) -> Target:
    """The target that `[influx]` describes; touches no network.

    Raises ConfigError when its secret is not set, or its address cannot be one.
    """
    secret_of(settings, "token")
    try:
        urllib3.util.parse_url(settings.url)
    except urllib3.exceptions.LocationParseError as error:
        raise ConfigError(f"influx.url: {settings.url!r} is not http://host:port or https://host:port") from error
    return TARGETS[settings.api](settings)
