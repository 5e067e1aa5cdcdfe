"""Routes that refuse in JSON, and the documents that say so: what all interfaces that only read have in common."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

import msgspec
from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from msgspec import Struct

from gateway.errors import ConfigError, GanglionError, Passing
from gateway.near import nearest
from gateway.query.answer import UnknownName
from gateway.query.client import DatabaseError, TooMuch
from gateway.query.influxql import QueryError
from gateway.query.table import MissingExtra

MOST_WAITING: Final = 64
"""Questions under way or waiting for their turn. More are told to come again."""
RETRY_SECONDS: Final = 2


class Problem(Struct, frozen=True):
    """Every answer that is no success."""

    error: str
    """What is wrong, and what to do about it."""
    near: list[str] = []
    """Names that come near one that is not known, the likeliest first."""


class Refused(Exception):
    """Ends a request with a problem."""

    def __init__(self, status: int, error: str, near: list[str] | None = None) -> None:
        super().__init__(error)
        self.status = status
        self.problem = Problem(error, near or [])


class Careful(APIRoute):
    """Refuses parameters that there are not, and tells every error of ours as a `Problem`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        known = parameters(self.dependant)

        async def careful(request: Request) -> Response:
            try:
                refuse_unknown(request, known)
                return await handle(request)
            except Refused as refused:
                return problem(refused.status, refused.problem)
            except RequestValidationError as error:
                return problem(400, Problem(in_words(error)))
            except GanglionError as error:
                return problem(*judged(error))

        return careful


def parameters(of: Dependant) -> list[str]:
    """Names of the query's parameters, of the route itself and of what it depends on."""
    own = [each.alias for each in of.query_params]
    return own + [name for each in of.dependencies for name in parameters(each)]


def judged(error: GanglionError) -> tuple[int, Problem]:
    """400 for a wrong question, 404 for a wrong name, 413 for too much, 502 and 503 for what is not the asker's."""
    status = 500
    near: list[str] = []
    match error:
        case UnknownName():
            status, near = 404, list(error.unknown.near)
        case TooMuch():
            status = 413
        case DatabaseError():
            status = 502
        case MissingExtra():
            status = 501
        case QueryError():
            status = 400
        case Passing() | ConfigError():
            status = 503
    return status, Problem(str(error), near)


def refuse_unknown(request: Request, known: list[str]) -> None:
    """Raises Refused for a parameter that there is not: one that is misspelt must not widen a question."""
    for name in request.query_params:
        if name not in known:
            near = nearest(name, known)
            hint = f"the nearest is {near}" if near else "there is none here"
            raise Refused(400, f"there is no parameter {name!r}; {hint}", [near] if near else [])


def in_words(error: RequestValidationError) -> str:
    """The first thing that is wrong."""
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc'][1:])}: {first['msg']}"


def problem(status: int, what: Problem) -> Response:
    headers = {"Retry-After": str(RETRY_SECONDS)} if status == 503 else None
    return Response(msgspec.json.encode(what), status, headers, media_type="application/json")


def json(value: Any) -> Response:
    """A success; numbers that are none become null."""
    return Response(msgspec.json.encode(value), media_type="application/json")


class Turns:
    """So many at once; the others are told to come again, and none waits without end."""

    def __init__(self, most: int = MOST_WAITING) -> None:
        self._most = most
        self._under_way = 0

    async def take(self, work: Callable[[], Awaitable[Response]]) -> Response:
        """Raises Refused."""
        if self._under_way >= self._most:
            raise Refused(503, f"{self._most} questions are under way: ask again in a moment")
        self._under_way += 1
        try:
            return await work()
        finally:
            self._under_way -= 1


def documented(
    of: Any, meaning: str, *, refusals: tuple[int, ...] = (), more: dict[str, Any] | None = None
) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of the answers: the JSON of a type, media types beside it, and problems."""
    content = {"application/json": {"schema": schema_of(of)}, **(more or {})}
    problems = {"application/json": {"schema": schema_of(Problem)}}
    refused: dict[int | str, dict[str, Any]] = {
        status: {"description": MEANINGS[status], "content": problems} for status in refusals
    }
    return {
        200: {"description": meaning, "content": content},
        "default": {"description": "it did not succeed", "content": problems},
        **refused,
    }


MEANINGS: Final = {
    400: "the question is wrong",
    404: "a name is not known; `near` tells those that come near",
    413: "the answer would be too large",
    501: "this gateway lacks what the format needs",
    502: "the database refuses",
    503: "the database or the journal does not answer, or too many ask; see Retry-After",
}


def schema_of(of: Any) -> dict[str, Any]:
    """The JSON Schema of a type with everything in its place: an OpenAPI document has other places for references."""
    (top,), named = msgspec.json.schema_components([of], ref_template="{name}")
    inlined = _inline(top, named)
    assert isinstance(inlined, dict)
    return inlined


def _inline(part: Any, named: dict[str, Any]) -> Any:
    if isinstance(part, list):
        return [_inline(each, named) for each in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        return _inline(named[part["$ref"]], named)
    return {key: _inline(value, named) for key, value in part.items()}
