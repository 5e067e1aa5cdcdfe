"""The gateway's side: runs the processes of the pages beside itself, and again when they end."""

import asyncio
import contextlib
import logging
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Final

from gateway.backoff import backoff
from gateway.config import Config
from gateway.secret import secrets_of
from gateway.web.server import NEEDS, Pages, needs

log = logging.getLogger(__name__)

WAIT_SECONDS: Final = (1.0, 60.0)
"""First and longest wait before it is started again."""
SYSTEMD: Final = frozenset({"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"})
END_SECONDS: Final = 5.0
"""How long it may take to end before it is killed."""


class PagesProcess:
    """`ganglion console`, `citizens` or `enrolment` as a child. It ends with the gateway, however that ends: its
    standard input does then."""

    def __init__(self, which: Pages, config: Path, environ: Mapping[str, str]) -> None:
        """`config` is the gateway's own file; `environ` is all that the child gets of ours: see `environment`."""
        self._environ = environ
        self._name = which
        # -P: what lies in the working folder is not to be imported.
        program = (sys.executable, "-P", "-m", "gateway.cli.main", which)
        self._command = (*program, "--until-eof", "--config", str(config))

    async def run(self) -> None:
        """Until cancelled."""
        dice, failures = Random(), 0
        while True:
            began = time.monotonic()
            process = await asyncio.create_subprocess_exec(
                *self._command, stdin=asyncio.subprocess.PIPE, env=self._environ
            )
            try:
                code = await process.wait()
            finally:
                await _end(process)
            failures = 1 if time.monotonic() - began > WAIT_SECONDS[1] else failures + 1
            wait = backoff(failures, *WAIT_SECONDS, dice)
            log.error("the process %s has ended with %d; it is started again in %.0f s", self._name, code, wait)
            await asyncio.sleep(wait)


def environment(config: Config, which: Pages, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Ours without the secrets that the child has no use for, and without the way to systemd."""
    needless = {
        getattr(table, f"{name}_env")
        for key, table in config.secretive.items()
        for name in secrets_of(table)
        if key not in NEEDS[which]
    }
    needed = {getattr(table, f"{name}_env") for table in needs(config, which).values() for name in secrets_of(table)}
    return {name: value for name, value in environ.items() if name not in (needless - needed) | SYSTEMD}


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
