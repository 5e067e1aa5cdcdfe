# The manifest of an update: what it must look like, and what its signature is over.

import json
from binascii import a2b_base64

MANIFEST_MAX = 4096
ARCHIVE_MAX = 1 << 20

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
        value = given.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= most:
            raise ValueError("%s: must be a whole number up to %d" % (key, most))
    try:
        given["signature"] = a2b_base64(given["signature"])
    except (KeyError, TypeError, ValueError):
        raise ValueError("signature: must be base64") from None
    return given


def signed_text(manifest):
    """What the signature is over: every field that counts, a line each, in this order."""
    return (
        "ganglion update 1\nversion %s\nboards %s\nmpy %d\nsize %d\nneeds %d\nsha256 %s\n"
        % (
            manifest["version"],
            " ".join(manifest["boards"]),
            manifest["mpy"],
            manifest["size"],
            manifest["needs"],
            manifest["sha256"],
        )
    ).encode()


def numbers(version):
    """ "1.2.3" as [1, 2, 3], to compare. Raises ValueError."""
    parts = version.split(".") if isinstance(version, str) else ()
    if len(parts) != 3 or not all(0 < len(part) < 6 and _all(part, _HEX[:10]) for part in parts):
        raise ValueError("version: must be like 1.2.3")
    return [int(part) for part in parts]


def _all(text, letters):
    return all(letter in letters for letter in text)
