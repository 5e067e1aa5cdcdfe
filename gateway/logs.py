"""How the gateway's log looks: for a person, for a machine, and with priorities when it goes to systemd's journal."""

import logging
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Literal

import msgspec

from gateway.secret import redacted

Format = Literal["text", "json"]


def printable(text: str) -> str:
    """What a node, a server or a file says, for a terminal or one line of a log: it must not steer the one nor begin
    another of the other, so what is no character to see is escaped."""
    return text if text.isprintable() else "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


TEXT: Final = "%(levelname)s %(name)s: %(message)s"
_PRIORITIES: Final = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
"""Levels as syslog numbers them (RFC 5424, table 2); below all of them it is 7, debug."""


class TextFormatter(logging.Formatter):
    """A line, without secrets and without signs that steer a terminal; below it a traceback, where there is one."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = printable(redacted(record.message))
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:
        return "\n".join(map(printable, redacted(super().formatException(ei)).split("\n")))


class JsonFormatter(logging.Formatter):
    """One object on one line. `time` is RFC 3339 in UTC; `exception` is there when there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redacted(record.getMessage()),
        }
        if record.exc_info:
            line["exception"] = redacted(self.formatException(record.exc_info))
        return msgspec.json.encode(line).decode()


class PriorityFormatter(logging.Formatter):
    """Puts `<4>` and the like before each line of another formatter's, which the journal takes off again."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        mark = next((f"<{number}>" for level, number in _PRIORITIES if record.levelno >= level), "<7>")
        return mark + self._inner.format(record).replace("\n", f"\n{mark}")


def set_up(form: Format, level: int, environ: Mapping[str, str] = os.environ) -> None:
    """Send everything from `level` on to standard error, and what ends the process by surprise too."""
    journald = goes_to_journald(environ)
    text = TEXT if journald else f"%(asctime)s {TEXT}"  # the journal has a time of its own
    inner = JsonFormatter() if form == "json" else TextFormatter(text)
    handler = logging.StreamHandler()
    handler.setFormatter(PriorityFormatter(inner) if journald else inner)
    logging.basicConfig(level=level, handlers=[handler])
    logging.captureWarnings(True)
    sys.excepthook = _log_surprise


def goes_to_journald(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether standard error is the socket that systemd's journal reads (`JOURNAL_STREAM`, systemd.exec(5))."""
    try:
        status = os.fstat(sys.stderr.fileno())
    except OSError:  # closed, or no file
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def _log_surprise(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    logging.getLogger("gateway").critical("ended by an error of its own", exc_info=(kind, error, trace))
