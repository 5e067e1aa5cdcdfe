"""What the test button hears."""

from msgspec import Struct


class Answer(Struct, frozen=True):
    """Of a target to a test message."""

    taken: bool
    words: str
    """What it answered, or why there is no answer."""
