"""The file system of an emulated board: firmware, chips and HAL, compiled as for a real board."""

import os
import platform
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gateway.update.compile import compile_file

ROOT = Path(__file__).resolve().parents[2]

_SOURCES = ("sim_hardware/hal", "firmware")
"""Whose files stand at the board's root."""

_EMULATION = tuple(ROOT / folder for folder in ("sim_hardware/hal", "sim_hardware/chips"))
_NATIVE = ("-march=x64", "-X", "emit=native") if platform.machine() in ("x86_64", "AMD64") else ()
"""What is no firmware is compiled for the host's processor, where the compiler knows it: it takes a sixth less time,
and no room in the board's heap."""


def build(folder: Path) -> Path:
    """Compile everything a board needs into `folder`, and return the path to give to MICROPYPATH.

    What was compiled is kept, and compiled again only when its source is newer. Raises ImageError.
    """
    wanted = {}
    for source in _SOURCES:
        for path in (ROOT / source).rglob("*.py"):
            wanted[path] = folder / path.relative_to(ROOT / source).with_suffix(".mpy")
    for path in (ROOT / "sim_hardware/chips").rglob("*.py"):
        wanted[path] = folder / path.relative_to(ROOT / "sim_hardware").with_suffix(".mpy")
    stale = [(source, target) for source, target in wanted.items() if not _fresh(source, target)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(_compile, *zip(*stale, strict=True))) if stale else None
    _forget(folder, set(wanted.values()))
    return folder


def _forget(folder: Path, wanted: set[Path]) -> None:
    """Remove what was compiled from a source that is gone: a board would still import it."""
    for orphan in set(folder.rglob("*.mpy")) - wanted:
        orphan.unlink()


def _fresh(source: Path, target: Path) -> bool:
    return target.exists() and target.stat().st_mtime > source.stat().st_mtime


def _compile(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    native = any(source.is_relative_to(folder) for folder in _EMULATION)
    target.write_bytes(compile_file(source, *(_NATIVE if native else ())))
