"""The processes of what people and strangers reach: one for operators, one for citizens, one where nodes enrol, so that
what strangers do to one ends no other."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct

from gateway.config import Config, load
from gateway.configcheck import check_secrets
from gateway.connections import Limits
from gateway.errors import ConfigError, ungrouped
from gateway.http import HttpServer
from gateway.part import Part

if TYPE_CHECKING:
    from gateway.web.seat import Seat

Pages = Literal["console", "citizens", "enrolment"]
"""Which of them: the first two by the table of their settings."""
NICE: Final = 10
"""Whoever looks never takes the processor from the gateway."""
FIRST_TO_GO: Final = "500"
"""Where memory is short, the kernel takes the pages before the gateway."""


NEEDS: Final[Mapping[Pages, tuple[str, ...]]] = {
    "console": ("mqtt", "influx"),
    "citizens": ("influx",),
    "enrolment": (),
}
"""Tables whose secrets they use."""
STRANGERS: Final = Limits(most=500, of_one=100, answer_seconds=60.0, body_bytes=2**14, rate=(20.0, 400.0))
"""Of the port of citizens: fewer connections than the operators', and less patience."""


async def serve(path: Path, which: Pages, *, until_eof: bool = False) -> None:
    """Until SIGTERM or SIGINT, or with `until_eof` until standard input ends. Raises ConfigError."""
    _stand_back()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if until_eof:
        loop.add_reader(sys.stdin.fileno(), stop.set)  # nobody writes there: what can be read is its end
    config = load(path, None)
    for key, table in needs(config, which).items():
        check_secrets(key, table)
    with contextlib.ExitStack() as at_end, ungrouped():
        parts = _enrolment(config) if which == "enrolment" else _pages(config, path, which, at_end)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(part.run()) for part in parts]
            await stop.wait()
            for task in tasks:
                task.cancel()


def _enrolment(config: Config) -> list[Part]:
    from gateway.identity.enrolment import Enrolment

    desk = Enrolment(config)
    return [desk, desk.server()]


def _pages(config: Config, path: Path, which: Pages, at_end: contextlib.ExitStack) -> list[Part]:
    from gateway.web.seat import Seat

    if getattr(config, which) is None:
        raise ConfigError(f"{path}: there is no [{which}]: add the table")
    seat = Seat(config)
    at_end.callback(seat.close)
    return [seat, *(_console(seat) if which == "console" else _citizens(seat))]


def needs(config: Config, which: Pages) -> dict[str, Struct]:
    """Tables whose secrets it uses, by what stands before their keys."""
    return {key: config.secretive[key] for key in NEEDS[which]}


def _console(seat: "Seat") -> list[Part]:
    from gateway.web.console.app import make_app

    assert seat.config.console is not None
    return [HttpServer(seat.config.console, make_app(seat), "console", live=True)]


def _citizens(seat: "Seat") -> list[Part]:
    from gateway.citizens.app import make_app
    from gateway.citizens.pump import Pump

    assert seat.config.citizens is not None
    return [HttpServer(seat.config.citizens, make_app(seat), "citizens", limits=STRANGERS), Pump(seat)]


def _stand_back() -> None:
    """Behind the gateway, for processor and memory, where the machine lets us."""
    with contextlib.suppress(OSError):
        os.nice(NICE)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(FIRST_TO_GO)
