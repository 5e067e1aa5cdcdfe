"""The program `ganglion`: the gateway's commands, and those that other packages bring under `ganglion.commands`."""

import sys
from importlib.metadata import entry_points

import typer

from gateway.cli import flash, pki, power, query, run, steer, tail, update, views
from gateway.errors import GanglionError

ENTRY_POINTS = "ganglion.commands"


def make_app() -> typer.Typer:
    """The whole command line."""
    app = typer.Typer(
        help="Sensor nodes in the street, a gateway in the cabinet, a database for the people who run the place.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    for name, command in (
        ("gateway", run.gateway),
        ("query", query.query),
        ("tail", tail.tail),
        ("nodes", views.nodes),
        ("config", steer.config),
        ("command", steer.command),
        ("flash", flash.flash),
        ("incidents", views.incidents),
        ("ledger", views.ledger),
        ("dead-letters", views.dead_letters),
        ("power", power.power),
    ):
        app.command(name)(command)
    app.add_typer(update.app, name="update")
    app.add_typer(pki.app, name="pki")
    for entry in entry_points(group=ENTRY_POINTS):
        app.command(entry.name)(entry.load())
    return app


def main() -> None:
    """Ends with 1 and one sentence on standard error when something is wrong, with 2 for a wrong command line."""
    try:
        make_app()()
    except GanglionError as error:
        typer.echo(f"ganglion: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
