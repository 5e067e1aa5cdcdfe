# May an update be taken? Who has signed it, is it for this board, and is it newer than all that this board knows.
#
# `update.key` is the owner's anchor. It signs updates itself, or has delegated that to another key: then the manifest
# carries the anchor's word (`by`), which has a serial number. The highest one that was ever in use here is remembered
# in signer.json, outside of the slots: so a key that was lost or stolen is of no use once its successor was heard of,
# whichever slot runs. The anchor's fingerprint stands with it: a board that gets another anchor, by cable, begins anew.

import asyncio
import sys

from node import signature, slots
from node.files import ConfigError, load, write
from node.manifest import delegated_text, numbers, signed_text
from node.version import VERSION

SIGNER = "signer.json"


class Settled(Exception):
    """Nothing is to be done for a manifest: (state, reason) to report."""


async def check(manifest, board):
    """Raises Settled when there is nothing to do, ValueError when it must not be followed, OSError for a broken flash.

    The loop stands still while a signature is calculated, and goes on between two.
    """
    await _check_signer(manifest)
    if board not in manifest["boards"]:
        raise ValueError("boards: not for %s" % board)
    if manifest["mpy"] != sys.implementation._mpy & 0xFF:
        raise ValueError("mpy: needs another version of MicroPython")
    past = slots.state()
    if past.get("bad") == manifest["sha256"]:
        raise Settled(past.get("end", "rolled_back"), past.get("why") or "")
    slot = slots.running()
    if slot and slots.mark(slot).get("sha256") == manifest["sha256"]:
        # Whoever has changed the key sees by this who has heard of it.
        raise Settled("kept", "by delegation %d" % manifest["by"]["serial"] if manifest["by"] else "")
    if numbers(manifest["version"]) <= numbers(VERSION):
        raise ValueError("version: %s is not newer than %s" % (manifest["version"], VERSION))


def outdated(manifest):
    """Whether a manifest that was once good is of a delegation that has a successor, or nobody can tell any more."""
    by = manifest["by"]
    try:
        return by is not None and by["serial"] < newest(_anchor())
    except (ValueError, OSError):
        return True


def newest(anchor):
    """The highest serial number of a delegation by this anchor that was in use here; 0 without any.

    Raises ValueError when that is not known any more. The anchor's own updates are taken all the same.
    """
    try:
        known = load(SIGNER)
        whose, serial = known["anchor"] + "", known["serial"] + 0
    except OSError as error:
        if error.errno == 2:  # ENOENT
            return 0
        raise
    except (ConfigError, TypeError, KeyError):
        raise ValueError("by: %s is damaged, only the anchor itself is believed" % SIGNER) from None
    return serial if whose == _fingerprint(anchor) else 0


async def _check_signer(manifest):
    anchor = key = _anchor()
    by = manifest["by"]
    if by is not None:
        known = newest(anchor)
        if by["serial"] < known:
            raise ValueError("by: delegation %d has a successor, %d" % (by["serial"], known))
        if not signature.verify(anchor, delegated_text(by), by["signature"]):
            raise ValueError("by: delegation not made with the key of this board")
        key = by["modulus"]
        await asyncio.sleep_ms(0)
    if not signature.verify(key, signed_text(manifest), manifest["signature"]):
        whose = "of this board" if by is None else "of delegation %d" % by["serial"]
        raise ValueError("signature: not made with the key " + whose)
    # Only now: a delegation that nobody has used yet must not end the one before it.
    if by is not None and by["serial"] > known:
        write(SIGNER, {"anchor": _fingerprint(anchor), "serial": by["serial"]})


def _anchor():
    try:
        return signature.load_key()
    except OSError:
        raise ValueError("no update.key on this board") from None


def _fingerprint(modulus):
    return "%016x" % (modulus & 0xFFFFFFFFFFFFFFFF)
