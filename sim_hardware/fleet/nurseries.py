"""The nurseries of a fleet, one for each kind of node: orders go in, news of boards comes out."""

import asyncio
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gateway.errors import GanglionError, ungrouped
from sim_hardware.fleet import image

_STOP_S = 10.0
"""A nursery cuts the power of thousands of boards in less; one that has not ended by then hangs."""


class NurseryError(GanglionError):
    """A nursery has ended; the message says where it left word of the reason."""


class Nurseries:
    """`sim_hardware/fleet/nursery.py` says what they understand and answer."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._of_kind: dict[str, asyncio.subprocess.Process] = {}

    async def start(self, board: Path, kinds: Mapping[str, int]) -> None:
        """`board` is the path of the boards' file system, `kinds` how many boards there are of each.

        They are in sessions of their own: a Ctrl-C is not for them. Returns when all have loaded what boards have in
        common; raises NurseryError when one ends before.
        """
        with self._log.open("ab") as log:
            for kind, boards in kinds.items():
                self._of_kind[kind] = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "sim_hardware.fleet.nursery", str(board), kind, str(boards)),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=log,
                    cwd=image.ROOT,
                    start_new_session=True,
                )
        for nursery in self._of_kind.values():
            assert nursery.stdout
            if not await nursery.stdout.readline():
                raise self._ended()

    def order(self, kind: str, slot: int, folder: Path, cause: int) -> None:
        """Switch a board on."""
        nursery = self._of_kind[kind].stdin
        assert nursery
        nursery.write(json.dumps({"slot": slot, "folder": str(folder), "cause": cause}).encode() + b"\n")

    async def attend(self, hear: Callable[[dict[str, Any]], None]) -> None:
        """Hand on what they say, until one ends. Raises NurseryError then."""
        with ungrouped():
            async with asyncio.TaskGroup() as group:
                for nursery in self._of_kind.values():
                    group.create_task(self._listen(nursery, hear))

    async def _listen(self, nursery: asyncio.subprocess.Process, hear: Callable[[dict[str, Any]], None]) -> None:
        assert nursery.stdout
        while line := await nursery.stdout.readline():
            hear(json.loads(line))
        raise self._ended()

    def _ended(self) -> NurseryError:
        return NurseryError(f"a nursery ended; see {self._log}")

    async def stop(self) -> None:
        """Cut the power of all boards, and wait for their end."""
        for nursery in self._of_kind.values():
            assert nursery.stdin
            nursery.stdin.close()
        for nursery in self._of_kind.values():
            try:
                await asyncio.wait_for(nursery.wait(), _STOP_S)
            except TimeoutError:
                nursery.kill()
                await nursery.wait()
        self._of_kind.clear()
