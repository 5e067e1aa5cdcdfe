"""What the interface for programs answers: records, and how they are made of the gateway's own. Pure."""

import base64
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from gateway.detect.plan import Plan
from gateway.liveness import silent
from gateway.quantities import KINDS, QUANTITIES
from gateway.records import DeadLetter, Gap, Ledger, NodeView

LETTER_BYTES: Final = 4096
"""Told of the payload of a dead letter."""


class Rows(Struct, frozen=True):
    """A table. Rows lack what they do not have; times are RFC 3339 in UTC."""

    columns: list[str]
    rows: list[dict[str, Any]]
    notes: list[str]
    """Sentences for people: what was thinned, why nothing was found."""
    statement: str
    """The InfluxQL that was asked."""


class Node(NodeView, frozen=True, kw_only=True):
    """A node, as the gateway knows it and as the plan places it."""

    silent_s: float | None
    """For how long it has said nothing, where that is longer than its kind ever does."""
    at: tuple[float, float] | None
    """Degrees of latitude and longitude, WGS 84."""
    label: str


class NodeWithGaps(Node, frozen=True, kw_only=True):
    missing: list[Gap]


class Balance(Ledger, frozen=True, kw_only=True):
    """Packs, counted. received = written + waiting + dead_letters + duplicates."""

    balanced: bool
    time: float
    """Unix seconds, when it was counted."""


class QuantityLine(Struct, frozen=True):
    kind: str
    name: str
    unit: str
    low: float
    high: float
    flag: bool
    per_lane: bool
    meaning: str
    rollup: list[str]


class Letter(Struct, frozen=True):
    """A message that was refused."""

    number: int
    topic: str
    reason: str
    detail: str
    received: float
    bytes: int
    """Of the whole payload."""
    encoding: Literal["text", "base64"]
    payload: str
    """Its beginning, at most 4096 bytes."""


def quantity_lines() -> list[QuantityLine]:
    """One for each kind that measures it."""
    return [
        QuantityLine(
            kind, each.name, each.unit, each.low, each.high, each.flag, each.per_lane, each.meaning, list(each.rollup)
        )
        for each in QUANTITIES
        for kind in (KINDS if each.measurement == "*" else (each.measurement,))
    ]


def placed(plan: Plan, view: NodeView, now: float) -> Node:
    """A node with its place of the plan; `now` in Unix seconds."""
    spot = plan.spot(view.site, view.node)
    return Node(
        **msgspec.structs.asdict(view),
        silent_s=silent(view, now),
        at=spot.at if spot else None,
        label=spot.label if spot else "",
    )


def shown(number: int, of: DeadLetter) -> Letter:
    """A dead letter, its payload cut."""
    begins = of.payload[:LETTER_BYTES]
    text = _text(begins, cut=len(of.payload) > LETTER_BYTES)
    return Letter(
        number, of.topic, of.reason, of.detail, of.received, len(of.payload),
        "base64" if text is None else "text",
        base64.b64encode(begins).decode() if text is None else text,
    )  # fmt: skip


def _text(data: bytes, *, cut: bool) -> str | None:
    """None where it is no UTF-8. A character that was cut at the end is left out."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        return data[: error.start].decode() if cut and error.start > len(data) - 4 else None
