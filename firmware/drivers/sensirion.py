# What Sensirion's I2C chips share: words of two bytes, each followed by a check byte.


def crc8(buffer, start, end):
    """Polynomial 0x31, start 0xFF (datasheet SCD4x 3.12): BE EF -> 92."""
    crc = 0xFF
    for i in range(start, end):
        crc ^= buffer[i]
        for _ in range(8):
            crc = (crc << 1 ^ 0x31 if crc & 0x80 else crc << 1) & 0xFF
    return crc


def word(buffer, index):
    """The index-th word. Raises ValueError when its check byte is wrong."""
    at = 3 * index
    if crc8(buffer, at, at + 2) != buffer[at + 2]:
        raise ValueError("check byte of word %d is wrong" % index)
    return buffer[at] << 8 | buffer[at + 1]


def put_word(buffer, at, value):
    """Write a word and its check byte from `buffer[at]` on."""
    buffer[at] = value >> 8
    buffer[at + 1] = value & 0xFF
    buffer[at + 2] = crc8(buffer, at, at + 2)
