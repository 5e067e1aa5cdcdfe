# Makes the interpreter know all names of the board's programs, before one begins.
#
# MicroPython keeps every name once, in tables each twice as long as the last; a name too many for one needs the next
# (py/qstr.c). On a board firmware fills 700 names at its start and 940 in the end, so the table that ends with the
# 1260th is there from the start. Here the emulation's names are in the same tables. So the 1260th came hours later,
# with a part that is loaded late, and the next table, of 14 KiB, found no room in a heap in use: a fault that no board
# has.

import gc
import os
import sys

_IMAGE = __file__.rpartition("/")[0]
_FOLDER = 0x4000
_MAGIC = b"M\x06"


def learn(folder=_IMAGE):
    """Of every .mpy file below `folder`; the board's whole image, if it is not told."""
    for name, kind, *_ in os.ilistdir(folder):
        path = folder + "/" + name
        if kind == _FOLDER:
            learn(path)
        elif name.endswith(".mpy"):
            with open(path, "rb") as f:
                for each in _names(f):
                    getattr(sys, each, None)  # a name that is looked up is kept
            gc.collect()  # what is kept lies together, instead of in splinters all over the heap


def _names(f):
    """The names that a compiled module brings. Raises ValueError when it is of another format (py/persistentcode.c)."""
    if f.read(4)[:2] != _MAGIC:
        raise ValueError("not a .mpy file of version 6")
    count, _objects = _number(f), _number(f)
    for _ in range(count):
        length = _number(f)
        if not length & 1:  # else it is one of those that every interpreter has
            yield str(f.read(length >> 1), "utf-8")
            f.read(1)


def _number(f):
    """Seven bits a byte."""
    value = 0
    while True:
        byte = f.read(1)[0]
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            return value
