"""Writes the bill of materials of what is delivered: CycloneDX 1.6, JSON.

It names the Python libraries that a gateway runs with, at the versions that are installed, and what a board carries:
each file of the firmware as it is compiled, and MicroPython. Tools of the tests are not in it. The same source and the
same libraries give the same bytes; SOURCE_DATE_EPOCH, if set, becomes its time (cyclonedx-py).

Example: .venv/bin/python gateway/setup/sbom.py --output dist/ganglion.cdx.json
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any, Final

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gateway.board.boards import MIN_MICROPYTHON
from gateway.update import archive
from gateway.update.compile import LOADER, compile_tree
from gateway.update.package import source_version

ROOT: Final = Path(__file__).resolve().parents[2]
FIRMWARE: Final = "ganglion-firmware"
MICROPYTHON: Final = "micropython"
_SPEC: Final = SchemaVersion.V1_6


def build(python: Path) -> dict[str, Any]:
    """Of the libraries in this Python's environment and of this source. Raises SystemExit when one is missing there."""
    made = subprocess.run(
        [
            *(sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible", "--no-validate"),
            *("--spec-version", _SPEC.to_version(), "--pyproject", str(ROOT / "pyproject.toml"), str(python)),
        ],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    bom: dict[str, Any] = json.loads(made.stdout)
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = required(wanted, _installed(python))
    bom["components"] = [each for each in bom["components"] if canonicalize_name(each["name"]) in names]
    for each in [*bom["components"], *bom["metadata"]["tools"]["components"]]:
        each.pop("externalReferences", None)  # its purl leads there; to check a thousand addresses takes many seconds
    kept = {each["bom-ref"]: canonicalize_name(each["name"]) for each in bom["components"]}
    root = bom["metadata"]["component"]["bom-ref"]
    direct = {canonicalize_name(Requirement(each).name) for each in wanted}
    edges = []
    for each in bom["dependencies"]:
        if each["ref"] == root:
            edges.append({"ref": root, "dependsOn": [FIRMWARE, *(ref for ref in kept if kept[ref] in direct)]})
        elif each["ref"] in kept:
            edges.append({**each, "dependsOn": [ref for ref in each.get("dependsOn", ()) if ref in kept]})
    bom["components"] += [firmware(ROOT / "firmware"), micropython()]
    bom["dependencies"] = [*edges, {"ref": FIRMWARE, "dependsOn": [MICROPYTHON]}, {"ref": MICROPYTHON}]
    return bom


def required(wanted: Iterable[str], installed: dict[str, Distribution]) -> set[str]:
    """The canonical names of all that these requirements lead to, extras that were asked for included."""
    found: set[str] = set()
    seen: set[tuple[str, str]] = set()
    waiting = [(Requirement(each), "") for each in wanted]
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        if name not in installed:
            raise SystemExit(f"{name} is not installed: run `make` first, so that all that is delivered is there")
        found.add(name)
        for each in {"", *requirement.extras}:
            if (name, each) not in seen:
                seen.add((name, each))
                waiting += [(Requirement(text), each) for text in installed[name].requires or ()]
    return found


def firmware(source: Path) -> dict[str, Any]:
    """What a slot of a board holds, and the loader. Its hash is that of the archive, as an update's manifest has it."""
    compiled = compile_tree(source)
    files = {**compiled, "main.py": (source / LOADER).read_bytes()}
    return {
        "type": "firmware",
        "bom-ref": FIRMWARE,
        "name": FIRMWARE,
        "version": source_version(source),
        "description": "The firmware of the sensor nodes, compiled; the hash is of the archive of an update.",
        "hashes": [_sha256(archive.pack(compiled))],
        "licenses": [{"license": {"id": "MIT"}}],
        "components": [
            {"type": "file", "bom-ref": f"{FIRMWARE}/{path}", "name": path, "hashes": [_sha256(content)]}
            for path, content in sorted(files.items())
        ],
    }


def micropython() -> dict[str, Any]:
    version = ".".join(map(str, MIN_MICROPYTHON))
    return {
        "type": "firmware",
        "bom-ref": MICROPYTHON,
        "name": "micropython",
        "version": version,
        "description": "Runs the firmware on a board: this version or a newer one, as it was chosen at flashing.",
        "licenses": [{"license": {"id": "MIT"}}],
        "purl": f"pkg:github/micropython/micropython@v{version}",
    }


def text(bom: dict[str, Any]) -> str:
    """As a file has it. Raises SystemExit when the schema does not allow it."""
    made = json.dumps(bom, indent=1, sort_keys=True) + "\n"
    if wrong := JsonStrictValidator(_SPEC).validate_str(made):
        raise SystemExit(f"this is no CycloneDX {_SPEC.to_version()}: {wrong}")
    return made


def _installed(python: Path) -> dict[str, Distribution]:
    said = subprocess.run(
        [python, "-c", "import json, sys; print(json.dumps(sys.path))"], check=True, capture_output=True, text=True
    )
    paths = [each for each in json.loads(said.stdout) if each]
    return {canonicalize_name(each.metadata["Name"]): each for each in distributions(path=paths)}


def _sha256(content: bytes) -> dict[str, str]:
    return {"alg": "SHA-256", "content": hashlib.sha256(content).hexdigest()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Writes the bill of materials, CycloneDX.")
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="whose libraries; this one's")
    parser.add_argument("--output", "-o", type=Path, required=True)
    options = parser.parse_args()
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(text(build(options.python)))
