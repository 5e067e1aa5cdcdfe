# Corrections of what the sensors measure, found beside a better instrument: value * gain + offset. Pure.

# (quantity, kinds of node, least, most): a correction ends where the gateway would refuse the whole pack.
# Counts are not in it: what was counted was there.
QUANTITIES = (
    ("occupancy", ("traffic",), 0, 100),
    ("speed", ("traffic",), 0, 300),
    ("flow", ("water",), 0, 1_000_000),
    ("flow_min", ("water",), 0, 1_000_000),
    ("pm1_0", ("air",), 0, 10_000),
    ("pm2_5", ("air",), 0, 10_000),
    ("pm10", ("air",), 0, 10_000),
    ("co2", ("air",), 0, 40_000),
    ("voc_index", ("air",), 0, 500),
    ("nox_index", ("air",), 0, 500),
    ("temperature", ("air", "water"), -40, 125),
    ("humidity", ("air",), 0, 100),
    ("pressure", ("air",), 30_000, 110_000),
)


def apply(readings, table):
    """[(name, unit, value)] corrected, and the table's version as one reading more; as they are without a table.

    A value that the correction would make impossible becomes the nearest that is possible.
    """
    if not table:
        return readings
    found = [(name, unit, _corrected(name, value, table)) for name, unit, value in readings]
    found.append(("calibration", "", table["version"]))
    return found


def _corrected(name, value, table):
    quantity = name.split("/")[-1]
    if value is None or quantity == "version" or quantity not in table:
        return value
    for known, _, low, high in QUANTITIES:
        if known == quantity:
            entry = table[quantity]
            return round(min(max(value * entry["gain"] + entry["offset"], low), high), 3)
