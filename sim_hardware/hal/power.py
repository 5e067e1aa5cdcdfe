# Power for an emulated board: sets up its world, runs its main program, and tells the fleet how it fares.
#
# The record's layout is told in sim_hardware/fleet/slots.py.

import time  # noqa: F401, I001 - first of all: asyncio binds its clock when `time` imports it, and only then

import asyncio
import json
import os
import struct

import utime
from world import world

_RECORD = "<QIIIIII"
_POWER_ON = 1
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
        self._told = -1
        self._told_at = 0
        self._acked = -1
        self._acked_at = 0

    def __call__(self):
        outbox = self._outbox
        # Each of these only grows, so their sum tells whether any has.
        sum_of_all = outbox.seq + outbox.acked + outbox.dropped + self._uplink.connections
        now = utime.ticks_ms()
        if outbox.acked != self._acked:
            self._acked, self._acked_at = outbox.acked, now
        world.held = world.speed > 1 and len(outbox) > _BACKLOG and utime.ticks_diff(now, self._acked_at) < _HOLD_MS
        if sum_of_all == self._told and utime.ticks_diff(now, self._told_at) < _TELL_MS:
            return
        self._told, self._told_at = sum_of_all, now
        counts = outbox.seq, outbox.acked, len(outbox), outbox.dropped, self._uplink.connections
        struct.pack_into(_RECORD, self._buffer, 0, world.now, self._boot, *counts)
        self._file.seek(self._at)
        self._file.write(self._buffer)


def on(cause):
    """Switch the board on in its folder, the current one; `cause` as `machine.reset_cause` will tell it."""
    with open("emulation.json") as f:
        emulation = json.load(f)
    world.reset_cause = cause
    world.follow(emulation["pace"])
    if cause == _POWER_ON:
        _forget()

    # After the clock runs: what these import binds it.
    import main
    import street
    from node import config as configuration

    config = configuration.load()
    board = main.board(config)
    surroundings = street.Surroundings(emulation["feed"], emulation["places"], emulation["ring"], emulation["slot"])
    street.furnish(config["kind"], board, surroundings, emulation["seed"])
    node = main.build(config)
    world.observer = Teller(emulation["slots"], emulation["slot"], node, node.boot)
    asyncio.run(node.run())


def _forget():
    """What RTC memory held is gone with the power."""
    try:
        os.remove("rtc.bin")
    except OSError:
        pass  # there was none
