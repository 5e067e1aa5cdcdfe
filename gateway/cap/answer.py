"""An answer that a reader who has it already need not be sent again (RFC 9110, 13)."""

import hashlib
from collections.abc import Mapping
from email.utils import formatdate, parsedate_to_datetime
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

SECONDS: Final = 15
"""For which a reader may keep an answer without asking again."""


def answer(
    request: Request,
    body: bytes,
    media_type: str,
    changed: int,
    *,
    shared: bool,
    more: Mapping[str, str] | None = None,
) -> Response:
    """200 with the body, or 304 where the request says that it is known. `changed` is in Unix seconds.

    `shared` says that it may be kept for others, too: no login stands before it.
    """
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {
        "ETag": tag,
        "Last-Modified": formatdate(changed, usegmt=True),
        "Cache-Control": f"{'public' if shared else 'private'}, max-age={SECONDS}",
        **(more or {}),
    }
    if _known(request, tag, changed):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=media_type, headers=headers)


def _known(request: Request, tag: str, changed: int) -> bool:
    if (tags := request.headers.get("if-none-match")) is not None:
        return tags.strip() == "*" or tag in {each.strip().removeprefix("W/") for each in tags.split(",")}
    try:
        since = parsedate_to_datetime(request.headers.get("if-modified-since", ""))
        return since.timestamp() >= changed
    except (ValueError, OverflowError):  # no date: RFC 9110 has it passed over
        return False
