"""Where boards are measured: each a process of its own, on the real interpreter, compiled as for a real board."""

import json
import os
import subprocess
import time
from itertools import count
from pathlib import Path

from gateway.errors import GanglionError
from sim_hardware.fleet.image import build
from sim_hardware.servers import Mosquitto
from tests.firmware.nodes import CHIPS
from tests.micropython import HEAP, INTERPRETER


class BenchError(GanglionError):
    """A figure could not be measured."""


class Lab:
    """Where boards are measured, each in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.image = build(folder / "image")
        self._numbers = count(1)

    def broker(self) -> Mosquitto:
        """One that nobody has used."""
        return Mosquitto(self.folder / f"broker{next(self._numbers)}")

    def place(self) -> Path:
        """A fresh folder for a board."""
        folder = self.folder / f"board{next(self._numbers)}"
        folder.mkdir()
        return folder

    def node(self, kind: str, broker: Mosquitto, **config: object) -> Path:
        """A fresh folder with the configuration of a node."""
        folder = self.place()
        whole = {"kind": kind, "site": "riverside", "node": f"{kind}-1", **config}
        whole["mqtt"] = {"host": "127.0.0.1", "port": broker.port}
        (folder / "config.json").write_text(json.dumps(whole))
        return folder

    def run(self, program: str, folder: Path, seconds: float = 120) -> dict[str, float]:
        """What a program told with `tell(name, value)`. Raises BenchError with its output when it failed."""
        try:
            done = subprocess.run(
                [str(INTERPRETER), "-X", f"heapsize={HEAP}", "-c", _HEAD + program],
                cwd=folder,
                env={**os.environ, "MICROPYPATH": f"{self.image}:.frozen"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise BenchError(f"a board was not done within {seconds:g} s; it said:\n{error.output}") from error
        told = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("= ")]
        if done.returncode or not told:
            raise BenchError(f"a board ended with {done.returncode}; it said:\n{done.stdout}")
        return {name: float(value) for name, value in told}


# `clock` is the processor's time of the whole process in s. `time` is the board's: it must come before asyncio.
_HEAD = """
from utime import clock, ticks_diff as host_diff, ticks_ms as host_ms
def tell(name, value):
    print("=", name, value)
import time
import gc, sys
from world import world
"""

# What the emulation holds before the firmware comes is `base`: its modules, the chips, and this program.
_NODE = """
import asyncio, machine, network, esp32, select
machine.I2C, machine.UART, machine.Counter  # each is in a file of its own, that is loaded when it is first asked for
import world as hardware
from boards import esp32_devkit as board
def ms():
    return world.now // 1000
CHIPS
for name in ("boards", "boards.esp32_devkit"):
    del sys.modules[name]
del board
def alive():
    gc.collect()
    return gc.mem_alloc()
base = alive()
tell("base", base)
tell("emulation_cpu_s", clock())
import main
async def life():
    node = main.build()  # within the loop, as `main.main` does
    asyncio.create_task(node.run())
LIFE
asyncio.run(life())
"""


def node_program(kind: str, life: str, chips: str | None = None) -> str:
    """A node with its chips; `life` is the body of a coroutine that runs beside it, and ends it."""
    return _NODE.replace("CHIPS", chips or CHIPS[kind]).replace("LIFE", life)


def begin(windows: int, window_s: int) -> int:
    """A whole hour, so long ago that the city does not come to the present meanwhile (Unix seconds)."""
    return int(time.time()) // 3600 * 3600 - 86_400 - 2 * windows * window_s
