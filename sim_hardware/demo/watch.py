"""What the demo's gateway and database know, looked at from outside while they run."""

from pathlib import Path
from typing import Final

import urllib3  # noqa: F401 - loaded before the first look, which comes from a thread

from gateway.config import Influx, load
from gateway.errors import GanglionError
from gateway.journal.store import Journal
from gateway.query.client import ask
from sim_hardware.demo.stack import Breaker, Stack
from sim_hardware.fleet.snapshot import Curve, Heard

_POINTS: Final = 30
"""Of a curve."""
_PATIENCE_S: Final = 2.0
"""A curve is not worth more: a database that hangs must not hang the view."""
_SHOWN: Final = {
    "traffic": ("speed", "mean speed", "km/h"),
    "water": ("flow", "mean flow", "l/h"),
    "air": ("pm2_5", "mean PM2.5", "ug/m3"),
}


class Watch:
    """`start` is the city's beginning, in Unix seconds."""

    def __init__(self, stack: Stack, start: int, breaker: Breaker) -> None:
        self._checks = [breaker.check, stack.influx.check, stack.gateway.check]
        config = load(stack.gateway.config)
        self._journal = Path(config.data_dir)
        self._max_bytes = config.journal.max_bytes
        self._influx: Influx = config.influx
        self._start = start

    def hear(self, curves: bool) -> Heard:
        """Blocks for the time of a few small reads of the journal; with `curves`, for the database's too.

        Raises ServerError when one of the demo's own has ended.
        """
        for check in self._checks:
            check()
        journal = Journal.open(self._journal, self._max_bytes, read_only=True)
        try:
            newest = max((node.time for node in journal.nodes()), default=self._start)
            ledger, incidents, settled = journal.ledger(), tuple(journal.incidents()), journal.settled()
        finally:
            journal.close()
        return Heard(ledger, incidents, settled, self._curves(newest) if curves else {})

    def _curves(self, newest: int) -> dict[str, Curve]:
        # Whole minutes, so that every interval has its packs.
        step = max(60, (newest - self._start) // _POINTS // 60 * 60)
        span = f"time > {self._start}s AND time <= {newest}s GROUP BY time({step}s) fill(none)"
        statements = (f"SELECT mean({field}) FROM {kind} WHERE {span}" for kind, (field, _, _) in _SHOWN.items())
        try:
            found = ask(self._influx, "; ".join(statements), _PATIENCE_S)
        except GanglionError:
            return {}  # the gateway says in its log and at /readyz what is wrong with the database
        return {
            series.name: Curve(*_SHOWN[series.name][1:], tuple(float(value) for _, value in series.values))
            for series in found
            if series.values
        }
