"""What the log says, for those who ask: all of it, what is new, and whether the chain holds."""

import contextlib
import fcntl
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from gateway.audit.entry import START, Entry, digest, read
from gateway.audit.log import FOLDER, LOCK, segments
from gateway.errors import ConfigError


class Head(Struct, frozen=True):
    """A head that has left the machine, as it is published."""

    head: str
    entries: int | None = None
    """How many there were up to it; None where only the hash was kept."""


class Fault(Struct, frozen=True):
    """A place where the chain does not hold."""

    where: str
    """File and line, or a head."""
    entry: int | None
    """Its number, where it says one."""
    why: str


class Verdict(Struct, frozen=True):
    entries: int
    """Up to the last one; those that were dropped count."""
    first: int
    """The number of the oldest that is kept; 0 where there is none."""
    head: str
    faults: tuple[Fault, ...]


def last_of(data_dir: Path, most: int, act: str = "", who: str = "", since: float = 0.0) -> list[Entry]:
    """The newest, the oldest of them first: of an act, or of all that begin so; of whom `who` is a part of the name;
    not before `since` (Unix seconds). What is no entry is left out. Raises ConfigError."""
    found: deque[Entry] = deque()
    try:
        for path in reversed(segments(data_dir)):
            with path.open("rb") as file:
                here = [entry for data in file if data.endswith(b"\n") and (entry := read(data)) is not None]
            for each in reversed(here):
                is_of = act in ("", each.act) or each.act.startswith(f"{act}.")
                if is_of and who in each.who and each.seconds >= since:
                    found.appendleft(each)
                if len(found) == most:
                    return list(found)
    except OSError as error:
        raise _unreadable(data_dir, error) from error
    return list(found)


def in_words(entry: Entry) -> str:
    """The detail in a line. Hashes of messages are for programs."""
    told = ((key, value) for key, value in entry.detail.items() if key != "messages")
    return " ".join(f"{key}={msgspec.json.encode(value).decode()}" for key, value in told)


class Follower:
    """Gives each entry once, also over the change to another file."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._path: Path | None = None
        self._offset = 0

    def new(self) -> Iterator[Entry]:
        """Those written since the last call; all to begin with. Raises OSError."""
        for path in segments(self._data_dir):
            if self._path is not None and path.name < self._path.name:
                continue
            if path != self._path:
                self._path, self._offset = path, 0
            with contextlib.suppress(FileNotFoundError), path.open("rb") as file:  # the oldest may go meanwhile
                file.seek(self._offset)
                for data in file:
                    if not data.endswith(b"\n"):
                        break
                    self._offset += len(data)
                    if (entry := read(data)) is not None:
                        yield entry


def verify(data_dir: Path, heads: Iterable[Head] = ()) -> Verdict:
    """Whether each line's `prev` is the hash of the line before it, and each head that of a line that is there still:
    then nothing up to it was changed, taken out or cut off. Raises ConfigError when the log cannot be read."""
    faults: list[Fault] = []
    last, before, first = 0, START, 0
    opening: tuple[str, Entry] | None = None
    dropped: dict[str, Any] = {}
    seen: dict[str, int] = {}
    wanted = {each.head for each in heads}
    for path, number, data in _lines(data_dir):
        where, entry, own = f"{path.name}:{number}", read(data), digest(data)
        if not data.endswith(b"\n"):
            faults.append(Fault(where, None, "is torn: by a power cut, or it was cut off"))
            continue
        if entry is None:
            faults.append(Fault(where, None, "is no entry"))
        elif not first:
            opening, first = (where, entry), entry.n
        elif why := _broken(entry, last, before):
            faults.append(Fault(where, entry.n, why))
        if entry is not None:
            last = entry.n
            if entry.act == "audit.dropped":
                dropped[str(entry.detail.get("head"))] = entry.detail.get("upto")
        before = own
        if own in wanted:
            seen[own] = last
    if opening is not None:
        where, entry = opening
        if (entry.n, entry.prev) != (1, START) and dropped.get(entry.prev) != entry.n - 1:
            faults.insert(
                0, Fault(where, entry.n, "the entries before it are gone, and none says that they were dropped")
            )
    faults += [fault for head in heads if (fault := _lost(head, seen, dropped, first))]
    return Verdict(last, first, before, tuple(faults))


def _broken(entry: Entry, last: int, before: str) -> str:
    """What is wrong between an entry and the one before it; empty where nothing is."""
    if entry.n != last + 1:
        return f"follows on entry {last}: those between were taken out, or put in"
    return "" if entry.prev == before else f"entry {last} is not what it was when this one was written"


def _lost(head: Head, seen: dict[str, int], dropped: dict[str, Any], first: int) -> Fault | None:
    if head.head in seen or head.head in dropped:
        n = seen.get(head.head, dropped.get(head.head))
        if head.entries in (None, n):
            return None
        return Fault(f"head {head.head}", n, f"is that of entry {n}, and was published as that of entry {head.entries}")
    if head.entries is not None and head.entries < first:
        why = f"is older than entry {first}, the first that is kept: it proves nothing any more"
    else:
        why = "is of no entry that is here: the end was cut off, or the log written anew"
    return Fault(f"head {head.head}", head.entries, why)


def heads(text: str) -> list[Head]:
    """Those in a file, or an argument: one a line, as 64 digits or as the message that was published. ConfigError."""
    found = []
    for each in filter(None, map(str.strip, text.splitlines())):
        try:
            head = msgspec.json.decode(each, type=Head) if each.startswith("{") else Head(each.lower())
        except msgspec.DecodeError as error:
            raise ConfigError(f"{each[:80]!r} is no head that was published: {error}") from error
        if len(head.head) != 64 or set(head.head) - set("0123456789abcdef"):
            raise ConfigError(f"{head.head[:80]!r} is no head: that is 64 hexadecimal digits, as `ganglion audit head`")
        found.append(head)
    return found


def _lines(data_dir: Path) -> Iterator[tuple[Path, int, bytes]]:
    """(file, number of the line in it, its bytes), while nobody writes. Raises ConfigError."""
    try:
        with _still(data_dir):
            for path in segments(data_dir):
                with path.open("rb") as file:
                    for number, data in enumerate(file, 1):
                        yield path, number, data
    except OSError as error:
        raise _unreadable(data_dir, error) from error


def _unreadable(data_dir: Path, error: OSError) -> ConfigError:
    return ConfigError(f"{data_dir / FOLDER} cannot be read: {error.strerror}; run this as the gateway's user")


@contextlib.contextmanager
def _still(data_dir: Path) -> Iterator[None]:
    path = data_dir / FOLDER / LOCK
    if not path.parent.is_dir():
        yield
        return
    file: Any
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield
