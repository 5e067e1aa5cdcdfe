"""What goes wrong between a person and a board, as exit codes tell it.

The message says what happened, to what, and what to do.
"""

from typing import ClassVar

from gateway.errors import GanglionError


class FlashError(GanglionError):
    """A board was not brought to life. `code` is the program's exit code."""

    code: ClassVar[int] = 1


class PortError(FlashError):
    """There is no such serial port, or it cannot be opened."""

    code = 3


class BoardError(FlashError):
    """The board does not answer, or is another one than was said."""

    code = 4


class ImageFileError(FlashError):
    """The MicroPython image cannot be used for this board."""

    code = 5


class SettingsError(FlashError):
    """The firmware refuses the configuration."""

    code = 6


class TransferError(FlashError):
    """Something could not be written to the board."""

    code = 7


class NotReported(FlashError):
    """All is written, but the node was not heard of at the broker."""

    code = 8
