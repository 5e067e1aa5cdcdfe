"""Real servers for the tests, each on a port of its own below a temporary folder."""

import os
import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
import urllib3
from hypothesis import HealthCheck, settings
from playwright.sync_api import Browser, sync_playwright

from sim_hardware.servers import InfluxDB, Mosquitto, VictoriaMetrics

# Each worker, and all programs that it starts, have ports of their own: one that was found free may be taken by another
# test before the program that it is for has come up.
FIRST_PORT, EACH = 16_384, 2_048
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 8
os.environ["GANGLION_PORTS"] = f"{FIRST_PORT + _worker * EACH}-{FIRST_PORT + (_worker + 1) * EACH}"

# A machine that is busy with something else makes no property wrong.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

_databases = count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of whole systems first: they wait most, and a run of several workers shall not end with waiting."""
    items.sort(key=lambda item: "tests/system/" not in item.nodeid)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, which finds nobody but this machine.

    For a module of tests without `async`: what drives it keeps an event loop running until its end.
    """
    path = shutil.which("chromium")
    assert path, "needs chromium: `make test` installs it"
    away = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", away])
        yield browser
        browser.close()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """A running broker that a test may kill and start again."""
    with Mosquitto(tmp_path / "broker") as server:
        yield server


@pytest.fixture(scope="session")
def influx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxDB]:
    """One InfluxDB 1.6 for the whole run; take `influx_db` for a database of the test's own."""
    with InfluxDB(tmp_path_factory.mktemp("influx")) as server:
        yield server


@pytest.fixture
def influx_db(influx: InfluxDB) -> str:
    """The name of a fresh, empty database in `influx`."""
    name = f"test{next(_databases)}"
    with urllib3.PoolManager() as pool:
        answer = pool.request("POST", f"{influx.url}/query", fields={"q": f"CREATE DATABASE {name}"})
    assert answer.status == 200, answer.data
    return name


@pytest.fixture(scope="session")
def victoria(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VictoriaMetrics]:
    """One VictoriaMetrics for the whole run."""
    with VictoriaMetrics(tmp_path_factory.mktemp("victoria")) as server:
        yield server
