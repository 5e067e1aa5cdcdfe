"""Nodes measure places, never people: the firmware has no way to hear whose phone or car is near.

Told by its text. It imports no radio but the Wi-Fi, and of that uses what it takes to be a station of one network:
nothing that looks for networks or devices, listens to what is others', or lets devices join.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.micropython import ROOT

FILES = sorted((ROOT / "firmware").rglob("*.py"))
RADIOS = {"bluetooth", "ubluetooth", "aioble", "espnow", "_espnow", "esp", "socket_raw", "lora", "nimble", "wifi"}
NETWORK = {"WLAN", "STA_IF"}
"""All that is used of the module."""
STATION = {"isconnected", "active", "disconnect", "connect", "status"}
"""All that is used of the station; `status` without a question, or for the signal of its own access point."""


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def imports(of: ast.AST) -> Iterator[str]:
    for each in ast.walk(of):
        if isinstance(each, ast.Import):
            yield from (name.name.partition(".")[0] for name in each.names)
        elif isinstance(each, ast.ImportFrom):
            yield (each.module or "").partition(".")[0]
        elif isinstance(each, ast.Call) and isinstance(each.func, ast.Name) and each.func.id == "__import__":
            # The kind of a node and the name of its board choose a module in a package of ours.
            named = each.args[0].left if isinstance(each.args[0], ast.BinOp) else each.args[0]
            assert isinstance(named, ast.Constant), ast.dump(each)
            yield str(named.value).partition(".")[0]


def faults(of: ast.AST) -> list[str]:
    """What of a file could hear others."""
    found = [f"imports {name}" for name in imports(of) if name in RADIOS]
    for each in ast.walk(of):
        if isinstance(each, ast.Attribute):
            of_what = ast.unparse(each.value)
            if of_what == "network" and each.attr not in NETWORK:
                found.append(f"network.{each.attr}")
            if of_what.rpartition(".")[2] in ("wlan", "_wlan") and each.attr not in STATION:
                found.append(f"{of_what}.{each.attr}")
            if each.attr in ("promiscuous", "sniff", "set_promiscuous", "sta_list", "stations", "AP_IF", "IF_AP"):
                found.append(f".{each.attr}")
        if (
            isinstance(each, ast.Call)
            and isinstance(each.func, ast.Attribute)
            and each.func.attr == "status"
            and each.args
        ):
            asked = ast.literal_eval(each.args[0]) if isinstance(each.args[0], ast.Constant) else "?"
            if asked != "rssi":
                found.append(f"status({asked})")
        if isinstance(each, ast.ImportFrom) and each.module == "network":
            found.append("from network import")
        if isinstance(each, ast.Constant) and each.value in RADIOS - {"wifi", "esp", "lora"}:
            found.append(f"names {each.value}")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_can_hear_whose_device_is_near(path: Path) -> None:
    assert faults(tree(path)) == []


def test_the_radio_is_in_one_file() -> None:
    """So that there is one place to look at."""
    assert [path.name for path in FILES if "network" in imports(tree(path))] == ["net.py"]
    assert len(FILES) > 50


@pytest.mark.parametrize(
    "text",
    [
        "import bluetooth",
        "from aioble import scan",
        "import network\nnetwork.WLAN(network.AP_IF)",
        "self._wlan.scan()",
        "wlan.status('stations')",
        "wlan.config('mac')",
        "from network import WLAN",
        "__import__('espnow')",
        "load('bluetooth')",
    ],
)
def test_the_look_finds_what_it_looks_for(text: str) -> None:
    assert faults(ast.parse(text))
    assert "bluetooth" not in sys.modules
