"""A board's identity from a token to its end: the firmware on MicroPython, the gateway and the broker, all real."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from sim_hardware.servers import wait_until
from tests.firmware.board import Board
from tests.firmware.nodes import FOREVER
from tests.system.identities import Whole

NAME = "riverside/water-1"
HURRY = (
    '    uplink = __import__("node.uplink", None, None, ("",))\n'
    "    uplink._FIRST_MS, uplink._LONGEST_MS = 20, 60_000_000\n" + FOREVER
)
REFUSED = 'ganglion_broker_refused_total{kind="certificate"}'


def test_a_board_enrols_renews_and_is_kept_out(switch_on: Callable[..., Board], tmp_path: Path) -> None:
    with Whole(tmp_path / "whole") as whole:
        whole.wait_for_enrolment()
        shutil.copy(whole.city.authority.folder / "ca.der", tmp_path / "ca.der")
        (tmp_path / "identity").mkdir()
        enrol = {"url": f"https://localhost:{whole.enrol_port}", "token": whole.token("water-1")}
        tls = {"ca": "ca.der", "cert": "identity/cert.der", "key": "identity/key.der", "enrol": enrol}
        mqtt = {"host": "127.0.0.1", "port": whole.city.broker.port, "tls": tls}

        def used() -> list[str]:
            return [each["how"] for each in whole.inventory(NAME) if each["used"]]

        with switch_on("water", whole.city.broker.port, life=HURRY, window_s=3600, mqtt=mqtt):
            wait_until(lambda: used() == ["token"], 60, "its birth")
            assert "enrol" not in json.loads((tmp_path / "config.json").read_text())["mqtt"]["tls"]
            whole.ganglion("command", NAME, "renew")
            wait_until(lambda: used() == ["renewal"], 60, "its birth with a new certificate")
            before = whole.gateway.metric(REFUSED)
            whole.ganglion("pki", "revoke", NAME)
            wait_until(lambda: whole.gateway.metric(REFUSED) > before, 60, "its refusal")
            assert {line["state"] for line in whole.inventory(NAME)} == {"revoked"}
