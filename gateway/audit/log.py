"""The log on disk: segments in `data_dir/audit`, written by any program of this machine that acts on the installation.

Whoever writes holds the lock of the folder, so the chain has no fork. A line is on the disk when `record` returns. The
log is bounded: beyond `MOST_SEGMENTS` of `SEGMENT_BYTES` the oldest segment goes, and an entry `audit.dropped` says
which, how many entries it had and the hash of its last one, so that the rest is still proven.
"""

import contextlib
import errno
import fcntl
import logging
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from gateway.audit.entry import JSON, MOST_LINE, START, digest, line, read
from gateway.files import PRIVATE

log = logging.getLogger(__name__)

FOLDER: Final = "audit"
LOCK: Final = "lock"
PATTERN: Final = "audit-*.jsonl"
SEGMENT_BYTES: Final = 2**22
MOST_SEGMENTS: Final = 16
"""64 MiB in all: some 300,000 entries."""
ASIDE: Final = "aside-"
TORN: Final = "torn-"
"""Ends that a power cut left, before and after an entry tells of them."""
MOST_TORN: Final = 16
"""The oldest goes; its hash stays in the log."""
ITSELF: Final = "ganglion"
"""Who the log's own entries are by."""


class Place(Struct, frozen=True):
    """How far a log is."""

    entries: int
    """Lines written since it began, those that were dropped with them."""
    head: str
    """The hash of the last line."""


EMPTY: Final = Place(0, START)


def record(
    data_dir: Path,
    act: str,
    *,
    who: str,
    of: str = "",
    came: str = "",
    detail: Mapping[str, JSON] | None = None,
) -> Place:
    """Write one entry: on the disk, and part of the chain, when this returns how far the log is. The fields are those
    of `entry.Entry`.

    Safe from any thread and process. Raises OSError, with nothing written, where the log cannot be kept: who asked for
    the act is then told so, and the act is not done.
    """
    folder = data_dir / FOLDER
    with _locked(folder):
        newest, place = _mended(folder)
        if newest is None or newest.stat().st_size + MOST_LINE > SEGMENT_BYTES:
            newest, place = _turned(folder, newest, place)
        return _written(newest, place, act, who, of, came, detail or {})


def segments(data_dir: Path) -> list[Path]:
    """The oldest first; none where there is no log."""
    return sorted((data_dir / FOLDER).glob(PATTERN))


def place(data_dir: Path) -> Place:
    """How far the log is, as it lies there. Raises OSError."""
    for path in reversed(segments(data_dir)):
        found, _ = _end(path)
        if found != EMPTY:
            return found
    return EMPTY


def _written(path: Path, place: Place, act: str, who: str, of: str, came: str, detail: Mapping[str, JSON]) -> Place:
    data = line(place.entries + 1, time.time(), act, who, of, came, detail, place.head)
    with _opened(path, os.O_WRONLY | os.O_APPEND) as descriptor:
        before = os.fstat(descriptor).st_size
        try:
            if os.write(descriptor, data) != len(data):
                raise OSError(errno.ENOSPC, "only a part of an entry could be written", str(path))
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, before)  # the next one begins where this one did
            raise
    return Place(place.entries + 1, digest(data))


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    if not folder.is_dir():
        with contextlib.suppress(FileExistsError):
            folder.mkdir(0o700)
        _sync(folder.parent)
    with _opened(folder, os.O_RDONLY | os.O_DIRECTORY) as descriptor:
        _own(descriptor, folder.parent, 0o700)
    with _opened(folder / LOCK, os.O_RDWR | os.O_CREAT) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    """A descriptor. No link is followed: root writes here too, in a folder that is not root's."""
    descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE)
    try:
        if flags & os.O_CREAT:
            _own(descriptor, path.parent, PRIVATE)
        yield descriptor
    finally:
        os.close(descriptor)


def _own(descriptor: int, parent: Path, mode: int) -> None:
    """Give it to whom the folder around it belongs: root may have been the first to write, and the gateway goes on."""
    if os.geteuid() == 0:
        owner = parent.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
    if os.fstat(descriptor).st_uid == os.geteuid() or os.geteuid() == 0:
        os.fchmod(descriptor, mode)  # whatever the umask says


def _sync(folder: Path) -> None:
    with _opened(folder, os.O_RDONLY | os.O_DIRECTORY) as descriptor:
        os.fsync(descriptor)


def _end(path: Path) -> tuple[Place, int]:
    """How far a segment is, by the last line in it that is one, and the bytes up to that line's end."""
    with path.open("rb") as file:
        start = max(0, file.seek(0, os.SEEK_END) - 4 * MOST_LINE)
        file.seek(start)
        data = file.read()
    end = len(data)
    while (newline := data.rfind(b"\n", 0, end)) >= 0:
        begin = data.rfind(b"\n", 0, newline) + 1
        whole = data[begin : newline + 1]
        if (entry := read(whole)) is not None:
            return Place(entry.n, digest(whole)), start + newline + 1
        end = newline
    return EMPTY, 0


def _mended(folder: Path) -> tuple[Path | None, Place]:
    """The newest segment and how far the log is. What a power cut has left behind the last whole line is moved aside,
    and an entry says so, whenever the power fails again."""
    paths = sorted(folder.glob(PATTERN))
    if not paths:
        return None, EMPTY
    newest = paths[-1]
    found, whole = _end(newest)
    if newest.stat().st_size > whole:
        _move_aside(folder, newest, whole)
    if found == EMPTY and len(paths) > 1:  # it was just begun
        found, _ = _end(paths[-2])
    for aside in sorted(folder.glob(f"{ASIDE}*")):
        rest = aside.read_bytes()
        kept = folder / aside.name.replace(ASIDE, TORN, 1)
        log.warning("%s bytes at the end of %s were no whole entry: they are in %s", len(rest), newest, kept)
        detail: dict[str, JSON] = {"bytes": len(rest), "sha256": digest(rest), "moved_to": kept.name}
        found = _written(newest, found, "audit.torn", ITSELF, newest.name, "", detail)
        aside.rename(kept)
    for forgotten in sorted(folder.glob(f"{TORN}*"), key=lambda path: path.stat().st_mtime_ns)[:-MOST_TORN]:
        forgotten.unlink()
    return newest, found


def _move_aside(folder: Path, newest: Path, whole: int) -> None:
    """Everything from byte `whole` on. The same bytes have the same name: a power cut may come in between."""
    with _opened(newest, os.O_RDWR) as source:
        rest = os.pread(source, os.fstat(source).st_size - whole, whole)
        with _opened(folder / f"{ASIDE}{digest(rest)[:16]}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as target:
            if os.write(target, rest) != len(rest):
                raise OSError(errno.ENOSPC, "the torn end of the log could not be moved aside", str(newest))
            os.fsync(target)
        _sync(folder)
        os.ftruncate(source, whole)
        os.fsync(source)


def _turned(folder: Path, newest: Path | None, place: Place) -> tuple[Path, Place]:
    """A new segment; the oldest go where there are too many, once an entry says so."""
    number = int(newest.stem.rpartition("-")[2]) + 1 if newest else 1
    path = folder / f"audit-{number:08}.jsonl"
    with _opened(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL):
        _sync(folder)
    for oldest in sorted(folder.glob(PATTERN))[:-MOST_SEGMENTS]:
        last, _ = _end(oldest)
        with oldest.open("rb") as file:
            held = sum(1 for _ in file)
        detail: dict[str, JSON] = {"entries": held, "upto": last.entries, "head": last.head}
        place = _written(path, place, "audit.dropped", ITSELF, oldest.name, "", detail)
        oldest.unlink()
        _sync(folder)
    return path, place
