"""What both interfaces answer with: JSON, and what is wrong with a question in words."""

from collections.abc import Callable, Coroutine
from typing import Any, Final

import msgspec
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from gateway.errors import GanglionError

JSON: Final = "application/json"


class Problem(GanglionError):
    """A question that is not answered; the message says what is."""

    def __init__(self, status: int, title: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.title = title


def encoded(body: Any, status: int = 200, media: str = JSON, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(body), status, headers, media)


def route(body: Callable[[Problem], Any], media: str) -> type[APIRoute]:
    """Routes of an interface that tells of problems in its own form."""

    class Route(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def answer(request: Request) -> Response:
                try:
                    return await handle(request)
                except RequestValidationError as error:
                    said = "; ".join(f"{each['loc'][-1]}: {each['msg']}" for each in error.errors())
                    problem = Problem(400, "Bad request", said)
                except Problem as error:
                    problem = error
                except GanglionError as error:  # of the database; a person can only try again, or call the operator
                    problem = Problem(503, "The database does not answer", str(error))
                return encoded(body(problem), problem.status, media)

            return answer

    return Route
