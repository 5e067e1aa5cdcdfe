"""Updates for the tests: the firmware as it is, with another version, and with files of a test's own in their place."""

import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from gateway.update import keys
from gateway.update.compile import compile_file, compile_tree
from gateway.update.delegation import Delegation
from gateway.update.package import VERSION_FILE, Package, source_version
from tests.micropython import ROOT

FIRMWARE = ROOT / "firmware"
VERSION = source_version(FIRMWARE)
BOARD = "esp32-devkit"
NEXT = "0.2.1"
"""Newer than VERSION."""


@cache
def key() -> RSAPrivateKey:
    """Who signs updates; the same one for the whole run."""
    return keys.generate()


@cache
def other_key() -> RSAPrivateKey:
    return keys.generate()


@cache
def signer(number: int = 1) -> RSAPrivateKey:
    """A signing key that `key()`, the anchor, may delegate to; another one for each number."""
    return keys.generate()


@cache
def delegation(serial: int, number: int | None = None) -> Delegation:
    """The anchor's word for `signer(number)`; by default each serial has a key of its own."""
    return keys.delegate(key(), serial, signer(serial if number is None else number).public_key())


@cache
def _firmware() -> dict[str, bytes]:
    return compile_tree(FIRMWARE)


def files(version: str = VERSION, replaced: Mapping[str, str] | None = None) -> dict[str, bytes]:
    """The compiled firmware with another version; `replaced` has sources by path, such as main.py."""
    sources = {VERSION_FILE: f'VERSION = "{version}"\n', **(replaced or {})}
    found = dict(_firmware())
    with TemporaryDirectory() as folder:
        for path, text in sources.items():
            source = Path(folder) / Path(path).name
            source.write_text(text)
            found[str(Path(path).with_suffix(".mpy"))] = compile_file(source)
    return found


def package(
    version: str = NEXT, replaced: Mapping[str, str] | None = None, boards: tuple[str, ...] = (BOARD,)
) -> Package:
    """Signed with `key()`."""
    return keys.sign(Package.make(files(version, replaced), version, boards), key())


def write_tree(folder: Path, found: Mapping[str, bytes]) -> None:
    """Put compiled files below a folder, which holds nothing else afterwards."""
    shutil.rmtree(folder, ignore_errors=True)
    for path, content in found.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
