"""Who has what: certificates that are known here, beside what nodes say of themselves. Pure."""

from collections.abc import Collection, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from gateway.identity.schema import Barred, Certificate
from gateway.identity.service import claims
from gateway.records import NodeView

SOON_SECONDS: Final = 14 * 86_400
"""A node renews a month before the end: who has not by now does not."""
_DAY: Final = 86_400


class Line(Struct, frozen=True):
    """A certificate, or a node without one. Times are Unix seconds."""

    name: str
    """`site/node`."""
    state: str
    """`active`, `renewed`, `held`, `revoked`; `none` where the node has none that is known."""
    how: str
    """`flash`, `token`, `renewal`; empty where it is not known."""
    serial: str
    """Hexadecimal; empty where there is none."""
    ends: int | None
    used: bool
    """Whether the node says that it is the one it connects with."""
    seen: float | None
    """When the node was last heard of."""
    note: str
    """What somebody should look at; empty where all is well."""


def inventory(
    certificates: Sequence[Certificate],
    barred: Sequence[Barred],
    views: Sequence[NodeView],
    listed: Collection[str],
    now: float,
) -> list[Line]:
    """By name, the newest certificate first; those that have ended are left out. `listed`: serial numbers that the
    authority has taken back, which the gateway's own store does not know."""
    nodes = {f"{view.site}/{view.node}": view for view in views}
    said, bars = claims(views), {each.name: each for each in barred}
    lines = []
    known: dict[str, set[str]] = {}
    for kept in certificates:
        each = replace(kept, state="revoked") if kept.serial in listed else kept
        known.setdefault(each.name, set()).add(each.serial)
        view = nodes.get(each.name)
        used = view is not None and view.certificate == each.serial
        if each.ends > now or used:
            note = _note(each, view, used, bars.get(each.name), now)
            seen = view.received if view else None
            lines.append(Line(each.name, each.state, each.how, each.serial, each.ends, used, seen, note))
    for name, view in nodes.items():
        if not view.certificate and not known.get(name):
            note = "connects, and no certificate of it is known"
            lines.append(Line(name, "none", "", "", None, False, view.received, note))
        elif view.certificate and view.certificate not in known.get(name, ()):
            state = "held" if (bar := bars.get(name)) and bar.what == "hold" else "active"
            state = "revoked" if view.certificate in listed else state
            note = "" if name in said else "another node says that it has the same"
            note = note or _ending(view.certificate_ends, now)
            lines.append(Line(name, state, "flash", view.certificate, view.certificate_ends, True, view.received, note))
    return sorted(lines, key=lambda line: (line.name, not line.used))


def _note(each: Certificate, view: NodeView | None, used: bool, bar: Barred | None, now: float) -> str:
    if each.state == "held" and bar is not None:
        return bar.why
    if each.state == "revoked":
        # A will is the last word of a connection that was cut.
        heard = used and view is not None and view.online and view.received > each.since + 60
        return "is connected by it all the same: restart the broker" if heard else ""
    if each.state == "active":
        return _ending(each.ends, now)
    return "is used still, though there is a newer one" if used else ""


def _ending(ends: int, now: float) -> str:
    if ends <= now:
        return "has ended: the node needs a token"
    return f"ends in {(ends - now) / _DAY:.0f} d and was not renewed" if ends - now < SOON_SECONDS else ""
