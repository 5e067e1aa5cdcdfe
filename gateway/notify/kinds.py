"""What each kind of incident is called, how soon somebody should look, and what to do: in words for people."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from gateway.records import Severity


class Kind(Struct, frozen=True):
    title: str
    severity: Severity
    """Usual; an incident has its own."""
    do: str
    """One sentence."""


_CHECK_SENSOR: Final = (
    "Do not trust this node's values; clean it, compare it on site, and replace it if that does not help."
)

KINDS: Final[Mapping[str, Kind]] = {
    "jam": Kind("Traffic jam", "warning", "Look for the cause downstream; divert traffic if it grows."),
    "crash": Kind("Traffic held up, as by a crash", "warning", "Look at the place, by camera or patrol."),
    "wrong_way": Kind("Vehicle on the wrong side", "critical", "Warn the police and the drivers there at once."),
    "miswired": Kind("Loops of a lane swapped", "warning", "Swap the two loops of the lane at the counter."),
    "stuck": Kind("Sensor stuck", "warning", "Look at the sensor and its cable; its values are of no use until then."),
    "chatter": Kind("Loop chatters", "warning", "Check the loop, its cable and the detector's sensitivity."),
    "impossible": Kind("Values contradict each other", "warning", "Check the lane's sensors and their settings."),
    "dead_lane": Kind("Lane counts nothing", "warning", "Check the lane's loop, unless the lane is closed."),
    "silent": Kind("Node says nothing", "warning", "Check its power and its link, unless its road is closed."),
    "burst": Kind("Burst pipe in a home", "critical", "Call the home; shut the water off if nobody answers."),
    "leak": Kind("Leak in a home", "warning", "Tell the home to look at toilets, taps and the heating."),
    "backflow": Kind("Water flows backwards", "critical", "Shut the connection and check the backflow preventer."),
    "frost": Kind("Meter near freezing", "warning", "Have the place heated or the pipe drained."),
    "stopped": Kind("Meter stands still", "warning", "Ask whether the home is empty; else have the meter replaced."),
    "rollback": Kind("Register went back", "warning", "Ask whether the meter was replaced; else look for tampering."),
    "main_burst": Kind("Burst main", "critical", "Send somebody to find it, and be ready to shut the zone's valves."),
    "main_leak": Kind("Leak in a main", "warning", "Search the zone for the leak by night, when it is quiet."),
    "balance": Kind("Water is missing in a zone", "warning", "Look for a leak or a connection without a meter."),
    "air_episode": Kind("Bad air", "critical", "Tell the public, first those who are sensitive; look for the source."),
    "zero": Kind("Sensor shows nothing", "warning", _CHECK_SENSOR),
    "offset": Kind("Sensor off by an amount", "warning", _CHECK_SENSOR),
    "gain": Kind("Sensor off by a factor", "warning", _CHECK_SENSOR),
    "drift": Kind("Sensor drifts", "warning", _CHECK_SENSOR),
    "noisy": Kind("Sensor noisy", "warning", _CHECK_SENSOR),
    "tamper": Kind("Housing is open", "warning", "Ask whether somebody works there; else send somebody."),
    "power_fail": Kind("Node loses its supply", "warning", "Check the supply there; several at once are one fuse."),
    "boot_loop": Kind("Node starts again and again", "warning", "Look at its log and its supply; see its last update."),
    "weak_radio": Kind("Weak radio", "info", "Move the antenna or the access point when somebody is there."),
    "clock_drift": Kind("Clock runs wrong", "info", "See that the node reaches a time server."),
    "falling_heap": Kind("Node runs out of memory", "warning", "Restart it in a quiet hour and report its firmware."),
    "flooding": Kind("Node sends too much", "warning", "Look at its configuration; restart it if that is right."),
    "journal": Kind(
        "The gateway has no room", "critical", "See why the database takes nothing, and give the disk room."
    ),
}
"""All that detectors raise (docs/detection.md), and the gateway's own."""


def title(kind: str) -> str:
    """Of any kind, also of a newer program's."""
    return KINDS[kind].title if kind in KINDS else kind.replace("_", " ").capitalize()
