"""Asking a server what it is, over connections that leave patience to us: common to all dialects."""

from typing import Final, Literal

import msgspec
import urllib3

from gateway.errors import Lasting
from gateway.forward.answers import UNREADABLE, judge, unreachable

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
    """Which dialect a server wants: 1.x speaks v1; 2.x, 3 and the cloud speak v2. Raises like `major_version`."""
    return "v1" if major_version(url, token) == 1 else "v2"


def major_version(url: str, token: str = "") -> Literal[1, 2, 3]:
    """Ask a server which InfluxDB it is; the cloud, which is of no version, counts as 2.

    By the headers of `/ping`, else by `/health`, which 1.8, 2.x and 3 have. Raises Passing when nobody answers,
    Lasting when the answer does not tell.
    """
    version, build = "", ""
    with make_http() as http:
        try:
            for path in ("/ping", "/health"):
                answer = http.request("GET", url.rstrip("/") + path, headers=authorization(token), redirect=False)
                build = answer.headers.get("X-Influxdb-Build", build)
                version = answer.headers.get("X-Influxdb-Version", "") or _version_in(answer.data)
                if version or build:
                    break
                if answer.status in (401, 403) or answer.status >= 500:
                    raise judge(url + path, answer.status, answer.headers, answer.data)
        except urllib3.exceptions.HTTPError as error:
            raise unreachable(url, error) from error
    match version.lstrip("v").partition(".")[0]:
        case "1":
            return 1
        case "2":
            return 2
        case "3":
            return 3
    if build == "Cloud":
        return 2
    raise Lasting(
        f"{url} does not say which InfluxDB it is (version {version or 'not given'}): "
        'set influx.api to "v1" or "v2" if it takes such writes, else check influx.url'
    )


def _version_in(body: bytes) -> str:
    try:
        said = msgspec.json.decode(body)
    except UNREADABLE:
        return ""
    return str(said.get("version", "")) if isinstance(said, dict) else ""
