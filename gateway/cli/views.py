"""`ganglion nodes`, `ledger`: what the journal knows, with or without a gateway."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from gateway.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, moment, show_json, show_table
from gateway.config import load
from gateway.errors import ConfigError
from gateway.journal.store import Journal
from gateway.liveness import silent
from gateway.near import nearest
from gateway.records import NodeView

CLOCK_SECONDS: Final = 2.0
"""A node's clock that was further off when it was last corrected is worth a look; crystals drift by much less."""


@contextmanager
def open_journal(config: Path) -> Iterator[Journal]:
    """To look into, beside a running gateway or without one."""
    settings = load(config, None)
    journal = Journal.open(Path(settings.data_dir), settings.journal.max_bytes, read_only=True)
    try:
        yield journal
    finally:
        journal.close()


def nodes(
    node: Annotated[str, typer.Argument(help="Only this one, with every gap; also as SITE/NODE.", metavar="NODE")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    site: Annotated[str, typer.Option(help="Only this site.")] = "",
    json: JsonOption = False,
) -> None:
    """Every node heard of: is it there, how far is it, what is missing.

    Examples: ganglion nodes --site riverside

    ganglion nodes air-0007
    """
    given, _, name = node.rpartition("/")
    site = given or site
    with open_journal(config) as journal:
        known = journal.nodes()
        views = [view for view in known if site in ("", view.site) and name in ("", view.node)]
        gaps = [(view, gap) for view in views for gap in journal.gaps(view.site, view.node)] if name else []
    if name and not views:
        wanted = f"{site}/{name}" if site else name
        names = {f"{view.site}/{view.node}" if site else view.node: f"{view.site}/{view.node}" for view in known}
        near = nearest(wanted, names)
        raise ConfigError(f"no node {wanted} was heard of{f'; the nearest is {names[near]}' if near else ''}")
    now = time.time()
    if json:
        missing = {(view.site, view.node): [each for of, each in gaps if of is view] for view in views}
        show_json(
            [
                msgspec.structs.asdict(view)
                | {"silent": silent(view, now) is not None}
                | ({"missing": missing[view.site, view.node]} if name else {})
                for view in views
            ]
        )
        return
    online = {True: "yes", False: "no", None: "?"}
    counts = ["boot", "seq", "packs", "gaps"]
    show_table(
        ["node", "kind", "online", "trouble", *counts, "last pack", "last heard", "firmware", "board"],
        [
            [f"{view.site}/{view.node}", view.kind or "?", online[view.online], _trouble(view, now)]
            + [str(number) if number >= 0 else "-" for number in (view.boot, view.seq, view.packs, view.gaps)]
            + [moment(view.time), moment(view.received), view.firmware, view.board]
            for view in views
        ],
        f"no node of {site} was heard yet" if site else "no node was heard yet",
    )
    if name:
        show_table(
            ["boot", "first missing", "last missing", "packs"],
            [[str(number) for number in (gap.boot, gap.first, gap.last, gap.last - gap.first + 1)] for _, gap in gaps],
            "no pack is missing",
        )


def _trouble(view: NodeView, now: float) -> str:
    """What a person should look at, in one cell."""
    silence = silent(view, now)
    troubles = [
        f"SAFE MODE: {view.safe}" if view.safe else "",
        "NO TIME" if view.clock is False else "",
        f"CLOCK WAS {view.clock_error:+.1f} s OFF" if abs(view.clock_error or 0.0) > CLOCK_SECONDS else "",
        f"SILENT for {silence / 3600:.0f} h" if silence is not None else "",
    ]
    return ", ".join(filter(None, troubles)) or "-"


def ledger(config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False) -> None:
    """The count of packs: received = written + waiting + dead letters + duplicates. Ends with 1 if it does not balance.

    Example: ganglion ledger --json
    """
    with open_journal(config) as journal:
        count = journal.ledger()
    if json:
        show_json([msgspec.structs.asdict(count) | {"balanced": count.balanced}])
    else:
        rows = [[name.replace("_", " "), str(value)] for name, value in msgspec.structs.asdict(count).items()]
        show_table(["packs", "number"], [*rows, ["balanced", "yes" if count.balanced else "NO"]], "")
    if not count.balanced:
        raise typer.Exit(1)
