"""`ganglion gateway`."""

import asyncio
import logging
from typing import Annotated

import typer

from gateway.cli.options import DEFAULT_CONFIG, ConfigOption


def gateway(
    config: ConfigOption = DEFAULT_CONFIG,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log the ordinary too.")] = False,
) -> None:
    """Run the gateway until SIGTERM or Ctrl-C; a changed configuration is taken without a restart.

    Example: ganglion gateway --config /etc/ganglion/ganglion.toml
    """
    from gateway.service import serve  # the other commands start faster without it

    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    asyncio.run(serve(config))
