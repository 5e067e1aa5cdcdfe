"""Memory that processes share: an array in a file."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


def array(path: Path, dtype: npt.DTypeLike, shape: tuple[int, ...]) -> np.memmap[Any, np.dtype[Any]]:
    """A fresh file as an array of zeros. Its blocks are taken at once: one that the disk had not would end the process
    in the middle of a write. Raises OSError."""
    size = np.dtype(dtype).itemsize * int(np.prod(shape))
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)
    return np.memmap(path, dtype, "r+", shape=shape)
