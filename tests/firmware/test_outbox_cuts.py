"""The log and the outbox on littlefs, with the power cut at every byte of all that they write; and a full flash.

A thousand lives of a board in one process, on a chip in memory: see cuts.py.
"""

from pathlib import Path

import pytest

from tests.firmware.cuts import chip_program, sweep
from tests.micropython import run

LOG = """
from node import store as module
module._FILE_MAX = 1024
BODIES = (0, 60, 300, 5, 700, 10, 400, 990, 100, 100, 200, 30)

def record(n):
    return 1, 1, n, 1_000 + n, n % 3, bytes([n]) * BODIES[n]

def open_log():
    return module.Store(max_bytes=4 * 1024)

def read(log):
    found, at = [], log.begin()
    while True:
        each, at = log.read(at)
        if each is None:
            return found
        found.append(each)

kept = []  # (step after which it may be so, the first pack that must be there)

def live(step):
    log = open_log()
    kept.clear()
    kept.append((0, 0))
    ends = []
    for n in range(len(BODIES)):
        while log.full(BODIES[n]):
            kept.append((n, kept[-1][1] + log._counts[log._numbers[0]]))
            log.drop()
        ends.append(log.append(*record(n)))
        step(n + 1)
        if n == 3:
            log.learn(1, 77)
        if n == 6:
            kept.append((n + 1, 5))
            log.release(ends[4])

def examine(done):
    log = open_log()
    found = read(log)
    numbers = [each[2] for each in found]
    if [record(n) for n in numbers] != found:
        return "torn", numbers
    if numbers and numbers != list(range(numbers[0], numbers[-1] + 1)):
        return "order", numbers
    must = max([first for step, first in kept if step <= done])
    missing = [n for n in range(must, done) if n not in numbers]
    if missing or log.packs != len(found) or log.damaged:
        return "missing", missing, log.packs, numbers, log.damaged
    if 4 < done <= 6 and log.eras != {1: 77}:
        return "eras", log.eras
    log.append(1, 1, 99, 2_000, 0, b"new")
    if read(open_log()) != found + [(1, 1, 99, 2_000, 0, b"new")]:
        return "does not go on"
"""

OUTBOX = """
from node import outbox as module, store
store._FILE_MAX = 1024
now = 0
module.ticks_ms = lambda: now
EARLY, KNOWN = 946_684_800, 1_795_430_400
acked = []

def live(step):
    global now
    now = 0
    acked.clear()
    box = module.Outbox(1, 1, store.Store(max_bytes=8 * 1024))
    def put(n, length):
        box.put((EARLY if n < 3 else KNOWN) + n, "telemetry", chr(65 + n) * length)
    for n, length in enumerate((50, 300, 20, 700)):
        put(n, length)
        step(n + 1)
        if n == 2:
            box.learn(KNOWN - EARLY)
    box.online = True
    for n in range(3):
        message = box.next(n == 1)
        if message:
            box.published(message)
            acked.extend([pack[1] for pack in message.packs])
            box.acknowledged(message.number)
    now += 10_001
    box.keep()
    put(4, 100)
    put(5, 200)
    now += 5_001
    box.keep()
    step(6)
    put(6, 300)
    message = box.next()
    if message:
        box.published(message)  # and never acknowledged
    put(7, 10)
    box.settle()
    step(8)
    box.disconnected()
    put(8, 500)
    step(9)

def examine(done):
    global now
    now = 0
    box = module.Outbox(2, 2, store.Store(max_bytes=8 * 1024))
    box.learn(0)
    box.put(KNOWN + 99, "event", "new")
    if len(box) != box._store.packs:
        return "count", len(box), box._store.packs
    box.online = True
    found = []
    while True:
        message = box.next(True)
        if message is None:
            break
        box.published(message)
        found += message.packs
        box.acknowledged(message.number)
        now += 10_001
        box.keep()
    if found[-1:] != [(2, 0)]:
        return "does not go on", found
    seqs = [seq for boot, seq in found[:-1]]
    if seqs != sorted(set(seqs)):
        return "order", seqs
    learnt = done > 3
    missing = [n for n in range(done) if n not in acked and (learnt or n > 2) and n not in seqs]
    if missing or len(box) or (learnt and box.dropped):
        return "missing", missing, seqs, len(box), box.dropped
    if os.listdir("outbox"):
        return "left", os.listdir("outbox")
"""


@pytest.mark.parametrize("program", [LOG, OUTBOX], ids=["log", "outbox"])
def test_power_may_fail_in_any_write(tmp_path: Path, program: str) -> None:
    """What had been kept is there, whole, in order, once, and goes out if it was not acknowledged; the log goes on."""
    assert sweep(program, tmp_path, stride=23) > 300


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("program", [LOG, OUTBOX], ids=["log", "outbox"])
def test_power_may_fail_at_any_byte(tmp_path: Path, program: str) -> None:
    """All of them."""
    assert sweep(program, tmp_path, stride=0) > 2500


def test_a_full_flash_costs_the_oldest_packs_alone(tmp_path: Path) -> None:
    """Something else has taken it: the newest are kept, and counted is what is dropped."""
    printed = run(
        chip_program("""
from node import outbox as module, store
module.ticks_ms = lambda: 0
on(Chip(formatted(32)))
box = module.Outbox(1, 1, store.Store(max_bytes=16 * 8192))
for n in range(20):
    box.put(1_795_430_400, "telemetry", "x" * 1000)
print(len(box), box.dropped, box.trouble)
try:
    with open("other", "wb") as f:
        for _ in range(40):
            f.write(bytes(4096))
            f.flush()
except OSError as error:
    print("full", error.errno)
for n in range(20, 40):
    box.put(1_795_430_400, "telemetry", "x" * 1000)
print(len(box) + box.dropped, len(box) > 6, box.trouble, len(box._fresh))
box.online = True
found = []
while True:
    message = box.next(True)
    if message is None or len(found) > 100:
        break
    found += [pack[1] for pack in message.packs]
    box.published(message)
    box.acknowledged(message.number)
print(found == list(range(box.dropped, 40)))
off()
"""),
        tmp_path,
        heap="2M",
    )
    assert printed == ["20 0 None", "full 28", "40 True None 0", "True"]


def test_an_outage_wears_the_flash_little(tmp_path: Path) -> None:
    """Blocks erased for each pack that is kept: a chip bears 100,000 on each of some 200 blocks."""
    (line,) = run(
        chip_program("""
from node import outbox as module, store
module.ticks_ms = lambda: 0
chip = Chip(formatted(64))
on(chip)
box = module.Outbox(1, 1, store.Store(max_bytes=16 * 8192))
before = chip.erased
for n in range(300):
    box.put(1_795_430_400, "telemetry", "x" * 300)
print((chip.erased - before) / 300, box.dropped)
off()
"""),
        tmp_path,
        heap="4M",
    )
    erased, dropped = line.split()
    assert dropped == "0"
    assert float(erased) < 2.5
