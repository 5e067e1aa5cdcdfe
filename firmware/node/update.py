# Updates over the air: hears what is wanted, checks who signed it, fetches it piece by piece, fills the spare slot,
# restarts into it on trial, and keeps it once it has proved itself.
#
# The archive is never in memory: pieces are appended to `update.part`, and `update.json` says what that is part of. So
# a reset goes on where the last piece ended, and whatever ends in the middle leaves the firmware that runs untouched.

import asyncio
import json
import os

from node import slots
from node.judge import Settled, check, outdated
from node.manifest import MANIFEST_MAX, parse
from node.net import jittered, wire_sleep_ms
from node.version import VERSION

PIECE = 1024  # asked for at a time: more would need a larger hole in a splintered heap, twice
TRIAL_MS = 600_000  # of the board's time

_PART = "update.part"
_PART_OF = "update.json"
_FIRST_MS = 10_000  # a gateway that serves a thousand nodes is slow, not gone
_LONGEST_MS = 120_000
_SPOILED = 3  # archives fetched whole with a wrong hash, after which it is given up
_RESERVE = 32_768  # bytes of flash that an update leaves to everything else


class Updater:
    """`restart(reason)` is a coroutine function that ends this boot; `board` is the name in the configuration.

    The node runs `tasks`, and calls `confirm()` when it is connected and its broker has acknowledged a pack of this
    boot: that is the proof that a new firmware does its work.
    """

    def __init__(self, uplink, board, restart, log=print):
        self._uplink, self._board, self._restart, self._log = uplink, board, restart, log
        self._heard = None  # a manifest not looked at yet
        self._last = None  # the manifest last heard, for `retry`
        self._wanted = None  # a manifest that was checked, while it is followed
        self._news = asyncio.Event()
        self._proven = asyncio.Event()
        self._at = None  # offset of the piece that is asked for, of `_most` bytes
        self._most = 0
        self._piece = None
        self._arrived = asyncio.Event()
        self._report = None  # (version, state, reason) not told yet
        self._told = None
        self._more = asyncio.Event()
        self.tasks = (("update", self.run), ("update_report", self._reporting))
        uplink.hear("update", self._on_manifest)
        uplink.hear("update/piece", self._on_piece)
        uplink.on_connect.append(self._more.set)

    def confirm(self):
        """This firmware works."""
        self._proven.set()

    def on_trial(self):
        return slots.on_trial()

    def busy(self):
        """Whether the board must not sleep yet."""
        waits = self._heard is not None or self._wanted is not None or self._report is not None
        return waits or slots.on_trial()

    def retry(self):
        """Try again what failed before, because a person says so. Raises OSError when flash cannot be written."""
        if not slots.on_trial() and slots.state().get("bad"):
            slots.forgive()
        self._heard = self._last
        self._news.set()

    # Both handlers only keep what came: the task looks at it.

    def _on_manifest(self, payload):
        self._heard = self._last = bytes(payload[: MANIFEST_MAX + 1])
        self._news.set()
        self._arrived.set()  # a fetch under way looks up

    def _on_piece(self, payload):
        if self._at is None or self._piece is not None or not 0 < len(payload) - 4 <= self._most:
            return
        if payload[0] << 24 | payload[1] << 16 | payload[2] << 8 | payload[3] == self._at:
            self._piece = payload
            self._arrived.set()

    async def run(self):
        # A run that died, of a full heap or of anything else, left what it was at: it is looked at again.
        self._wanted = self._at = None
        self._heard = self._last
        if slots.on_trial():
            await self._prove()
        else:
            self._tell_of_the_past()
        while True:
            while self._wanted is None:
                if self._heard is None:
                    self._news.clear()
                    await self._news.wait()
                await self._look()
            manifest = self._wanted
            try:
                await self._follow(manifest)
            except ValueError as error:
                self._tell(manifest["version"], "refused", str(error))
                slots.reject(manifest["version"], manifest["sha256"], str(error))
                self._forget_part()
            except OSError as error:
                # The flash is full or broken. The manifest is heard again on the next connection.
                self._tell(manifest["version"], "refused", "flash: %r" % error)
                self._forget_part()
            finally:
                self._at = None
            if self._wanted is manifest:
                self._wanted = None

    async def _prove(self):
        version = slots.state().get("version") or VERSION
        self._tell(version, "trial", "")
        try:
            await asyncio.wait_for_ms(self._proven.wait(), TRIAL_MS)
        except asyncio.TimeoutError:
            await self._restart("update not confirmed")  # the loader counts, and goes back
            return
        slots.keep()
        self._tell(version, "kept", "")
        self._forget_part()

    def _tell_of_the_past(self):
        past = slots.state()
        if past.get("bad") and past.get("version"):
            self._tell(past["version"], past.get("end", "rolled_back"), past.get("why") or "")

    async def _look(self):
        """Judge the manifest that was heard; if it is to be followed it becomes `_wanted`."""
        text = self._heard
        await self._judge(text)
        if self._heard is text:  # else another one came meanwhile
            self._heard = None

    async def _judge(self, text):
        if text in (b"", b"{}"):  # taken back
            if self._wanted:
                self._tell(self._wanted["version"], "refused", "withdrawn")
                self._wanted = None
            return
        version = ""
        try:
            manifest = parse(text)
            version = manifest["version"]
            if self._wanted and manifest == self._wanted:
                return
            await check(manifest, self._board)
        except Settled as error:
            self._tell(version, error.args[0], error.args[1])
        except (ValueError, OSError) as error:
            self._log("update", "refused: %s" % error)
            self._tell(version, "refused", str(error))
        else:
            self._wanted = manifest
        if self._wanted and outdated(self._wanted):  # by what was heard now
            self._tell(self._wanted["version"], "refused", "by: its delegation has a successor")
            self._wanted = None

    async def _follow(self, manifest):
        """Fetch, unpack and restart. Returns when something else is wanted; raises ValueError when it is no good."""
        version, sha = manifest["version"], manifest["sha256"]
        spare = slots.spare()
        if slots.mark(spare).get("sha256") != sha:  # else power failed just before the trial was to begin
            self._claim_part(sha)
            lacking = self._lacking(manifest, spare)
            if lacking > 0:
                self._tell(version, "refused", "flash: %d KiB more must be free" % ((lacking + 1023) // 1024))
                return
            self._tell(version, "fetching", "")
            for _ in range(_SPOILED):
                if not await self._fetch(manifest):
                    return
                if await slots.sha256(_PART) == sha:
                    break
                self._forget_part()
                self._claim_part(sha)
            else:
                raise ValueError("sha256: what the gateway sent is something else")
            await slots.fill(spare, _PART, version, sha)
            self._forget_part()
        if self._heard is not None:  # while the slot was filled
            await self._look()
            if self._wanted is not manifest:
                slots.clear(spare)
                return
        self._tell(version, "ready", "")
        await self._say_report()
        slots.begin_trial(spare, version, sha)
        await self._restart("update")

    def _claim_part(self, sha):
        """`update.part` is of this archive, or is not there."""
        if slots.read(_PART_OF).get("sha256") != sha:
            slots.remove(_PART)
            slots.write(_PART_OF, {"sha256": sha})

    def _forget_part(self):
        slots.remove(_PART)
        slots.remove(_PART_OF)

    def _lacking(self, manifest, spare):
        """Bytes of flash that are missing."""
        block, _, _, free = os.statvfs(".")[:4]
        there = block * free + slots.used(spare, block) + _size(_PART)
        return manifest["size"] + manifest["needs"] + _RESERVE - there

    async def _fetch(self, manifest):
        """Append pieces until the archive is whole. False when it is not wanted any more."""
        size = manifest["size"]
        at = _size(_PART)
        if at > size:
            slots.remove(_PART)
            at = 0
        wait = _FIRST_MS
        while at < size:
            piece = await self._ask(manifest["sha256"], at, min(PIECE, size - at), wait)
            if self._heard is not None:
                await self._look()
                if self._wanted is not manifest:
                    return False
            if piece is None:
                wait = min(2 * wait, _LONGEST_MS)
                continue
            wait = _FIRST_MS
            with open(_PART, "ab") as part:
                part.write(memoryview(piece)[4:])
            at += len(piece) - 4
        return True

    async def _ask(self, sha, at, size, wait_ms):
        """The piece at an offset, or None when it does not come in time."""
        self._piece, self._at, self._most = None, at, size
        self._arrived.clear()
        alarm = asyncio.create_task(self._ring(jittered(wait_ms)))
        try:
            want = '{"sha256":"%s","at":%d,"size":%d}' % (sha, at, size)
            await self._uplink.say("update/want", want)
        except OSError:
            pass  # no connection now; the alarm is the pause before the next try
        try:
            await self._arrived.wait()
        finally:
            alarm.cancel()
            self._at = None
        piece, self._piece = self._piece, None
        return piece

    async def _ring(self, ms):
        await wire_sleep_ms(ms)
        self._arrived.set()

    def _tell(self, version, state, reason):
        report = version, state, reason[:200]
        if report != (self._report or self._told):
            self._log("update", "%s %s %s" % report)
            self._report = report
            self._more.set()

    async def _reporting(self):
        while True:
            await self._say_report()  # first: a run that died may have left one
            await self._more.wait()
            self._more.clear()

    async def _say_report(self):
        report = self._report
        if report is None:
            return
        version, state, reason = report
        text = json.dumps({"version": version, "state": state, "reason": reason})
        try:
            await self._uplink.say("update/reported", text, retain=True)
        except OSError:
            return  # on the next connection
        self._told = report
        if self._report is report:
            self._report = None


def _size(path):
    try:
        return os.stat(path)[6]
    except OSError:
        return 0
