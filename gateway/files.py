"""Files that are on disk whole when a call returns, or not there at all."""

import os
from pathlib import Path
from typing import Final

PUBLIC: Final = 0o644
PRIVATE: Final = 0o600
"""For their owner alone."""


def create(path: Path, content: bytes, mode: int = PUBLIC) -> None:
    """Raises OSError; FileExistsError rather than to replace a file."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)  # whatever the umask says
        file.write(content)
        file.flush()
        os.fsync(descriptor)


def replace(path: Path, content: bytes, mode: int = PUBLIC) -> None:
    """In place of what is there: whoever reads finds the old or the new. Raises OSError."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)  # of one who died over it
    create(new, content, mode)
    new.replace(path)
