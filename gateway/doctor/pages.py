"""The pages for operators and citizens: whether they are there, who may see them, who may act."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gateway.config import is_loopback
from gateway.doctor.context import Context
from gateway.doctor.finding import Said, fault, ok, warning
from gateway.doctor.running import listens
from gateway.web.users import Users

LOOK: Final = "look at the gateway's log: it says why the pages ended"


def pages(context: Context) -> Iterator[Said]:
    """Each table that the configuration has."""
    console, citizens = context.config.console, context.config.citizens
    for key, settings in (("console", console), ("citizens", citizens)):
        if settings is None:
            yield ok(f"there is no [{key}]")
        elif listens(settings.here):
            yield ok(f"{key} answers at {settings.listen}")
        elif context.holder is not None:
            yield fault(f"the gateway runs, but nobody answers at {key}.listen {settings.listen}", LOOK)
        else:
            yield ok(f"{key}.listen {settings.listen} is free")
    if console is None:
        return
    if console.open and not is_loopback(console.address[0]) and not console.plain:
        yield warning(
            f"console.listen {console.listen} shows everything, also of single homes, to whoever reaches this machine",
            'set console.read = "login", listen at 127.0.0.1, or keep others out with a firewall',
        )
    if Path(context.config.data_dir).is_dir() and not Users(Path(context.config.data_dir)).all():
        yield warning("nobody may act in the console: there is no user", "ganglion users add NAME")
