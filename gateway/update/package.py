"""A package: a manifest and the archive it speaks of, in one file.

The file is the manifest as one line of JSON, then the archive. A node gets the manifest as a retained message, and asks
for the archive in pieces.
"""

import ast
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Self

import msgspec
from msgspec import Meta, Struct

from gateway.config import NAME
from gateway.files import replace
from gateway.update import archive
from gateway.update.compile import bytecode, compile_tree
from gateway.update.delegation import Delegation
from gateway.update.errors import UpdateError

VERSION_FILE: Final = "node/version.py"
MANIFEST_MAX: Final = 4096
"""Bytes; a node reads no more."""
_MOST_FILE_BYTES: Final = archive.MOST_BYTES + MANIFEST_MAX

Version = Annotated[str, Meta(pattern=r"^[0-9]{1,5}\.[0-9]{1,5}\.[0-9]{1,5}\Z")]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class Manifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a node decides by."""

    version: Version
    boards: Annotated[tuple[Annotated[str, Meta(pattern=rf"^{NAME}\Z")], ...], Meta(min_length=1, max_length=32)]
    """Names of boards as in their configuration."""
    mpy: Annotated[int, Meta(ge=1, le=255)]
    """Version of MicroPython's bytecode."""
    size: Annotated[int, Meta(ge=1, le=archive.MOST_BYTES)]
    """Of the archive, bytes."""
    needs: Annotated[int, Meta(ge=1, le=4 * archive.MOST_BYTES)]
    """Bytes of flash, unpacked."""
    sha256: Sha256
    """Of the archive."""
    signature: str = ""
    """Base64, over `signed_text`; empty before `ganglion update sign`."""
    by: Delegation | None = None
    """Of the key that has signed; None where that is the boards' `update.key` itself."""

    def signed_text(self) -> bytes:
        """Every field that counts, a line each. `firmware/node/manifest.py` makes the same."""
        text = (
            f"ganglion update 1\nversion {self.version}\nboards {' '.join(self.boards)}\nmpy {self.mpy}\n"
            f"size {self.size}\nneeds {self.needs}\nsha256 {self.sha256}\n"
        )
        return (text if self.by is None else f"{text}serial {self.by.serial}\n").encode()


class Package(Struct, frozen=True):
    """A manifest and its archive, which fit."""

    manifest: Manifest
    archive: bytes

    @classmethod
    def make(cls, files: Mapping[str, bytes], version: str, boards: tuple[str, ...]) -> Self:
        """Of compiled files, not signed yet. Raises UpdateError."""
        if "main.mpy" not in files:
            raise UpdateError("there is no main.py: give the folder of the firmware with --source")
        packed = archive.pack(files)
        fields = {
            "version": version,
            "boards": boards,
            "mpy": bytecode(files),
            "size": len(packed),
            "needs": archive.flash_bytes(files),
            "sha256": hashlib.sha256(packed).hexdigest(),
        }
        try:
            return cls(msgspec.convert(fields, Manifest), packed)
        except msgspec.ValidationError as error:
            raise UpdateError(f"{error}; a version is like 1.2.3, a board like esp32-devkit") from error

    @classmethod
    def of_source(cls, source: Path, boards: tuple[str, ...]) -> Self:
        """Compile and pack a firmware tree, whose version stands in node/version.py.

        Raises UpdateError, or ImageError when it does not compile.
        """
        return cls.make(compile_tree(source), source_version(source), boards)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Raises UpdateError when the bytes are no package or are damaged."""
        line, found, packed = data.partition(b"\n")
        try:
            manifest = msgspec.json.decode(line, type=Manifest)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UpdateError(f"it does not begin with a manifest: {error}") from error
        if not found or hashlib.sha256(packed).hexdigest() != manifest.sha256 or len(packed) != manifest.size:
            raise UpdateError("the archive is not the one that the manifest speaks of: the file is damaged")
        return cls(manifest, packed)

    def encode(self) -> bytes:
        return msgspec.json.encode(self.manifest) + b"\n" + self.archive

    @classmethod
    def load(cls, path: Path) -> Self:
        """Raises UpdateError that names the file."""
        try:
            with path.open("rb") as file:
                data = file.read(_MOST_FILE_BYTES + 1)
        except OSError as error:
            raise UpdateError(f"{path} cannot be read: {error.strerror}") from error
        try:
            return cls.decode(data)
        except UpdateError as error:
            raise UpdateError(f"{path} is no package of `ganglion update pack`: {error}") from error

    def save(self, path: Path) -> None:
        """Whole and on disk, or not at all. Raises UpdateError."""
        try:
            replace(path, self.encode())
        except OSError as error:
            raise UpdateError(f"{path} cannot be written: {error.strerror}") from error


def slot_mark(package: Package) -> tuple[str, bytes]:
    """(name, content) of the file that says that a slot is whole; it must be written last."""
    manifest = package.manifest
    return "slot.json", msgspec.json.encode({"version": manifest.version, "sha256": manifest.sha256})


def source_version(source: Path) -> str:
    """The VERSION of a firmware tree. Raises UpdateError."""
    path = source / VERSION_FILE
    try:
        module = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        raise UpdateError(f"{path} cannot be read: {error}; give the folder of the firmware with --source") from error
    for line in module.body:
        match line:
            case ast.Assign(targets=[ast.Name(id="VERSION")], value=ast.Constant(value=str(version))):
                return version
    raise UpdateError(f'{path} has no line VERSION = "1.2.3"')
