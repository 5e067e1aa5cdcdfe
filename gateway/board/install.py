"""What goes on a board, and in which order, so that a cable that is pulled at any moment leaves nothing half-started.

A slot without its mark (slot.json) is not started by the loader. So the mark goes first and comes back last, and
between that lies everything else; the loader itself, /main.py, comes at the very end.
"""

import hashlib
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from gateway.board.errors import SettingsError, TransferError
from gateway.board.identity import PATHS, RENEWED
from gateway.board.remote import HASH, SLOT, Look, Remote
from gateway.update.compile import LOADER
from gateway.update.package import Package, slot_mark

_MAIN: Final = "main.py"
_CONFIG: Final = "config.json"
_RESERVE: Final = 64 << 10
"""Bytes of flash that are left to the outbox and the rest."""
_BLOCK: Final = 4096

# Removes what is not wanted any more and makes the folders. Told what by lists in front of it.
_PREPARE = """
import os
def remove(path):
 try: os.remove(path)
 except OSError as e:
  if e.errno != 2: raise
def clear(path):
 try: entries = list(os.ilistdir(path))
 except OSError: return
 for e in entries:
  p = path + "/" + e[0]
  if e[1] == 0x4000: clear(p)
  else: os.remove(p)
 os.rmdir(path)
remove(SLOT + "/slot.json")
for p in ("b/slot.json", "slots.json", "update.part", "update.json"): remove(p)
clear("b")
for p in GONE: remove(p)
for p in FOLDERS:
 try: os.mkdir(p)
 except OSError as e:
  if e.errno != 17: raise
print("GANGLION done")
"""

# Reads back what was written, lets the firmware look at its configuration, and only then makes the slot valid. The
# reset that follows is no crash, and those before are forgotten: the node is told so.
_FINISH = (
    HASH
    + """
import os, sys, json
def check():
 for path, wanted in HASHES.items():
  try:
   if sha(path) != wanted: return {"damaged": path}
  except OSError: return {"damaged": path}
 root = os.getcwd().rstrip("/")
 sys.path[:] = [root + "/" + SLOT] + [p for p in sys.path if p not in ("", root)]
 from node import config, setup
 try:
  setup.check(config.load("config.json.new"))
 except config.ConfigError as e:
  return {"refused": str(e)}
 return {}
found = check()
if not found:
 os.rename("config.json.new", "config.json")
 for path, text in (("slots.json", STATE), (SLOT + "/slot.json", MARK)):
  with open(path + ".new", "w") as f: f.write(text)
  os.rename(path + ".new", path)
 os.rename("main.py.new", "main.py")
 from node.crumbs import Crumbs
 from node.scratch import Scratch
 crumbs = Crumbs(Scratch(), 1)
 crumbs.well()
 crumbs.restarting("flash")
print("GANGLION " + json.dumps(found))
"""
)


class Load(Struct, frozen=True):
    """All that belongs on a board. `files` are by path; the firmware is in a slot."""

    package: Package
    firmware: dict[str, bytes]
    """Below the slot."""
    loader: bytes
    config: dict[str, Any]
    extra: dict[str, bytes]
    """Identity and keys, from the root."""

    @property
    def bytes(self) -> int:
        return sum(map(len, self.firmware.values()))


class Done(Struct, frozen=True):
    written: int
    unchanged: int
    removed: int
    bytes: int


def make_load(
    files: dict[str, bytes], version: str, source: Path, board: str, config: dict[str, Any], extra: dict[str, bytes]
) -> Load:
    """Of a compiled firmware tree. Raises UpdateError when it is none."""
    return Load(Package.make(files, version, (board,)), files, (source / LOADER).read_bytes(), config, extra)


def install(remote: Remote, look: Look, load: Load, on_part: Callable[[float], None]) -> Done:
    """Raises TransferError, or SettingsError when the firmware on the board refuses its configuration."""
    wanted = {f"{SLOT}/{path}": content for path, content in load.firmware.items()}
    changed = {path: content for path, content in wanted.items() if look.files.get(path) != _sha(content)}
    gone = [path for path in look.files if path not in wanted and path != f"{SLOT}/slot.json"]
    # Written anew whatever was there: they are small, and make the board what it is.
    always = {f"{_CONFIG}.new": msgspec.json.encode(load.config), f"{_MAIN}.new": load.loader, **load.extra}
    to_write = changed | always
    _check_room(look, to_write)

    stale = RENEWED if PATHS["cert"] in load.extra else ()
    folders = sorted({parent for path in [*wanted, *always] for parent in _parents(path)})
    remote.execute(f"SLOT={SLOT!r}; GONE={[*gone, *stale]!r}; FOLDERS={folders!r}\n{_PREPARE}")
    _copy(remote, to_write, on_part)
    hashes = {path: _sha(content) for path, content in (wanted | always).items()}
    state = msgspec.json.encode({"active": SLOT, "trial": None, "tries": 0}).decode()
    mark = slot_mark(load.package)[1].decode()
    answer = msgspec.json.decode(
        remote.execute(f"SLOT={SLOT!r}; STATE={state!r}; MARK={mark!r}; HASHES={hashes!r}\n{_FINISH}")
    )
    if "damaged" in answer:
        raise TransferError(f"{answer['damaged']} is not on the board as it was sent: give the command again")
    if "refused" in answer:
        raise SettingsError(f"the firmware on the board refuses this configuration: {answer['refused']}")
    return Done(len(to_write), len(wanted) - len(changed), len(gone), sum(map(len, to_write.values())))


def _copy(remote: Remote, files: Mapping[str, bytes], on_part: Callable[[float], None]) -> None:
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        on_part(done / len(files))

    with tempfile.TemporaryDirectory() as name:
        groups: dict[str, list[str]] = {}
        for path, content in sorted(files.items()):
            local = Path(name, path)
            local.parent.mkdir(parents=True, exist_ok=True)
            local.write_bytes(content)
            groups.setdefault(path.rpartition("/")[0], []).append(str(local))
        remote.copy(list(groups.items()), count)


def _check_room(look: Look, files: Mapping[str, bytes]) -> None:
    """What is replaced is not reckoned as free: littlefs writes the new before it forgets the old."""
    needed = sum(-(-len(content) // _BLOCK) * _BLOCK for content in files.values()) + _RESERVE
    if needed > look.free:
        raise TransferError(
            f"the board's file system has {look.free >> 10} KiB free, {needed >> 10} KiB are needed: "
            "remove what is not needed, or begin anew with --erase and --image"
        )


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: i + 1]) for i in range(len(parts))]


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
