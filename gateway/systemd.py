"""What the gateway tells systemd: that it is ready, alive, reloading, ending, and its trouble (sd_notify(3)).

Nothing is told, and nothing is written to the disk, when nobody asked for it.
"""

import asyncio
import logging
import os
import socket
import sqlite3
import time
from collections.abc import Mapping
from typing import Final

from gateway.errors import GanglionError
from gateway.http import Check
from gateway.journal.access import JournalAccess
from gateway.journal.store import Journal

log = logging.getLogger(__name__)

STATUS_SECONDS: Final = 10.0
"""How old the trouble in `systemctl status` may be."""
BEATS: Final = 4
"""Signs of life in the watchdog's time: one write that is slow, or even missed, is no death."""


class Notifier:
    """The way to the supervisor; a short one, so it is ours and no library's."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        name = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + name[1:] if name.startswith("@") else name
        self.beat_seconds = STATUS_SECONDS
        """How long to wait between two signs of life."""
        # The variables are inherited: they may be meant for who started us.
        if environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid()) and "WATCHDOG_USEC" in environ:
            self.beat_seconds = min(STATUS_SECONDS, int(environ["WATCHDOG_USEC"]) / 1e6 / BEATS)

    @property
    def wanted(self) -> bool:
        """Whether somebody listens."""
        return self._address != ""

    def tell(self, *assignments: str) -> None:
        """Send such as `READY=1`, all in one datagram. What cannot be sent is logged: it must not end the gateway."""
        if not self.wanted:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)
                sender.sendto("\n".join(assignments).encode(), self._address)
        except OSError as error:
            log.warning("systemd was not told %s: %s", assignments, error)

    def reloading(self) -> None:
        """To be followed by `READY=1`."""
        self.tell("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")


class Watchdog:
    """Says that the gateway is ready, and then that it lives, for as long as event loop and journal do.

    Ready is: every part has begun and the journal's thread has answered after that. Broker and database are no part of
    it: without them the gateway does what it is there for, keep packs and try again. A full journal is an answer.
    """

    def __init__(self, notifier: Notifier, journal: JournalAccess, checks: Mapping[str, Check]) -> None:
        """`checks` are those of `/readyz`; the journal is asked another way."""
        self._notifier = notifier
        self._journal = journal
        self._checks = checks

    async def run(self) -> None:
        """Until it is cancelled."""
        if not self._notifier.wanted:
            await asyncio.Event().wait()
        signs: tuple[str, ...] = ("READY=1", "WATCHDOG=1")
        while True:
            try:
                async with asyncio.timeout(self._notifier.beat_seconds):
                    trouble = await self._journal.call(_write_trouble)
            except TimeoutError:
                self._notifier.tell(await self._status("its disk does not answer"))
                continue
            self._notifier.tell(*signs, await self._status(trouble or self._journal.full))
            signs = ("WATCHDOG=1",)
            await asyncio.sleep(self._notifier.beat_seconds)

    async def _status(self, journal: str | None) -> str:
        found = {part: journal if part == "journal" else await check() for part, check in self._checks.items()}
        words = "; ".join(f"{part}: {trouble}" for part, trouble in found.items() if trouble)
        return "STATUS=" + (" ".join(words.split()) or "running")


def _write_trouble(journal: Journal) -> str | None:
    """Runs on the journal's thread. A refusal is trouble, and a sign of life all the same."""
    try:
        journal.prove_writable()
    except (sqlite3.Error, GanglionError) as error:
        return str(error)
    return None
