"""The exception tree.

    GanglionError
    ├── ConfigError     the installation is wrong: a person must mend a file
    ├── Refused         a pack cannot be taken: it becomes a dead letter
    ├── JournalFull     the journal has no room now: acknowledge nothing until it has
    └── TargetError     a database, or who is told of incidents, did not take what it was given
        ├── Passing     will likely succeed later, unchanged: wait and try again
        ├── Lasting     will fail until a person changes something: keep, say so, try seldom
        └── Poison      these very lines, or this message, will never be taken: isolate them, write the rest

Every message says what happened, to what, and what to do.
"""

import contextlib
from collections.abc import Iterator


class GanglionError(Exception):
    """Root of everything this project raises on purpose."""


class ConfigError(GanglionError):
    """A configuration that cannot be used; the message names file, key and cure."""


class Refused(GanglionError):
    """A message from a node that cannot be taken as a pack.

    `reason` is one of `REASONS` in `gateway.ingest.decode`; `detail` says what was found and what was expected.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class JournalFull(GanglionError):
    """The journal, or the disk below it, has no room. Nothing changed; the same call works once there is room."""


class TargetError(GanglionError):
    """A database did not take a batch, or somebody who is told of incidents a message."""


class Passing(TargetError):
    """Time heals it. `retry_after` is the server's own wish in seconds, if it named one."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Lasting(TargetError):
    """Only a person heals it: wrong token, missing database, a full disk, a series limit."""


class Poison(TargetError):
    """At least one line of the batch will never be taken.

    `rest_written` tells whether the server wrote the others (InfluxDB 1.x: "partial write").
    """

    def __init__(self, message: str, *, rest_written: bool) -> None:
        super().__init__(message)
        self.rest_written = rest_written


@contextlib.contextmanager
def ungrouped() -> Iterator[None]:
    """Raises what a TaskGroup in the block ended with as itself, where it is one of ours: a sentence for a person."""
    try:
        yield
    except BaseExceptionGroup as group:
        for each in group.exceptions:
            if isinstance(each, GanglionError):
                raise each from None
        raise
