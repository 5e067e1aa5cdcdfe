"""Files that are on disk whole when a call returns, or not there at all."""

import logging
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

PUBLIC: Final = 0o644
PRIVATE: Final = 0o600
"""For their owner alone."""
OURS: Final = ("*.sqlite3*", "*.token", "*.pem", "*.lock")
"""What is in a data_dir, and nobody else's business."""


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


def stamp(*paths: Path) -> tuple[int, ...] | None:
    """Another when one of these files is; None while one is not there, as between removing and renaming."""
    try:
        found = [path.stat() for path in paths]
    except OSError:
        return None
    return tuple(number for each in found for number in (each.st_mtime_ns, each.st_size, each.st_ino))


def make_private(path: Path) -> None:
    """An empty file where there is none; for its owner alone either way, and so what SQLite puts beside it. Raises
    OSError."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE))
    shut(path)


def shut(path: Path) -> None:
    """Take from a file or folder of ours what others may do with it. Raises OSError."""
    status = path.stat()
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077 and not mode & stat.S_ISVTX and status.st_uid == os.geteuid():
        path.chmod(mode & 0o700)
        log.warning("%s was open to others of this machine; now it is its owner's alone", path)


def shut_folder(folder: Path) -> None:
    """The same for a data_dir and what older programs left open in it. Raises OSError."""
    shut(folder)
    for pattern in OURS:
        for path in folder.glob(pattern):
            if path.is_file() and not path.is_symlink():
                shut(path)


def create_folder(folder: Path, files: Mapping[str, bytes], secret: Callable[[str], bool]) -> None:
    """A folder that is there whole or not at all; names may have folders in them. Raises OSError; also when there is
    such a folder with anything in it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=".", dir=folder.parent))  # mode 0700
    try:
        for name, content in files.items():
            path = new / name
            if path.parent != new:
                path.parent.mkdir(exist_ok=True)
                path.parent.chmod(0o755)
            create(path, content, PRIVATE if secret(name) else PUBLIC)
        new.chmod(0o755)  # others must come to their files; what is secret is for its owner alone
        new.rename(folder)
    except OSError:
        shutil.rmtree(new, ignore_errors=True)
        raise
