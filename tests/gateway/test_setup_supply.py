"""What the project is built of: pinned to the last one, listed for others, and audited honestly."""

import hashlib
import json
import re
import runpy
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import canonicalize_name

from gateway.update.package import Package
from tests.firmware.packages import FIRMWARE, VERSION, files

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SBOM = runpy.run_path(str(ROOT / "gateway/setup/sbom.py"))
PINNED = {
    canonicalize_name(name): version
    for name, _, version in (
        line.partition("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")
    )
}


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    bom: dict[str, Any] = SBOM["build"](Path(sys.executable))
    return bom


def test_every_dependency_is_pinned_to_the_version_that_is_installed() -> None:
    assert all(re.fullmatch(r"[0-9][0-9A-Za-z.+!]*", version) for version in PINNED.values()), "exactly, with =="
    project = PROJECT["project"]
    wanted = [
        *project["dependencies"],
        *(each for extra in project["optional-dependencies"].values() for each in extra),
    ]
    installed = SBOM["_installed"](Path(sys.executable))
    needed = SBOM["required"](wanted, installed) - {"pip"}  # which comes with Python's own venv
    assert {name: PINNED.get(name) for name in needed} == {name: installed[name].version for name in needed}


def test_the_bill_names_what_a_gateway_runs_with_and_no_tool_of_the_tests(made: dict[str, Any]) -> None:
    SBOM["text"](made)  # it is what the schema allows, or this ends the program
    assert made["specVersion"] == "1.6"
    libraries = {each["name"]: each for each in made["components"] if each["type"] == "library"}
    names = set(map(canonicalize_name, libraries))
    assert {"aiomqtt", "cryptography", "nicegui", "msgspec"} <= names
    assert not {"pytest", "hypothesis", "mypy", "cyclonedx-bom", "playwright"} & names
    for name, each in libraries.items():
        assert each["version"] == PINNED[canonicalize_name(name)]
        assert each["purl"].startswith("pkg:pypi/")
    references = {each["ref"] for each in made["dependencies"]}
    assert all(set(each.get("dependsOn", ())) <= references for each in made["dependencies"])


def test_the_bill_names_every_file_of_a_board_with_its_hash(made: dict[str, Any]) -> None:
    firmware = next(each for each in made["components"] if each["name"] == "ganglion-firmware")
    assert firmware["version"] == VERSION
    compiled = files()
    hashes = {each["name"]: each["hashes"][0]["content"] for each in firmware["components"]}
    loader = (FIRMWARE / "loader.py").read_bytes()
    on_board = {**compiled, "main.py": loader}
    # The tests' own version file is compiled in another place; all the rest is byte by byte what a board gets.
    del on_board["node/version.mpy"], hashes["node/version.mpy"]
    assert hashes == {path: hashlib.sha256(content).hexdigest() for path, content in on_board.items()}
    offered = Package.of_source(FIRMWARE, ("esp32-devkit",))
    assert firmware["hashes"][0]["content"] == offered.manifest.sha256, "by which a node names what it fetches"
    assert any(each["name"] == "micropython" for each in made["components"])


def test_the_same_source_gives_the_same_bill(made: dict[str, Any]) -> None:
    text: Callable[[dict[str, Any]], str] = SBOM["text"]
    first = text(made)
    assert text(SBOM["build"](Path(sys.executable))) == first
    assert not {"serialNumber", "timestamp"} & {*made, *made["metadata"]}
    assert str(ROOT) not in first
    assert sys.prefix not in first


def test_what_the_schema_does_not_allow_is_not_written(made: dict[str, Any]) -> None:
    with pytest.raises(SystemExit, match="no CycloneDX"):
        SBOM["text"]({**made, "components": [{"type": "nothing"}]})


SOUND = {"name": "a", "version": "1", "vulns": []}
KNOWN = {"name": "b", "version": "2", "vulns": [{"id": "GHSA-1", "fix_versions": ["3"], "aliases": []}]}
SKIPPED = {"name": "c", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("found", "code", "said"),
    [
        ([SOUND], 0, "1 of 1 pinned packages were audited; 0 have"),
        ([SOUND, KNOWN], 1, "b 2: GHSA-1, mended in 3"),
        ([SOUND, KNOWN, SKIPPED], 1, "c: not audited: not found"),
        ([SOUND, SKIPPED], 3, "1 of 2 pinned packages were audited"),
        ([], 3, "0 of 0"),
    ],
)
def test_an_audit_tells_what_it_found_and_what_it_could_not_look_up(
    found: list[dict[str, Any]], code: int, said: str
) -> None:
    audit = runpy.run_path(str(ROOT / "gateway/setup/audit.py"))
    result = audit["verdict"](json.dumps({"dependencies": found, "fixes": []}), "WARNING: something")
    assert result[0] == code
    assert said in result[1]


@pytest.mark.parametrize("said", ["", "nonsense", "[]", "{}"])
def test_an_audit_without_a_network_is_none(said: str) -> None:
    audit = runpy.run_path(str(ROOT / "gateway/setup/audit.py"))
    code, words = audit["verdict"](said, "Traceback\nConnectionError: no route to the service\n")
    assert code == 3
    assert words.startswith("no audit was made: ConnectionError: no route")
    assert "needs the network" in words
