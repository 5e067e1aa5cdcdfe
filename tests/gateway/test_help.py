"""What `--help` says of each command."""

from collections.abc import Iterator
from typing import Any

import pytest
import typer
from rich.text import Text

from gateway.cli.main import make_app


def commands(command: Any, name: str = "ganglion") -> Iterator[tuple[str, Any]]:
    """Those that do something by themselves."""
    for each, below in getattr(command, "commands", {}).items():
        yield from commands(below, f"{name} {each}")
    if not hasattr(command, "commands") or command.invoke_without_command:
        yield name, command


ALL = dict(commands(typer.main.get_command(make_app())))


@pytest.mark.parametrize("name", ALL)
def test_help_has_an_example_and_loses_no_word(name: str) -> None:
    """A name in square brackets is markup to Rich, which shows help: it would be missing."""
    said = ALL[name].help or ""
    assert "Example" in said
    for text in (said, *(str(getattr(each, "help", None) or "") for each in ALL[name].params)):
        assert Text.from_markup(text).plain == text
