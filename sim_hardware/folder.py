"""The folder that a run keeps its files in: its own, or not used."""

import contextlib
import fcntl
import shutil
from collections.abc import Iterator
from pathlib import Path

from gateway.errors import GanglionError

MARK = "ganglion-run.json"
"""Says that a folder was made by a run, so that the next may empty it, and what is to be known about it."""


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[Path]:
    """An empty folder, this run's alone until the block ends.

    An earlier run's is emptied. One of a run that still goes on, or of anybody else, is refused with GanglionError.
    """
    if folder.exists() and not folder.is_dir():
        raise GanglionError(f"{folder} is a file: name a folder with --data")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GanglionError(f"{folder} cannot be made: {error.strerror}; name another with --data") from error
    mark = folder / MARK
    if not mark.exists() and any(folder.iterdir()):
        raise GanglionError(f"{folder} is not empty and no earlier run made it: name another with --data")
    with locked(folder):
        for path in folder.iterdir():
            if path != mark:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        mark.write_text("{}")
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
