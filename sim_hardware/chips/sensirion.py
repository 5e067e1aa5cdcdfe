"""What Sensirion's I2C chips share: words of two bytes, each followed by a check byte."""

from struct import pack

# What polynomial 0x31 makes of the upper half of a byte: the bitwise division, four bits at a time.
_HALVES = b"\x00\x31\x62\x53\xc4\xf5\xa6\x97\xb9\x88\xdb\xea\x7d\x4c\x1f\x2e"


def check(word: int) -> int:
    """The check byte of a word: polynomial 0x31, start 0xFF (datasheet SCD4x 3.12)."""
    crc = 0xFF ^ word >> 8
    crc = (crc << 4 & 0xFF) ^ _HALVES[crc >> 4]
    crc = (crc << 4 & 0xFF) ^ _HALVES[crc >> 4] ^ word & 0xFF
    crc = (crc << 4 & 0xFF) ^ _HALVES[crc >> 4]
    return (crc << 4 & 0xFF) ^ _HALVES[crc >> 4]


def crc8(pair: bytes) -> int:
    """The check byte of a word of two bytes."""
    return check(pair[0] << 8 | pair[1])


def framed(words: "tuple[int, ...]", n: int, spoilt: bool) -> bytes:
    """The `n` bytes that a host reads of these words; beyond them the bus is high. `spoilt` check bytes are wrong."""
    out = b""
    for word in words:
        out += pack(">HB", word, check(word) ^ spoilt)
    return out if len(out) == n else (out + b"\xff" * n)[:n]
