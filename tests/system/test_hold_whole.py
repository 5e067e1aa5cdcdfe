"""Back-pressure through the whole house: a database that is away stops the nodes, and its return lets them go on."""

import asyncio
from pathlib import Path

import pytest

from sim_hardware.servers import InfluxDB, Mosquitto, wait_until
from tests.system.gateway_process import GatewayProcess
from tests.system.test_modelled import acked, city, stood_still

SECONDS = 100.0
"""5 until a full journal is told, 30 at most until the database is asked again, 10 of room, 30 until a node goes on."""


@pytest.mark.soak
@pytest.mark.timeout(300)
async def test_a_database_that_is_away_stops_the_city(tmp_path: Path, broker: Mosquitto) -> None:
    """Nodes keep what neither journal nor broker shall have to keep, and nothing is lost, or written twice."""
    with (
        InfluxDB(tmp_path / "influx") as influx,
        GatewayProcess(tmp_path / "gateway", broker, influx.url, "city", max_bytes=200_000) as gateway,
    ):
        async with city(tmp_path / "fleet", broker) as fleet:
            await acked(fleet, 500)
            influx.stop()

            def held() -> bool:
                return "nodes are told to hold" in gateway.log

            await asyncio.to_thread(wait_until, held, SECONDS, "the hold")
            await stood_still(fleet)
            before = fleet.counts()
            assert before.connected == before.nodes
            influx.start()

            def released() -> bool:
                return fleet.counts().acked > before.acked + 500

            await asyncio.to_thread(wait_until, released, SECONDS, "the release")
        sent = fleet.counts().acked
        ledger = gateway.wait_for("all packs", lambda each: each.written == sent and each.waiting == 0, SECONDS)
        assert (ledger.dead_letters, ledger.gaps, ledger.balanced) == (0, 0, True)
        (told,) = [each for each in gateway.cli_json("incidents") if each["kind"] == "journal"]
        assert told["closed"] > told["opened"]
