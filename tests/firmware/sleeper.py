"""A board that sleeps: started again at each wake, with a meter on its pins that turns on meanwhile."""

import json
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.micropython import start

POWER_ON, HARD, DEEP_SLEEP = 1, 2, 4
RESET_EXIT = 80
BEGIN = int(time.time()) // 86_400 * 86_400 - 30 * 86_400
"""A midnight so long past that a fast board does not come up with the present."""

BEGIN_US = BEGIN * 1_000_000

_PROGRAM = """
import sys
sys.path.insert(0, IMAGE)
from world import world
import utime
world.reset_cause = CAUSE
world.rtc_ppm = PPM
import machine
if CAUSE == 4:
    machine.woken()
elif FIRST:
    world.now = world.boot = BEGIN_US
else:
    with open("sleep.bin", "rb") as f:
        import struct
        world.now = world.boot = struct.unpack("<q", f.read(8))[0] + OFF_US
world.speed = SPEED
mono, begun = utime.ticks_us(), world.now
world.real = lambda: begun + utime.ticks_diff(utime.ticks_us(), mono) * SPEED
woke, reason = world.now, machine.wake_reason()
import struct
import world as hardware
from chips.reed import ReedMeter
def keep(*state):
    with open("meter.bin", "wb") as f:
        f.write(struct.pack("<qqqqq", *state))
try:
    with open("meter.bin", "rb") as f:
        state = struct.unpack("<qqqqq", f.read())
except OSError:
    state = None
FLOW
meter = ReedMeter(27, flow, ml_per_pulse=ML, start_us=world.now, seed=7, second=SECOND, state=state, keep=keep)
for pin, level in meter.levels():
    hardware.line(pin).drive(level)
hardware.attach_pins(meter)
LID
deepsleep, lightsleep, napped = machine.deepsleep, machine.lightsleep, 0
connections = 0
def tell(ms=0):
    own = "main", "node", "drivers", "sensors", "boards"
    mine = sorted(name for name in sys.modules if name.split(".")[0] in own)
    print("sleep", CAUSE, reason, woke, world.now - woke - napped, connections, world.now, ",".join(mine))
    world.real = lambda: 1 << 62  # nobody need wait for a board that sleeps
    deepsleep(ms)
def nap(ms=0):
    global napped
    began = world.now
    lightsleep(ms)
    napped += world.now - began
machine.deepsleep, machine.lightsleep = tell, nap
import main
build = main.build
def built():
    global connections
    node = build()
    from node import outbox, report
    outbox._LINGER_MS, report._LISTEN_MS, report._CLOCK_MS = 30, 100, 100
    report._PATIENCE_MS, report._FLUSH_MS = GIVE_UP, 10
    from node import node as whole
    whole._KEEP_MS = 10
    report._LOOK_MS = 20
    from node import uplink
    uplink._RECOVERY_MS = 20
    def count():
        global connections
        connections += 1
    node.uplink.on_connect.append(count)
    BUILT
    return node
main.build = built
main.main()
"""


class Wake(NamedTuple):
    """One wake, until the board slept again."""

    cause: int
    reason: int
    woke_us: int
    awake_us: int
    connections: int
    slept_us: int
    """When it slept again. A report takes as long as the broker does, and a second of that is `speed` of the board."""
    modules: frozenset[str]
    """Of the firmware, that were loaded."""


class Sleeper:
    """`flow` is MicroPython: the body of `flow(us)`, ml/h of a time since the beginning in us, until when."""

    def __init__(
        self,
        folder: Path,
        image: Path,
        port: int,
        flow: str,
        *,
        speed: int = 300,
        ml: int = 10_000,
        ppm: int = 0,
        second: int | None = None,
        lid: str = "",
        built: str = "",
        battery: dict[str, object] | None = None,
        **config: object,
    ) -> None:
        self.folder, self._image = folder, image
        sensors = {"litres_per_pulse": ml // 1000, "reeds": 2 if second else 1, "tamper": bool(lid)}
        given = {"kind": "water", "site": "riverside", "node": "water-1", "mqtt": {"host": "127.0.0.1", "port": port}}
        given |= {"sensors": sensors, "battery": battery or {"window_s": 3600, "report_s": 86_400}}
        (folder / "config.json").write_text(json.dumps({**given, **config}))
        body = f"def flow(us):\n    since = us - {BEGIN_US}\n" + "".join(f"    {each}\n" for each in flow.splitlines())
        self._with = {
            "IMAGE": repr(str(image)),
            "SPEED": str(speed),
            "BEGIN_US": str(BEGIN_US),
            "FLOW": body,
            "ML": str(ml),
            "PPM": str(ppm),
            "SECOND": str(second),
            "LID": lid,
            "BUILT": built,
            "GIVE_UP": "15_000",
        }
        self.wakes: list[Wake] = []
        self.resets = 0
        self._cause = POWER_ON
        self._first = True
        self._off_us = 0
        self.lines: list[str] = []

    def live(self, until: Callable[[], bool] = lambda: False, *, seconds: float | None = None) -> None:
        """Start it again at each wake, until the condition holds or the board has lived so many seconds from BEGIN."""
        while not until():
            if seconds is not None and self.now_s() >= seconds:
                return
            self._wake()

    def patience(self, ms: int) -> None:
        """How long (real ms) a report that does not come further goes on."""
        self._with["GIVE_UP"] = str(ms)

    def now_s(self) -> float:
        """Seconds since BEGIN at which the board last woke."""
        path = self.folder / "sleep.bin"
        if not path.exists():
            return 0
        return (struct.unpack("<q", path.read_bytes()[:8])[0] - BEGIN_US) / 1_000_000

    def _wake(self) -> None:
        program = _PROGRAM
        for name, value in {
            **self._with,
            "CAUSE": str(self._cause),
            "FIRST": str(self._first),
            "OFF_US": str(self._off_us),
        }.items():
            program = program.replace(name, value)
        self._first = False
        with start(program, self.folder) as process:
            output, _ = process.communicate(timeout=60)
        code = process.returncode - RESET_EXIT
        lines = output.splitlines()
        self.lines += lines
        assert code in (HARD, DEEP_SLEEP), output
        self._cause = code
        if code == DEEP_SLEEP:
            found = [line.split()[1:] for line in lines if line.startswith("sleep ")][-1]
            self.wakes.append(Wake(*(int(word) for word in found[:6]), modules=frozenset(found[6].split(","))))
        else:
            self.resets += 1

    def lose_power(self, seconds: float = 0) -> None:
        """While it sleeps, for so long: RTC memory is gone; the meter goes on."""
        (self.folder / "rtc.bin").unlink()
        self._cause, self._off_us = POWER_ON, int(seconds * 1_000_000)

    def truth(self, *, backward: bool = False) -> int:
        """The meter's turns."""
        return int(struct.unpack("<qqqqq", (self.folder / "meter.bin").read_bytes())[3 + backward])
