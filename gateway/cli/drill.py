"""`ganglion incidents drill` and `end`: to practise what to do when something happens."""

import time
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import msgspec
import typer

from gateway.audit.asker import at_shell
from gateway.cli.options import DEFAULT_CONFIG, ConfigOption
from gateway.cli.running import running
from gateway.config import load
from gateway.control.ways import alone
from gateway.errors import ConfigError
from gateway.notify import drill as drills
from gateway.notify.drill import Drill
from gateway.records import Incident, Severity


def drill(
    kind: Annotated[str, typer.Argument(help="What is to seem to happen: burst, jam ...", metavar="KIND")],
    site: Annotated[str, typer.Option(help="Where.", metavar="SITE")],
    node: Annotated[str, typer.Option(help="At which node; none: of the whole site.", metavar="NODE")] = "",
    minutes: Annotated[int, typer.Option(min=1, max=1440, help="After which it ends by itself.")] = 30,
    severity: Annotated[Severity | None, typer.Option(help="If not the kind's own.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Make an incident to practise: it is shown, told and written like a real one, and marked as an EXERCISE.

    Example: ganglion incidents drill burst --site riverside --node water-0007 --minutes 20
    """
    settings = load(config, None)
    wish = Drill(kind, site, round(time.time()), node, minutes, severity)
    if (caller := running(settings)) is not None:
        made = msgspec.json.decode(caller.post("/api/v1/incidents/drill", msgspec.json.encode(wish)), type=Incident)
    else:
        with alone(settings, make=False) as journal:
            at_shell(Path(settings.data_dir)).asks("drill.begin", "/".join(filter(None, (site, node))), {"kind": kind})
            made = drills.begin(journal, wish, settings.sites)
    typer.echo(made.id)


def end(
    name: Annotated[str, typer.Argument(help="Its id.", metavar="ID")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """End a drill before its time. Real incidents are ended by evidence alone.

    Example: ganglion incidents end drill.burst.riverside.water-0007.1795432200
    """
    settings = load(config, None)
    if (caller := running(settings)) is not None:
        caller.post(f"/api/v1/incidents/{quote(name, safe='')}/end", b"")
    else:
        with alone(settings, make=False) as journal:
            at_shell(Path(settings.data_dir)).asks("drill.end", name)
            if drills.end(journal, name, time.time()) is None:
                raise ConfigError(f"no incident {name} is known")
    typer.echo(f"{name} is over")
