"""`ganglion console`: the pages for operators and citizens, as the gateway runs them."""

import asyncio
import logging
from typing import Annotated

import typer

from gateway.cli.options import DEFAULT_CONFIG, ConfigOption
from gateway.logs import Format, set_up


def console(
    config: ConfigOption = DEFAULT_CONFIG,
    until_eof: Annotated[bool, typer.Option("--until-eof", help="End when standard input does.", hidden=True)] = False,
    log: Annotated[Format, typer.Option("--log", help="Lines for a person, or one JSON object a line.")] = "text",
) -> None:
    """Serve the console and the citizens' page until SIGTERM or Ctrl-C. A gateway with `[console]` runs it by itself.

    Without a gateway it shows what the journal has, and nobody can act.

    Example: ganglion console --config /etc/ganglion/ganglion.toml
    """
    from gateway.web.server import serve  # the other commands start faster without it

    set_up(log, logging.WARNING)
    asyncio.run(serve(config, until_eof=until_eof))
