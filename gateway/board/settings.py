"""The node's config.json from what a person says, checked by the firmware itself.

The gateway never imports firmware: it runs the firmware's own check on the interpreter that the fleet runs on.
"""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from gateway.board.errors import SettingsError

_CHECK_S: Final = 20
_CHECK: Final = """
import sys, json
sys.path.insert(0, sys.argv[1])
from node import config
try:
    config.check(json.loads(sys.stdin.read()))
except config.ConfigError as error:
    print("refused", error)
else:
    print("taken")
"""

_TOP: Final = frozenset(
    ("window_s", "health_s", "ntp", "outbox_kib", "power_fail", "battery", "calibration"),
)
"""Keys of `--set` that stand at the top of config.json; others without a dot are the sensors'."""
_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}


def mqtt_of(url: str, user: str = "", password: str = "", tls: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The table `mqtt` from mqtt://host:port or mqtts://host:port; `tls` is its table of that name.

    Raises SettingsError.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise SettingsError(f"--broker {url}: {error}") from error
    if parts.scheme not in _PORTS or not host or parts.path not in ("", "/") or parts.username:
        raise SettingsError(f"--broker {url}: must be mqtt://HOST:PORT or mqtts://HOST:PORT")
    if (parts.scheme == "mqtts") != bool(tls):
        raise SettingsError(f"--broker {url}: mqtts:// needs an identity (--pki, --enrol or --cert), and that needs it")
    table: dict[str, Any] = {"host": host, "port": port or _PORTS[parts.scheme]}
    if tls:
        table["tls"] = dict(tls)
    if user:
        table["user"] = user
    if password:
        table["password"] = password
    return table


def apply(config: dict[str, Any], assignments: list[str]) -> None:
    """Set `key=value` in a configuration: a bare key is the sensors' or a well-known one, a dotted one a whole path.

    Values are JSON where they can be, else text. Raises SettingsError.
    """
    for assignment in assignments:
        key, found, text = assignment.partition("=")
        if not key or not found:
            raise SettingsError(f"--set {assignment}: must be KEY=VALUE, such as litres_per_pulse=10")
        path = key.split(".") if "." in key or key in _TOP else ["sensors", key]
        table = config
        for part in path[:-1]:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise SettingsError(f"--set {key}: {part} is no table")
        table[path[-1]] = _value(text)


def check(config: dict[str, Any], source: Path) -> None:
    """Ask the firmware below `source`. Raises SettingsError that names the key."""
    interpreter = Path(sys.executable).with_name("micropython")
    try:
        answer = subprocess.run(
            [str(interpreter), "-c", _CHECK, str(source)],
            input=msgspec.json.encode(config),
            capture_output=True,
            timeout=_CHECK_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return  # without the interpreter the board's own check, later, has to do
    said = answer.stdout.decode(errors="replace").strip()
    if said.startswith("refused "):
        raise SettingsError(f"the firmware refuses this configuration: {said.removeprefix('refused ')}")
    if said != "taken":
        raise SettingsError(f"the firmware cannot check the configuration: {answer.stderr.decode(errors='replace')}")


def _value(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
