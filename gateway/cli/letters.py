"""`ganglion dead-letters`: what was refused, and how it is taken in again."""

import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console

from gateway.audit.asker import at_shell
from gateway.audit.entry import JSON
from gateway.cli.options import (
    DEFAULT_CONFIG,
    INTERRUPTED,
    ConfigOption,
    JsonOption,
    interruptible,
    moment,
    only_before,
    show_json,
    show_table,
)
from gateway.cli.running import running
from gateway.cli.views import open_journal
from gateway.config import load
from gateway.control.caller import Caller
from gateway.control.replay import Replay, Replayed, replay
from gateway.control.ways import alone
from gateway.ingest.decode import REASONS

TOLD: Final = 20
"""Letters told one by one that are still bad."""

app = typer.Typer(invoke_without_command=True)


@app.callback()
def dead_letters(
    context: typer.Context,
    config: ConfigOption = DEFAULT_CONFIG,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
    json: JsonOption = False,
) -> None:
    """Packs that were refused, the newest first, each with its reason; --json shows their bytes too.

    Example: ganglion dead-letters --limit 5
    """
    if only_before(context):
        return
    with open_journal(config) as journal:
        letters = journal.dead_letters(limit)
    if json:
        show_json(
            [
                {
                    "number": number,
                    **msgspec.structs.asdict(letter),
                    "payload": letter.payload.decode("utf-8", "backslashreplace"),
                }
                for number, letter in letters
            ]
        )
        return
    show_table(
        ["number", "received", "topic", "bytes", "reason", "detail"],
        [
            [str(number), moment(each.received), each.topic, str(len(each.payload)), each.reason, each.detail]
            for number, each in letters
        ],
        "no dead letter",
    )


@app.command("replay")
def replay_letters(
    numbers: Annotated[list[int] | None, typer.Argument(help="These; without any, all.", metavar="NUMBER")] = None,
    *,
    reason: Annotated[str, typer.Option(help="Only those of this reason.")] = "",
    json: Annotated[bool, typer.Option("--json", help="What became of them as one JSON object.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Take dead letters in again, once their reason is gone: in the order they came, each checked as new.

    One that is still bad stays. Ends with 1 if any did.

    Examples: ganglion dead-letters replay --reason influx

    ganglion dead-letters replay 17 18
    """
    if reason and reason not in REASONS:
        raise typer.BadParameter(f"{reason!r} is none of {', '.join(REASONS)}", param_hint="--reason")
    settings = load(config, None)
    which = Replay(numbers=tuple(numbers or ()), reason=reason)
    console = Console(stderr=True)
    with interruptible() as check, console.status("Looking at dead letters ..." if sys.stderr.isatty() else ""):
        try:
            if (caller := running(settings, console)) is not None:
                answers = _all(which, partial(_by_gateway, caller), check)
            else:
                with alone(settings, make=False) as journal:
                    asked: dict[str, JSON] = {"numbers": which.numbers, "reason": reason}
                    at_shell(Path(settings.data_dir)).asks("letters.replay", detail=asked)
                    answers = _all(which, lambda each: replay(journal, each, time.time()), check)
        except KeyboardInterrupt:
            typer.echo("ended; what was taken in is in, the same command again goes on", err=True)
            raise typer.Exit(INTERRUPTED) from None
    _show(answers, json)
    seen = {number for answer in answers for number in answer.numbers}
    for number in sorted(set(which.numbers) - seen):
        typer.echo(f"{number} is not among them: it was taken in, or has made room for newer ones", err=True)
    if any(answer.refused for answer in answers) or not seen.issuperset(which.numbers):
        raise typer.Exit(1)


def _all(which: Replay, ask: Callable[[Replay], Replayed], check: Callable[[], None]) -> list[Replayed]:
    answers = [ask(which)]
    while answers[-1].more:
        check()
        which = msgspec.structs.replace(which, after=answers[-1].after, upto=answers[-1].upto)
        answers.append(ask(which))
    return answers


def _by_gateway(caller: Caller, which: Replay) -> Replayed:
    body = caller.post("/api/v1/dead-letters/replay", msgspec.json.encode(which))
    return msgspec.json.decode(body, type=Replayed)


def _show(answers: list[Replayed], json: bool) -> None:
    taken = sum(answer.taken for answer in answers)
    refused = [each for answer in answers for each in answer.refused]
    if json:
        reasons = Counter(reason for _, reason, _ in refused)
        show_json([{"taken": taken, "refused": len(refused), "reasons": reasons}])
        return
    for number, reason, detail in refused[:TOLD]:
        typer.echo(f"{number} is still refused: {reason}: {detail}", err=True)
    if len(refused) > TOLD:
        typer.echo(f"and {len(refused) - TOLD} more", err=True)
    typer.echo(f"{taken} taken in, {len(refused)} still refused")
