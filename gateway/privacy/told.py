"""`sums.sqlite3` in `data_dir`: what others were told of a day. Decided once, whoever asks first.

A second sum of a day, after a pack that came late, would tell by the difference what that one home has used. So the
first stays, over restarts, and for all ways out: the citizens' page and the console's interfaces are processes of
their own.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from datetime import date
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from gateway.errors import ConfigError
from gateway.files import make_private
from gateway.privacy.sums import DaySum, day_statement, day_sums, newest_day, used
from gateway.query.client import Series
from gateway.web.seat import Seat

FILE: Final = "sums.sqlite3"
MOST_DAYS: Final = 400
"""Kept: beyond them the oldest go."""
WAIT_SECONDS: Final = 10.0
"""For another process that writes."""

_SCHEMA: Final = "CREATE TABLE IF NOT EXISTS days (day TEXT PRIMARY KEY, told BLOB NOT NULL) WITHOUT ROWID"
_decode = msgspec.json.Decoder(tuple[DaySum, ...]).decode

Ask = Callable[[str], Awaitable[list[Series]]]


class Told:
    """The file, opened for each call. Blocking."""

    def __init__(self, folder: Path) -> None:
        """`folder` is `data_dir`."""
        self.path = folder / FILE

    def of(self, day: date) -> tuple[DaySum, ...]:
        """What was told of a day; nothing where nothing was yet. Raises ConfigError."""
        with self._open() as db:
            row = db.execute("SELECT told FROM days WHERE day = ?", (day.isoformat(),)).fetchone()
        return () if row is None else _decode(row[0])

    def tell(self, day: date, sums: tuple[DaySum, ...]) -> tuple[DaySum, ...]:
        """What is told of a day from now on: these, unless others were before. Raises ConfigError."""
        if sums:
            with self._open() as db:
                db.execute("INSERT OR IGNORE INTO days VALUES (?, ?)", (day.isoformat(), msgspec.json.encode(sums)))
                db.execute(
                    "DELETE FROM days WHERE day NOT IN (SELECT day FROM days ORDER BY day DESC LIMIT ?)", (MOST_DAYS,)
                )
        return self.of(day)

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            make_private(self.path)
            with contextlib.closing(sqlite3.connect(self.path, timeout=WAIT_SECONDS)) as db, db:
                db.execute(_SCHEMA)
                yield db
        except (OSError, sqlite3.Error, msgspec.DecodeError) as error:
            raise ConfigError(f"{self.path} cannot be used: {error}; give the gateway's user its data_dir") from error


async def water_yesterday(seat: Seat, ask: Ask) -> tuple[DaySum, ...]:
    """What may be told of the newest day that is over. Raises GanglionError as `ask` does, and ConfigError."""
    day = newest_day(seat.present(), seat.zone)
    told = Told(Path(seat.config.data_dir))
    if known := await asyncio.to_thread(told.of, day[0]):
        return known
    litres = used(await ask(day_statement(*day[1:])))
    found = await asyncio.to_thread(partial(day_sums, seat.plan, seat.config.sites, seat.snapshot.nodes, litres, day))
    return await asyncio.to_thread(told.tell, day[0], found)
