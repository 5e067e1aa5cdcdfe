"""Marked secrets of every kind, in a gateway where all goes wrong: they are where they must be, and nowhere else."""

import base64
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import urllib3

from gateway.web.users import Users
from sim_hardware.servers import Mosquitto, free_port, wait_until
from tests.system.gateway_process import NOBODY, SECONDS, GatewayProcess
from tests.system.pages import Pages

KINDS = ("BROKER", "INFLUX", "MIRROR", "HOOK-KEY", "HOOK-TOKEN", "NTFY", "MAIL", "LOGIN", "USER", "TRIED")
MARKS = {kind: f"MARK-{kind}-{number * 7919 + 104_729}" for number, kind in enumerate(KINDS)}


class Echo(BaseHTTPRequestHandler):
    """Refuses everybody, and sends back what it was given: there are servers and proxies that do."""

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        said = "; ".join(f"{name}: {value}" for name, value in self.headers.items())
        body = f'{{"error": "not allowed: {said}"}}'.replace("\n", " ").encode()
        self.send_response(401)
        self.send_header("X-Influxdb-Version", "1.8.0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer

    def log_message(self, *_: object) -> None:
        """Tests need no log."""


@pytest.fixture
def echo() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def _forms() -> dict[str, bytes]:
    """Every form in which a secret goes out."""
    found = {}
    for kind, mark in MARKS.items():
        found[kind] = mark.encode()
        for words in (mark, f"gw:{mark}"):
            found[f"{kind} in base64 of {words[:3]}"] = base64.b64encode(words.encode()).rstrip(b"=")[:-1]
    return found


def test_no_secret_is_told_whatever_goes_wrong(tmp_path: Path, echo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("INFLUX", "HOOK-KEY", "NTFY"):
        monkeypatch.setenv(kind.replace("-", "_"), f"gw:{MARKS[kind]}" if kind == "INFLUX" else MARKS[kind])
    files = {}
    for kind in ("BROKER", "MIRROR", "HOOK-TOKEN", "MAIL"):
        files[kind] = tmp_path / "secret" / kind
        files[kind].parent.mkdir(exist_ok=True)
        files[kind].write_text(f"{MARKS[kind]}\n")
        files[kind].chmod(0o600)
    port = free_port()
    more = f"""
[console]
listen = "127.0.0.1:{port}"
read = "login"
[[mirror]]
name = "spare"
url = "{echo}"
token_file = "{files["MIRROR"]}"
[[notify]]
name = "hook"
via = "webhook"
url = "{echo}/in"
secret_env = "HOOK_KEY"
token_file = "{files["HOOK-TOKEN"]}"
[[notify]]
name = "push"
via = "ntfy"
topic = "t"
url = "{echo}"
token_env = "NTFY"
[[notify]]
name = "mail"
via = "email"
to = ["duty@city.example"]
from = "gw@city.example"
host = "127.0.0.1"
port = {NOBODY}
username = "gw"
password_file = "{files["MAIL"]}"
"""
    refusing = f"allow_anonymous false\npassword_file {tmp_path / 'passwords'}"
    (tmp_path / "passwords").touch(0o600)
    with Mosquitto(tmp_path / "broker", settings=refusing) as broker:
        gateway = GatewayProcess(tmp_path / "gateway", broker, echo, "city", more)
        text = gateway.config.read_text()
        text = text.replace("[influx]\n", '[influx]\ntoken_env = "INFLUX"\n')
        gateway.write_config(
            text.replace("[mqtt]\n", f'[mqtt]\nusername = "gw"\npassword_file = "{files["BROKER"]}"\n')
        )
        told = []
        try:
            gateway.start(ready=False)
            pages = Pages(f"http://127.0.0.1:{port}")
            wait_until(pages.there, SECONDS, "the console")
            Users(gateway.folder / "data").add("ada", MARKS["USER"], 0.0)
            for name, password in (("ada", MARKS["TRIED"]), (MARKS["LOGIN"], "x" * 12), ("ada", MARKS["USER"])):
                with urllib3.PoolManager(retries=False) as pool:
                    fields = {"name": name, "password": password}
                    answer = pool.request("POST", f"{pages.base}/login", fields=fields, redirect=False)
                    told.append(str(answer.headers))
            for target in ("hook", "push", "mail"):
                said = gateway.cli("notify", "test", target)
                told.append(said.stdout + said.stderr)
                assert said.returncode != 0, said.stdout
            for command in (("doctor", "--json"), ("query", "pm2_5"), ("influx", "setup", "--dry-run")):
                said = gateway.cli(*command)
                told.append(said.stdout + said.stderr)
            told += [gateway.get(path)[1] for path in ("/metrics", "/readyz")]
            assert "[secret]" in gateway.log + "".join(told), "the echo was heard"
            assert gateway.process is not None
            told.append(Path(f"/proc/{gateway.process.pid}/cmdline").read_text())
        finally:
            gateway.stop()
    everything = {f"what {number} tells": text.encode() for number, text in enumerate(told)}
    everything |= {
        str(path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.parent.name != "secret"
    }
    found = [(where, kind) for where, text in everything.items() for kind, form in _forms().items() if form in text]
    assert found == []
    assert "Traceback" not in gateway.log
