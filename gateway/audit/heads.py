"""The log's head as a time series: what another machine's database has of it is not undone by writing the log anew."""

import asyncio
import logging
import time
from pathlib import Path
from typing import Final

from gateway.audit.log import EMPTY, place
from gateway.config import Influx
from gateway.errors import TargetError
from gateway.forward.lines import line
from gateway.forward.target import make_target
from gateway.threads import in_thread

log = logging.getLogger(__name__)

MEASUREMENT: Final = "audit"
HEAD_SECONDS: Final = 60.0
"""How often it is looked at; it is written where it has changed."""


class Heads:
    """Run by the gateway. What the database does not take is not kept: the next head says all that this one did."""

    def __init__(self, settings: Influx, site: str, data_dir: Path) -> None:
        """`site` is the tag. Raises ConfigError like `make_target`."""
        self._target = make_target(settings)
        self._site = site
        self._folder = data_dir
        self._told = EMPTY

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(HEAD_SECONDS)
            try:
                await in_thread(self.write, "audit-heads")
            except (TargetError, OSError) as error:
                log.info("the audit log's head is not in the database: %s", error)

    def write(self) -> None:
        """One point, where the head has changed. Raises TargetError, OSError."""
        now = place(self._folder)
        if now == self._told:
            return
        fields: dict[str, float | str] = {"entries": float(now.entries), "head": now.head}
        self._target.prepare()
        self._target.write([line(MEASUREMENT, {"site": self._site}, fields, round(time.time()))])
        self._told = now
