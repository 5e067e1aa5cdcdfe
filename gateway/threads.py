"""Work in a thread that nobody has to wait for."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


async def in_thread(ask: Callable[[], T], name: str) -> T:
    """Ask, in a thread that nobody waits for when the task is cancelled: a server may hold it as long as it likes, but
    not the gateway's end."""
    answer: Future[T] = Future()

    def run() -> None:
        try:
            found = ask()
        except BaseException as error:  # noqa: BLE001 - it is the task's to raise
            answer.set_exception(error)
        else:
            answer.set_result(found)

    answer.set_running_or_notify_cancel()
    threading.Thread(target=run, name=name, daemon=True).start()
    return await asyncio.wrap_future(answer)
