"""The command line in this process, over a configuration for the test's broker."""

from pathlib import Path

from click.testing import Result
from typer.testing import CliRunner

from gateway.cli.main import make_app
from gateway.errors import GanglionError


class CommandLine:
    """In a folder of its own."""

    def __init__(self, folder: Path, port: int, sites: str = '"riverside"') -> None:
        self.folder = folder
        self.file = folder / "ganglion.toml"
        self.file.write_text(f'sites = [{sites}]\ndata_dir = "data"\n[mqtt]\nhost = "127.0.0.1"\nport = {port}\n')

    def invoke(self, *arguments: str, typed: str = "", **environment: str) -> Result:
        environment |= {"GANGLION_CONFIG": str(self.file)}
        return CliRunner().invoke(make_app(), arguments, input=typed, env=environment)  # type: ignore[return-value]


def sentence(result: Result) -> str:
    """What the program ends with, when something is wrong."""
    assert isinstance(result.exception, GanglionError), result.output
    return str(result.exception)
