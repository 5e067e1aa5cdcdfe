"""A pack back as SenML, for the dead letters: what the node sent, but for white space and order. Pure."""

from typing import Any, Final

import msgspec

from gateway.quantities import QUANTITIES, Quantity
from gateway.records import Pack

_QUANTITIES: Final = {(each.measurement, each.name): each for each in QUANTITIES}


def encode_pack(pack: Pack) -> bytes:
    """JSON that `gateway.ingest.decode.decode_pack` decodes to the same pack."""
    records: list[dict[str, Any]] = [
        {"bn": f"{pack.site}/{pack.node}/", "bt": pack.time, "n": "boot", "v": pack.boot},
        {"n": "seq", "v": pack.seq},
    ]
    for reading in pack.readings:
        quantity = _quantity(pack.measurement, reading.quantity)
        record: dict[str, Any] = {"n": f"{reading.channel}/{reading.quantity}".lstrip("/")}
        if quantity.flag:
            record["vb"] = bool(reading.value)
        else:
            record |= {"v": reading.value} | ({"u": quantity.unit} if quantity.unit else {})
        if reading.time != pack.time:
            record["t"] = reading.time - pack.time
        records.append(record)
    return msgspec.json.encode(records)


def _quantity(measurement: str, name: str) -> Quantity:
    return _QUANTITIES.get((measurement, name)) or _QUANTITIES["*", name]
