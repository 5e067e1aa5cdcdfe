"""The pages are a process of their own: what becomes of it, and of the gateway beside it."""

import os
import signal
import socket
from pathlib import Path

import pytest
import urllib3

from gateway.web.server import NICE
from gateway.web.users import Users
from sim_hardware.servers import InfluxDB, Mosquitto, free_port, wait_until
from tests.system.gateway_process import SECONDS, GatewayProcess
from tests.system.pages import Pages


class Cabinet(Pages):
    """A gateway with a console, and how the console answers."""

    def __init__(self, folder: Path, broker: Mosquitto, influx: InfluxDB, database: str, more: str = "") -> None:
        self.port = free_port()
        super().__init__(f"http://127.0.0.1:{self.port}")
        more = f'[console]\nlisten = "127.0.0.1:{self.port}"\n{more}'
        self.gateway = GatewayProcess(folder / "gateway", broker, influx.url, database, more)

    def pid(self) -> int:
        """Of the gateway's child."""
        assert self.gateway.process is not None
        (child,) = (
            Path(f"/proc/{self.gateway.process.pid}/task/{self.gateway.process.pid}/children").read_text().split()
        )
        return int(child)


@pytest.fixture
def pages(tmp_path: Path, broker: Mosquitto, influx: InfluxDB, influx_db: str) -> Cabinet:
    return Cabinet(tmp_path, broker, influx, influx_db)


def test_it_is_started_again_and_ends_with_the_gateway(pages: Cabinet) -> None:
    """Killed, it comes back, and the gateway has not noticed; it outlives neither an orderly end nor a kill."""
    with pages.gateway as gateway:
        wait_until(pages.there, SECONDS, "the console")
        assert os.getpriority(os.PRIO_PROCESS, pages.pid()) == min(os.getpriority(os.PRIO_PROCESS, 0) + NICE, 19)
        first = pages.pid()
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: pages.there() and pages.pid() != first, SECONDS, "the console again")
        assert gateway.get("/readyz")[0] == 200
        assert "the process console has ended with -9" in gateway.log
        second = pages.pid()
        gateway.kill()
        wait_until(lambda: not Path(f"/proc/{second}").exists(), SECONDS, "the end of the pages after a kill")
        gateway.start()
        wait_until(pages.there, SECONDS, "the console of the next")
        third = pages.pid()
        assert gateway.stop() == 0
        assert not Path(f"/proc/{third}").exists()
        assert "Traceback" not in gateway.log


def test_a_port_that_is_taken_is_said(pages: Cabinet) -> None:
    """And the gateway does its work without the pages."""
    with socket.create_server(("127.0.0.1", pages.port)), pages.gateway as gateway:
        wait_until(lambda: "the process console has ended with 1" in gateway.log, SECONDS, "the end of the console")
        assert f"console.listen: 127.0.0.1:{pages.port} cannot be used" in gateway.log
        assert gateway.get("/readyz")[0] == 200


def test_where_looking_takes_a_login(tmp_path: Path, broker: Mosquitto, influx: InfluxDB, influx_db: str) -> None:
    """Every page and interface is behind it, but for the form."""
    pages = Cabinet(tmp_path, broker, influx, influx_db, 'read = "login"\n')
    with pages.gateway as gateway:
        wait_until(pages.there, SECONDS, "the console")
        Users(gateway.folder / "data").add("ada", "correct horse battery", 0.0)
        interfaces = ("/cap/feed.atom", "/ngsi-ld/v1/types", "/sensorthings/v1.1/", "/reports", "/api/v1/openapi.json")
        for path in ("/", "/nodes", *interfaces):
            answer = pages.get(path)
            assert answer.status in (303, 401), path
            assert "riverside" not in answer.data.decode()
        token = (gateway.folder / "data" / "control.token").read_text().strip()
        for given, status in ((token, 200), (token[:-1], 401)):
            answer = pages.get("/api/v1/quantities", Authorization=f"Bearer {given}")
            assert answer.status == status
        with urllib3.PoolManager(retries=False) as pool:
            answer = pool.request(
                "POST",
                f"{pages.base}/login",
                fields={"name": "ada", "password": "correct horse battery", "to": "/nodes"},
                encode_multipart=False,
                redirect=False,
            )
        assert (answer.status, answer.headers["location"]) == (303, "/nodes")
        cookie = answer.headers["set-cookie"].partition(";")[0]
        inside = pages.get("/nodes", Cookie=cookie)
        assert inside.status == 200
