"""Which set-up a server takes."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final, Protocol

from gateway.config import Influx
from gateway.errors import Lasting
from gateway.forward.server import major_version
from gateway.influx.plan import Planned, SetupError, Wish
from gateway.influx.setup_v1 import SetupV1
from gateway.influx.setup_v2 import SetupV2
from gateway.influx.setup_v3 import SetupV3
from gateway.secret import secret_of


class Setup(Protocol):
    """A server of one dialect."""

    def plan(self, wish: Wish) -> Iterator[Planned]:
        """All that there should be, each with what makes it so; only reads. Raises Passing or SetupError."""


SETUPS: Final[Mapping[int, Callable[[Influx], Setup]]] = {1: SetupV1, 2: SetupV2, 3: SetupV3}


def make_setup(settings: Influx) -> Setup:
    """Asks the server what it is, whatever `influx.api` says. Raises Passing, SetupError or ConfigError."""
    try:
        version = major_version(settings.url, secret_of(settings, "token"))
    except Lasting as error:
        raise SetupError(
            f"{error}. Only InfluxDB 1.x, 2.x and 3 Core can be set up: others, such as VictoriaMetrics, are told by "
            "their own command line how long to keep what"
        ) from error
    return SETUPS[version](settings)
