"""`ganglion gateway`."""

import asyncio
import logging
from typing import Annotated

import typer

from gateway.cli.options import DEFAULT_CONFIG, ConfigOption
from gateway.errors import GanglionError
from gateway.logs import Format, goes_to_journald, set_up
from gateway.process import confine


def gateway(
    config: ConfigOption = DEFAULT_CONFIG,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log the ordinary too.")] = False,
    log: Annotated[Format, typer.Option("--log", help="Lines for a person, or one JSON object a line.")] = "text",
) -> None:
    """Run the gateway until SIGTERM or Ctrl-C; a changed configuration is taken without a restart.

    Example: ganglion gateway --config /etc/ganglion/ganglion.toml --log json
    """
    from gateway.service import serve  # the other commands start faster without it

    set_up(log, logging.INFO if verbose else logging.WARNING)
    confine()
    try:
        asyncio.run(serve(config))
    except GanglionError as error:
        if log == "text" and not goes_to_journald():
            raise  # a sentence, as of any command
        logging.getLogger("gateway").critical("%s", error)
        raise typer.Exit(1) from None
