"""What SQLite tells the disk, written down call by call: a layer over the file functions of this process's SQLite.

The layer sits in SQLite's own seam for it, the VFS (sqlite.org/vfs.html), and is put there with ctypes. So it needs
neither a debugger's rights nor a compiler, and what runs above it is the real `sqlite3` module with the real SQL.
Not seen is what does not go that way: the `-shm` file, which is shared memory and is made anew after a crash.
"""

import _sqlite3
import ctypes
from collections.abc import Callable
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_int64, c_void_p
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

from msgspec import Struct

CREATES_SYNCED: Final = 0x00000800 | 0x00004000 | 0x00080000
"""Kinds of files (SQLITE_OPEN_MAIN_JOURNAL, _SUPER_JOURNAL, _WAL) at whose first sync the folder is synced too."""


class Call(Struct, frozen=True):
    """One change, or one wait for the disk."""

    what: Literal["create", "write", "truncate", "sync", "sync_folder", "unlink", "done"]
    file: str = ""
    """Its name, without the folder."""
    at: int = 0
    """Of a write, its place in the file; of a truncation, the size left; of `done`, the step of the workload."""
    data: bytes = b""


_Read = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_Write = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_Truncate = CFUNCTYPE(c_int, c_void_p, c_int64)
_Sync = CFUNCTYPE(c_int, c_void_p, c_int)
_Open = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, POINTER(c_int))
_Delete = CFUNCTYPE(c_int, c_void_p, c_char_p, c_int)


class _Methods(Structure):
    """sqlite3_io_methods. What follows xSync is copied and not looked at."""

    _fields_: ClassVar[Any] = [
        ("version", c_int),
        ("close", c_void_p),
        ("read", c_void_p),
        ("write", c_void_p),
        ("truncate", c_void_p),
        ("sync", c_void_p),
        ("others", c_void_p * 13),
    ]


class _File(Structure):
    """The head of a sqlite3_file."""

    _fields_: ClassVar[Any] = [("methods", POINTER(_Methods))]


class _Vfs(Structure):
    """The head of a sqlite3_vfs."""

    _fields_: ClassVar[Any] = [
        ("version", c_int),
        ("file_size", c_int),
        ("longest_path", c_int),
        ("next", c_void_p),
        ("name", c_char_p),
        ("data", c_void_p),
        ("open", c_void_p),
        ("delete", c_void_p),
    ]


class DiskLog:
    """Writes down, until `end`, what changes the files of one folder. One in a process."""

    def __init__(self, folder: Path) -> None:
        """Raises RuntimeError where this Python's SQLite cannot be reached."""
        self.calls: list[Call] = []
        self._folder = folder.resolve()
        self._kept: list[object] = []
        self._methods: dict[int, tuple[_Methods, dict[str, Callable[..., int]]]] = {}
        self._files: dict[int, str] = {}
        self._new: set[str] = set()
        self._known: set[str] = set()
        """Files that are there, by what was written down."""
        try:
            find = ctypes.CDLL(_sqlite3.__file__).sqlite3_vfs_find
        except (AttributeError, OSError) as error:
            raise RuntimeError(f"this Python hides its SQLite, take another one, such as Debian's: {error}") from error
        find.restype, find.argtypes = POINTER(_Vfs), [c_char_p]
        self._vfs = vfs = find(None).contents
        self._were = vfs.open, vfs.delete
        self._open, self._delete = _Open(vfs.open), _Delete(vfs.delete)
        vfs.open = self._address(_Open(self._on_open))
        vfs.delete = self._address(_Delete(self._on_delete))

    def done(self, step: int) -> None:
        """The program above was told that a step has come to its end."""
        self.calls.append(Call("done", at=step))

    def end(self) -> None:
        """Take the layer away. No file of the folder may be open any more."""
        self._vfs.open, self._vfs.delete = self._were

    def _address(self, function: Any) -> int | None:
        self._kept.append(function)
        return ctypes.cast(function, c_void_p).value

    def _name(self, path: bytes | None) -> str | None:
        where = Path(path.decode()) if path else None
        return where.name if where is not None and where.parent.resolve() == self._folder else None

    def _on_open(self, vfs: int, path: int | None, file: int, flags: int, given: Any) -> int:
        text = ctypes.cast(path, c_char_p).value if path else None  # the pointer itself is SQLite's, and is handed on
        name = self._name(text)
        # One that is empty was made a moment ago for SQLite: for its owner alone, which SQLite cannot do.
        there = name is None or name in self._known or _holds_something(self._folder / name)
        code = self._open(vfs, path, file, flags, given)
        if code == 0 and name is not None:
            head = ctypes.cast(file, POINTER(_File)).contents
            head.methods = ctypes.pointer(self._layer(head.methods))
            self._files[file] = name
            self._known.add(name)
            if not there:
                self.calls.append(Call("create", name))
                if flags & CREATES_SYNCED:
                    self._new.add(name)
        return code

    def _layer(self, below: Any) -> _Methods:
        """One for each set of functions below, of which SQLite has a handful."""
        key = ctypes.addressof(below.contents)
        if key not in self._methods:
            mine = _Methods.from_buffer_copy(below.contents)
            under = {"write": _Write(mine.write), "truncate": _Truncate(mine.truncate), "sync": _Sync(mine.sync)}

            def write(file: int, data: int, size: int, at: int) -> int:
                self.calls.append(Call("write", self._files[file], at, ctypes.string_at(data, size)))
                return under["write"](file, data, size, at)

            def truncate(file: int, size: int) -> int:
                self.calls.append(Call("truncate", self._files[file], size))
                return under["truncate"](file, size)

            def sync(file: int, flags: int) -> int:
                code = under["sync"](file, flags)
                name = self._files[file]
                self.calls.append(Call("sync", name))
                if name in self._new:
                    self._new.discard(name)
                    self.calls.append(Call("sync_folder"))
                return code

            mine.write, mine.truncate = self._address(_Write(write)), self._address(_Truncate(truncate))
            mine.sync = self._address(_Sync(sync))
            self._methods[key] = mine, under
            self._methods[ctypes.addressof(mine)] = mine, under
        return self._methods[key][0]

    def _on_delete(self, vfs: int, path: bytes, sync_folder: int) -> int:
        code = self._delete(vfs, path, sync_folder)
        name = self._name(path)
        if code == 0 and name is not None:
            self._known.discard(name)
            self.calls.append(Call("unlink", name))
            if sync_folder:
                self.calls.append(Call("sync_folder"))
        return code


def _holds_something(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0
