"""Chips at the level of registers, frames and edges, each from its datasheet.

They run on CPython and, as package `chips`, on MicroPython beside the firmware; so they import nothing but each other.
Time and surroundings are handed in. An I2C chip has `address`, `write(data)` and `read(n)`, which raise OSError(19)
(ENODEV) where the chip would not acknowledge. A UART chip has `receive(data)`, `due_ms()` and `transmit(now_ms)`.
A device on pins has `levels()`, `next_us()` and `fire()`.
"""
