"""The journal, its balance, what waits in it and what was refused."""

import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Final

from gateway.doctor.context import Context
from gateway.doctor.finding import Said, fault, ok, span, warning
from gateway.errors import ConfigError

NEARLY_FULL: Final = 0.8
PROOF_SECONDS: Final = 2.0
"""How long the pages of the journal are looked through; a large one is not finished by then."""
GROW_SECONDS: Final = 2.0
"""Between two looks at what waits."""
LAG_SECONDS: Final = (60.0, 3600.0)
"""The oldest waiting pack's age that is a warning and a fault: batches and short outages are below it."""
RECENT_SECONDS: Final = 86_400.0
"""Dead letters of so long are worth a word; older ones a person has seen."""

CURES: Final = {
    "json": "look at the bytes (`ganglion dead-letters --json`): a damaged link, or a program that is no node",
    "senml": "bring node and gateway to versions that know the same protocol: `ganglion update`",
    "size": "have the node send fewer readings in one message: at most 4096 bytes",
    "identity": "give the node the same site and name in its topic and in its packs: flash it again",
    "topic": "set site and name of the sender, as in docs/protocol.md",
    "unit": "mend the sender: the units are in docs/quantities.md",
    "quantity": "mend the sender: the names are in docs/quantities.md; or update the gateway, if the node is newer",
    "value": "look at the sensor and its calibration: the value is beyond what can be",
    "kind": "have the node send its birth with its kind, or only quantities of one kind",
    "future": "set this machine's clock and the node's: see `ganglion nodes` and the check `clock`",
    "past": "give the node the time: `ntp` in its config.json, or let the gateway set it",
    "sequence": "mend the sender: each pack needs `boot` and `seq`",
    "status": "bring node and gateway to versions that know the same protocol: `ganglion update`",
    "damaged": "look at the disk below data_dir and at its cable or card: it has spoilt what was on it",
    "line": "mend the file and import it again: the detail says what is wrong with the line",
    "influx": "mend the database: type of the field, or retention; the detail says which",
}
"""What to do about each reason for which a message is refused."""


def journal(context: Context) -> Iterator[Said]:
    """Readable, undamaged, of this version, with room."""
    figures = context.journal.figures
    whole = True
    for path in context.folder.glob("*.sqlite3"):
        connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, check_same_thread=False)
        timer = threading.Timer(PROOF_SECONDS, connection.interrupt)
        timer.start()
        try:
            said = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if said != "ok":
                raise ConfigError(f"the journal {path} is damaged: {said}")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                raise ConfigError(f"the journal {path} cannot be looked through: {error}") from error
            whole = False
        except sqlite3.DatabaseError as error:
            raise ConfigError(f"the journal {path} is damaged: {error}") from error
        finally:
            timer.cancel()
            timer.join()
            connection.close()
    share = figures.bytes / figures.max_bytes
    seen = f"the journal holds {figures.bytes:,} bytes of packs, {share:.0%} of journal.max_bytes"
    if share >= 1:
        yield fault(
            f"{seen}: it is full, nothing is acknowledged any more",
            "let the database take some (see `database`), or raise journal.max_bytes",
        )
    elif share >= NEARLY_FULL:
        yield warning(f"{seen}", "let the database take some (see `database`), or raise journal.max_bytes")
    else:
        yield ok(seen if whole else f"{seen}; too large to be looked through wholly here")


def ledger(context: Context) -> Iterator[Said]:
    book = context.journal.ledger
    if book.balanced:
        yield ok(f"{book.received} received are all accounted for")
        return
    rest = book.received - book.written - book.waiting - book.dead_letters - book.duplicates
    yield fault(
        f"the ledger does not balance: {rest:+d} of {book.received} packs are not accounted for",
        "keep a copy of data_dir and report it: this is a fault of the gateway or of its disk",
    )


def backlog(context: Context) -> Iterator[Said]:
    """What waits, how long, and whether it becomes more."""
    before = context.journal
    waiting, oldest = before.ledger.waiting, before.figures.oldest_received
    if not waiting or oldest is None:
        yield ok("no pack waits for the database")
        return
    age = max(0.0, context.clock() - oldest)
    seen = f"{waiting} packs wait for the database, the oldest for {span(age)}"
    if context.holder is None:
        yield warning(f"{seen}; no gateway runs", "start the gateway: they are safe in the journal until then")
        return
    time.sleep(GROW_SECONDS)
    after = context.look_again().ledger
    grown, written = after.waiting - before.ledger.waiting, after.written - before.ledger.written
    seen += f"; in {GROW_SECONDS:g} s {written} were written, waiting {grown:+d}"
    if not written and age > LAG_SECONDS[0]:
        yield fault(seen, "mend what `database` and `readiness` say; the packs are safe in the journal")
    elif age > LAG_SECONDS[1]:
        yield fault(seen, "give the database a faster disk, or raise influx.batch_lines")
    elif age > LAG_SECONDS[0]:
        yield warning(seen, "wait if an outage has just ended; else the database is too slow")
    else:
        yield ok(seen)


def dead_letters(context: Context) -> Iterator[Said]:
    """One word for each reason of the last day."""
    since = context.clock() - RECENT_SECONDS
    recent = [letter for letter in context.journal.letters if letter.received >= since]
    for reason, number in Counter(letter.reason for letter in recent).most_common():
        last = next(letter for letter in recent if letter.reason == reason)  # the newest come first
        yield warning(
            f"{number} of the newest messages were refused as `{reason}` within a day, such as "
            f"{last.topic or 'packs in the journal'}: {last.detail:.200}",
            CURES.get(reason, "see docs/reasons.md"),
        )
    if not recent:
        yield ok(f"nothing was refused within a day; {context.journal.ledger.dead_letters} before")
