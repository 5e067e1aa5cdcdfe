"""What is done to a gateway and all around it, and when: kills on the way, and harm of other kinds between them."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct

from sim_hardware.servers import InfluxDB, Mosquitto, ServerError, spawn, wait_until
from tests.bench.relay import Relay
from tests.bench.wrong_clock import set_clock
from tests.system.gateway_process import SECONDS, GatewayProcess

Kind = Literal[
    "kill", "broker_death", "database_death", "database_hang", "disk_full", "clock_jump", "link_hang", "link_cut",
    "reload",
]  # fmt: skip

DISK_BYTES: Final = 48 * 2**20
"""Of the gateway's own file system, where it is to come full."""


class Harm(Struct, frozen=True):
    """One line of the table."""

    often: int
    """In a run of a thousand kills."""
    lasts_s: tuple[float, float]
    """Least and most; in short runs less."""


HARMS: Final[dict[Kind, Harm]] = {
    "broker_death": Harm(30, (0.1, 20)),
    "database_death": Harm(20, (0.1, 120)),
    "database_hang": Harm(20, (0.5, 120)),
    "disk_full": Harm(20, (1.5, 40)),
    "clock_jump": Harm(40, (0.5, 30)),
    "link_hang": Harm(25, (0.5, 60)),
    "link_cut": Harm(30, (0, 0)),
    "reload": Harm(30, (1, 10)),
}
_HOUR, _DAY = 3600.0, 86_400.0
JUMPS: Final = (3 * _HOUR, -3 * _HOUR, 40 * _DAY, -400 * _DAY, 20 * 365 * _DAY, -20 * 365 * _DAY)
"""Of the wall clock, seconds. The packs are older than the lesser of those back, and newer than the others."""
LIFE_S: Final = ((0.0, 1.0), (0.5, 3.0))
"""Between two kills: while it starts, and while it works."""
AT_WORK_S: Final = 2.0
"""After which one that was started is at work."""
PEACE_S: Final = (20.0, 60.0)
"""And now and then, so that it meets the other harm alive."""
PEACE_SHARE: Final = 0.02


class Blow(Struct, frozen=True, order=True):
    at: float
    """Seconds after the begin."""
    number: int
    kind: Kind
    ends: bool
    which: int
    """Of its kind."""


def plan(kills: int, seed: int, without: frozenset[Kind]) -> list[Blow]:
    """Every blow of a run in order of time; what lasts has two."""
    dice, at, scale = random.Random(seed), 0.0, min(1.0, kills / 300)
    moments: list[tuple[float, Kind, bool, int]] = []
    at_work: list[float] = []
    for number in range(kills):
        before = at
        peace = dice.random() < PEACE_SHARE or number == kills // 2
        at += dice.uniform(*PEACE_S) * max(scale, 0.1) if peace else dice.uniform(*dice.choice(LIFE_S))
        moments.append((at, "kill", False, number))
        if at - before > AT_WORK_S:
            at_work.append(at)
    at_work = at_work or [at]
    for kind, harm in HARMS.items():
        if kind in without:
            continue
        for number in range(max(1, harm.often * kills // 1000)):
            least, most = harm.lasts_s
            lasts = dice.uniform(least, least + (most - least) * max(scale, 0.05) * dice.random())
            # Into a batch that waits for room: who acknowledges too early is sure to be caught there.
            begin = dice.choice(at_work) - lasts / 2 if kind == "disk_full" else dice.uniform(0.0, at)
            moments += [(begin, kind, False, number), (begin + lasts, kind, True, number)]
    return [Blow(at, number, *rest) for number, (at, *rest) in enumerate(sorted(moments))]


class HarmedGateway(GatewayProcess):
    """A gateway whose clock is ours. One that ends by itself is started again, as systemd would, and is noted."""

    def __init__(self, folder: Path, relay: Relay, influx_url: str, database: str, **journal: int) -> None:
        super().__init__(folder, relay, influx_url, database, **journal)  # type: ignore[arg-type]
        self._plain = self.config.read_text()
        self._clock = folder / "clock"
        set_clock(self._clock, 0.0)
        self._begun = 0
        self.died: list[str] = []
        """The last words of those that ended by themselves."""
        self.refused = 0
        """Those that did not start, while the disk was full or the configuration wrong: they said so and ended."""
        self.full = self.wrong = False
        self.kills = 0

    def start(self, *, ready: bool = True) -> "HarmedGateway":
        command = [sys.executable, "-m", "tests.bench.wrong_clock", str(self._clock)]
        command += ["gateway", "--verbose", "--config", str(self.config)]
        log = self.folder / "gateway.log"
        self._begun = log.stat().st_size if log.exists() else 0
        self.process = spawn(command, log, cwd=Path.cwd())
        if ready:
            wait_until(lambda: self.get("/readyz")[0] == 200, SECONDS, "readiness of the gateway")
        return self

    def strike(self) -> None:
        """Kill it, wherever it is, and start it again."""
        self.kills += 1
        self.kill()
        self.start(ready=False)

    def look(self) -> None:
        """Start it again if it has ended by itself."""
        if self.process is not None and (code := self.process.poll()) is not None:
            said = self.log[self._begun :]
            if code == 1 and (self.full or self.wrong) and "connected to the broker" not in said:
                self.refused += 1
            else:
                self.died.append(f"ended with {code}: {said[-3000:]}")
            self.start(ready=False)

    def set_clock(self, seconds: float) -> None:
        """Let its wall clock be wrong by so much, at once."""
        set_clock(self._clock, seconds)

    def reload(self, number: int) -> None:
        """Now a configuration that can be used, now one that cannot."""
        self.wrong = number % 3 == 2
        more = f"batch_lines = {500 + number}\n"
        self.write_config(self._plain + "x = 1\n" if self.wrong else self._plain.replace("[http]", f"{more}[http]"))

    def restore(self) -> None:
        self.write_config(self._plain)
        self.wrong = False


class SmallDisk:
    """A file system of a folder's own, that can be filled. Needs the right to mount."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def __enter__(self) -> "SmallDisk":
        """Raises ServerError when it cannot be mounted."""
        self.folder.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(self.folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ServerError(
                f"no file system of its own for the gateway: {done.stderr.strip()}; run as root, "
                "or below `unshare --map-root-user --mount`, or leave it out: --without disk_full"
            )
        return self

    def __exit__(self, *_: object) -> None:
        """What was on it stays in the folder."""
        self.free()
        kept = self.folder.with_name("kept")
        shutil.copytree(self.folder, kept)
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)
        self.folder.rmdir()
        kept.rename(self.folder)

    def fill(self) -> None:
        """To the last byte."""
        with contextlib.suppress(OSError), self._ballast.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    def free(self) -> None:
        self._ballast.unlink(missing_ok=True)


class Harmer:
    """Does what is planned to the parts that are handed in. All from one thread, which starts every process."""

    def __init__(
        self, gateway: HarmedGateway, broker: Mosquitto, influx: InfluxDB, relay: Relay, disk: SmallDisk | None
    ) -> None:
        self._gateway, self._broker, self._influx = gateway, broker, influx
        self._relay, self._disk = relay, disk
        self._going: dict[Kind, int] = dict.fromkeys(HARMS, 0)
        self.done: dict[Kind, int] = {"kill": 0, **dict.fromkeys(HARMS, 0)}

    def run(self, blows: list[Blow], look: Callable[[Blow], None]) -> None:
        """`look` is called after each blow, and may raise to end it all."""
        begin = time.monotonic()
        for blow in blows:
            while (left := begin + blow.at - time.monotonic()) > 0:
                time.sleep(min(left, 0.1))
                self._gateway.look()
            self._strike(blow)
            look(blow)

    def _strike(self, blow: Blow) -> None:
        if not blow.ends:
            self.done[blow.kind] += 1
        if blow.kind == "kill":
            self._gateway.strike()
            return
        if not blow.ends:
            self._going[blow.kind] += 1
            if self._going[blow.kind] == 1:
                self._begin(blow)
        else:
            self._going[blow.kind] -= 1
            if self._going[blow.kind] == 0:
                self._end(blow.kind)

    def _begin(self, blow: Blow) -> None:
        match blow.kind:
            case "broker_death":
                self._broker.kill()
            case "database_death":
                self._signal_database(signal.SIGCONT)
                self._influx.kill()
            case "database_hang":
                self._signal_database(signal.SIGSTOP)
            case "disk_full":
                assert self._disk is not None
                self._gateway.full = True
                self._disk.fill()
            case "clock_jump":
                self._gateway.set_clock(JUMPS[blow.which % len(JUMPS)])
            case "link_hang":
                self._relay.hang(new_too=blow.which % 2 == 1)
            case "link_cut":
                self._relay.cut()
            case "reload":
                self._gateway.reload(blow.which)

    def _end(self, kind: Kind) -> None:
        match kind:
            case "broker_death":
                self._broker.start()
            case "database_death":
                self._influx.start()
            case "database_hang":
                self._signal_database(signal.SIGCONT)
            case "disk_full":
                assert self._disk is not None
                self._disk.free()
                self._gateway.full = False
            case "clock_jump":
                self._gateway.set_clock(0.0)
            case "link_hang":
                self._relay.heal()
            case "reload":
                self._gateway.restore()

    def _signal_database(self, number: signal.Signals) -> None:
        """To one that is alive."""
        process = self._influx._process
        if process is not None:
            os.kill(process.pid, number)

    def heal(self) -> None:
        """What hangs is broken, as where a router is started again."""
        self._relay.cut()
