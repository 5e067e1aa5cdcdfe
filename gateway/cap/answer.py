"""Answers that a reader who has them already need not be sent again (RFC 9110, 13)."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from email.utils import formatdate, parsedate_to_datetime
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

SECONDS: Final = 15
"""For which a reader may keep an answer without asking again."""
REMEMBERED: Final = 512
"""Addresses whose last change is known."""


class Answers:
    """Knows when the answer at an address was first another one: what it tells of carries earlier times, since packs
    may come late."""

    def __init__(self, *, shared: bool, clock: Callable[[], float] = time.time) -> None:
        """`shared` says that answers may be kept for others, too: no login stands before them."""
        self._keep = f"{'public' if shared else 'private'}, max-age={SECONDS}"
        self._clock = clock
        self._seen: OrderedDict[str, tuple[str, int]] = OrderedDict()

    def give(self, request: Request, body: bytes, media_type: str) -> Response:
        """200 with the body, or 304 where the request says that it is known."""
        tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        changed = self._changed(str(request.url), tag)
        headers = {"ETag": tag, "Last-Modified": formatdate(changed, usegmt=True), "Cache-Control": self._keep}
        if _known(request, tag, changed):
            return Response(status_code=304, headers=headers)
        return Response(body, media_type=media_type, headers=headers)

    def _changed(self, address: str, tag: str) -> int:
        """Unix seconds."""
        known, changed = self._seen.pop(address, ("", 0))
        if tag != known:
            # Dates are of seconds: what changes twice in one must not look the same.
            changed = max(int(self._clock()), changed + 1)
        self._seen[address] = (tag, changed)
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return changed


def _known(request: Request, tag: str, changed: int) -> bool:
    if (tags := request.headers.get("if-none-match")) is not None:
        return tags.strip() == "*" or tag in {each.strip().removeprefix("W/") for each in tags.split(",")}
    try:
        since = parsedate_to_datetime(request.headers.get("if-modified-since", ""))
        return since.timestamp() >= changed
    except (ValueError, OverflowError):  # no date: RFC 9110 has it passed over
        return False
