"""One run of a fleet: until its time is over or somebody ends it; then until all has arrived, and the report."""

import asyncio
from collections.abc import Callable

from gateway.errors import GanglionError
from sim_hardware.fleet.fleet import Fleet, FleetError
from sim_hardware.fleet.report import Report, report
from sim_hardware.fleet.snapshot import Heard, snapshot
from sim_hardware.fleet.stop import Stop
from sim_hardware.fleet.view import View

_LOOK_S = 0.5
_DRAIN_S = 30.0
"""How long what was measured may take to arrive, once the city stands still."""

Hear = Callable[[bool], Heard | None]
"""Asks the gateway that listens, for its curves too when told so, and blocks meanwhile. None where there is none."""


async def run(
    fleet: Fleet, duration_s: float, view: View, hear: Hear, stop: Stop
) -> tuple[Report, GanglionError | None]:
    """The report, and what ended the run or was amiss at its end; None when all that was sent has arrived.

    `duration_s` 0 runs until `stop`; another signal ends the wait for what is under way. Raises GanglionError when
    the fleet does not start, KeyboardInterrupt when `stop` came before and broke it.
    """
    loop = asyncio.get_running_loop()
    began, elapsed, lived = 0.0, 0.0, 0
    heard: Heard | None = None
    trouble: GanglionError | None = None

    async def arrived() -> bool:
        nonlocal heard
        heard = await asyncio.to_thread(hear, False)
        return heard is None or (
            heard.settled and heard.ledger.received - heard.ledger.duplicates >= fleet.counts().acked
        )

    try:
        async with fleet.running():
            began = loop.time()
            while not stop.signals and (not duration_s or elapsed < duration_s):
                heard = await asyncio.to_thread(hear, True)
                view.show(snapshot(fleet, elapsed, heard))
                left = began + duration_s - loop.time() if duration_s else _LOOK_S
                await asyncio.sleep(max(0.0, min(_LOOK_S, left)))
                elapsed, lived = loop.time() - began, fleet.lived_s()
            view.say("The city stands still; waiting until all has arrived ...")
            before = stop.signals
            drained = await fleet.drain(arrived, _DRAIN_S, lambda: stop.signals > before)
            heard = await asyncio.to_thread(hear, True)
            view.show(snapshot(fleet, elapsed, heard))
            if not drained:
                trouble = FleetError(_why(fleet, heard, stopped=stop.signals > before))
    except GanglionError as error:
        if not elapsed:
            stop.check()  # a Ctrl-C at the terminal also kills what is just being started: that is no error of its own
        if not began:
            raise
        trouble = error
    fleet.pace.freeze()
    return report(fleet, elapsed, lived, heard), trouble


def _why(fleet: Fleet, heard: Heard | None, *, stopped: bool) -> str:
    """What has not arrived, and where to look for the reason."""
    if stopped:
        return "the wait was ended before all packs had arrived"
    if fleet.behind():
        return "not every node came to the city's end in time: this machine is too slow for so many at this speed"
    if unsent := fleet.counts().waiting:
        where = fleet.settings.broker
        return f"{unsent} packs did not leave the nodes: is {where.host}:{where.port} reachable?"
    if not heard:
        return "not all packs arrived in time"
    ledger = heard.ledger
    return (
        f"not all packs arrived in time: the gateway has received {ledger.received}, of which {ledger.waiting} wait "
        "for the database; see its log"
    )
