# Makes the interpreter know all names of the board's programs, before one begins.
#
# MicroPython keeps every name once, in tables each twice as long as the last; a name too many for one needs the next
# (py/qstr.c). On a board firmware fills 700 names at its start and 940 in the end, so the table that ends with the
# 1260th is there from the start. Here the emulation's names are in the same tables. So the 1260th came hours later,
# with a part that is loaded late, and the next table, of 14 KiB, found no room in a heap in use: a fault that no board
# has.

import os
import sys

HERE = __file__.rpartition("/")[0]  # the image

_FOLDER = 0x4000
_MAGIC = b"M\x06"


def learn(folder):
    """Of every .mpy file below `folder`."""
    for name, kind, *_ in os.ilistdir(folder):
        path = folder + "/" + name
        if kind == _FOLDER:
            learn(path)
        elif name.endswith(".mpy"):
            with open(path, "rb") as f:
                for each in _names(f.read()):
                    getattr(sys, each, None)  # a name that is looked up is kept


def _names(mpy):
    """The names that a compiled module brings. Raises ValueError when it is of another format (py/persistentcode.c)."""
    if mpy[:2] != _MAGIC:
        raise ValueError("not a .mpy file of version 6")
    count, at = _number(mpy, 4)
    _, at = _number(mpy, at)  # objects
    for _ in range(count):
        length, at = _number(mpy, at)
        if not length & 1:  # else it is one of those that every interpreter has
            length >>= 1
            yield str(mpy[at : at + length], "utf-8")
            at += length + 1


def _number(mpy, at):
    """A number, seven bits a byte, and where the next begins."""
    value = 0
    while True:
        byte = mpy[at]
        at += 1
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            return value, at
