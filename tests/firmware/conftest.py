"""Whole nodes for the tests, of the firmware compiled as for a real board."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from sim_hardware.fleet.image import build
from tests.firmware.board import Board
from tests.firmware.nodes import BEGIN, FOREVER, POWER_ON, node_program

_MOUNT = """
import flash, os
world.folder = os.getcwd()
config = open("config.json").read()
chip, _ = flash.mount(world.folder + "/flash.bin", 64)
with open("config.json", "w") as f:
    f.write(config)
hardware.line(board.POWER_FAIL).drive(1)
"""


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file system of an emulated board: on its heap there is no room for a compiler beside a whole node."""
    return build(tmp_path_factory.mktemp("image"))


@pytest.fixture
def switch_on(tmp_path: Path, image: Path) -> Callable[..., Board]:
    """`switch_on(kind, port, begin, life, cause, **config)`: a node with its chips, in a folder that keeps its memory.

    See `node_program` for `begin`, `life` and `cause`; the rest goes into its config.json. RTC memory is kept over a
    reset, not over a loss of power.
    """

    def switch(
        kind: str,
        port: int,
        begin: int | None = BEGIN,
        life: str = FOREVER,
        cause: int = POWER_ON,
        **config: object,
    ) -> Board:
        if cause == POWER_ON:
            (tmp_path / "rtc.bin").unlink(missing_ok=True)
        given = {"kind": kind, "site": "riverside", "node": f"{kind}-1", "mqtt": {"host": "127.0.0.1", "port": port}}
        (tmp_path / "config.json").write_text(json.dumps({**given, **config}))
        return Board(
            f"import sys\nsys.path.insert(0, {str(image)!r})\n" + node_program(tmp_path, kind, begin, life, cause),
            tmp_path,
        )

    return switch


@pytest.fixture
def on_flash(tmp_path: Path, image: Path) -> Callable[..., Board]:
    """As `switch_on`, but a node whose root is a littlefs in `flash.bin`."""

    def switch(
        port: int, begin: int | None = BEGIN, life: str = FOREVER, cause: int = POWER_ON, **config: object
    ) -> Board:
        if cause == POWER_ON:
            (tmp_path / "rtc.bin").unlink(missing_ok=True)
        given = {"kind": "water", "site": "riverside", "node": "water-1", "mqtt": {"host": "127.0.0.1", "port": port}}
        (tmp_path / "config.json").write_text(json.dumps({**given, **config}))
        program = node_program(tmp_path, "water", begin, life, cause)
        assert "\nimport main\n" in program
        program = program.replace("\nimport main\n", f"{_MOUNT}\nimport main\n")
        return Board(f"import sys\nsys.path.insert(0, {str(image)!r})\n{program}", tmp_path)

    return switch
