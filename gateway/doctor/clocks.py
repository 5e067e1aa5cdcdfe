"""This machine's clock, against all others that can be asked."""

import ctypes
import email.utils
from collections.abc import Iterator
from statistics import median
from typing import Final

from gateway.doctor.context import Context
from gateway.doctor.database import server_date
from gateway.doctor.finding import NotAsked, Said, fault, ok, span, warning

OFF_SECONDS: Final = (5.0, 300.0)
"""A difference that is a warning and a fault. A pack more than 600 s ahead of the gateway is refused."""
ENOUGH: Final = 3
"""So many nodes ahead of this machine together are more likely right than it is."""
TIME_ERROR: Final = 5
"""adjtimex(2): the clock is not synchronized to anything."""
TIMEX_BYTES: Final = 512
"""More than `struct timex` has on any machine."""


def time_service(context: Context) -> Iterator[Said]:
    """Whether anybody keeps the clock right: the kernel's own word."""
    adjtimex = getattr(ctypes.CDLL(None), "adjtimex", None)
    state = -1 if adjtimex is None else adjtimex(ctypes.create_string_buffer(TIMEX_BYTES))  # all zero: read only
    if state < 0:
        raise NotAsked("this system does not tell whether its clock is kept")
    if state == TIME_ERROR:
        yield warning("nobody keeps this machine's clock right", "run a time service: chrony or systemd-timesyncd")
    else:
        yield ok("a time service keeps this machine's clock")


def clock(context: Context) -> Iterator[Said]:
    """Against the journal, which remembers when packs came and what time they told."""
    now = context.clock()
    views = [view for view in context.journal.nodes if view.received]
    newest = max((view.received for view in views), default=0.0)
    ahead = median([view.time - view.received for view in views if view.time] or [0.0])
    if newest > now + OFF_SECONDS[0]:
        yield _off(newest - now, "the last pack came", "in this clock's future: it was set back")
    elif sum(view.time - view.received > OFF_SECONDS[0] for view in views) >= ENOUGH and ahead > OFF_SECONDS[0]:
        yield _off(ahead, "the nodes' clocks are", "ahead of this machine's")
    else:
        yield ok("this machine's clock agrees with the nodes', as far as they tell")


def database_clock(context: Context) -> Iterator[Said]:
    """Against the Date of the database's answer (RFC 9110 §6.6.1), which has whole seconds."""
    said = server_date(context)
    if not said:
        raise NotAsked("the database's answers bear no date")
    off = context.clock() - email.utils.parsedate_to_datetime(said).timestamp()
    if abs(off) > OFF_SECONDS[0]:
        yield _off(
            abs(off), "this machine's clock is", "ahead of the database's" if off > 0 else "behind the database's"
        )
    else:
        yield ok("this machine's clock agrees with the database's")


def _off(seconds: float, what: str, where: str) -> Said:
    said = fault if seconds > OFF_SECONDS[1] else warning
    return said(f"{what} {span(seconds)} {where}", "set both machines' clocks: run a time service on each (chrony)")
