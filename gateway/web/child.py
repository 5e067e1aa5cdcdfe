"""The gateway's side: runs the processes of the pages beside itself, and again when they end."""

import asyncio
import contextlib
import logging
import sys
import time
from pathlib import Path
from random import Random
from typing import Final

from gateway.backoff import backoff
from gateway.web.server import Pages

log = logging.getLogger(__name__)

WAIT_SECONDS: Final = (1.0, 60.0)
"""First and longest wait before it is started again."""
END_SECONDS: Final = 5.0
"""How long it may take to end before it is killed."""


class PagesProcess:
    """`ganglion console` or `ganglion citizens` as a child. It ends with the gateway, however that ends: its standard
    input does then."""

    def __init__(self, which: Pages, config: Path) -> None:
        """`config` is the gateway's own file."""
        self._name = which
        # -P: what lies in the working folder is not to be imported.
        program = (sys.executable, "-P", "-m", "gateway.cli.main", which)
        self._command = (*program, "--until-eof", "--config", str(config))

    async def run(self) -> None:
        """Until cancelled."""
        dice, failures = Random(), 0
        while True:
            began = time.monotonic()
            process = await asyncio.create_subprocess_exec(*self._command, stdin=asyncio.subprocess.PIPE)
            try:
                code = await process.wait()
            finally:
                await _end(process)
            failures = 1 if time.monotonic() - began > WAIT_SECONDS[1] else failures + 1
            wait = backoff(failures, *WAIT_SECONDS, dice)
            log.error("the process %s has ended with %d; it is started again in %.0f s", self._name, code, wait)
            await asyncio.sleep(wait)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(END_SECONDS):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
