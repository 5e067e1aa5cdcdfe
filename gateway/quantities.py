"""The one table of what is measured: name, unit, physical limits, kind.

Units are from the SenML registries (RFC 8428 §12.1, RFC 8798 §3), except `l/h`, which they lack.
The limits are those of physics and of the sensors named, not of good taste: a value outside cannot be, so its
pack is a dead letter; an unlikely value inside is for the detectors.
"""

from typing import Final, Literal

from msgspec import Struct

Summary = Literal["mean", "sum", "min", "max", "last"]
"""How many windows become one value; InfluxQL and Flux have functions of these names."""


class Quantity(Struct, frozen=True):
    """One line of the table."""

    measurement: str
    """`traffic`, `water`, `air` or `health`."""
    name: str
    unit: str
    """Empty for a pure index, which SenML writes without a unit."""
    low: float
    high: float
    per_lane: bool = False
    """True where the name in a pack is `{channel}/{name}`."""
    flag: bool = False
    """True for a state that is yes or no (`vb`), as in an event."""
    meaning: str = ""
    rollup: tuple[Summary, ...] = ("mean", "min", "max")
    """How roll-ups sum it up. The first keeps the quantity's name there, the others append theirs: `pm2_5_max`."""


QUANTITIES: Final = (
    Quantity("traffic", "volume", "count", 0, 10_000, per_lane=True, rollup=("sum",), meaning="vehicles in the window"),
    Quantity(
        "traffic",
        "occupancy",
        "%",
        0,
        100,
        per_lane=True,
        rollup=("mean",),
        meaning="share of the window with a vehicle over the loop",
    ),
    Quantity("traffic", "speed", "km/h", 0, 300, per_lane=True, rollup=("mean",), meaning="mean speed in the window"),
    Quantity(
        "traffic", "class_motorcycle", "count", 0, 10_000, per_lane=True, rollup=("sum",), meaning="shorter than 2.5 m"
    ),
    Quantity("traffic", "class_short", "count", 0, 10_000, per_lane=True, rollup=("sum",), meaning="2.5 to 6 m"),
    Quantity("traffic", "class_medium", "count", 0, 10_000, per_lane=True, rollup=("sum",), meaning="6 to 10.5 m"),
    Quantity("traffic", "class_long", "count", 0, 10_000, per_lane=True, rollup=("sum",), meaning="10.5 m and longer"),
    Quantity(
        "traffic",
        "wrong_way",
        "count",
        0,
        10_000,
        per_lane=True,
        rollup=("sum",),
        meaning="of the vehicles, those that drove against the traffic; from nodes that can know it",
    ),
    Quantity("water", "volume", "l", 0, 1e10, rollup=("last",), meaning="the register, only grows"),
    Quantity(
        "water", "reverse_volume", "l", 0, 1e10, rollup=("last",), meaning="the register of water that ran backwards"
    ),
    Quantity("water", "flow", "l/h", 0, 1e6, rollup=("mean", "max"), meaning="mean over the window"),
    Quantity("water", "flow_min", "l/h", 0, 1e6, rollup=("min",), meaning="least flow within the window"),
    Quantity("water", "temperature", "Cel", -40, 125, meaning="of the water or the pit"),
    Quantity("water", "reverse_flow", "", 0, 1, flag=True, rollup=("max",), meaning="water runs backwards"),
    Quantity("water", "frost", "", 0, 1, flag=True, rollup=("max",), meaning="3 °C or less; it ends above 4 °C"),
    Quantity(
        "water",
        "register_restored",
        "",
        0,
        1,
        flag=True,
        rollup=("max",),
        meaning="power was lost: what ran in that window is missing",
    ),
    Quantity("air", "pm1_0", "ug/m3", 0, 10_000, rollup=("mean", "max"), meaning="particles below 1 µm"),
    Quantity("air", "pm2_5", "ug/m3", 0, 10_000, rollup=("mean", "max"), meaning="particles below 2.5 µm"),
    Quantity("air", "pm10", "ug/m3", 0, 10_000, rollup=("mean", "max"), meaning="particles below 10 µm"),
    Quantity("air", "co2", "ppm", 0, 40_000, meaning="carbon dioxide"),
    Quantity("air", "voc_index", "", 0, 500, meaning="volatile organic compounds, index of the sensor's own day"),
    Quantity("air", "nox_index", "", 0, 500, meaning="nitrogen oxides, index of the sensor's own day"),
    Quantity("air", "temperature", "Cel", -45, 130, meaning="of the air"),
    Quantity("air", "humidity", "%RH", 0, 100, meaning="relative humidity"),
    Quantity("air", "pressure", "Pa", 30_000, 110_000, meaning="of the air, not reduced to sea level"),
    Quantity("health", "heap_free", "B", 0, 1e9, rollup=("mean", "min"), meaning="free heap of the interpreter"),
    Quantity(
        "health", "heap_largest", "B", 0, 1e9, rollup=("mean", "min"), meaning="largest free block of the system's heap"
    ),
    Quantity(
        "health", "flash_free", "B", 0, 1e12, rollup=("mean", "min"), meaning="free flash of the node's file system"
    ),
    Quantity("health", "rssi", "dBm", -130, 20, meaning="radio signal"),
    Quantity("health", "outbox_packs", "count", 0, 1e9, rollup=("max",), meaning="packs waiting in the node"),
    Quantity(
        "health",
        "outbox_dropped",
        "count",
        0,
        1e9,
        rollup=("last",),
        meaning="packs the node dropped since boot, oldest first",
    ),
    Quantity("health", "uptime", "s", 0, 1e10, rollup=("last",), meaning="since boot"),
    Quantity("health", "clock_error", "s", -1e9, 1e9, meaning="last correction of the clock"),
    Quantity("health", "clock_drift", "ppm", -1e9, 1e9, meaning="rate at which the clock loses (+) or gains"),
    Quantity(
        "health",
        "tasks_failing",
        "count",
        0,
        1000,
        rollup=("max",),
        meaning="parts of the node that failed a moment ago, sensors among them",
    ),
    Quantity("health", "temperature", "Cel", -60, 150, meaning="of the chip"),
    # States any node can see; they travel as events and belong to the node's own kind.
    Quantity("*", "tamper", "", 0, 1, flag=True, rollup=("max",), meaning="the housing is open"),
    Quantity("*", "power_fail", "", 0, 1, flag=True, rollup=("max",), meaning="the supply is failing"),
    # Not a state, but of any kind too: it travels with the readings that it was applied to.
    Quantity("*", "calibration", "", 0, 1e9, rollup=("last",), meaning="version of the calibration that was applied"),
)

KINDS: Final = ("traffic", "water", "air")


def measured_in(measurement: str) -> tuple[Quantity, ...]:
    """What a measurement (a kind, or `health`) can hold: its own quantities and those of any kind."""
    return tuple(
        each
        for each in QUANTITIES
        if each.measurement == measurement or (each.measurement == "*" and measurement in KINDS)
    )


def units(measurement: str) -> dict[str, str]:
    """The unit of each quantity that a measurement can hold."""
    return {each.name: each.unit for each in measured_in(measurement)}
