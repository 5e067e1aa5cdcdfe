"""One POST over HTTP, and what its answer means for whoever sends messages."""

import re
from collections.abc import Mapping
from typing import Final

import urllib3

from gateway.errors import Lasting, Passing, Poison, TargetError
from gateway.forward.answers import retry_after, server_words

SECONDS: Final = urllib3.Timeout(connect=4, read=8)
"""Both together are less than a person waits for a test message."""
MOST_READ: Final = 8192
"""Bytes of an answer."""


def post(url: str, body: bytes, headers: Mapping[str, str]) -> str:
    """What the server answered, in words. Raises TargetError for anything but a 2xx. Follows no redirect.

    Only the server is named, for path or query of a webhook is often its password; and only the beginning of what it
    says is read.
    """
    where = "/".join(re.split("[/?#]", url, maxsplit=3)[:3])
    try:
        with urllib3.PoolManager(retries=False, timeout=SECONDS) as http:
            answer = http.request("POST", url, body=body, headers=headers, redirect=False, preload_content=False)
            data = answer.read1(MOST_READ)
            answer.close()
    except urllib3.exceptions.HTTPError as error:
        raise Passing(f"{where} does not answer: {_innermost(error)}; to do: start it, or check its address") from error
    words = f"{answer.status} {server_words(answer.headers, data)}".strip()
    if 200 <= answer.status < 300:
        return words
    raise judge(where, answer.status, words, answer.headers)


def judge(where: str, status: int, words: str, headers: Mapping[str, str]) -> TargetError:
    """The error for an answer that is no success (RFC 9110 §15; 409 as of Idempotency-Key: the same is under way)."""
    message = f"{where} answered {words}"
    if status in (408, 409, 425, 429) or status >= 500:
        return Passing(f"{message}; to do: nothing, it is tried again", retry_after(headers))
    match status:
        case 401 | 403 | 407:
            return Lasting(f"{message}; to do: check the token and the secret, and the rights they give")
        case 404 | 405 | 410:
            return Lasting(f"{message}; to do: check the address, nothing takes messages there")
    if status < 400:
        return Lasting(f"{message}; to do: set url to where it points, redirects are not followed")
    return Poison(f"{message}; to do: see why it does not take this message", rest_written=False)


def bearer(token: str) -> dict[str, str]:
    """The header of a token; none for an empty one."""
    return {"Authorization": f"Bearer {token}"} if token else {}


def _innermost(error: BaseException) -> str:
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return (error.strerror if isinstance(error, OSError) and error.strerror else str(error)) or type(error).__name__
