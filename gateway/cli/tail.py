"""`ganglion tail`: packs as they come, straight from the broker."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated, Final, cast

import msgspec
import typer

from gateway.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, moment
from gateway.config import Mqtt, load
from gateway.errors import Refused
from gateway.ingest.decode import decode_packs, decode_status, parse_topic
from gateway.logs import printable
from gateway.quantities import KINDS, QUANTITIES
from gateway.records import Pack, Reading, Stream
from gateway.steer.link import listen
from gateway.steer.talk import broker

STREAMS: Final = ("telemetry", "event", "health", "status")

_UNITS = {(quantity.measurement, quantity.name): quantity.unit for quantity in QUANTITIES}


def tail(
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    site: Annotated[str, typer.Option(help="Only this site.")] = "",
    node: Annotated[str, typer.Option(help="Only this node.")] = "",
    quantity: Annotated[str, typer.Option(help="Only readings of this quantity.")] = "",
    count: Annotated[int, typer.Option(min=0, help="End after so many packs; 0 goes on until Ctrl-C.")] = 0,
    json: JsonOption = False,
) -> None:
    """Packs as they come, one a line. What the gateway would refuse is told on standard error.

    Example: ganglion tail --node air-0007 --quantity pm2_5 --count 10
    """
    settings = load(config)
    sites = [site] if site else list(settings.sites)
    topics = [f"ganglion/v1/{s}/{node or '+'}/{stream}" for s in sites for stream in STREAMS]
    with suppress(KeyboardInterrupt):  # how a person ends it
        asyncio.run(_tail(settings.mqtt, topics, quantity, count, json))


async def _tail(mqtt: Mqtt, topics: list[str], quantity: str, count: int, json: bool) -> None:
    shown = 0
    kinds: dict[tuple[str, str], str] = {}
    async with broker(mqtt) as client:
        await listen(client, topics, qos=0)
        async for message in client.messages:
            for pack in _decode(str(message.topic), bytes(message.payload), kinds):
                readings = [reading for reading in pack.readings if quantity in ("", reading.quantity)]
                if quantity and not readings:
                    continue
                typer.echo(_as_json(pack, readings) if json else _as_line(pack, readings))
                shown += 1
                if shown == count:
                    return


def _decode(topic: str, payload: bytes, kinds: dict[tuple[str, str], str]) -> Iterator[Pack]:
    """The packs of a message; learns the kinds of nodes from births, which come first."""
    if not payload:
        return
    try:
        site, node, level = parse_topic(topic)
        kind = kinds.get((site, node), "")
        if level == "status":
            kinds[site, node] = decode_status(payload).kind or kind
            return
    except Refused as refused:
        typer.echo(printable(f"refused: {topic}: {refused}"), err=True)
        return
    for each in decode_packs(site, node, cast(Stream, level), payload, now=time.time(), kind=kind):
        if isinstance(each, Pack):
            if each.measurement in KINDS:
                kinds[site, node] = each.measurement
            yield each
        else:
            typer.echo(printable(f"refused: {topic}: {each.refused}"), err=True)


def _unit(measurement: str, quantity: str) -> str:
    return _UNITS.get((measurement, quantity), _UNITS.get(("*", quantity), ""))


def _as_line(pack: Pack, readings: list[Reading]) -> str:
    values = "  ".join(
        f"{r.channel}/{r.quantity}".lstrip("/") + f"={r.value:g} {_unit(pack.measurement, r.quantity)}".rstrip()
        for r in readings
    )
    event = " EVENT" if pack.stream == "event" else ""
    return f"{moment(pack.time)}  {pack.site}/{pack.node}  {pack.measurement}{event}  {values}"


def _as_json(pack: Pack, readings: list[Reading]) -> str:
    head = {name: getattr(pack, name) for name in ("site", "node", "stream", "measurement", "boot", "seq", "time")}
    values = [msgspec.structs.asdict(each) | {"unit": _unit(pack.measurement, each.quantity)} for each in readings]
    return msgspec.json.encode(head | {"readings": values}).decode()
