"""The configuration file of a running gateway: read, and watched for changes."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from gateway.config import Config, load
from gateway.errors import ConfigError
from gateway.files import stamp

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
"""How often the file is looked at."""


class ConfigFile:
    """Lives as long as the process: what has been read is remembered over reloads, so that a change made during one is
    found after it."""

    def __init__(
        self,
        path: Path,
        refused: Callable[[], Awaitable[None]] | None = None,
        check: Callable[[Config], None] = lambda config: None,
    ) -> None:
        """`refused` hears of a change that cannot be used. `check` raises ConfigError for one that could not be worked
        with: it is refused before anything is ended for it, and so before other processes read it."""
        self.path = path
        self._check = check
        self._refused = refused
        self._read: tuple[int, ...] | None = None

    def load(self) -> Config:
        """Raises ConfigError when it cannot be used."""
        # First the stamp: a change while it is being read is one that has not been seen.
        self._read = stamp(self.path)
        return load(self.path)

    async def next(self, running: Config, stop: asyncio.Event) -> Config | None:
        """The next configuration that can be used and differs from `running`; None when `stop` is set first."""
        while not stop.is_set():
            if stamp(self.path) not in (self._read, None):
                try:
                    changed = self.load()
                    self._check(changed)
                    if changed.data_dir != running.data_dir:
                        raise ConfigError(f"{self.path}: data_dir: cannot change while the gateway runs; restart it")
                except ConfigError as error:
                    log.error("the changed configuration is refused, the one before goes on: %s", error)
                    if self._refused is not None:
                        await self._refused()
                else:
                    if changed != running:
                        return changed
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await stop.wait()
            except TimeoutError:
                continue
        return None
