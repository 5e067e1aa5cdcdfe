"""From a board on a cable to a node that reports, step by step."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct

from gateway.board import chip, image, port, settings
from gateway.board.birth import Birth
from gateway.board.boards import BoardKind
from gateway.board.errors import BoardError
from gateway.board.image import Image
from gateway.board.install import Done, Load, install, make_load
from gateway.board.remote import Look, Remote
from gateway.config import Mqtt
from gateway.records import Status
from gateway.update.compile import bytecode, compile_tree
from gateway.update.package import source_version


class Step(Protocol):
    """What a step under way can tell: how far it is, what it is at, and how it ended."""

    def part(self, share: float) -> None: ...

    def tell(self, text: str) -> None: ...

    def done(self, text: str) -> None: ...


Steps = Callable[[str], AbstractContextManager[Step]]
"""Begins a step of that name; the context ends with it, by an exception when it failed."""


class Order(Struct, frozen=True, kw_only=True):
    """What is to be done with a board."""

    port: str
    board: str = ""
    """Empty: the one that has the chip."""
    source: Path
    config: dict[str, Any]
    """For config.json, without `board`."""
    extra: dict[str, bytes]
    """More files, by their path on the board."""
    image: Path | None = None
    image_sha256: str = ""
    erase: bool = False
    wait_s: float = 0
    listen: Mqtt
    """How this machine hears the broker."""


class Outcome(Struct, frozen=True, kw_only=True):
    """One JSON object, for `--json`."""

    site: str
    node: str
    port: str
    board: str
    chip: str
    mac: str
    flash_bytes: int
    micropython: str
    image_sha256: str
    firmware: str
    files_written: int
    files_unchanged: int
    files_removed: int
    bytes_written: int
    boot: int | None
    """Of the birth; None when it was not waited for."""
    seconds: float


class Prepared(Struct, frozen=True):
    """All that can be known without the board."""

    files: dict[str, bytes]
    version: str
    image: Image | None


def prepare(order: Order, begin: Steps) -> Prepared:
    """Check what was given and compile the firmware; touches no board.

    Raises FlashError, UpdateError or ImageError.
    """
    with begin("settings") as step:
        settings.check({**order.config, **({"board": order.board} if order.board else {})}, order.source)
        step.done(f"{order.config['site']}/{order.config['node']}, {order.config['kind']}")
    loaded = None
    if order.image:
        with begin("image") as step:
            loaded = image.load(order.image, order.image_sha256)
            step.done(f"{order.image.name}, {loaded.size >> 10} KiB")
    with begin("firmware") as step:
        version = source_version(order.source)
        files = compile_tree(order.source)
        step.done(f"{version}, {len(files)} files, {sum(map(len, files.values())) >> 10} KiB")
    return Prepared(files, version, loaded)


async def flash(order: Order, prepared: Prepared, begin: Steps) -> Outcome:
    """All steps. Raises FlashError that says what happened, to what, and what to do."""
    began = time.monotonic()
    if order.wait_s:
        with begin("broker") as step:
            async with Birth(order.listen, order.config["site"], order.config["node"]):
                step.done(f"{order.listen.host}:{order.listen.port} answers this machine")
    with begin("port") as step:
        port.check(order.port)
        step.done(order.port)
    with begin("chip") as step:
        found = await asyncio.to_thread(chip.identify, order.port)
        board = chip.choose(found, order.board)
        if prepared.image:
            image.check(prepared.image, board, found.flash_bytes)
        step.done(f"{found.chip}, {found.flash_bytes >> 20} MiB, {found.mac}: {board.name}")
    await _micropython(order, prepared, board, begin)
    remote = Remote(order.port)
    with begin("board") as step:
        look = await asyncio.to_thread(remote.look)
        _check_bytecode(look, prepared)
        version = ".".join(map(str, look.version))
        step.done(f"MicroPython {version}, {look.free >> 10} KiB free")
    config = {**order.config, "board": board.name}
    load = make_load(prepared.files, prepared.version, order.source, board.name, config, order.extra)
    done = await _copy(remote, look, load, begin)
    status = await _start(order, remote, begin)
    return Outcome(
        site=config["site"],
        node=config["node"],
        port=order.port,
        board=board.name,
        chip=found.chip,
        mac=found.mac,
        flash_bytes=found.flash_bytes,
        micropython=version,
        image_sha256=prepared.image.sha256 if prepared.image else "",
        firmware=prepared.version,
        files_written=done.written,
        files_unchanged=done.unchanged,
        files_removed=done.removed,
        bytes_written=done.bytes,
        boot=status.boot if status else None,
        seconds=round(time.monotonic() - began, 1),
    )


async def _micropython(order: Order, prepared: Prepared, board: BoardKind, begin: Steps) -> None:
    if order.erase:
        with begin("erase") as step:
            await asyncio.to_thread(chip.erase, order.port)
            step.done("all of the flash")
    if prepared.image:
        with begin("write") as step:
            await asyncio.to_thread(chip.write, order.port, board, prepared.image, step.part)
            step.done(f"{prepared.image.path.name} at {board.offset:#x}, verified")


def _check_bytecode(look: Look, prepared: Prepared) -> None:
    ours = bytecode(prepared.files)
    if look.mpy != ours:
        raise BoardError(
            f"the MicroPython on the board reads bytecode of version {look.mpy}, the firmware is compiled to {ours}: "
            "give a newer image with --image"
        )


async def _copy(remote: Remote, look: Look, load: Load, begin: Steps) -> Done:
    with begin("copy") as step:
        done = await asyncio.to_thread(install, remote, look, load, step.part)
        step.done(f"{done.written} files, {done.bytes >> 10} KiB; {done.unchanged} were there already")
        return done


async def _start(order: Order, remote: Remote, begin: Steps) -> Status | None:
    if not order.wait_s:
        with begin("reset") as step:
            await asyncio.to_thread(remote.reset)
            step.done("the node starts")
        return None
    async with Birth(order.listen, order.config["site"], order.config["node"]) as birth:
        with begin("reset") as step:
            await asyncio.to_thread(remote.reset)
            step.done("the node starts")
        with begin("report") as step, port.Console(order.port) as console:
            status = await birth.wait(order.wait_s, console, step.tell)
            step.done(f"boot {status.boot}, firmware {status.firmware}, {status.reset_cause}")
            return status
