"""The folder that a run keeps its files in: its own, or not used."""

import shutil
from pathlib import Path

from gateway.errors import GanglionError

MARK = "ganglion-run.json"
"""Says that a folder was made by a run, so that the next may empty it, and what is to be known about it."""


def claim(folder: Path) -> Path:
    """An empty folder. An earlier run's is emptied; anybody else's is refused with GanglionError."""
    if folder.exists() and not folder.is_dir():
        raise GanglionError(f"{folder} is a file: name a folder with --data")
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARK).exists():
            raise GanglionError(f"{folder} is not empty and no earlier run made it: name another with --data")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).write_text("{}")
    return folder.resolve()
