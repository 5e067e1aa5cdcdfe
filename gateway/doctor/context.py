"""What the checks look at. What several of them need is looked at once."""

import re
import sqlite3
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple

from gateway.config import Config, load
from gateway.doctor.finding import NotAsked
from gateway.doctor.hearing import Hearing, listen
from gateway.errors import ConfigError
from gateway.journal.schema import FILE_NAME
from gateway.journal.store import Journal
from gateway.records import DeadLetter, Figures, Ledger, NodeView

LETTERS: Final = 1000
"""The newest dead letters that are looked at."""
_LOCK: Final = re.compile(r"^\d+: FLOCK +ADVISORY +WRITE +(-?\d+) +[0-9a-f]+:[0-9a-f]+:(\d+) ", re.MULTILINE)


class Snapshot(NamedTuple):
    """The journal at one moment."""

    ledger: Ledger
    figures: Figures
    nodes: list[NodeView]
    letters: list[DeadLetter]


class Context:
    """One installation. Properties raise NotAsked or ConfigError when there is nothing to look at."""

    def __init__(
        self,
        path: Path,
        *,
        offline: bool = False,
        write: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`write` allows the probe that asks the database to refuse a line; `clock` gives Unix seconds."""
        self.path = path
        self.offline = offline
        self.write = write
        self.clock = clock

    @cached_property
    def config(self) -> Config:
        """Without its secrets."""
        return load(self.path, None)

    @property
    def folder(self) -> Path:
        return Path(self.config.data_dir)

    @property
    def used(self) -> bool:
        """Whether a gateway was ever started here."""
        return (self.folder / FILE_NAME).exists()

    @cached_property
    def journal(self) -> Snapshot:
        return self.look_again()

    def look_again(self) -> Snapshot:
        """The journal as it is now."""
        if not self.used:
            raise NotAsked(f"there is no journal in {self.folder} yet")
        try:
            journal = Journal.open(self.folder, self.config.journal.max_bytes, read_only=True)
            try:
                letters = [letter for _, letter in journal.dead_letters(LETTERS)]
                return Snapshot(journal.ledger(), journal.figures(), journal.nodes(), letters)
            finally:
                journal.close()
        except sqlite3.OperationalError as error:
            raise ConfigError(f"the journal in {self.folder} cannot be read: {error}") from error
        except (sqlite3.Error, ValueError) as error:  # ValueError: a record that is none (msgspec)
            raise ConfigError(f"the journal in {self.folder} is damaged: {error}") from error

    @cached_property
    def holder(self) -> int | None:
        """Process of the gateway that holds the journal; None while there is none.

        Asked of the kernel's list, since trying the lock could keep a gateway from starting.
        """
        try:
            inode = (self.folder / "journal.lock").stat().st_ino
        except FileNotFoundError:
            return None
        try:
            locks = Path("/proc/locks").read_text(encoding="ascii")
        except OSError as error:
            raise NotAsked(f"this system does not tell who holds a lock: {error}") from error
        return next((int(process) for process, held in _LOCK.findall(locks) if int(held) == inode), None)

    @cached_property
    def hearing(self) -> Hearing:
        """What the broker grants and says; see `gateway.doctor.hearing`."""
        return listen(self.config)
