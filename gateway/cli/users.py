"""`ganglion users`: who may act in the console."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.audit.asker import at_shell
from gateway.cli.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    moment,
    only_before,
    show_json,
    show_table,
)
from gateway.config import load
from gateway.errors import ConfigError
from gateway.secret import secret

if TYPE_CHECKING:
    from gateway.web.users import Users

NameArgument = Annotated[str, typer.Argument(help="Of the user.", metavar="NAME")]
PasswordOption = Annotated[
    str,
    typer.Option(
        "--password-env",
        help="Take it from this environment variable, instead of asking for it.",
        metavar="VARIABLE",
    ),
]

app = typer.Typer(invoke_without_command=True)


@app.callback()
def users(context: typer.Context, config: ConfigOption = DEFAULT_CONFIG, json: JsonOption = False) -> None:
    """Who may act in the console; everybody else may look.

    Examples: ganglion users

    ganglion users add ada
    """
    if only_before(context):
        return
    found = _users(config).all()
    if json:
        show_json(list(found))
        return
    show_table(
        ["user", "since"],
        [[each.name, moment(each.made)] for each in found],
        "there is no user yet: `ganglion users add NAME` makes one",
    )


@app.command()
def add(name: NameArgument, password_env: PasswordOption = "", config: ConfigOption = DEFAULT_CONFIG) -> None:
    """A new user, with a password of 12 characters at least.

    Example: ganglion users add ada
    """
    users, chosen = _users(config), _password(password_env)
    _asks(config, "user.add", name)
    users.add(name, chosen, time.time())
    typer.echo(f"{name} may log in")


@app.command()
def password(name: NameArgument, password_env: PasswordOption = "", config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Another password. Who was logged in by the old one is so no more.

    Example: ganglion users password ada
    """
    users, chosen = _users(config), _password(password_env)
    _asks(config, "user.password", name)
    users.change(name, chosen)
    typer.echo(f"{name} has another password")


@app.command()
def remove(name: NameArgument, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Take a user away, at once.

    Example: ganglion users remove ada
    """
    users = _users(config)
    _asks(config, "user.remove", name)
    users.remove(name)
    typer.echo(f"{name} may not log in any more")


def _asks(config: Path, act: str, name: str) -> None:
    at_shell(Path(load(config, None).data_dir)).asks(act, name)


def _users(config: Path) -> "Users":
    from gateway.web.users import Users

    folder = Path(load(config, None).data_dir)
    if not folder.is_dir():
        raise ConfigError(f"there is no {folder}: check data_dir, or start the gateway once")
    return Users(folder)


def _password(variable: str) -> str:
    if variable:
        return secret(variable)
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
