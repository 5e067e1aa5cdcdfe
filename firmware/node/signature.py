# Is an update signed by whoever owns this board? RSA PKCS#1 v1.5 with SHA-256 (RFC 8017 §8.2.2), 3072 bits, e = 65537.
#
# MicroPython has no signature check, but `pow` with a modulus on big integers. What the signature opens to is compared
# with the one encoding that is right, byte by byte. Nothing of it is parsed: that is where other checks were fooled.

import hashlib

BYTES = 384
_EXPONENT = 65_537
# DER of DigestInfo { sha256, NULL } up to the digest itself (RFC 8017 §9.2, note 1).
_DIGEST_INFO = b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20"


def load_key(path="update.key"):
    """The public modulus, which the file holds as hexadecimal digits. Raises OSError without it, ValueError if bad."""
    with open(path) as f:
        text = f.read(2 * BYTES + 8).strip()
    if len(text) != 2 * BYTES:
        raise ValueError("update.key must be %d hexadecimal digits" % (2 * BYTES))
    modulus = int(text, 16)
    if not modulus >> (8 * BYTES - 1) or not modulus & 1:
        raise ValueError("update.key is no modulus of %d bits" % (8 * BYTES))
    return modulus


def verify(modulus, message, signature):
    """Whether `signature` (bytes) over `message` (bytes) was made with the key of this modulus.

    Needs 4 KiB of heap. The loop stands still meanwhile: 2 ms on a PC, some tenths of a second on an ESP32 (estimated).
    """
    if len(signature) != BYTES:
        return False
    s = int.from_bytes(signature, "big")
    if s >= modulus:
        return False
    tail = _DIGEST_INFO + hashlib.sha256(message).digest()
    expected = b"\x00\x01" + b"\xff" * (BYTES - 3 - len(tail)) + b"\x00" + tail
    return pow(s, _EXPONENT, modulus).to_bytes(BYTES, "big") == expected
