"""`ganglion console`, `ganglion citizens` and `ganglion enrolment`: what others reach, as the gateway runs it."""

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.options import DEFAULT_CONFIG, ConfigOption
from gateway.logs import Format, set_up
from gateway.process import confine

if TYPE_CHECKING:
    from gateway.web.server import Pages


UntilEof = Annotated[bool, typer.Option("--until-eof", help="End when standard input does.", hidden=True)]
Log = Annotated[Format, typer.Option("--log", help="Lines for a person, or one JSON object a line.")]


def console(config: ConfigOption = DEFAULT_CONFIG, until_eof: UntilEof = False, log: Log = "text") -> None:
    """Serve the operators' pages until SIGTERM or Ctrl-C. A gateway with the table `console` runs it by itself.

    Without a gateway it shows what the journal has, and nobody can act.

    Example: ganglion console --config /etc/ganglion/ganglion.toml
    """
    _serve("console", config, until_eof, log)


def citizens(config: ConfigOption = DEFAULT_CONFIG, until_eof: UntilEof = False, log: Log = "text") -> None:
    """Serve the citizens' page until SIGTERM or Ctrl-C, and send to those who asked to be told. A gateway with
    the table `citizens` runs it by itself.

    Example: ganglion citizens --config /etc/ganglion/ganglion.toml
    """
    _serve("citizens", config, until_eof, log)


def enrolment(config: ConfigOption = DEFAULT_CONFIG, until_eof: UntilEof = False, log: Log = "text") -> None:
    """Give certificates to nodes that bring a token, until SIGTERM or Ctrl-C. A gateway with `identity.listen`
    runs it by itself.

    Example: ganglion enrolment --config /etc/ganglion/ganglion.toml
    """
    _serve("enrolment", config, until_eof, log)


def _serve(which: "Pages", config: Path, until_eof: bool, log: Format) -> None:
    from gateway.web.server import serve  # the other commands start faster without it

    set_up(log, logging.WARNING)
    confine()
    asyncio.run(serve(config, which, until_eof=until_eof))
