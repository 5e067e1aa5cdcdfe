"""A gateway that issues identities, as a process of its own between a broker and nobody's database."""

import json
from pathlib import Path
from typing import Any, Self

import urllib3
from typer.testing import CliRunner

from gateway.cli.main import make_app
from sim_hardware.servers import wait_until
from tests.gateway.identified import Setting
from tests.system.gateway_process import NOBODY, GatewayProcess


class Whole(Setting):
    """With the broker and the gateway's process, from `with` on."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        more = f"{self.table}messages_per_s = 5.0\nburst = 50\nhold_minutes = 0.05\n"
        nowhere = f"http://127.0.0.1:{NOBODY}"
        self.gateway = GatewayProcess(
            folder / "gateway", self.city.broker, nowhere, "x", more=more, mqtt=self.city.mqtt()
        )

    def ganglion(self, *arguments: str) -> str:
        answer = CliRunner().invoke(make_app(), [*arguments, "--config", str(self.gateway.config)])
        assert answer.exit_code == 0, answer.exception
        return answer.output

    def token(self, node: str) -> str:
        said = self.ganglion("pki", "token", "--site", "riverside", "--node", node)
        token: str = json.loads("{" + said.splitlines()[1] + "}")["enrol"]["token"]
        return token

    def inventory(self, name: str) -> list[dict[str, Any]]:
        lines = map(json.loads, self.ganglion("pki", "inventory", "--json").splitlines())
        return [line for line in lines if line["name"] == name]

    def audited(self) -> list[dict[str, Any]]:
        folder = self.gateway.folder / "data" / "audit"
        return [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]

    def __enter__(self) -> Self:
        self.city.broker.start()
        try:
            self.gateway.start(ready=False)
            wait_until(lambda: self.gateway.get("/healthz")[0] == 200, 30, "the gateway")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self.gateway.process is not None:
            self.gateway.kill()
        self.city.broker.stop()

    def wait_for_enrolment(self) -> None:
        wait_until(self._answers, 30, "enrolment")

    def _answers(self) -> bool:
        try:
            with urllib3.PoolManager(retries=False, timeout=5, ca_certs=str(self.city.ca)) as pool:
                return pool.request("GET", f"{self.est}/cacerts").status == 200
        except urllib3.exceptions.HTTPError:
            return False
