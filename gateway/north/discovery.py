"""What Home Assistant is told of a node: its MQTT device discovery (`{dev, o, cmps}`, since 2024.11). Pure.

Home Assistant then reads the node's own topics. A message holds several records, and several packs after an outage: a
template picks the newest value of one name, and answers nothing where there is none, which leaves the state as it is.
`this.state` would not do for that: it is in the unit that a person has chosen to see.
"""

from collections.abc import Collection, Mapping
from importlib.metadata import version
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct

from gateway.quantities import Quantity, measured_in

STREAMS: Final = ("telemetry", "event", "health")


class Sensor(NamedTuple):
    """What Home Assistant makes of a quantity. Only pairs of class and unit that it allows (sensor/const.py there)."""

    device_class: str = ""
    unit: str = ""
    state_class: str = "measurement"
    scale: str = ""
    """What the template does with the value: ` / 60`."""


SENSORS: Final[Mapping[tuple[str, str], Sensor]] = {
    ("traffic", "volume"): Sensor(unit="vehicles"),
    ("traffic", "occupancy"): Sensor(unit="%"),
    ("traffic", "speed"): Sensor("speed", "km/h"),
    ("traffic", "class_motorcycle"): Sensor(unit="vehicles"),
    ("traffic", "class_short"): Sensor(unit="vehicles"),
    ("traffic", "class_medium"): Sensor(unit="vehicles"),
    ("traffic", "class_long"): Sensor(unit="vehicles"),
    ("traffic", "wrong_way"): Sensor(unit="vehicles"),
    ("water", "volume"): Sensor("water", "L", "total_increasing"),
    ("water", "reverse_volume"): Sensor("water", "L", "total_increasing"),
    # It has no litre per hour in all of its versions.
    ("water", "flow"): Sensor("volume_flow_rate", "L/min", scale=" / 60"),
    ("water", "flow_min"): Sensor("volume_flow_rate", "L/min", scale=" / 60"),
    ("water", "temperature"): Sensor("temperature", "°C"),
    ("air", "pm1_0"): Sensor("pm1", "µg/m³"),
    ("air", "pm2_5"): Sensor("pm25", "µg/m³"),
    ("air", "pm10"): Sensor("pm10", "µg/m³"),
    ("air", "co2"): Sensor("carbon_dioxide", "ppm"),
    ("air", "voc_index"): Sensor(),
    ("air", "nox_index"): Sensor(),
    ("air", "temperature"): Sensor("temperature", "°C"),
    ("air", "humidity"): Sensor("humidity", "%"),
    ("air", "pressure"): Sensor("atmospheric_pressure", "Pa"),
    ("health", "heap_free"): Sensor("data_size", "B"),
    ("health", "heap_largest"): Sensor("data_size", "B"),
    ("health", "flash_free"): Sensor("data_size", "B"),
    ("health", "rssi"): Sensor("signal_strength", "dBm"),
    ("health", "outbox_packs"): Sensor(unit="packs"),
    ("health", "outbox_dropped"): Sensor(unit="packs"),
    ("health", "uptime"): Sensor("duration", "s"),
    ("health", "clock_error"): Sensor("duration", "s"),
    ("health", "clock_drift"): Sensor(unit="ppm"),
    ("health", "tasks_failing"): Sensor(),
    ("health", "temperature"): Sensor("temperature", "°C"),
}
"""By measurement and quantity: all of the table but states and the calibration's version."""

STATES: Final[Mapping[str, str]] = {
    "tamper": "tamper",
    "power_fail": "problem",
    "reverse_flow": "problem",
    "frost": "cold",
    "register_restored": "problem",
}
"""The class of each state, which is a binary sensor."""

MODELS: Final[Mapping[str, str]] = {"traffic": "traffic counter", "water": "water meter", "air": "air station"}

LABELS: Final[Mapping[str, str]] = {
    "pm1_0": "PM1",
    "pm2_5": "PM2.5",
    "pm10": "PM10",
    "co2": "CO2",
    "voc_index": "VOC index",
    "nox_index": "NOx index",
    "rssi": "radio signal",
}

OF_HOMES: Final = ("burst", "leak", "backflow", "frost", "stopped", "rollback")
"""Kinds of incidents that tell of the water of one home."""

Place = tuple[str, str, str]
"""(measurement, channel, quantity) of what a node was heard to measure."""


class Node(NamedTuple):
    """What there is to know of a node before it is announced."""

    site: str
    node: str
    kind: str
    places: Collection[Place]
    firmware: str = ""
    board: str = ""


def identifier(site: str, node: str = "") -> str:
    """Of a device; names have no `_`, so it can be taken apart again."""
    return f"ganglion_{site}_{node}" if node else f"ganglion_{site}"


def topic(prefix: str, site: str, node: str = "") -> str:
    return f"{prefix}/device/{identifier(site, node)}/config"


def origin(gateway: str) -> dict[str, str]:
    """Who announces: `gateway` is the first of its sites, and tells one gateway of a broker from another."""
    return {"name": f"Ganglion {gateway}", "sw": version("ganglion")}


def announcement(node: Node, gateway: str, *, link: str = "", exercise: bool = False) -> bytes:
    """The payload for a node, to be retained. `link` is the console's address."""
    states = [each for each in measured_in(node.kind) if each.flag]
    sensors = sorted(place for place in node.places if (place[0], place[2]) in SENSORS)
    parts = [_sensor(node, *place) for place in sensors] + [_state(node, each) for each in states]
    device = {
        "ids": [identifier(node.site, node.node)],
        "name": f"{node.site} {node.node}{' (exercise)' if exercise else ''}",
        "mf": "Ganglion",
        "mdl": MODELS[node.kind],
        "via_device": identifier(node.site),
    }
    more = {"sw": node.firmware, "hw": node.board, "cu": link}
    return msgspec.json.encode(
        {
            "dev": device | {key: value for key, value in more.items() if value},
            "o": origin(gateway),
            "cmps": {part.pop("key"): part for part in parts},
            "avty_t": _topic(node, "status"),
            "avty_tpl": "{{ 'online' if value_json.online else 'offline' }}",
        }
    )


def site_announcement(site: str, gateway: str, *, link: str = "", exercise: bool = False, homes: bool = False) -> bytes:
    """The payload for a site: one device with one `event`, which fires with each change of an incident.

    A sensor for each node would have to read the incidents of all; a device that is no node reads them once. Without
    `homes` what befalls a home's water is left out.
    """
    fields = ", ".join(f"'{name}': value_json.{name}" for name in ("kind", "severity", "node", "channel", "summary"))
    state = "'closed' if value_json.closed else 'confirmed' if value_json.confirmed else 'opened'"
    fit = "value_json is defined and value_json.kind" + ("" if homes else f" not in {list(OF_HOMES)}")
    text = f"{{{{ {{'event_type': {state}, {fields}, 'drill': value_json.drill}} | tojson if {fit} else '' }}}}"
    device = {
        "ids": [identifier(site)],
        "name": f"{site}{' (exercise)' if exercise else ''}",
        "mf": "Ganglion",
        "mdl": "site",
    }
    return msgspec.json.encode(
        {
            "dev": device | ({"cu": link} if link else {}),
            "o": origin(gateway),
            "cmps": {
                "incident": {
                    "p": "event",
                    "uniq_id": f"{identifier(site)}_incident",
                    "name": "Incident",
                    "stat_t": f"ganglion/v1/{site}/incident/+",
                    "val_tpl": text,
                    "evt_typ": ["opened", "confirmed", "closed"],
                }
            },
        }
    )


def heard(payload: bytes) -> tuple[dict[str, Any], str, set[Place]]:
    """An announcement read again: (origin, kind, places); empty where it is none of a Ganglion."""
    try:
        told = msgspec.json.decode(payload, type=_Told)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}, "", set()
    kind = {model: kind for kind, model in MODELS.items()}.get(str(told.dev.get("mdl")), "")
    return told.o, kind, {place for key in told.cmps if (place := _place(kind, key)) is not None}


class _Told(Struct):
    o: dict[str, Any]
    dev: dict[str, Any]
    cmps: dict[str, Any]


def _place(kind: str, key: str) -> Place | None:
    """What a component's key is of; names of channels have no `_`."""
    first, _, rest = key.partition("_")
    for place in ((kind, "", key), ("health", "", rest if first == "health" else ""), (kind, first, rest)):
        if (place[0], place[2]) in SENSORS and bool(place[1]) == (place[0] == "traffic"):
            return place
    return None


def _sensor(node: Node, measurement: str, channel: str, quantity: str) -> dict[str, Any]:
    form = SENSORS[measurement, quantity]
    stream = "health" if measurement == "health" else "telemetry"
    parts = ([measurement] if stream == "health" else []) + ([channel] if channel else []) + [quantity]
    found = {
        "key": "_".join(parts),
        "p": "sensor",
        "uniq_id": "_".join((identifier(node.site, node.node), *parts)),
        "name": " ".join((*([channel] if channel else []), LABELS.get(quantity, quantity.replace("_", " ")))),
        "stat_t": _topic(node, stream),
        "val_tpl": _pick(f"{channel}/{quantity}" if channel else quantity, "v", f"found[-1]{form.scale}"),
        "stat_cla": form.state_class,
    }
    if stream == "health":
        found["name"] = f"node {found['name']}"
    more = {
        "dev_cla": form.device_class,
        "unit_of_meas": form.unit,
        "ent_cat": "diagnostic" if stream == "health" else "",
    }
    return found | {key: value for key, value in more.items() if value}


def _state(node: Node, quantity: Quantity) -> dict[str, Any]:
    return {
        "key": quantity.name,
        "p": "binary_sensor",
        "uniq_id": f"{identifier(node.site, node.node)}_{quantity.name}",
        "name": quantity.name.replace("_", " "),
        "stat_t": _topic(node, "event"),
        "val_tpl": _pick(quantity.name, "vb", "'ON' if found[-1] else 'OFF'"),
        "dev_cla": STATES[quantity.name],
    }


def _pick(name: str, field: str, value: str) -> str:
    """The last record of that name that has the field: of packs one after another, the newest."""
    records = f"value_json | selectattr('n', 'eq', '{name}') | selectattr('{field}', 'defined')"
    return f"{{% set found = {records} | map(attribute='{field}') | list %}}{{{{ ({value}) if found else '' }}}}"


def _topic(node: Node, stream: str) -> str:
    return f"ganglion/v1/{node.site}/{node.node}/{stream}"
