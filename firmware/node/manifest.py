# The manifest of an update: what it must look like, and what its signatures are over.

import json
from binascii import a2b_base64

MANIFEST_MAX = 4096
ARCHIVE_MAX = 1 << 20
SERIAL_MAX = (1 << 31) - 1

_HEX = "0123456789abcdef"
_NAME = "abcdefghijklmnopqrstuvwxyz0123456789-"


def parse(text):
    """A manifest as a dict of the right types. Raises ValueError that says what is wrong with it."""
    if len(text) > MANIFEST_MAX:
        raise ValueError("manifest: more than %d bytes" % MANIFEST_MAX)
    try:
        given = json.loads(text)
    except (ValueError, MemoryError):  # a few KiB of "[" fill a heap
        raise ValueError("manifest: is not JSON") from None
    if not isinstance(given, dict):
        raise ValueError("manifest: is no object")
    version, boards, sha = given.get("version"), given.get("boards"), given.get("sha256")
    numbers(version)
    if not isinstance(boards, list) or not all(isinstance(each, str) and _all(each, _NAME) for each in boards):
        raise ValueError("boards: must be names of a-z, 0-9 and -")
    if not isinstance(sha, str) or len(sha) != 64 or not _all(sha, _HEX):
        raise ValueError("sha256: must be 64 hexadecimal digits")
    for key, most in (("mpy", 255), ("size", ARCHIVE_MAX), ("needs", 4 * ARCHIVE_MAX)):
        _whole(given, key, most)
    given["signature"] = _bytes(given, "signature")
    by = given.setdefault("by", None)
    if by is not None:
        if not isinstance(by, dict):
            raise ValueError("by: is no object")
        _whole(by, "serial", SERIAL_MAX)
        by["modulus"] = int.from_bytes(_bytes(by, "key"), "big")
        by["signature"] = _bytes(by, "signature")
    return given


def signed_text(manifest):
    """What the signature is over: every field that counts, a line each, in this order."""
    text = "ganglion update 1\nversion %s\nboards %s\nmpy %d\nsize %d\nneeds %d\nsha256 %s\n" % (
        manifest["version"],
        " ".join(manifest["boards"]),
        manifest["mpy"],
        manifest["size"],
        manifest["needs"],
        manifest["sha256"],
    )
    by = manifest["by"]
    return (text + "serial %d\n" % by["serial"] if by else text).encode()


def delegated_text(by):
    """What the anchor's signature of a delegation is over."""
    return ("ganglion update key 1\nserial %d\nkey %s\n" % (by["serial"], by["key"])).encode()


def numbers(version):
    """ "1.2.3" as [1, 2, 3], to compare. Raises ValueError."""
    parts = version.split(".") if isinstance(version, str) else ()
    if len(parts) != 3 or not all(0 < len(part) < 6 and _all(part, _HEX[:10]) for part in parts):
        raise ValueError("version: must be like 1.2.3")
    return [int(part) for part in parts]


def _whole(table, key, most):
    value = table.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= most:
        raise ValueError("%s: must be a whole number up to %d" % (key, most))


def _bytes(table, key):
    try:
        return a2b_base64(table[key])
    except (KeyError, TypeError, ValueError):
        raise ValueError("%s: must be base64" % key) from None


def _all(text, letters):
    return all(letter in letters for letter in text)
