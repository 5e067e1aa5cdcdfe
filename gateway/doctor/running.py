"""The running gateway: whether there is one, and what it says of itself."""

import ipaddress
import socket
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec
import urllib3

from gateway.doctor.context import Context
from gateway.doctor.finding import NotAsked, Said, fault, ok, warning
from gateway.tls import local_pool

SECONDS: Final = 1.5
"""For one answer of our own."""
WATCH_SECONDS: Final = 3.2
"""Two gateways with one session throw each other out about every second at first, and then more seldom."""
LOOK_SECONDS: Final = 0.2
THROWN_OUT: Final = ("the connection to the broker is lost", "the broker ended the connection")
"""How the receiver begins to tell of it. While there is no broker it tells that nobody answers."""


def gateway(context: Context) -> Iterator[Said]:
    """By the lock of the journal, which the kernel frees with its process."""
    process = context.holder
    if process is None:
        if context.used:
            yield fault(
                f"no gateway runs, though {context.folder} was used by one",
                "start it: `ganglion gateway --config`, or systemctl start; its log says why it ended",
            )
        else:
            yield warning("no gateway was ever started here", f"ganglion gateway --config {context.path}")
        return
    other = _other_config(process, context.path)
    if other is not None:
        yield fault(
            f"a gateway with another configuration, {other}, uses {context.folder} (process {process})",
            "give each gateway a data_dir of its own, or look with that configuration",
        )
    else:
        yield ok(f"a gateway runs (process {process})")


def _other_config(process: int, path: Path) -> Path | None:
    """The configuration that a process was given, if it is surely another than `path`."""
    try:
        words = Path(f"/proc/{process}/cmdline").read_text().split("\0")
        folder = Path(f"/proc/{process}/cwd").readlink()
    except OSError:
        return None
    given = [after for word, after in pairwise(words) if word == "--config"]
    given += [word.removeprefix("--config=") for word in words if word.startswith("--config=")]
    other = (folder / given[-1]).resolve() if given else None
    return other if other is not None and other != path.resolve() else None


def http(context: Context) -> Iterator[Said]:
    """The address of health and metrics."""
    settings = context.config.http
    host, port = settings.address
    if everybody(host):
        yield warning(
            f"http.listen {settings.listen} is open to everybody who reaches this machine, without a password",
            "listen at 127.0.0.1, or keep others out with a firewall",
        )
    answer = _get(context, "/healthz")
    ours = answer is not None and answer.data == b"alive\n"
    if ours and context.holder is not None:
        yield ok(f"the gateway answers at {settings.listen}")
    elif ours:
        yield fault(
            f"a gateway answers at {settings.listen} that does not hold {context.folder}",
            "give each gateway an http.listen of its own; if it runs in a container, run doctor in there",
        )
    elif answer is not None or listens(settings.here):
        yield fault(
            f"{settings.listen} is taken by another program, so the gateway cannot start",
            f"stop it (`ss -ltnp sport = :{port}` shows which), or choose another http.listen",
        )
    elif context.holder is not None:
        yield fault(f"the gateway runs, but nobody answers at {settings.listen}", "look at its log; restart it")
    elif (trouble := _not_here(host)) is not None:
        yield fault(f"http.listen: {host} is no address of this machine: {trouble}", "choose one, such as 127.0.0.1")
    else:
        yield ok(f"{settings.listen} is free for a gateway")


def readiness(context: Context) -> Iterator[Said]:
    """What the running gateway says for a while, so that it is seen when it comes and goes."""
    if context.holder is None:
        raise NotAsked(
            "no gateway runs here: only a running one feels it when another one, elsewhere, uses its session "
            f"ganglion-gateway-{context.config.sites[0]}"
        )
    said = _watch(context)
    if not said:
        yield fault("the gateway gives no answer to /readyz", "look at its log; restart it")
        return
    fight = next((words for parts in said if (words := parts.get("broker", "")).startswith(THROWN_OUT)), "")
    if fight:
        yield fault(
            f"the gateway is thrown out by a broker that answers ({fight}): most likely another gateway, elsewhere, "
            f"uses the session ganglion-gateway-{context.config.sites[0]} too",
            "stop one of them, or give it another first site; the broker's log tells of closed old connections",
        )
    for part, trouble in said[-1].items():
        if trouble != "ready" and not (part == "broker" and fight):
            seen, _, cure = trouble.partition("; to do: ")
            yield fault(f"the gateway's {part}: {seen}", cure or "see the checks of that part")
    if not fight and all(trouble == "ready" for trouble in said[-1].values()):
        yield ok("the gateway says that it is ready, and nobody takes its session")


def _watch(context: Context) -> list[dict[str, str]]:
    """The parts by name, again and again."""
    found: list[dict[str, str]] = []
    end = time.monotonic() + WATCH_SECONDS
    while time.monotonic() < end:
        answer = _get(context, "/readyz")
        if answer is not None:
            said: Any = msgspec.json.decode(answer.data)
            found.append(dict(said["parts"]))
        time.sleep(LOOK_SECONDS)
    return found


def everybody(host: str) -> bool:
    """Whether an address means every one of this machine."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _get(context: Context, path: str) -> urllib3.BaseHTTPResponse | None:
    """None when nobody answers as a web server does."""
    try:
        with local_pool(context.config.http, SECONDS) as pool:
            return pool.request("GET", f"{context.config.http.url}{path}")
    except urllib3.exceptions.HTTPError:
        return None


def listens(address: tuple[str, int]) -> bool:
    """Whether anybody takes connections there."""
    try:
        socket.create_connection(address, SECONDS).close()
    except OSError:
        return False
    return True


def _not_here(host: str) -> str | None:
    """Why this machine cannot listen at an address; any free port does for the question."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.bind((host, 0))
    except OSError as error:
        return error.strerror or str(error)
    return None
