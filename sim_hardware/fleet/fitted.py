"""What the nodes of a fleet are fitted with: as much as the scenario has use for."""

import msgspec
from msgspec import Struct

from sim_hardware.city.tables import Scenario


class Fitted(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The sensors of a water node: as DEFAULTS of firmware/sensors/water.py."""

    litres_per_pulse: int = 1
    reeds: int = 1
    temperature: bool = False
    tamper: bool = False

    def config(self) -> dict[str, object]:
        """What differs from the firmware's own defaults."""
        found: dict[str, object] = msgspec.to_builtins(self)
        return found


def fitted(scenario: Scenario) -> Fitted:
    """Meters that tell the direction where water may run backwards, and their lid where somebody may open it."""
    kinds = {each.kind for each in scenario.incident} | {kind for kind, rate in scenario.random.items() if rate}
    return Fitted(reeds=2 if "backflow" in kinds else 1, tamper="tamper" in kinds)
