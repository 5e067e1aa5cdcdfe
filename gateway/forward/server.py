"""Asking a server what it is, and sending what is too large in halves: common to all dialects."""

from collections.abc import Callable, Sequence
from typing import Final, Literal

import msgspec
import urllib3

from gateway.errors import Lasting, Poison
from gateway.forward.answers import TooLarge, judge, unreachable

CONNECT_SECONDS: Final = 5
READ_SECONDS: Final = 20
"""A server that needs longer for a batch is in trouble, and is asked again later."""


def make_http() -> urllib3.PoolManager:
    """Connections without retries and redirects of their own: patience is the forwarder's."""
    return urllib3.PoolManager(
        maxsize=1, retries=False, timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS)
    )


def authorization(token: str) -> dict[str, str]:
    """The header for a `user:password` of 1.x or a token of 2.x and 3, which has no colon; none for an empty one."""
    if ":" in token:
        return dict(urllib3.make_headers(basic_auth=token))
    return {"Authorization": f"Token {token}"} if token else {}


def detect_api(url: str, token: str = "") -> Literal["v1", "v2"]:
    """Ask the server which dialect it wants: 1.x speaks v1; 2.x, 3 and the cloud speak v2.

    By the headers of `/ping`, else by `/health`, which 1.8, 2.x and 3 have. Raises Passing when nobody answers,
    Lasting when the answer does not tell.
    """
    version, build = "", ""
    with make_http() as http:
        try:
            for path in ("/ping", "/health"):
                answer = http.request("GET", url.rstrip("/") + path, headers=authorization(token))
                build = answer.headers.get("X-Influxdb-Build", build)
                version = answer.headers.get("X-Influxdb-Version", "") or _version_in(answer.data)
                if version or build:
                    break
                if answer.status in (401, 403) or answer.status >= 500:
                    raise judge(url + path, answer.status, answer.headers, answer.data)
        except urllib3.exceptions.HTTPError as error:
            raise unreachable(url, error) from error
    major = version.lstrip("v").partition(".")[0]
    if major == "1":
        return "v1"
    if major in ("2", "3") or build == "Cloud":
        return "v2"
    raise Lasting(
        f"{url} does not say which InfluxDB it is (version {version or 'not given'}): "
        'set influx.api to "v1" or "v2" if it takes such writes, else check influx.url'
    )


def _version_in(body: bytes) -> str:
    try:
        said = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return ""
    return str(said.get("version", "")) if isinstance(said, dict) else ""


def in_halves(send: Callable[[Sequence[bytes]], None], lines: Sequence[bytes]) -> None:
    """Send lines; what the server calls too large, in halves. Raises what `send` raises."""
    if not lines:
        return
    try:
        send(lines)
    except TooLarge as error:
        if len(lines) == 1:
            raise Poison(str(error), rest_written=False) from error
        half = len(lines) // 2
        in_halves(send, lines[:half])
        in_halves(send, lines[half:])
