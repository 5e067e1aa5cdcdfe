"""The running gateway, which has the journal and the secrets: what changes something goes through it."""

from pathlib import Path

from rich.console import Console

from gateway.config import Config
from gateway.control import token as tokens
from gateway.control.caller import Caller


def running(settings: Config, console: Console | None = None) -> Caller | None:
    """The way to it, None when there is none. What it waits for is told on `console`, or on standard error."""
    if not tokens.is_held(Path(settings.data_dir)):
        return None
    told = console or Console(stderr=True)
    return Caller(settings, lambda words: told.print(f"waiting: {words}") if words else None)
