"""A gateway of its own for each test, between the test's broker and database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sim_hardware.servers import InfluxDB, Mosquitto
from tests.system.gateway_process import GatewayProcess


@pytest.fixture
def gateway(tmp_path: Path, broker: Mosquitto, influx: InfluxDB, influx_db: str) -> Iterator[GatewayProcess]:
    with GatewayProcess(tmp_path / "gateway", broker, influx.url, influx_db) as process:
        yield process
