"""A gateway of its own for each test, between the test's broker and database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sim_hardware.servers import InfluxDB, Mosquitto
from tests.system.attacked import City, attacked_city
from tests.system.gateway_process import GatewayProcess


@pytest.fixture
def gateway(tmp_path: Path, broker: Mosquitto, influx: InfluxDB, influx_db: str) -> Iterator[GatewayProcess]:
    with GatewayProcess(tmp_path / "gateway", broker, influx.url, influx_db) as process:
        yield process


@pytest.fixture(scope="session")
def attacked(tmp_path_factory: pytest.TempPathFactory, influx: InfluxDB) -> Iterator[City]:
    """One gateway for all attacks."""
    with attacked_city(tmp_path_factory.mktemp("attacked"), influx) as city:
        yield city
