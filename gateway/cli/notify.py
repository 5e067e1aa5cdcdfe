"""`ganglion notify`: who is told of incidents, how far each is, and whether a message reaches them."""

import time
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import msgspec
import typer

from gateway.audit.asker import at_shell
from gateway.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, moment, only_before, show_json, show_table
from gateway.cli.running import running
from gateway.config import load
from gateway.errors import TargetError
from gateway.notify.answer import Answer
from gateway.notify.settings import known
from gateway.notify.state import Standing, standing

app = typer.Typer(invoke_without_command=True)


@app.callback()
def notify(context: typer.Context, config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False) -> None:
    """Who is told of incidents: what waits for each, when it last took a message, when and why it last did not.

    Examples: ganglion notify

    ganglion notify test duty
    """
    if only_before(context):
        return
    settings = load(config, None)
    stand = {each.name: each for each in standing(Path(settings.data_dir))}
    found = [stand.get(table.name) or Standing(table.name, table.via) for table in settings.notify]
    if json:
        show_json(found)
        return
    show_table(
        ["name", "via", "waiting", "later", "sent", "dropped", "refused", "last taken", "last failure", "why"],
        [
            [
                each.name,
                each.via,
                *(str(number) for number in (each.waiting, each.later, each.sent, each.dropped, each.refused)),
                moment(each.success),
                moment(each.failure),
                each.trouble if each.failing else "",
            ]
            for each in found
        ],
        "nobody is told of incidents: there is no [[notify]] table",
    )


@app.command("test")
def press(
    name: Annotated[str, typer.Argument(help="Of a table `notify`.", metavar="NAME")],
    config: ConfigOption = DEFAULT_CONFIG,
    json: JsonOption = False,
) -> None:
    """Send a test message at once, past what waits, and say what was answered. Ends with 1 when it was not taken.

    Through the gateway if it runs, which has the secrets; else from here.

    Example: ganglion notify test duty
    """
    settings = load(config, None)
    known("notify", [name], [table.name for table in settings.notify])
    if (caller := running(settings)) is not None:
        data = caller.post(f"/api/v1/notify/{quote(name, safe='')}/test", b"")
        answer = msgspec.json.decode(data, type=Answer)
    else:
        at_shell(Path(settings.data_dir)).asks("notify.test", name)
        answer = _from_here(config, name)
    if json:
        show_json([answer])
    else:
        typer.echo(f"{name} {'is told' if answer.taken else 'is not told'}: {answer.words}")
    if not answer.taken:
        raise typer.Exit(1)


def _from_here(config: Path, name: str) -> Answer:
    from gateway.detect.plan import Plan
    from gateway.notify.service import tellers, test_message

    settings = load(config)
    try:
        return Answer(True, tellers(settings, Plan())[name].tell(test_message(name, settings, time.time())))
    except TargetError as error:
        return Answer(False, str(error))
