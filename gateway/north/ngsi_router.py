"""The part of NGSI-LD's HTTP binding that reads entities."""

from collections.abc import Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response

from gateway.north.answers import JSON, Problem, encoded, route
from gateway.north.newest import Looker
from gateway.north.ngsi_ld import CONTEXT, CORE_CONTEXT, SUBJECTS, Entity, entities, simplified

ROOT: Final = "/ngsi-ld/v1"
LD: Final = "application/ld+json"
LINK: Final = f'<{CONTEXT}>; rel="http://www.w3.org/ns/json-ld#context"; type="{LD}"'
MOST: Final = 1000
"""Entities in one answer."""
FORMS: Final = ("normalized", "keyValues")
ERRORS: Final = {400: "BadRequestData", 404: "ResourceNotFound", 422: "OperationNotSupported"}


def _problem(problem: Problem) -> dict[str, Any]:
    name = ERRORS.get(problem.status, "InternalError")
    kind = f"https://uri.etsi.org/ngsi-ld/errors/{name}"
    return {"type": kind, "title": problem.title, "detail": str(problem), "status": problem.status}


Types = Annotated[str, Query(description=f"Types, by commas: {', '.join(SUBJECTS)}")]
Ids = Annotated[str, Query(description="Ids, by commas")]
Attrs = Annotated[str, Query(description="Attributes, by commas: entities that have one of them, with these alone")]
Limit = Annotated[int, Query(ge=1, le=MOST, description="Most entities in the answer")]
Offset = Annotated[int, Query(ge=0, description="Entities to leave out at the beginning, in order of type and id")]
Count = Annotated[bool, Query(description="Whether the header NGSILD-Results-Count tells how many there are")]
Options = Annotated[str, Query(description="`normalized`, or `keyValues` for values alone")]


def ngsi_router(looker: Looker) -> APIRouter:
    router = APIRouter(
        prefix=ROOT,
        tags=["NGSI-LD"],
        route_class=route(_problem, JSON),
    )

    @router.get("/entities", summary="Entities of types")
    async def query(
        request: Request,
        type: Types = "",
        id: Ids = "",
        attrs: Attrs = "",
        limit: Limit = 20,
        offset: Offset = 0,
        count: Count = False,
        options: Options = "normalized",
    ) -> Response:
        _supported(request, ("type", "id", "attrs", "limit", "offset", "count", "options"))
        if not (type or id or attrs):
            raise Problem(400, "Too wide a question", f"name a type, an id or attrs; types are {', '.join(SUBJECTS)}")
        found = _chosen(await looker.made(entities), type, id, attrs)
        more = {"NGSILD-Results-Count": str(len(found))} if count else {}
        pages = []
        if offset + limit < len(found):
            pages.append(("next", offset + limit))
        if offset:
            pages.append(("prev", max(0, offset - limit)))
        links = [
            f'<{request.url.include_query_params(offset=at, limit=limit)}>; rel="{name}"; type="{_media(request)}"'
            for name, at in pages
        ]
        page = [_formed(entity, options, attrs) for entity in found[offset : offset + limit]]
        return _answer(request, page, more, links)

    @router.get("/entities/{id}", summary="One entity")
    async def one(request: Request, id: str, attrs: Attrs = "", options: Options = "normalized") -> Response:
        _supported(request, ("attrs", "options"))
        for entity in await looker.made(entities):
            if entity["id"] == id:
                return _answer(request, _formed(entity, options, attrs))
        raise Problem(404, "No such entity", f"there is no entity {id!r}; ask {ROOT}/entities?type=Device for some")

    @router.get("/types", summary="Types there are entities of")
    async def types(request: Request) -> Response:
        _supported(request, ())
        found = sorted({entity["type"] for entity in await looker.made(entities)})
        return _answer(request, {"id": "urn:ngsi-ld:EntityTypeList:all", "type": "EntityTypeList", "typeList": found})

    return router


def _supported(request: Request, names: Sequence[str]) -> None:
    for name in request.query_params:
        if name not in names:
            known = ", ".join(names) or "none"
            raise Problem(422, "Not supported", f"the parameter {name} is not supported here; those that are: {known}")


def _chosen(found: list[Entity], types: str, ids: str, attrs: str) -> list[Entity]:
    def among(text: str, *values: str) -> bool:
        return not text or not set(text.split(",")).isdisjoint(values)

    return [each for each in found if among(types, each["type"]) and among(ids, each["id"]) and among(attrs, *each)]


def _formed(entity: Entity, options: str, attrs: str) -> Entity:
    if options not in FORMS:
        raise Problem(400, "No such form", f"options={options} is not supported; forms are {', '.join(FORMS)}")
    wanted = {"id", "type", *attrs.split(",")} if attrs else entity.keys()
    entity = {name: value for name, value in entity.items() if name in wanted}
    return simplified(entity) if options == "keyValues" else entity


def _media(request: Request) -> str:
    """JSON-LD where it is asked for by name."""
    return LD if LD in request.headers.get("accept", "") else JSON


def _answer(
    request: Request, body: Entity | list[Entity], headers: dict[str, str] | None = None, links: Sequence[str] = ()
) -> Response:
    """With the context in the body of JSON-LD, and in a header of JSON."""
    media = _media(request)
    if media == LD:
        context = {"@context": [CONTEXT, CORE_CONTEXT]}
        body = [each | context for each in body] if isinstance(body, list) else body | context
    link = ", ".join([*([] if media == LD else [LINK]), *links])
    return encoded(body, media=media, headers={**(headers or {}), **({"Link": link} if link else {})})
