"""All checks, and how they are asked: each on a thread of its own as soon as what it needs is well."""

import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from msgspec import Struct

from gateway.doctor import broker, clocks, database, door, installation, journal, nodes, pages, proof, running, weak
from gateway.doctor.context import Context
from gateway.doctor.finding import Finding, NotAsked, Said, fault, parted
from gateway.errors import GanglionError

DATABASE_CURE: Final = "correct influx.url and influx.api: see docs/operating.md"
TOTAL_SECONDS: Final = 14.0
SILENT_CURE: Final = "see whether what it asks hangs: restart that, or look for a firewall on the way"
JOURNAL_CURE: Final = "use the program that wrote it, or stop the gateway and restore data_dir or move it away"


class Check(Struct, frozen=True):
    """One question."""

    name: str
    look: Callable[[Context], Iterable[Said]]
    """May raise GanglionError or OSError, which is a fault in these words, and NotAsked."""
    needs: tuple[str, ...] = ()
    """Checks before it in the table; with a fault in one of them this one is not asked."""
    network: bool = False
    seconds: float = 3.0
    """After which it counts as a fault that there is no answer."""
    cure: str = "correct it: see docs/operating.md"
    """For an error that names none."""


CHECKS: Final = (
    Check("configuration", installation.configuration),
    Check("data_dir", installation.data_dir, ("configuration",)),
    Check("gateway", running.gateway, ("configuration",)),
    Check("http", running.http, ("configuration",), network=True, seconds=5.0),
    Check("pages", pages.pages, ("configuration",), network=True, seconds=5.0),
    Check("readiness", running.readiness, ("http",), network=True, seconds=6.0),
    Check("journal", journal.journal, ("configuration",), seconds=5.0, cure=JOURNAL_CURE),
    Check("ledger", journal.ledger, ("journal",)),
    Check("backlog", journal.backlog, ("journal",), seconds=5.0),
    Check("dead letters", journal.dead_letters, ("journal",)),
    Check("audit", proof.audit, ("data_dir",), seconds=8.0),
    Check("signing", proof.signing, ("configuration",)),
    Check("broker password", installation.broker_password, ("configuration",)),
    Check("own certificate", installation.own_certificate, ("configuration",)),
    Check("broker address", broker.address, ("configuration",), network=True),
    Check("broker tls", broker.tls, ("broker address", "own certificate"), network=True, seconds=4.0),
    Check("broker login", broker.login, ("broker tls", "broker password"), network=True, seconds=5.0),
    Check("broker rights", broker.rights, ("broker login",), network=True, seconds=4.0),
    Check("broker queue", broker.queue, ("broker rights",), network=True),
    Check("database token", installation.database_token, ("configuration",)),
    Check("database", database.server, ("database token",), network=True, seconds=4.0, cure=DATABASE_CURE),
    Check("database place", database.place, ("database",), network=True, seconds=4.0),
    Check("database write", database.write, ("database",), network=True, seconds=4.0),
    Check("mirrors", database.mirrors, ("configuration",), network=True, seconds=6.0),
    Check("time service", clocks.time_service),
    Check("clock", clocks.clock, ("journal",)),
    Check("database clock", clocks.database_clock, ("database",), network=True, seconds=4.0),
    Check("nodes", nodes.nodes, ("journal",)),
    Check("births", nodes.births, ("journal", "broker rights"), network=True),
    # What works and is weak.
    Check("weak ways", weak.way, ("configuration",)),
    Check("broker strangers", door.strangers, ("broker login",), network=True, seconds=6.0),
    Check("broker nodes", door.nodes, ("broker login",), network=True, seconds=10.0),
    Check("weak files", weak.files, ("configuration",)),
    Check("weak secrets", weak.secrets, ("configuration",)),
    Check("weak rights", weak.rights, ("configuration",)),
)


def examine(context: Context, checks: Sequence[Check] = CHECKS) -> list[Finding]:
    """Ask all, in at most `TOTAL_SECONDS`; what they found, in the order of the table."""
    found: dict[str, list[Said]] = {}
    waiting = list(checks)
    running_until: dict[str, float] = {}
    answers: queue.Queue[tuple[str, list[Said] | None]] = queue.Queue()
    end = time.monotonic() + TOTAL_SECONDS
    while waiting or running_until:
        for check in list(waiting):
            reason = _why_not(check, context, found)
            if reason is not None:
                found[check.name] = [Said("not asked", reason)]
                waiting.remove(check)
            elif all(need in found for need in check.needs):
                running_until[check.name] = min(time.monotonic() + check.seconds, end)
                waiting.remove(check)
                # A daemon: a name server that never answers cannot be told to stop, and must not hold the program.
                threading.Thread(target=_ask, args=(check, context, answers), daemon=True).start()
        if not running_until:
            continue
        try:
            name, said = answers.get(timeout=max(0.0, min(running_until.values()) - time.monotonic()))
        except queue.Empty:
            for name in [name for name, until in running_until.items() if until <= time.monotonic()]:
                del running_until[name]
                found[name] = [fault("there was no answer in time", SILENT_CURE)]
            continue
        if name not in running_until:  # too late
            continue
        if said is None:
            raise RuntimeError(f"the check {name} died; what of is printed above")
        del running_until[name]
        found[name] = said
    return [Finding(check.name, *said) for check in checks for said in found[check.name]]


def _why_not(check: Check, context: Context, found: dict[str, list[Said]]) -> str | None:
    """Because of what a check is not asked, as soon as that is known; None when it is to be asked."""
    if check.network and context.offline:
        return "--offline is given"
    bad = [need for need in check.needs if any(said.level == "fault" for said in found.get(need, ()))]
    if bad:
        return f"`{bad[0]}` has a fault"
    left = [
        need for need in check.needs if all(said.level == "not asked" for said in found.get(need, (Said("ok", ""),)))
    ]
    return f"`{left[0]}` was not asked" if left else None


def _ask(check: Check, context: Context, answers: "queue.Queue[tuple[str, list[Said] | None]]") -> None:
    said: list[Said] | None = None
    try:
        said = list(check.look(context))
    except NotAsked as reason:
        said = [Said("not asked", str(reason))]
    except (GanglionError, OSError) as error:
        said = [fault(*parted(str(error), check.cure))]
    finally:
        answers.put((check.name, said))
