"""A day of a small city whose evening has something wrong, played into a gateway with a console in no time."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.forward.senml import encode_pack
from gateway.web.users import Users
from sim_hardware.city.plan import write_plan
from sim_hardware.city.scenario import Scenario, places
from sim_hardware.city.tables import Planned
from sim_hardware.servers import InfluxDB, Mosquitto, free_port, wait_until
from tests.gateway.streets import lived
from tests.system.gateway_process import SECONDS, GatewayProcess, Publisher
from tests.system.pages import Pages

LEAKING = "water-0004"
NODES = 30
MINUTES = 13 * 60 + 45
"""From seven in the morning to a quarter to nine in the evening."""
SCENARIO = Scenario(
    "riverside",
    incident=(
        Planned("burst", "19:10", at=LEAKING),
        Planned("smoke", "19:40"),
    ),
)
USER, PASSWORD = "ada", "correct horse battery"


class Evening(Pages):
    """A gateway whose console knows that day."""

    def __init__(self, gateway: GatewayProcess, broker: Mosquitto, base: str) -> None:
        super().__init__(base)
        self.gateway, self.broker = gateway, broker


@contextmanager
def evening(folder: Path, influx: InfluxDB, database: str, settings: str = "", first: str = "") -> Iterator[Evening]:
    """`settings` are further lines of `[console]`, `first` of what stands before all tables."""
    port = free_port()
    more = f'[detect]\nplan = "plan.toml"\n[console]\nlisten = "127.0.0.1:{port}"\n{settings}'
    packs, city = lived(MINUTES / 1440, NODES, scenario=SCENARIO)
    with Mosquitto(folder / "broker") as broker:
        gateway = GatewayProcess(folder / "gateway", broker, influx.url, database, more)
        gateway.write_config(first + gateway.config.read_text())
        write_plan(gateway.folder / "plan.toml", city.layout)
        with gateway:
            Users(gateway.folder / "data").add(USER, PASSWORD, time.time())
            with Publisher(broker) as publisher:
                for place in places(NODES):
                    birth = f'{{"online":true,"kind":"{place.kind}","board":"esp32-devkit","firmware":"0.2.0"}}'
                    publisher.send([(f"ganglion/v1/riverside/{place.node}/status", birth.encode())])
                publisher.send((f"ganglion/v1/riverside/{each.node}/telemetry", encode_pack(each)) for each in packs)
                publisher.send([(f"ganglion/v1/riverside/{LEAKING}/telemetry", b"{")])
            gateway.wait_for("the day", lambda count: count.received == len(packs) + 1 and not count.waiting, 120.0)
            it = Evening(gateway, broker, f"http://127.0.0.1:{port}")
            wait_until(lambda: LEAKING in str(gateway.cli_json("incidents", "--open")), SECONDS, "the leak")
            wait_until(it.there, SECONDS, "the console")
            yield it
