"""Packages on offer: files in `data_dir/updates`, named by the hash of their archive."""

import contextlib
from collections import OrderedDict
from pathlib import Path
from typing import Final

from gateway.update.errors import UpdateError
from gateway.update.package import Manifest, Package

FOLDER: Final = "updates"
MOST_PACKAGES: Final = 16
"""Beyond these the oldest is forgotten; a node that still wants it waits until something newer is published."""
_IN_MEMORY: Final = MOST_PACKAGES
"""All: a node that asks for one after the other must not make us read and hash one for each piece."""


class Store:
    """May be used by the gateway and the command line at the same time: a file is there whole, or not."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / FOLDER
        self._loaded: OrderedDict[str, Package] = OrderedDict()

    def add(self, package: Package) -> list[Path]:
        """Keep a package; what was forgotten for it. Raises UpdateError when it cannot be written."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            package.save(self._path(package.manifest.sha256))
            by_age = sorted(self._folder.glob("*.update"), key=lambda path: path.stat().st_mtime_ns)
            forgotten = by_age[:-MOST_PACKAGES]
            for path in forgotten:
                path.unlink()
        except OSError as error:
            raise UpdateError(f"{self._folder} cannot be written: {error.strerror}") from error
        return forgotten

    def manifests(self) -> list[Manifest]:
        """Of the packages on offer, the newest first; one that is damaged is none."""
        found = []
        for path in self._folder.glob("*.update"):
            with contextlib.suppress(UpdateError, OSError):
                found.append((path.stat().st_mtime_ns, Package.load(path).manifest))
        return [manifest for _, manifest in sorted(found, key=lambda each: each[0], reverse=True)]

    def archive(self, sha256: str) -> bytes | None:
        """Of the package with this hash; None when it is not on offer or is damaged."""
        package = self._loaded.get(sha256)
        if package is None:
            try:
                package = Package.load(self._path(sha256))
            except UpdateError:
                return None
            if package.manifest.sha256 != sha256:
                return None
            self._loaded[sha256] = package
            if len(self._loaded) > _IN_MEMORY:
                self._loaded.popitem(last=False)
        self._loaded.move_to_end(sha256)
        return package.archive

    def _path(self, sha256: str) -> Path:
        return self._folder / f"{sha256}.update"
