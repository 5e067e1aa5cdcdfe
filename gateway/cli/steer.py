"""`ganglion config` and `ganglion command`: what goes down to a node, straight by the broker."""

import asyncio
import re
import time
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from gateway.audit.asker import at_shell
from gateway.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, moment, show_json, show_table
from gateway.config import A_NAME, NAME, Config, load
from gateway.logs import printable
from gateway.near import hint
from gateway.steer import talk
from gateway.steer.errors import SteerError
from gateway.steer.talk import OPS, Answer, Standing
from gateway.steer.wanted import Table, flat, merge, parse, without

REFUSED: Final = 1
SILENT: Final = 3
"""Exit code when the node did not answer in time."""

NodeArgument = Annotated[str, typer.Argument(help="The node; `site/node` does too.", metavar="NODE")]
SiteOption = Annotated[str, typer.Option(help="Its site; may be left out where the gateway has one.")]
WaitOption = Annotated[float, typer.Option(min=0, help="Seconds to wait for the node's answer.", metavar="S")]


def config(
    node: NodeArgument,
    settings: Annotated[
        list[str] | None, typer.Argument(help="What is wanted; values are JSON, tables are reached by dots.")
    ] = None,
    *,
    site: SiteOption = "",
    unset: Annotated[
        list[str] | None, typer.Option(help="Want nothing of this key any more; may be repeated.", metavar="KEY")
    ] = None,
    file: Annotated[Path | None, typer.Option(help="A JSON object of what is wanted.", metavar="FILE")] = None,
    show: Annotated[bool, typer.Option("--show", help="Change nothing; what is wanted, and the last answer.")] = False,
    wait: WaitOption = 10.0,
    configuration: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Want another configuration of a node, on top of what is wanted already; see what it takes, and why it refuses.

    Ends with 1 when it refuses something, with 3 when it does not answer in time.

    Examples: ganglion config air-0007 window_s=30 calibration.version=2 calibration.pm2_5.gain=1.02

    ganglion config traffic-0005 --unset sensors.lanes

    ganglion config air-0007 --show
    """
    gateway = load(configuration)
    site, node = find(gateway, site, node)
    if show:
        if settings or unset or file:
            raise SteerError("--show changes nothing: leave out what is to change")
        _show_standing(site, node, asyncio.run(talk.standing(gateway.mqtt, site, node)), json)
        return
    change, asker = _change(settings or [], unset or [], file), at_shell(Path(gateway.data_dir))
    standing = asyncio.run(talk.configure(gateway.mqtt, site, node, change, wait, asker))
    _show_standing(site, node, standing, json)
    if standing.reported is None:
        typer.echo(
            f"{site}/{node} has not answered within {wait:g} s; the broker keeps what is wanted for it until it does",
            err=True,
        )
        raise typer.Exit(SILENT)
    if standing.reported.refused:
        raise typer.Exit(REFUSED)


def command(
    node: NodeArgument,
    op: Annotated[str, typer.Argument(help=", ".join(OPS), metavar="OP")],
    arguments: Annotated[list[str] | None, typer.Argument(help="What belongs to it; values are JSON.")] = None,
    *,
    site: SiteOption = "",
    wait: WaitOption = 10.0,
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Have a node do something, and see its reply.

    Ends with 1 when it refuses, with 3 when it does not answer in time.

    Examples: ganglion command air-0007 sample

    ganglion command air-0007 calibrate quantity=pm2_5 offset=-1.5 gain=0.84 version=3
    """
    gateway = load(config)
    site, node = find(gateway, site, node)
    if op not in OPS:
        raise SteerError(f"there is no command {op}{hint(op, OPS)}. There are {', '.join(OPS)}")
    asker = at_shell(Path(gateway.data_dir))
    answer = asyncio.run(talk.command(gateway.mqtt, site, node, op, parse(arguments or []), wait, asker))
    reply = answer.reply
    if reply is None:
        away = {True: "", False: ", and is not online", None: ", and was never heard"}[answer.online]
        typer.echo(
            f"{site}/{node} has not answered within {wait:g} s{away}; should it connect within a day, it gets the "
            "command then",
            err=True,
        )
        raise typer.Exit(SILENT)
    if json:
        show_json([reply])
    elif reply.get("ok") is True:
        _SHOW.get(op, _show_rest)(answer)
    if reply.get("ok") is not True:
        typer.echo(f"{site}/{node} refuses: {printable(str(reply.get('error', 'it does not say why')))}", err=True)
        raise typer.Exit(REFUSED)


def find(gateway: Config, site: str, node: str) -> tuple[str, str]:
    """(site, node) as a person named them. Raises SteerError."""
    if "/" in node and not site:
        site, _, node = node.partition("/")
    if not site and len(gateway.sites) == 1:
        site = gateway.sites[0]
    if site not in gateway.sites:
        raise SteerError(f"--site must be one of the gateway's: {', '.join(gateway.sites)}")
    if not re.fullmatch(NAME, node):
        raise SteerError(f"{node!r} names no node: that is {A_NAME}")
    return site, node


def _change(settings: list[str], unset: list[str], file: Path | None) -> Callable[[Table], Table]:
    """What is to become of the wanted configuration."""
    given: Table = {}
    if file is not None:
        try:
            given = msgspec.json.decode(file.read_bytes(), type=Table)
        except OSError as error:
            raise SteerError(f"{file} cannot be read: {error.strerror}") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise SteerError(f"{file} is not a JSON object: {error}") from error
    if not settings and not unset and file is None:
        raise SteerError("say what is wanted, such as window_s=30, or look with --show")
    given = merge(given, parse(settings))
    return lambda wanted: reduce(without, unset, merge(wanted, given))


def _show_standing(site: str, node: str, standing: Standing, json: bool) -> None:
    reported = standing.reported
    taken = reported.taken if reported else {}
    refused = reported.refused if reported else {}
    if json:
        told = {"site": site, "node": node, "answered": reported is not None, "wanted": standing.wanted}
        show_json([told | {"taken": taken, "refused": refused}])
        return
    wanted, has = flat(standing.wanted), flat(taken)
    whys: dict[str, str] = {}
    for about, why in refused.items():  # a whole table may be refused for one value in it
        whys |= {key: why for key in wanted if f"{key}.".startswith(f"{about}.")} or {about: why}
    show_table(
        ["key", "wanted", "the node has", "refused because"],
        [
            [key or "(all)", *(_text(table, key) for table in (wanted, has)), whys.get(key, "")]
            for key in dict.fromkeys([*wanted, *has, *whys])
        ],
        f"nothing is wanted of {site}/{node} but what it came with",
    )


def _text(table: dict[str, Any], key: str) -> str:
    return msgspec.json.encode(table[key]).decode() if key in table else "-"


def _show_logs(answer: Answer) -> None:
    reply = answer.reply or {}
    for line in reply.get("lines", []):
        typer.echo(printable(str(line)))
    if reply.get("last_words"):
        typer.echo(f"before its last crash: {printable(str(reply['last_words']))}")


def _show_sample(answer: Answer) -> None:
    readings = (answer.reply or {}).get("readings", [])
    rows = [[str(each.get("n")), _text(each, "v"), str(each.get("u") or "")] for each in readings]
    show_table(["quantity", "value", "unit"], rows, "its sensors know nothing yet")


def _show_time(answer: Answer) -> None:
    reply = answer.reply or {}
    unix_ms = int(reply.get("unix_ms", 0))
    behind = time.time() - answer.seconds / 2 - unix_ms / 1000
    believed = "" if reply.get("known") else "; the node does not know the time"
    typer.echo(
        f"{moment(unix_ms / 1000)}, {abs(behind):.2f} s {'behind' if behind > 0 else 'ahead of'} this machine, "
        f"give or take {answer.seconds / 2:.2f} s{believed}"
    )


def _show_rest(answer: Answer) -> None:
    rest = {key: value for key, value in (answer.reply or {}).items() if key not in ("id", "ok")}
    typer.echo("done" if not rest else msgspec.json.encode(rest).decode())


_SHOW: Final[dict[str, Callable[[Answer], None]]] = {"logs": _show_logs, "sample": _show_sample, "time": _show_time}
