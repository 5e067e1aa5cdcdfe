"""The time that a chip is handed, and how a chip says no."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

ENODEV = 19


class Clock:
    """Running milliseconds, moved by the test alone."""

    def __init__(self, ms: int = 0) -> None:
        self.ms = ms

    def __call__(self) -> int:
        return self.ms


@contextmanager
def not_acknowledged() -> Iterator[None]:
    """The chip must leave the bus alone: MicroPython makes OSError(19) of it."""
    with pytest.raises(OSError, match=rf"^{ENODEV}$"):
        yield
