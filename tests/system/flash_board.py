"""A board with a flash of its own: it starts again when it resets, and its power can fail at any byte and moment."""

import json
import random
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from gateway.update import keys
from gateway.update.package import slot_mark
from sim_hardware.fleet.pace import Pace
from tests.firmware.packages import FIRMWARE, VERSION, files, key, package, write_tree
from tests.micropython import run, start

BEGIN = int(time.time()) // 3600 * 3600 - 86_400
SPEED = 30
"""A window of 10 s in a third of one; the wire keeps the pace of life."""
RESET = 80
POWER_ON, HARD = 1, 2

_INSTALL = """
import os, sys
sys.path.insert(0, IMAGE)
import flash
HOST = os.getcwd()
flash.mount(HOST + "/flash.bin")
def copy(host, path):
    for entry in os.ilistdir(host):
        there = path + entry[0]
        if entry[1] == 0x4000:
            os.mkdir(there)
            copy(host + "/" + entry[0], there + "/")
        else:
            with open(host + "/" + entry[0], "rb") as f, open(there, "wb") as out:
                while True:
                    data = f.read(1024)
                    if not data:
                        break
                    out.write(data)
copy(HOST + "/install", "")
"""

_LIFE = """
import os, sys
sys.path.insert(0, IMAGE)
from world import world
HOST = os.getcwd()
world.reset_cause = CAUSE
world.follow(HOST + "/pace")
world.folder = HOST
import flash
device, _ = flash.mount(HOST + "/flash.bin", cut_after=CUT)
import loader
loader.run()
"""

_LOOK = """
import json, os, sys
sys.path.insert(0, IMAGE)
import flash
flash.mount(os.getcwd() + "/flash.bin")
def read(path):
    try:
        with open(path) as f:
            return json.load(f)
    except OSError:
        return None
marks = {slot: read(slot + "/slot.json") for slot in ("a", "b")}
print(json.dumps({"files": os.listdir("."), "state": read("slots.json"), "marks": marks}))
"""


class FlashBoard:
    """Firmware VERSION in slot a, as `ganglion flash` would have left it; `on` and `off` are its switch."""

    def __init__(self, folder: Path, image: Path, port: int, replaced: Mapping[str, str] | None = None) -> None:
        """`replaced` as in `packages.files`."""
        self.folder, self._image = folder, image
        folder.mkdir()
        self.firmware: list[str] = []
        """What it said of itself, start by start."""
        self.boots = 0
        self._on = False
        self._thread: threading.Thread | None = None
        install = folder / "install"
        write_tree(install / "a", files(VERSION, replaced))
        name, mark = slot_mark(package(VERSION))
        (install / "a" / name).write_bytes(mark)
        (install / "main.py").write_bytes((FIRMWARE / "loader.py").read_bytes())
        (install / "update.key").write_text(keys.public_text(key().public_key()))
        config = {"kind": "water", "site": "riverside", "node": "water-1", "window_s": 10, "health_s": 600}
        (install / "config.json").write_text(json.dumps({**config, "mqtt": {"host": "127.0.0.1", "port": port}}))
        run(self._with_image(_INSTALL), folder, heap="512K")
        Pace(folder / "pace", BEGIN, SPEED, nodes=1)

    def _with_image(self, program: str) -> str:
        return program.replace("IMAGE", repr(str(self._image)))

    def once(self, cause: int = POWER_ON, cut_after: float | None = None, seconds: float | None = None) -> int | None:
        """One start, to its end: the exit code, or None when its power was cut, after bytes or after seconds."""
        if cause == POWER_ON:
            (self.folder / "rtc.bin").unlink(missing_ok=True)
        program = self._with_image(_LIFE).replace("CAUSE", str(cause)).replace("CUT", str(cut_after))
        self.boots += 1
        with start(program, self.folder) as process:
            self._process = process
            timer = threading.Timer(seconds, process.kill) if seconds is not None else None
            if timer:
                timer.start()
            assert process.stdout is not None
            with (self.folder / "console.log").open("a", buffering=1) as console:
                for line in process.stdout:
                    console.write(line)
                    if ", firmware " in line:
                        self.firmware.append(line.split(", firmware ")[1].split(",")[0])
            if timer:
                timer.cancel()
            code = process.wait()
        return None if code < 0 or code == 137 else code

    def live(self, cut_after: float | None = None, seconds: float | None = None) -> None:
        """From power-on over every reset until its power is cut."""
        cause = POWER_ON
        until = time.monotonic() + seconds if seconds is not None else None
        while True:
            code = self.once(cause, cut_after, None if until is None else max(0.01, until - time.monotonic()))
            if code is None:
                return
            assert code > RESET, f"ended with {code}:\n{self.console[-3000:]}"
            cause = code - RESET

    @property
    def console(self) -> str:
        return (self.folder / "console.log").read_text()

    def look(self) -> dict[str, object]:
        """What is on its flash while it is off."""
        found = json.loads(run(self._with_image(_LOOK), self.folder)[-1])
        assert isinstance(found, dict)
        return found

    def __enter__(self) -> Self:
        """It lives on a thread until the end of the context, when its power is cut."""
        self._failed: list[BaseException] = []

        def work() -> None:
            try:
                self.live()
            except BaseException as error:  # noqa: BLE001 - told by the test's thread
                self._failed.append(error)

        self._thread = threading.Thread(target=work)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._thread is not None
        while self._thread.is_alive():
            self._process.kill()
            self._thread.join(0.05)
        if self._failed and error is None:
            raise self._failed[0]


def cuts(seed: int, number: int) -> list[dict[str, float]]:
    """So many ways for the power to fail: in the middle of a write, or at any moment."""
    chance = random.Random(seed)
    return [
        {"cut_after": chance.choice((chance.randrange(2_000), chance.randrange(150_000))), "seconds": 2.5}
        if chance.random() < 0.7
        else {"seconds": chance.uniform(0.2, 2)}
        for _ in range(number)
    ]
