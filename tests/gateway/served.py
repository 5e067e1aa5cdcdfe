"""An application behind a real port, in a thread of its own, and how to ask it."""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterator, Mapping
from typing import Any

import urllib3

from gateway.config import Http
from gateway.connections import Limits
from gateway.http import LIMITS, HttpServer
from gateway.tls import local_pool
from sim_hardware.servers import free_port


class Served:
    """Where it is, and its loop for what must run in it."""

    def __init__(self, url: str, loop: asyncio.AbstractEventLoop, pool: urllib3.PoolManager) -> None:
        self.url = url
        self.loop = loop
        self._http = pool

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> urllib3.BaseHTTPResponse:
        return self._http.request("GET", self.url + path, headers=headers, redirect=False)

    def post(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> urllib3.BaseHTTPResponse:
        """JSON; bytes as they are."""
        given = {"headers": headers or {}, "body": body} if isinstance(body, bytes) else {"json": body}
        return self._http.request("POST", self.url + path, **{"headers": headers or {}, **given})

    def run(self, what: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(what, self.loop).result(20)

    def close(self) -> None:
        self._http.clear()


@contextlib.contextmanager
def served(
    app: Any,
    *parts: Coroutine[Any, Any, None],
    limits: Limits = LIMITS,
    settings: Http | None = None,
    live: bool = False,
    key: str = "citizens",
) -> Iterator[Served]:
    """`parts` run beside it until the end; `settings` are for a port of its own where not given, and `key` says whose
    table they are."""
    settings = settings or Http(f"127.0.0.1:{free_port()}")
    server, started = HttpServer(settings, app, key, live=live, limits=limits), threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    failed: list[Exception] = []

    async def serve() -> None:
        tasks = [asyncio.create_task(each) for each in (server.run(), *parts)]
        started.set()
        await stop.wait()
        for each in tasks:
            each.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        failed.extend(each for each in ends if isinstance(each, Exception))

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=run)
    thread.start()
    started.wait(10)
    client = Served(settings.url, loop, local_pool(settings, 10))
    try:
        yield client
    finally:
        client.close()
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
    if failed:
        raise failed[0]
