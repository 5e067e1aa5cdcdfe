"""The process of the pages: one for operators, one for citizens, each on a port of its own."""

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Final, Protocol

from gateway.config import load
from gateway.errors import ConfigError, ungrouped
from gateway.http import HttpServer
from gateway.web.seat import Seat

NICE: Final = 10
"""Whoever looks never takes the processor from the gateway."""
FIRST_TO_GO: Final = "500"
"""Where memory is short, the kernel takes the pages before the gateway."""


class Part(Protocol):
    async def run(self) -> None:
        """Until cancelled."""


async def serve(path: Path, *, until_eof: bool = False) -> None:
    """Until SIGTERM or SIGINT, or with `until_eof` until standard input ends. Raises ConfigError."""
    _stand_back()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if until_eof:
        loop.add_reader(sys.stdin.fileno(), stop.set)  # nobody writes there: what can be read is its end
    config = load(path)
    if config.console is None and config.citizens is None:
        raise ConfigError(f"{path}: there is neither [console] nor [citizens]: add one")
    seat = Seat(config)
    parts: list[Part] = [seat]
    if config.console is not None:
        from gateway.web.console.app import make_app

        parts.append(HttpServer(config.console, make_app(seat), "console", live=True))
    if config.citizens is not None:
        from gateway.citizens.app import make_app as make_public
        from gateway.citizens.pump import Pump
        from gateway.web.strangers import server as server_for_strangers

        parts += [server_for_strangers(config.citizens, make_public(seat)), Pump(seat)]
    try:
        with ungrouped():
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(part.run()) for part in parts]
                await stop.wait()
                for task in tasks:
                    task.cancel()
    finally:
        seat.close()


def _stand_back() -> None:
    """Behind the gateway, for processor and memory, where the machine lets us."""
    with contextlib.suppress(OSError):
        os.nice(NICE)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(FIRST_TO_GO)
