# Power for an emulated board: sets up its world, runs its main program, and tells the fleet how it fares.
#
# The records' layouts are told in sim_hardware/fleet/slots.py.

import time  # noqa: I001 - first of all: asyncio binds its clock when `time` imports it, and only then

import gc
import json
import os
import random
import struct
import sys

import flash
import names
import utime
from world import world

_RECORD = "<QIIIIII"
_WOUND = "<qqI"
_WOUND_SIZE = 20
_POWER_ON = 1
_DEEP_SLEEP = 4
_FOLDER = 0x4000
_JUNK = bytes(1024)
_JUNK_FILE = flash.ROOT + "/fill"
_TELL_MS = 100  # how often a board tells its time when nothing else has changed (real ms)
_BACKLOG = 8  # packs: a network as fast as life never has more of them on the way in a city as slow as life
_HOLD_MS = 10_000  # real ms without an acknowledgement, after which the broker is taken to be away


class Teller:
    """Writes the board's record when a count has changed, and now and then.

    It also holds the board's time while packs leave more slowly than a fast city makes them: a machine that is too slow
    for its city makes it late, and loses nothing of it while the broker acknowledges.
    """

    def __init__(self, path, slot, node, boot):
        self._file = open(path, "r+b")  # noqa: SIM115 - kept open for the life of the board
        self._at = slot * struct.calcsize(_RECORD)
        self._outbox, self._uplink = node.outbox, node.uplink
        self._boot = boot
        self._buffer = bytearray(struct.calcsize(_RECORD))
        self._before = 0, 0, 0  # acknowledged, dropped, connections of the same boot before it slept
        if world.reset_cause == _DEEP_SLEEP:
            self._file.seek(self._at)
            _, _, _, acked, _, dropped, connections = struct.unpack(_RECORD, self._file.read(len(self._buffer)))
            self._before = acked, dropped, connections
        self._told = -1
        self._told_at = 0
        self._acks = -1
        self._acked_at = 0

    def __call__(self):
        outbox = self._outbox
        # Each of these only grows, so their sum tells whether any has.
        sum_of_all = outbox.seq + outbox.acks + outbox.dropped + self._uplink.connections
        now = utime.ticks_ms()
        if outbox.acks != self._acks:
            self._acks, self._acked_at = outbox.acks, now
        if sum_of_all != self._told or world.held:
            world.held = world.speed > 1 and len(outbox) > _BACKLOG and utime.ticks_diff(now, self._acked_at) < _HOLD_MS
        if sum_of_all == self._told and utime.ticks_diff(now, self._told_at) < _TELL_MS:
            return
        self._told, self._told_at = sum_of_all, now
        acked, dropped, connections = self._before
        counts = outbox.seq, acked + outbox.acked, len(outbox), dropped + outbox.dropped
        counts += (connections + self._uplink.connections,)
        struct.pack_into(_RECORD, self._buffer, 0, world.now, self._boot, *counts)
        self._file.seek(self._at)
        self._file.write(self._buffer)


def _tell_time(path, slot):
    """What a board tells that wakes only to count: how far it has come."""
    file = open(path, "r+b")  # noqa: SIM115 - kept open for the life of the board

    def tell():
        file.seek(slot * struct.calcsize(_RECORD))
        file.write(struct.pack("<Q", world.now))

    return tell


class Wounds:
    """Does to the board what its record says: its real-time clock jumps, its flash is filled and emptied."""

    def __init__(self, path, slot):
        self._file = open(path, "r+b")  # noqa: SIM115 - kept open for the life of the board
        self._at = slot * _WOUND_SIZE
        self._buffer = bytearray(_WOUND_SIZE)
        self._full = False

    def __call__(self):
        self._file.seek(self._at)
        self._file.readinto(self._buffer)
        jump, done, full = struct.unpack(_WOUND, self._buffer)
        if jump != done:
            time.drift(jump - done)
            self._file.seek(self._at + 8)
            self._file.write(struct.pack("<q", jump))
        if full != self._full:
            self._full = full
            _fill() if full else _empty()


_TIDY = 1024  # bytes
_FIRMWARE = "main", "node", "sensors", "drivers", "boards"


def load(kind):
    """Load what every board of this kind does, before one begins: it is then in memory once for all of them."""
    gc.threshold(_TIDY)  # what stays lies together: a page that has room for a board's own things is soon its own
    names.learn()
    import loader  # noqa: F401
    import main  # noqa: F401
    import street
    from node import clock, node, setup  # noqa: F401

    street.load(kind)
    gc.threshold(-1)
    gc.collect()


_console = []  # what standard output and error are now: closed when nobody holds them


def enter(folder):
    """Be in the board's folder, and write to its console. Standard output and error have been closed."""
    os.chdir(folder)
    for _ in range(2):
        _console.append(open("console.log", "ab"))  # noqa: SIM115 - the lowest descriptors that are free


def _unload():
    """This board runs a firmware of its own."""
    for name in list(sys.modules):
        if name.split(".")[0] in _FIRMWARE:
            del sys.modules[name]


def on(cause):
    """Switch the board on in its folder, the current one; `cause` as `machine.reset_cause` will tell it.

    It begins as a board does: with the loader, which picks the firmware and runs it.
    """
    with open("emulation.json") as f:
        emulation = json.load(f)
    world.folder = os.getcwd()
    world.reset_cause = cause
    world.follow(emulation["pace"])
    if cause == _POWER_ON:
        _forget()
    if cause == _DEEP_SLEEP:
        import machine

        machine.woken()
        world.observer = _tell_time(emulation["slots"], emulation["slot"])
    _insert_flash()
    if "wounds" in emulation:
        world.wounds = Wounds(emulation["wounds"], emulation["slot"])
        world.wounds()
    random.seed(emulation["seed"] ^ world.now)  # boards that were forked from one would all draw the same
    if "slots.json" in os.listdir(flash.ROOT):
        _unload()

    # After the clock runs: what these import binds it.
    import loader

    start = loader._start

    def furnished():
        try:
            _furnish(emulation)
        except ImportError:
            pass  # the loader comes to the same end, and knows what to do then
        return start()

    loader._start = furnished
    loader.run()


def _insert_flash():
    """The board's flash; on one that is new is what was put into `insert`, as `ganglion flash` puts it on a board.

    It has its name once it is whole: that of a board which is killed before is made anew.
    """
    path = world.folder + "/flash.bin"
    if flash.is_there(path):
        flash.mount(path)
    else:
        fresh = path + ".new"
        if flash.is_there(fresh):
            os.remove(fresh)
        flash.mount(fresh)
        _copy(world.folder + "/insert", "")
        os.rename(fresh, path)
    _empty()


def _copy(source, target):
    for name, kind, *_ in os.ilistdir(source):
        if kind == _FOLDER:
            os.mkdir(target + name)
            _copy(source + "/" + name, target + name + "/")
        else:
            with open(source + "/" + name, "rb") as found, open(target + name, "wb") as copy:
                copy.write(found.read())


def _fill():
    """Something else, a log gone wild, leaves no block free."""
    try:
        with open(_JUNK_FILE, "wb") as f:
            while True:
                f.write(_JUNK)
    except OSError:
        pass  # now it is full


def _empty():
    try:
        os.remove(_JUNK_FILE)
    except OSError:
        pass  # nothing has filled it


def _furnish(emulation):
    """Hang the chips on the pins that the firmware knows of, and tell the fleet of the node that it builds."""
    import main
    import street
    from node import config as configuration
    from node import setup

    config = configuration.load()
    surroundings = street.Surroundings(emulation["feed"], emulation["places"], emulation["ring"], emulation["slot"])
    street.furnish(config["kind"], setup.board(config), surroundings, emulation["seed"])
    build = main.build

    def watched():
        node = build()
        world.observer = Teller(emulation["slots"], emulation["slot"], node, node.boot)
        return node

    main.build = watched


def _forget():
    """What RTC memory held is gone with the power."""
    try:
        os.remove("rtc.bin")
    except OSError:
        pass  # there was none
