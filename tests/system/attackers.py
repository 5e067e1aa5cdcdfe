"""Who attacks a secured city, and the honest nodes beside whom he does it."""

import asyncio
import contextlib
import resource
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

import aiomqtt

from sim_hardware.secure import City

SITE = "riverside"
SECONDS = 10.0
EVERY_S = 0.25
"""Between two packs of an honest node: a city of 240 nodes with a window of a minute in each of these. What had to wait
goes at once afterwards, as nodes do it."""


def cut_off(link: socket.socket, seconds: float = SECONDS) -> bool:
    """Whether the broker ends this connection within so many seconds. What it says until then is read."""
    end = time.monotonic() + seconds
    try:
        while (left := end - time.monotonic()) > 0:
            link.settimeout(left)
            if not link.recv(4096):
                return True
    except TimeoutError:
        return False
    except OSError:
        return True
    return False


def pack(node: str, boot: int, seq: int, when: int, value: float = 400.0) -> bytes:
    """Of an air station."""
    return (
        f'[{{"bn":"{SITE}/{node}/","bt":{when},"n":"boot","v":{boot}}},{{"n":"seq","v":{seq}}},'
        f'{{"n":"co2","u":"ppm","v":{value}}}]'
    ).encode()


@contextlib.contextmanager
def many_files(wanted: int) -> Iterator[None]:
    """Allow this process so many open files. A machine that does not allow it cannot try what needs them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), max(hard, wanted)))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, max(hard, wanted)))


class Honest:
    """Nodes that send a pack every `EVERY_S`, each after the one before it was acknowledged, on a thread of their own.

    `sent` counts what was acknowledged, by node.
    """

    def __init__(self, city: City, names: Sequence[str]) -> None:
        self._city, self._names = city, names
        for name in names:
            city.node(SITE, name)
        self.sent = dict.fromkeys(names, 0)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))
        self._stop = asyncio.Event()
        self.error: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()

    def total(self) -> int:
        """Packs that were acknowledged; raises what a node has died of."""
        if self.error is not None:
            raise self.error
        return sum(self.sent.values())

    async def _run(self) -> None:
        tasks = [asyncio.create_task(self._live(name)) for name in self._names]
        ended = asyncio.create_task(self._stop.wait())
        done, _ = await asyncio.wait([*tasks, ended], return_when=asyncio.FIRST_COMPLETED)
        self.error = next((each.exception() for each in done if each is not ended), None)
        for each in (*tasks, ended):
            each.cancel()
        await asyncio.gather(*tasks, ended, return_exceptions=True)

    async def _live(self, name: str) -> None:
        own = self._city.node(SITE, name)
        tls = aiomqtt.TLSParameters(str(self._city.ca), str(own / "cert.pem"), str(own / "key.pem"))
        port, root = self._city.broker.port, f"ganglion/v1/{SITE}/{name}"
        began, due = int(time.time()) - 86_400, time.monotonic()
        async with aiomqtt.Client("127.0.0.1", port, identifier=f"{SITE}/{name}", tls_params=tls) as client:
            await client.publish(f"{root}/status", b'{"online":true,"kind":"air","boot":1}', 1, retain=True)
            while True:
                seq = self.sent[name]
                await client.publish(f"{root}/telemetry", pack(name, 1, seq, began + seq * 60), 1)
                self.sent[name] += 1
                due += EVERY_S
                await asyncio.sleep(due - time.monotonic())
