"""The folder that a run keeps its files in: its own, or not used."""

import contextlib
import fcntl
import shutil
from collections.abc import Iterator
from pathlib import Path

from gateway.errors import GanglionError

MARK = "ganglion-run.json"
"""Says that a folder was made by a run, so that the next may empty it, and what is to be known about it."""
MADE = (
    "pki",
    "broker",
    "influx",
    "gateway",
    "gateway.log",
    "ganglion.toml",
    "plan.toml",
    "fleet",
    "truth.jsonl",
    "faults.jsonl",
)
"""All that a run puts into its folder beside the mark, and the next run deletes."""


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[Path]:
    """A folder without what runs make, this run's alone until the block ends.

    What an earlier run made in it is deleted, and what else somebody has put there is kept. A folder of a run that
    still goes on, or one in use that no run made, is refused with GanglionError.
    """
    if folder.exists() and not folder.is_dir():
        raise GanglionError(f"{folder} is a file: name a folder with --data")
    if ":" in str(folder.resolve()):
        raise GanglionError(f"{folder}: MicroPython takes the colon for the end of a path; name another with --data")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GanglionError(f"{folder} cannot be made: {error.strerror}; name another with --data") from error
    mark = folder / MARK
    if not mark.exists() and any(folder.iterdir()):
        raise GanglionError(f"{folder} is not empty and no earlier run made it: name another with --data")
    with locked(folder):
        try:
            for path in (folder / name for name in MADE):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
            mark.write_text("{}")
        except OSError as error:
            raise GanglionError(
                f"{error.filename} cannot be replaced: {error.strerror}; name another --data"
            ) from error
        yield folder.resolve()


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """This run's alone until the block ends. Raises GanglionError when it is another's, or cannot be written to."""
    try:
        lock = (folder / MARK).open("a")
    except OSError as error:
        raise GanglionError(f"{folder} cannot be used: {error.strerror}; name another with --data") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise GanglionError(f"{folder} belongs to a run that still goes on: name another with --data") from error
        yield
