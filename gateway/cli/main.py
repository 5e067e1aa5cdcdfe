"""The program `ganglion`: the gateway's commands, and those that other packages bring under `ganglion.commands`."""

import errno
import signal
import sys
from typing import TYPE_CHECKING

# What takes time to load is loaded in `main`, after it has seen to it that a Ctrl-C ends it at once and quietly.
if TYPE_CHECKING:
    import typer

ENTRY_POINTS = "ganglion.commands"


def make_app() -> "typer.Typer":
    """The whole command line."""
    from importlib.metadata import entry_points

    import typer

    from gateway.cli import (
        airindex,
        audit,
        backfill,
        console,
        detect,
        doctor,
        evaluate,
        flash,
        incidents,
        influx,
        intake,
        letters,
        notice,
        notify,
        pki,
        power,
        privacy,
        query,
        report,
        run,
        steer,
        tail,
        update,
        users,
        views,
    )

    app = typer.Typer(
        help="Sensor nodes in the street, a gateway in the cabinet, a database for the people who run the place.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    for name, command in (
        ("gateway", run.gateway),
        ("console", console.console),
        ("citizens", console.citizens),
        ("enrolment", console.enrolment),
        ("query", query.query),
        ("report", report.report),
        ("tail", tail.tail),
        ("nodes", views.nodes),
        ("config", steer.config),
        ("command", steer.command),
        ("flash", flash.flash),
        ("ledger", views.ledger),
        ("import", intake.import_file),
        ("backfill", backfill.backfill),
        ("power", power.power),
        ("detect", detect.detect),
        ("evaluate", evaluate.evaluate),
        ("air-index", airindex.air_index_command),
        ("doctor", doctor.doctor),
    ):
        app.command(name)(command)
    app.add_typer(incidents.app, name="incidents")
    app.add_typer(notify.app, name="notify")
    app.add_typer(letters.app, name="dead-letters")
    app.add_typer(notice.app, name="notice")
    app.add_typer(update.app, name="update")
    app.add_typer(users.app, name="users")
    app.add_typer(audit.app, name="audit")
    app.add_typer(privacy.app, name="privacy")
    app.add_typer(pki.app, name="pki")
    app.add_typer(influx.app, name="influx")
    for entry in entry_points(group=ENTRY_POINTS):
        app.command(entry.name)(entry.load())
    return app


def main() -> None:
    """Ends with 1 and one sentence on standard error when something is wrong, with 2 for a wrong command line."""
    # Commands that have something to end in order handle it themselves.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from gateway.errors import GanglionError
    from gateway.logs import printable
    from gateway.secret import redacted

    try:
        make_app()()
    except GanglionError as error:
        print(f"ganglion: {printable(redacted(str(error)))}", file=sys.stderr)  # noqa: T201
        sys.exit(1)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = f" for {error.filename}" if error.filename else ""
        print(f"ganglion: no space is left on the disk{where}: free some, and start again", file=sys.stderr)  # noqa: T201
        sys.exit(1)


if __name__ == "__main__":
    main()
