"""What the nodes tell of themselves, as the journal and the broker have it."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

import msgspec

from gateway.doctor.context import Context
from gateway.doctor.finding import Said, ok, some, span, warning
from gateway.liveness import silent
from gateway.records import NodeView, Status

MANY_GAPS: Final = (10, 0.01)
"""Gaps of a node are many from this number and this part of its packs on."""


def nodes(context: Context) -> Iterator[Said]:
    """Silent ones, safe mode, no time, gaps."""
    views = context.journal.nodes
    if not views:
        yield warning("no node was heard of yet", "check broker, site and name in the config.json of a node")
        return
    now = context.clock() if context.holder is not None else max(view.received for view in views)
    rows = (
        (
            [_name(view, span(time)) for view in views if (time := silent(view, now)) is not None],
            "say nothing although online",
            "look at sensor and clock of the node: `ganglion command NODE logs`",
        ),
        (
            [_name(view, view.safe) for view in views if view.safe],
            "in safe mode",
            "mend what the node names, by `ganglion config` or `ganglion update`; then `ganglion command NODE reboot`",
        ),
        (
            [_name(view) for view in views if view.online and view.clock is False],
            "without the time, so their packs wait",
            "set `ntp` in their config.json, or see why the gateway cannot set their clock (its log)",
        ),
        (
            [_name(view, str(view.gaps)) for view in views if _many_gaps(view)],
            "with many gaps",
            "look at `outbox_dropped` in their health, at their power, and at `ganglion dead-letters`",
        ),
    )
    for names, what, cure in rows:
        if names:
            yield warning(f"{len(names)} of {len(views)} nodes {what}: {some(names)}", cure)
    if not any(names for names, _, _ in rows):
        online = sum(view.online is True for view in views)
        yield ok(f"{len(views)} nodes, {online} online, none in need of help")


def births(context: Context) -> Iterator[Said]:
    """What the broker keeps of them, against what the journal has heard."""
    views = context.journal.nodes
    told: defaultdict[str, list[int]] = defaultdict(list)
    for topic, payload in context.hearing.statuses:
        site, node = topic.split("/")[2:4]
        told[f"{site}/{node}"] += _boots(payload)
    born = {_name(view): view for view in views if view.online is not None and view.site in context.config.sites}
    twins = [name for name, boots in told.items() if _twins(boots, born.get(name))]
    if twins:
        yield warning(
            f"one identity is used by two boards, or a board has lost its count of boots: {some(twins)}",
            "find the second board and flash it under a name of its own; one that was erased catches up by itself",
        )
    if born and not context.hearing.statuses:
        yield warning(
            f"the broker gives no birth of any of {len(born)} nodes: it may not let the gateway read, or has lost them",
            "allow reading below ganglion/v1/{site}/, and set `persistence true` at the broker",
        )
    if not twins and (context.hearing.statuses or not born):
        yield ok(f"the broker keeps the last word of {len(told)} nodes")


def _boots(payload: bytes) -> list[int]:
    """The boot that a birth tells of; none for a will or what is no birth (the gateway counts those)."""
    try:
        status = msgspec.json.decode(payload, type=Status)
    except msgspec.DecodeError:
        return []
    return [status.boot] if status.online and status.boot > 0 else []


def _twins(boots: list[int], view: NodeView | None) -> bool:
    """A board counts its boots up: a birth of a lower boot than one heard before is another's."""
    heard = [] if view is None else [view.boot]
    return any(later < earlier for earlier, later in pairwise([*heard, *boots]))


def _many_gaps(view: NodeView) -> bool:
    number, part = MANY_GAPS
    return view.gaps >= number and view.gaps >= part * view.packs


def _name(view: NodeView, more: str = "") -> str:
    return f"{view.site}/{view.node}" + (f" ({more})" if more else "")
