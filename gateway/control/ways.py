"""Ways in for the parts of a file: through the gateway that runs, or into the journal when none does. Blocking."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Protocol

import msgspec

from gateway.config import Config
from gateway.control import token as tokens
from gateway.control.caller import PATIENCE_SECONDS, Caller, Told
from gateway.errors import ConfigError
from gateway.intake.reader import Cut, Imported, Kinds, Options, read
from gateway.journal.schema import FILE_NAME
from gateway.journal.store import Journal


class Way(Protocol):
    def take(self, part: Cut) -> Imported:
        """Returns when all of the part is on disk. Raises GanglionError; then the part may be taken again."""


class ByGateway:
    """Over HTTP to a gateway on this machine. Waits while its journal is full, for as long as that takes."""

    def __init__(self, config: Config, options: Options, told: Told, patience: float = PATIENCE_SECONDS) -> None:
        self._caller = Caller(config, told, patience)
        self._fields = {name: str(value) for name, value in msgspec.structs.asdict(options).items() if value != ""}

    def take(self, part: Cut) -> Imported:
        fields = self._fields | {"offset": str(part.offset)}
        return msgspec.json.decode(self._caller.post("/api/v1/import", part.data, fields), type=Imported)


class ByJournal:
    """Straight into the journal, which nobody else holds open."""

    def __init__(self, journal: Journal, options: Options) -> None:
        self._journal = journal
        self._options = options

    def take(self, part: Cut) -> Imported:
        now = time.time()
        found = read(part.data, _at(self._options, part), now, self._journal.kinds)
        if found.packs or found.letters:
            self._journal.take(found.packs, found.letters, now)
        return Imported.of(found)


class Nowhere:
    """Checks only. Kinds are those that the journal knows, where there is one."""

    def __init__(self, config: Config, options: Options) -> None:
        self._options = options
        self._kinds = cache(lambda: _kinds_beside(config))

    def take(self, part: Cut) -> Imported:
        return Imported.of(read(part.data, _at(self._options, part), time.time(), self._kinds))


@contextmanager
def alone(config: Config, *, make: bool = True) -> Iterator[Journal]:
    """The journal, for writing, where no gateway runs; no gateway can start meanwhile.

    Raises ConfigError for anybody but the owner of `data_dir`, whose gateway could not use what others make there; and
    when there is none and `make` is not set.
    """
    folder = Path(config.data_dir)
    if not make and not (folder / FILE_NAME).exists():
        raise ConfigError(f"there is no journal in {folder}: check data_dir, or start the gateway once")
    if folder.exists() and folder.stat().st_uid != os.geteuid():
        owner = tokens.user_name(folder.stat().st_uid)
        raise ConfigError(f"{folder} belongs to {owner}: run this as {owner}, or the gateway cannot use what it makes")
    journal = Journal.open(folder, config.journal.max_bytes)
    try:
        yield journal
    finally:
        journal.close()


def _kinds_beside(config: Config) -> Kinds:
    folder = Path(config.data_dir)
    if not (folder / FILE_NAME).exists():
        return {}
    journal = Journal.open(folder, config.journal.max_bytes, read_only=True)
    try:
        return journal.kinds()
    finally:
        journal.close()


def _at(options: Options, part: Cut) -> Options:
    return msgspec.structs.replace(options, offset=part.offset)
