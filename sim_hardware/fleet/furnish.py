"""What is put on an emulated board before it has power for the first time."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.board import identity
from sim_hardware.city.feed import RING
from sim_hardware.city.scenario import Place, Scenario
from sim_hardware.fleet.fitted import fitted

if TYPE_CHECKING:
    from sim_hardware.fleet.fleet import Broker, Settings


def furnish(
    folder: Path, place: Place, settings: "Settings", scenario: Scenario, way: "Broker", own: Path | None
) -> None:
    """The flash of one board; and, beside it, what its emulation needs to know.

    `folder` is the fleet's, `way` where the node reports to, `own` the folder of its identity: for TLS.
    """
    home = folder / "nodes" / place.node
    home.mkdir(parents=True, exist_ok=True)
    mqtt = {"host": way.host, "port": way.port, "keepalive_s": settings.keepalive_s}
    if way.user is not None:
        mqtt |= {"user": way.user, "password": way.password or ""}
    files = dict(settings.files)
    if way.tls and own:
        kept = identity.load(own / "ca.der", own / "cert.der", own / "key.der", own / "issuer.der")
        mqtt["tls"] = {name: path for name, (path, _) in kept.items()} | {"name": way.tls.name}
        files |= dict(kept.values())
    config = {"kind": place.kind, "site": scenario.site, "node": place.node, "mqtt": mqtt}
    if place.kind == "water" and (sensors := fitted(scenario).config()):
        config["sensors"] = sensors
    config |= {"wifi": {"ssid": "emulated", "key": ""}, **settings.config}
    emulation = {
        "slot": place.slot,
        "places": settings.nodes,
        "ring": RING,
        "feed": str(folder / "feed"),
        "pace": str(folder / "pace"),
        "slots": str(folder / "slots"),
        # The street of each place has its own dice, so that neighbours do not see the same vehicles.
        "seed": (settings.seed * 1_000_003 + place.slot * 7919) % 0x7FFF_FFFF + 1,
    }
    if settings.wounds:
        emulation["wounds"] = str(folder / "wounds")
    for path, content in ({"config.json": json.dumps(config).encode()} | files).items():
        (home / "insert" / path).parent.mkdir(parents=True, exist_ok=True)
        (home / "insert" / path).write_bytes(content)
    (home / "emulation.json").write_text(json.dumps(emulation))
