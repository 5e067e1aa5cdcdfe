"""What each kind of incident is in the words of CAP, and which of them the public is told, in words for the public.

The one table. Codes are those of CAP 1.2 (OASIS, 2010), section 3.2.2. Which code a kind has is our choice.
"""

from typing import Final, Literal

from msgspec import Struct

Category = Literal["Safety", "Env", "Health", "Transport", "Infra", "Other"]
Urgency = Literal["Immediate", "Expected", "Future", "Past", "Unknown"]
Severity = Literal["Extreme", "Severe", "Moderate", "Minor", "Unknown"]
Certainty = Literal["Observed", "Likely", "Possible", "Unlikely", "Unknown"]
Response = Literal["Prepare", "Execute", "Avoid", "Monitor", "Assess", "AllClear", "None"]


class Public(Struct, frozen=True):
    """How the public is told. Nothing of it comes from the incident itself, whose words name nodes."""

    headline: str
    text: str
    advice: str
    over: str
    """Said when it has ended."""
    topic: Literal["traffic", "air", "water"]
    at_once: bool = False
    """Told unconfirmed: it would be over before it could be confirmed."""
    of_homes: bool = False
    """Found at a home: told as the zone's, and only where the zone has enough homes."""


class Kind(Struct, frozen=True):
    """One row. `certainty` is while it is not confirmed; from then on it is Observed."""

    event: str
    category: Category
    urgency: Urgency
    severity: Severity
    certainty: Certainty
    response: Response
    instruction: str
    """For those who run the place."""
    critical: Severity | None = None
    """Its severity where the incident is critical, if that differs."""
    public: Public | None = None
    """None where the public is never told."""


_LOOK: Final = "Look at the node, and send somebody when the cause is not plain."
_SENSOR: Final = "Do not use what this sensor reads until it was looked at."

_JAM: Final = Public(
    "Traffic jam",
    "Traffic is slow or stands.",
    "Choose another way if you can. Leave room for emergency vehicles.",
    "Traffic flows again.",
    "traffic",
)
_CRASH: Final = Public(
    "Road may be blocked",
    "Vehicles pile up before one point and few come past it.",
    "Drive slowly and be ready to stop. Leave room for emergency vehicles.",
    "Traffic flows again.",
    "traffic",
)
_WRONG_WAY: Final = Public(
    "Vehicle against the traffic",
    "A vehicle was seen that drives against the traffic.",
    "Drive slowly, keep to the near side, do not overtake.",
    "No vehicle drives against the traffic any more.",
    "traffic",
    at_once=True,
)
_AIR: Final = Public(
    "Unhealthy air",
    "There is much fine dust (PM2.5) in the air.",
    "Avoid effort outdoors. Keep windows shut. Those with heart or lung disease, children and the old stay indoors.",
    "The air is better again.",
    "air",
)
_MAIN_BURST: Final = Public(
    "Burst water main",
    "Much more water flows into the area than it uses: a main has likely burst.",
    "Expect low pressure or cloudy water. Keep away from flooded streets.",
    "The flow of water is as usual again.",
    "water",
)
_MAIN_LEAK: Final = Public(
    "Leak in a water main",
    "Water is being lost from a main in the area. It is being looked for.",
    "Tell the water works if you see water in the street. Expect works.",
    "No more water is being lost.",
    "water",
)
_BURST: Final = Public(
    "Water flows where it should not",
    "An unusual amount of water is flowing at a place in the area.",
    "Look whether water runs at your place, and shut the main tap if it does.",
    "The flow of water is as usual again.",
    "water",
    of_homes=True,
)

KINDS: Final[dict[str, Kind]] = {
    "jam": Kind(
        "Traffic jam", "Transport", "Immediate", "Minor", "Likely", "Avoid", "Lead traffic another way.", public=_JAM
    ),
    "crash": Kind(
        "Road blocked",
        "Transport",
        "Immediate",
        "Moderate",
        "Likely",
        "Assess",
        "Look at the street between the two counters; a crash or an obstacle is likely.",
        public=_CRASH,
    ),
    "wrong_way": Kind(
        "Vehicle against the traffic",
        "Safety",
        "Immediate",
        "Severe",
        "Likely",
        "Execute",
        "Warn the traffic and call the police.",
        public=_WRONG_WAY,
    ),
    "miswired": Kind("Lane set the wrong way round", "Infra", "Future", "Minor", "Likely", "Assess", _SENSOR),
    "stuck": Kind("Sensor stuck", "Infra", "Future", "Minor", "Likely", "Assess", _SENSOR),
    "chatter": Kind("Counter counts too much", "Infra", "Future", "Minor", "Likely", "Assess", _SENSOR),
    "impossible": Kind("Counter contradicts itself", "Infra", "Future", "Minor", "Likely", "Assess", _SENSOR),
    "dead_lane": Kind("Lane no longer counted", "Infra", "Future", "Minor", "Likely", "Assess", _SENSOR),
    "silent": Kind("Node silent", "Infra", "Future", "Minor", "Observed", "Assess", _LOOK),
    "burst": Kind(
        "Pipe burst at a meter",
        "Infra",
        "Immediate",
        "Moderate",
        "Likely",
        "Execute",
        "Call the place, and have the water shut off.",
        public=_BURST,
    ),
    "leak": Kind(
        "Leak at a meter", "Infra", "Expected", "Minor", "Likely", "Assess", "Tell those who live there to look for it."
    ),
    "backflow": Kind(
        "Water flows backwards",
        "Health",
        "Immediate",
        "Severe",
        "Likely",
        "Execute",
        "Check the valve, and the water for what may have come in.",
    ),
    "frost": Kind(
        "Frost at a meter",
        "Infra",
        "Expected",
        "Moderate",
        "Observed",
        "Prepare",
        "Have the meter and its pipe kept from frost.",
    ),
    "stopped": Kind("Meter stands still", "Infra", "Future", "Minor", "Possible", "Assess", _LOOK),
    "rollback": Kind("Register of a meter ran back", "Infra", "Future", "Minor", "Observed", "Assess", _LOOK),
    "main_burst": Kind(
        "Burst water main",
        "Infra",
        "Immediate",
        "Severe",
        "Likely",
        "Execute",
        "Find the burst, shut the main off around it, and look to the supply.",
        public=_MAIN_BURST,
    ),
    "main_leak": Kind(
        "Leak in a water main",
        "Infra",
        "Expected",
        "Moderate",
        "Likely",
        "Assess",
        "Search the district for the leak, best by night.",
        public=_MAIN_LEAK,
    ),
    "balance": Kind(
        "Water unaccounted for",
        "Infra",
        "Expected",
        "Minor",
        "Likely",
        "Assess",
        "Hold the inlets against the meters; look for a leak or a meter that stands.",
        critical="Moderate",
    ),
    "air_episode": Kind(
        "Unhealthy air",
        "Health",
        "Immediate",
        "Moderate",
        "Likely",
        "Avoid",
        "Find the source. Warn schools, nurseries and homes for the old.",
        critical="Severe",
        public=_AIR,
    ),
    "zero": Kind("Sensor reads nothing", "Infra", "Future", "Minor", "Likely", "Assess", _SENSOR),
    "offset": Kind("Sensor reads off by as much always", "Infra", "Future", "Minor", "Likely", "Assess", _SENSOR),
    "gain": Kind("Sensor reads off by a factor", "Infra", "Future", "Minor", "Likely", "Assess", _SENSOR),
    "drift": Kind("Sensor drifts", "Infra", "Future", "Minor", "Likely", "Assess", _SENSOR),
    "noisy": Kind("Sensor reads at random", "Infra", "Future", "Minor", "Likely", "Assess", _SENSOR),
    "tamper": Kind("Housing open", "Infra", "Expected", "Minor", "Observed", "Assess", _LOOK),
    "power_fail": Kind("Supply of a node failing", "Infra", "Expected", "Minor", "Observed", "Assess", _LOOK),
    "boot_loop": Kind("Node boots again and again", "Infra", "Future", "Minor", "Observed", "Assess", _LOOK),
    "weak_radio": Kind("Radio of a node weak", "Infra", "Future", "Minor", "Observed", "Monitor", _LOOK),
    "clock_drift": Kind("Clock of a node wrong", "Infra", "Future", "Minor", "Observed", "Monitor", _LOOK),
    "falling_heap": Kind("Node runs out of memory", "Infra", "Future", "Minor", "Likely", "Assess", _LOOK),
    "flooding": Kind("Node sends too much", "Infra", "Future", "Minor", "Observed", "Assess", _LOOK),
    "journal": Kind(
        "Gateway's journal full",
        "Infra",
        "Immediate",
        "Minor",
        "Observed",
        "Execute",
        "Give the disk room, or get the database going again.",
    ),
}
"""By `Incident.kind`: all of docs/detection.md, and the gateway's own."""
OTHER: Final = Kind("Incident", "Other", "Unknown", "Unknown", "Possible", "Assess", "Look at it in the console.")
"""A kind that this version does not know: of a journal that a newer one has written. Never for the public."""


def kind_of(name: str) -> Kind:
    """The row of a kind."""
    return KINDS.get(name, OTHER)
