"""`/healthz`, `/readyz` and `/metrics`. The figures are the journal's own, so they survive restarts."""

import asyncio
import contextlib
import logging
import socket
import sqlite3
import time
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Final

import uvicorn
from msgspec import structs
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from gateway.config import MIRROR, Http
from gateway.connections import Limits, within
from gateway.errors import ConfigError, GanglionError
from gateway.fence import Fence
from gateway.identity.counted import Counted
from gateway.journal.access import JournalAccess
from gateway.journal.store import Journal
from gateway.listener import CountingListener
from gateway.records import Figures, Queued
from gateway.tls import HANDSHAKE_SECONDS, Identity

log = logging.getLogger(__name__)

LIMITS: Final = Limits()
HELD: Final = 2
"""Times as many connections as are served, handshakes among them, are held at once."""
WORDS: Final = 8
"""Messages of a web socket that wait to be looked at."""
PROXIED: Final = ("console", "citizens")
"""Before which a proxy of this machine may stand, that says who asks. Before others nobody does, and any program here
could say that it is somebody else."""
PROOF_SECONDS: Final = 2.0
"""A disk that takes longer for one small write is no disk to be ready with."""
ACK_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)

Check = Callable[[], Awaitable[str | None]]
"""Why a part is not ready, in words; None when it is."""


class Metrics(Collector):
    """The process's registry: lives as long as the process, also when the parts are started anew."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._acks = [0] * (len(ACK_BUCKETS) + 1)
        self._ack_sum = 0.0
        self._figures: Figures | None = None
        self.identities = Counted()
        ProcessCollector(registry=self.registry)
        self.registry.register(self)

    def acknowledged(self, seconds: float, number: int) -> None:
        """So many messages took that long from their arrival to their acknowledgement."""
        self._acks[bisect_left(ACK_BUCKETS, seconds)] += number
        self._ack_sum += number * seconds

    def render(self, figures: Figures) -> bytes:
        """The Prometheus text format."""
        self._figures = figures
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Metric]:
        bounds = [*map(str, ACK_BUCKETS), "+Inf"]
        yield HistogramMetricFamily(
            "ganglion_ack_seconds",
            "From a message's arrival to its acknowledgement",
            buckets=list(zip(bounds, accumulate(self._acks), strict=True)),
            sum_value=self._ack_sum,
        )
        yield from self.identities.collect()
        figures = self._figures
        if figures is None:
            return
        ledger = figures.ledger
        for name, meaning, value in (
            ("received", "Packs that arrived", ledger.received),
            ("written", "Packs the database has taken", ledger.written),
            ("duplicate", "Packs that had arrived before", ledger.duplicates),
            ("dead_letter", "Packs refused, kept with their reason", ledger.dead_letters),
        ):
            yield CounterMetricFamily(f"ganglion_packs_{name}", meaning, value=value)
        lag = 0.0 if figures.oldest_received is None else max(0.0, time.time() - figures.oldest_received)
        for name, meaning, level in (
            ("packs_waiting", "Packs in the journal that the database has not taken yet", ledger.waiting),
            ("lag_seconds", "Age of the oldest waiting pack", lag),
            ("gaps", "Sequence numbers missing, over all nodes", ledger.gaps),
            ("journal_bytes", "Bytes of packs in the journal", figures.bytes),
            ("journal_max_bytes", "Bytes at which the journal is full", figures.max_bytes),
            ("nodes", "Nodes heard of", figures.nodes),
            ("nodes_online", "Nodes whose last word was a birth", figures.nodes_online),
            ("nodes_safe_mode", "Nodes whose newest birth told of safe mode", figures.nodes_safe),
            ("nodes_silent", "Nodes online that say nothing", figures.nodes_silent),
            ("nodes_without_time", "Nodes online that do not know the time", figures.nodes_without_time),
        ):
            yield GaugeMetricFamily(f"ganglion_{name}", meaning, value=level)
        for name, meaning in (
            ("waiting", "Packs that this further database has not taken yet"),
            ("refused", "Packs that it refused for good"),
            ("skipped", "Packs that it never got, because the journal was full"),
        ):
            family = GaugeMetricFamily(f"ganglion_mirror_packs_{name}", meaning, labels=["mirror"])
            for consumer, far in sorted(figures.mirrors.items()):
                family.add_metric([consumer.removeprefix(MIRROR)], getattr(far, name))
            yield family
        expired = CounterMetricFamily("ganglion_expired", "Deleted because it was too old to be kept", labels=["what"])
        for what, number in sorted(figures.expired.items()):
            expired.add_metric([what], number)
        yield expired
        yield from _told(figures)
        incidents = GaugeMetricFamily("ganglion_incidents_open", "Incidents open now", labels=["kind"])
        for kind, number in sorted(figures.incidents_open.items()):
            incidents.add_metric([kind], number)
        yield incidents


def _told(figures: Figures) -> Iterator[Metric]:
    for kind, name, meaning in (
        (GaugeMetricFamily, "waiting", "Messages that this target has not taken yet, or is told later"),
        (CounterMetricFamily, "sent", "Messages it has taken"),
        (CounterMetricFamily, "dropped", "Messages given up because too many waited for it"),
        (CounterMetricFamily, "refused", "Messages it refused for good"),
        (GaugeMetricFamily, "failing", "1 while its last answer was a failure"),
    ):
        family = kind(f"ganglion_notify_{name}", meaning, labels=["target"])
        for target, far in sorted(figures.targets.items()):
            family.add_metric([target], float(getattr(far, name)))
        yield family


async def journal_trouble(journal: JournalAccess) -> str | None:
    """A readiness check that writes to the disk and waits for it."""
    if journal.full is not None:
        return journal.full
    try:
        async with asyncio.timeout(PROOF_SECONDS):
            await journal.attempt(Journal.prove_writable)
    except TimeoutError:
        return f"a small write took more than {PROOF_SECONDS:g} s"
    except (sqlite3.Error, GanglionError) as error:
        return str(error)
    return None


def make_app(
    journal: JournalAccess,
    metrics: Metrics,
    checks: Mapping[str, Check],
    more: Sequence[BaseRoute] = (),
    targets: Callable[[], Awaitable[dict[str, Queued]]] | None = None,
    identities: Callable[[], Awaitable[None]] | None = None,
) -> Starlette:
    """The application; `checks` by the name of the part they are about, `more` routes beside its own. `targets` says
    how far those are who are told of incidents, `identities` brings the figures of the metrics' own up to date."""

    async def healthz(request: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def readyz(request: Request) -> Response:
        found = {part: await check() for part, check in checks.items()}
        ready = not any(found.values())
        parts = {part: trouble or "ready" for part, trouble in found.items()}
        return JSONResponse({"ready": ready, "parts": parts}, 200 if ready else 503)

    async def show_metrics(request: Request) -> Response:
        figures = await journal.call(Journal.figures)
        if identities is not None:
            await identities()
        if targets is not None:
            figures = structs.replace(figures, targets=await targets())
        return Response(metrics.render(figures), media_type=CONTENT_TYPE_LATEST)

    return Starlette(
        routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", show_metrics), *more],
    )


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # signals are the service's

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, but nobody holds a connection by a handshake for longer than ours."""
        config = self.config
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            raise RuntimeError("the application did not start; what of is logged above")

        def make() -> asyncio.Protocol:
            made: Callable[..., asyncio.Protocol] = config.http_protocol_class
            return made(config=config, server_state=self.server_state, app_state=self.lifespan.state)

        patience, goodbye = (HANDSHAKE_SECONDS, 1.0) if config.ssl else (None, None)
        loop = asyncio.get_running_loop()
        self.servers = [
            await loop.create_server(
                make,
                sock=each,
                ssl=config.ssl,
                backlog=config.backlog,
                ssl_handshake_timeout=patience,
                ssl_shutdown_timeout=goodbye,
            )
            for each in sockets or []
        ]
        self.started = True


class HttpServer:
    """Serves an application, within limits, until it is cancelled."""

    def __init__(
        self, settings: Http, app: ASGIApp, key: str = "http", *, live: bool = False, limits: Limits = LIMITS
    ) -> None:
        """Binds at once, so that a taken port is a ConfigError here and not a surprise later; so are files of TLS.

        `key` is the table of the settings; `live`: the application has web sockets, and a life of its own.
        """
        self._identity = Identity(settings, key) if settings.cert else None
        self._proxied = key in PROXIED
        host, port = settings.address
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            plain = socket.create_server((host, port), family=family)
        except (OSError, OverflowError) as error:
            raise ConfigError(f"{key}.listen: {settings.listen} cannot be used: {error}; choose another") from error
        if settings.in_the_open:
            log.warning(
                "%s.listen: %s is reached by others in plain text: give %s.cert and %s.key, or say plain = true there "
                "where a proxy or a VPN stands before it", key, settings.listen, key, key,
            )  # fmt: skip
        self._socket = CountingListener(family, plain.type, plain.proto, plain.detach())
        self._socket.bound(HELD * limits.most, limits.of_one)
        # As asyncio has it for sockets of its own: else the second part of an answer waits 40 ms for the first's
        # acknowledgement. Connections inherit it.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        config = uvicorn.Config(
            Fence(app, limits, secure=self._identity is not None),
            http=within(limits),
            backlog=limits.backlog,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=self._proxied,
            lifespan="on" if live else "off",
            ws="auto" if live else "none",
            ws_max_size=limits.word_bytes,
            ws_max_queue=WORDS,
            timeout_graceful_shutdown=1,
        )
        config.load()
        config.ssl = self._identity.context if self._identity else None
        self._server = _Server(config)

    def close(self) -> None:
        """Let the port go. `run` does so at its end; this is for one that never runs."""
        self._socket.close()

    async def run(self) -> None:
        tasks = [asyncio.create_task(self._server.serve([self._socket]))]
        if self._identity:
            tasks.append(asyncio.create_task(self._identity.watch()))
        serving = tasks[0]
        try:
            await asyncio.shield(serving)
        finally:
            self._server.should_exit = True
            for each in tasks[1:]:
                each.cancel()
            await serving
            self.close()
