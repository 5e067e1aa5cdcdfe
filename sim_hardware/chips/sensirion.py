"""What Sensirion's I2C chips share: words of two bytes, each followed by a check byte."""


def crc8(data: bytes) -> int:
    """The check byte of a word: polynomial 0x31, start 0xFF (datasheet SCD4x 3.12)."""
    crc = 0xFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x31 if crc & 0x80 else crc << 1) & 0xFF
    return crc


def framed(words: "tuple[int, ...]", n: int, spoilt: bool) -> bytes:
    """The `n` bytes that a host reads of these words; beyond them the bus is high. `spoilt` check bytes are wrong."""
    out = bytearray()
    for word in words:
        pair = bytes((word >> 8, word & 0xFF))
        out += pair
        out.append(crc8(pair) ^ (1 if spoilt else 0))
    return bytes(out[:n]) + b"\xff" * (n - len(out))
