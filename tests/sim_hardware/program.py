"""Programs on an emulated board, and what they print."""

import subprocess
import time
from ast import literal_eval
from pathlib import Path
from textwrap import dedent
from typing import Any

from sim_hardware.fleet.pace import Pace
from tests.micropython import run, start

START = 1_735_714_800
"""2025-01-01 07:00 UTC: long past, so that a board that runs fast from here does not come up with the present."""


def printed(program: str, folder: Path) -> list[Any]:
    """Each line that the program prints, as the Python value it looks like."""
    return [literal_eval(line) for line in run(dedent(program), folder)]


def ended(program: str, folder: Path) -> tuple[int, list[str]]:
    """(exit code, lines) of a program that ends itself as it likes."""
    with start(dedent(program), folder) as process:
        try:
            output, _ = process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return process.returncode, output.splitlines()


def pace(folder: Path, speed: float, begin: int = START) -> Pace:
    """The fleet's clock, in the file that `FOLLOW` opens."""
    assert begin <= time.time()
    return Pace(folder / "pace", begin, speed, 1)


FOLLOW = "from world import world\nworld.follow('pace')\n"
"""The first lines of a program that lives at the fleet's pace."""

DEVICE = '''
class Device:
    """Edges on pins at given times (us from now)."""

    def __init__(self, edges):
        from world import attach_pins, world

        self.edges = [(world.now + us, pin, level) for us, pin, level in edges]
        attach_pins(self)

    def next_us(self):
        return self.edges[0][0] if self.edges else None

    def fire(self):
        return self.edges.pop(0)[1:]
'''
