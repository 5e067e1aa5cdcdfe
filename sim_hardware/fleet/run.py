"""One run of a fleet: until its time is over or somebody ends it; then until all has arrived, and the report."""

import asyncio
from collections.abc import Callable

from gateway.errors import GanglionError
from sim_hardware.fleet.fleet import FleetError
from sim_hardware.fleet.inject import Injector
from sim_hardware.fleet.nodes import Nodes
from sim_hardware.fleet.report import Report, report
from sim_hardware.fleet.snapshot import Heard, snapshot
from sim_hardware.fleet.stop import Stop
from sim_hardware.fleet.view import View

_LOOK_S = 0.5
_DRAIN_S = 30.0
"""How long what was measured may take to arrive, once the city stands still."""
_EARLY_S = 5.0
"""The same where not all boards had been started when somebody ended it."""
_BACKOFF_S = 60.0
"""So long a node may wait before it tries a link again that had failed (firmware/node/uplink.py)."""

Hear = Callable[[bool], Heard | None]
"""Asks the gateway that listens, for its curves too when told so, and blocks meanwhile. None where there is none."""


async def run(
    injector: Injector, duration_s: float, view: View, hear: Hear, stop: Stop
) -> tuple[Report, GanglionError | None]:
    """The report, and what ended the run or was amiss at its end; None when all that was sent has arrived.

    `duration_s` 0 runs until `stop`; another signal ends the wait for what is under way. A `stop` while boards are
    still being started waits for those there are, and not for long. Raises GanglionError when the fleet does not start,
    KeyboardInterrupt when `stop` came before and broke it.
    """
    fleet = injector.fleet
    loop = asyncio.get_running_loop()
    began, elapsed, lived = 0.0, 0.0, 0.0
    heard: Heard | None = None
    trouble: GanglionError | None = None

    async def arrived() -> bool:
        nonlocal heard
        heard = await asyncio.to_thread(hear, False)
        return heard is None or (
            heard.settled and heard.ledger.received - heard.ledger.duplicates >= fleet.counts().acked
        )

    try:
        async with injector.running():
            # The city has begun while boards were ordered.
            before_run = fleet.pace.now_us() / 1e6 - fleet.settings.start
            began = loop.time()
            while not stop.signals and (not duration_s or elapsed < duration_s):
                heard = await asyncio.to_thread(hear, True)
                view.show(snapshot(injector, elapsed, heard))
                left = began + duration_s - loop.time() if duration_s else _LOOK_S
                await asyncio.sleep(max(0.0, min(_LOOK_S, left)))
                lived = max(0.0, fleet.lived_s() - before_run)
                elapsed = loop.time() - began
            view.say("The city stands still; waiting until all has arrived ... Ctrl-C ends the wait.")
            before = stop.signals
            broken = injector.heal()
            limit = _DRAIN_S if fleet.started() else _EARLY_S
            if broken and not before:
                limit += _BACKOFF_S
            drained = await fleet.drain(arrived, limit, lambda: stop.signals > before)
            heard = await asyncio.to_thread(hear, True)
            view.show(snapshot(injector, elapsed, heard))
            if not drained:
                trouble = FleetError(_why(fleet, heard, stopped=stop.signals > before))
    except GanglionError as error:
        if not elapsed:
            stop.check()  # a Ctrl-C at the terminal also kills what is just being started: that is no error of its own
        if not began:
            raise
        trouble = error
    fleet.pace.freeze()
    return report(fleet, elapsed, lived, heard, injector.records()), trouble


def _why(fleet: Nodes, heard: Heard | None, *, stopped: bool) -> str:
    """What has not arrived, and where to look for the reason."""
    if stopped:
        return "the wait was ended before all packs had arrived"
    if fleet.restless():
        return f"a board does not come up: see its console.log in {fleet.folder / 'nodes'}"
    if fleet.behind():
        return "not every node came to the city's end in time: this machine is too slow for so many at this speed"
    if unsent := fleet.counts().waiting:
        where = fleet.settings.broker
        believed = (
            " Does its certificate bear that name (else --server-name)? Does it believe --pki's authority, and let the "
            "nodes speak (see its log)? Were identities taken back?"
            if where.tls
            else ""
        )
        return (
            f"{unsent} packs did not leave the nodes: is {where.host}:{where.port} reachable?{believed} "
            "Does a gateway without room hold the site (its retained topic `hold`)?"
        )
    if not heard:
        return "not all packs arrived in time"
    ledger = heard.ledger
    return (
        f"not all packs arrived in time: the gateway has received {ledger.received}, of which {ledger.waiting} wait "
        "for the database; see its log"
    )
