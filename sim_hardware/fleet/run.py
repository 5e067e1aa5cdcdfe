"""One run of a fleet: until its time is over or somebody ends it; then until all has arrived, and the report."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator

from sim_hardware.fleet.fleet import Fleet
from sim_hardware.fleet.report import Report, report
from sim_hardware.fleet.snapshot import Heard, snapshot
from sim_hardware.fleet.view import View

_LOOK_S = 0.5
_DRAIN_S = 30.0
"""How long what was measured may take to arrive, once the city stands still."""


@contextlib.contextmanager
def stop_signals(stop: asyncio.Event) -> Iterator[None]:
    """Ctrl-C and SIGTERM set `stop`; a second Ctrl-C is Python's own."""
    loop = asyncio.get_running_loop()

    def end() -> None:
        stop.set()
        loop.remove_signal_handler(signal.SIGINT)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def run(fleet: Fleet, duration_s: float, view: View, hear: Callable[[], Heard | None]) -> tuple[Report, bool]:
    """The report, and whether all that was sent has arrived. `duration_s` 0 runs until a signal.

    `hear` asks the gateway that listens, and blocks meanwhile; it gives None where there is none.
    """
    stop = asyncio.Event()
    with stop_signals(stop):
        async with fleet.running():
            loop = asyncio.get_running_loop()
            began = loop.time()
            while not stop.is_set() and (not duration_s or loop.time() - began < duration_s):
                view.show(snapshot(fleet, loop.time() - began, await asyncio.to_thread(hear)))
                left = began + duration_s - loop.time() if duration_s else _LOOK_S
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), max(0.0, min(_LOOK_S, left)))
            elapsed = loop.time() - began
            view.say("The city stands still; waiting until all has arrived ...")
            arrived = await fleet.drain(lambda: _arrived(fleet, hear()), _DRAIN_S)
            heard = hear()
            view.show(snapshot(fleet, elapsed, heard))
            ledger, incidents = (heard.ledger, heard.incidents) if heard else (None, None)
            return report(fleet, elapsed, ledger, incidents), arrived


def _arrived(fleet: Fleet, heard: Heard | None) -> bool:
    return heard is None or (heard.settled and heard.ledger.received - heard.ledger.duplicates >= fleet.counts().acked)
