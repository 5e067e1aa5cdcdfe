"""`ganglion tail`: packs as they come, straight from the broker."""

import asyncio
import time
from typing import Annotated, Any, cast

import aiomqtt
import msgspec
import typer

from gateway.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, moment
from gateway.config import Mqtt, load, secret
from gateway.decode import decode_pack, decode_status, parse_topic
from gateway.errors import GanglionError, Refused
from gateway.quantities import KINDS, QUANTITIES
from gateway.records import Pack, Stream

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
    try:
        asyncio.run(_tail(settings.mqtt, [f"ganglion/v1/{s}/{node or '+'}/+" for s in sites], quantity, count, json))
    except aiomqtt.MqttError as error:
        where = f"{settings.mqtt.host}:{settings.mqtt.port}"
        raise GanglionError(f"the broker at {where} cannot be listened to: {error}") from error
    except KeyboardInterrupt:
        pass  # how a person ends it


async def _tail(mqtt: Mqtt, topics: list[str], quantity: str, count: int, json: bool) -> None:
    tls = aiomqtt.TLSParameters(mqtt.ca, mqtt.cert or None, mqtt.key or None) if mqtt.ca else None
    password = secret(mqtt.password_env)
    shown = 0
    kinds: dict[tuple[str, str], str] = {}
    async with aiomqtt.Client(
        mqtt.host, mqtt.port, username=mqtt.username or None, password=password or None, tls_params=tls
    ) as client:
        await client.subscribe([(topic, 0) for topic in topics])
        async for message in client.messages:
            pack = _decode(str(message.topic), bytes(message.payload), kinds)
            if pack is None:
                continue
            readings = [reading for reading in pack.readings if quantity in ("", reading.quantity)]
            if quantity and not readings:
                continue
            typer.echo(
                _as_json(msgspec.structs.replace(pack, readings=tuple(readings))) if json else _as_line(pack, readings)
            )
            shown += 1
            if shown == count:
                return


def _decode(topic: str, payload: bytes, kinds: dict[tuple[str, str], str]) -> Pack | None:
    """A pack, or None for what is none; learns the kinds of nodes from births, which come first."""
    level = topic.rpartition("/")[2]
    if level not in ("telemetry", "event", "health", "status") or not payload:
        return None
    try:
        site, node, _ = parse_topic(topic)
        if level == "status":
            kinds[site, node] = decode_status(payload).kind or kinds.get((site, node), "")
            return None
        pack = decode_pack(site, node, cast(Stream, level), payload, now=time.time(), kind=kinds.get((site, node), ""))
    except Refused as refused:
        typer.echo(f"refused: {topic}: {refused}", err=True)
        return None
    if pack.measurement in KINDS:
        kinds[site, node] = pack.measurement
    return pack


def _unit(measurement: str, quantity: str) -> str:
    return _UNITS.get((measurement, quantity), _UNITS.get(("*", quantity), ""))


def _as_line(pack: Pack, readings: list[Any]) -> str:
    values = "  ".join(
        f"{r.channel}/{r.quantity}".lstrip("/") + f"={r.value:g} {_unit(pack.measurement, r.quantity)}".rstrip()
        for r in readings
    )
    event = " EVENT" if pack.stream == "event" else ""
    return f"{moment(pack.time)}  {pack.site}/{pack.node}  {pack.measurement}{event}  {values}"


def _as_json(pack: Pack) -> str:
    whole = msgspec.structs.asdict(pack)
    whole["readings"] = [
        msgspec.structs.asdict(reading) | {"unit": _unit(pack.measurement, reading.quantity)}
        for reading in pack.readings
    ]
    return msgspec.json.encode(whole).decode()
