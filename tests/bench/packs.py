"""What the nodes of a bench send, in bytes: packs of ten records, as the firmware writes them. Pure."""

import random

SITE = "riverside"
WINDOW_S = 60
VARIETY = 256

KINDS = ("traffic", "water", "air")
COUNTED = {"traffic": "volume", "water": "volume", "air": "co2"}
"""A quantity that each pack of a kind has; of traffic in two lanes."""
LANES = 2


def name(slot: int) -> str:
    """The node at a place; the kinds come in turn."""
    return f"{KINDS[slot % 3]}-{slot:05}"


def walk(dice: random.Random, low: float, high: float, digits: int) -> list[str]:
    """Values that wander between two limits, and never stand still."""
    found, value = [], dice.uniform(low, high)
    for _ in range(VARIETY):
        value = min(high, max(low, value + dice.uniform(-0.1, 0.1) * (high - low)))
        while found and f"{value:.{digits}f}" == found[-1]:
            value = dice.uniform(low, high)
        found.append(f"{value:.{digits}f}")
    return found


def _reading(quantity: str, unit: str, values: list[str]) -> list[str]:
    said = f'"u":"{unit}",' if unit else ""
    return [f'{{"n":"{quantity}",{said}"v":{value}}}' for value in values]


def tails(kind: str) -> list[bytes]:
    """What comes behind the first reading's value, for packs one after another: seven readings."""
    dice = random.Random(kind)
    still = ["false"] * VARIETY

    def lane(number: int) -> list[list[str]]:
        return [
            _reading(f"lane{number}/occupancy", "%", walk(dice, 2, 20, 1)),
            _reading(f"lane{number}/speed", "km/h", walk(dice, 35, 60, 1)),
            _reading(f"lane{number}/class_short", "count", walk(dice, 0, 30, 0)),
        ]

    readings = {
        "traffic": lambda: [*lane(1), _reading("lane2/volume", "count", walk(dice, 0, 40, 0)), *lane(2)],
        "water": lambda: [
            _reading("reverse_volume", "l", ["0"] * VARIETY),
            _reading("flow", "l/h", walk(dice, 0, 400, 1)),
            _reading("flow_min", "l/h", walk(dice, 0, 20, 1)),
            _reading("temperature", "Cel", walk(dice, 8, 15, 2)),
            _reading("calibration", "", ["3"] * VARIETY),
            [f'{{"n":"frost","vb":{each}}}' for each in still],
            [f'{{"n":"reverse_flow","vb":{each}}}' for each in still],
        ],
        "air": lambda: [
            _reading("pm1_0", "ug/m3", walk(dice, 2, 9, 1)),
            _reading("pm2_5", "ug/m3", walk(dice, 5, 18, 1)),
            _reading("pm10", "ug/m3", walk(dice, 8, 30, 1)),
            _reading("temperature", "Cel", walk(dice, 12, 24, 2)),
            _reading("humidity", "%RH", walk(dice, 40, 80, 1)),
            _reading("pressure", "Pa", walk(dice, 99_000, 102_000, 0)),
            _reading("voc_index", "", walk(dice, 60, 180, 0)),
        ],
    }[kind]()
    return [("}," + ",".join(row) + "]").encode() for row in zip(*readings, strict=True)]


FIRST = {
    "traffic": (b'"lane1/volume","u":"count"', 0, 5, 37),
    "water": (b'"volume","u":"l"', 250_000, 2, 10**9),
    "air": (b'"co2","u":"ppm"', 410, 7, 311),
}
"""The first reading; its value is a + seq * b % c."""


def payload_form(slot: int) -> bytes:
    """To be filled with the pack's time, its number, the first reading's value, and one of `tails`."""
    first = FIRST[KINDS[slot % 3]][0]
    head = f'[{{"bn":"{SITE}/{name(slot)}/","bt":%d,"n":"boot","v":1}},{{"n":"seq","v":%d}},{{"n":'.encode()
    return head + first.replace(b"%", b"%%") + b',"v":%d%s'


def birth(kind: str) -> bytes:
    return (
        f'{{"online":true,"kind":"{kind}","boot":1,"firmware":"0.2.0","board":"esp32-devkit",'
        '"reset_cause":"power","clock":true}'
    ).encode()
