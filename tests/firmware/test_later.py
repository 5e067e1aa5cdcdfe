"""Parts that are loaded when they are first needed, on MicroPython: no message is lost, mixed up or taken twice."""

from pathlib import Path

from tests.micropython import run

PROGRAM = """
import asyncio
from node.later import Later

class Uplink:
    def __init__(self):
        self.handlers = {}
    def hear(self, level, handler):
        self.handlers[level] = handler
    def take(self, level, payload):
        handler = self.handlers[level]
        handler(payload) if handler else self.unheard(level, payload)

class Part:
    def __init__(self, name, levels):
        self.heard = []
        self.tasks = ((name, self.run),)
        for level in levels:
            uplink.hear(level, lambda payload, level=level: self.heard.append((level, payload)))
    async def run(self):
        print("runs", self.tasks[0][0])

uplink = Uplink()
made = []
failures = []
def make(name):
    made.append(name)
    if failures:
        raise failures.pop()
    return Part(name, [level for level in LEVELS if LEVELS[level] == name])
LEVELS = {"config": "wanted", "update": "updater", "update/piece": "updater"}
async def keep(name, start):
    print("kept", name)
    await start()
later = Later(uplink, LEVELS, make, keep, lambda level, payload: payload != b"no")
async def main():
    running = asyncio.create_task(later.run())
    await asyncio.sleep_ms(1)
"""


def lines(body: str, tmp_path: Path) -> list[str]:
    return run(PROGRAM + "".join(f"    {line}\n" for line in body.splitlines()) + "asyncio.run(main())\n", tmp_path)


def test_the_first_message_loads_its_part(tmp_path: Path) -> None:
    """Which hears it and all that follow, in order; what it does not need loads nothing; others stay unloaded."""
    assert lines(
        """
uplink.take("update", b"no")
await asyncio.sleep_ms(1)
print(made, later.part("updater"))
for payload in (b"1", b"2"):
    uplink.take("update/piece", payload)
uplink.take("update", b"3")
await asyncio.sleep_ms(1)
uplink.take("update", b"no")
print(later.part("updater").heard, made, later.part("wanted"))
print(later.load("updater") is later.part("updater"))
""",
        tmp_path,
    ) == [
        "[] None",
        "kept updater",
        "runs updater",
        "[('update/piece', b'1'), ('update/piece', b'2'), ('update', b'3'), ('update', b'no')] ['updater'] None",
        "True",
    ]


def test_only_a_few_wait(tmp_path: Path) -> None:
    """Messages may come faster than a part loads; more than four do not fill the heap."""
    assert lines(
        """
for n in range(9):
    uplink.take("config", b"%d" % n)
await asyncio.sleep_ms(1)
print(later.part("wanted").heard)
""",
        tmp_path,
    )[-1] == str([("config", b"%d" % n) for n in range(4)])


def test_a_part_that_cannot_be_loaded_is_tried_again(tmp_path: Path) -> None:
    """The heap was full: the supervisor starts the task again, and the next message loads it."""
    assert lines(
        """
failures.append(MemoryError())
uplink.take("config", b"1")
try:
    await running
except MemoryError:
    print("died")
running = asyncio.create_task(later.run())
uplink.take("config", b"2")
await asyncio.sleep_ms(1)
print(made, later.part("wanted").heard)
""",
        tmp_path,
    ) == ["died", "kept wanted", "runs wanted", "['wanted', 'wanted'] [('config', b'1'), ('config', b'2')]"]
