"""OGC SensorThings 1.1, Sensing, for reading: `/sensorthings/v1.1/`."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from starlette.datastructures import URL

from gateway.north.answers import JSON, Problem, encoded, route
from gateway.north.newest import Looker
from gateway.north.ngsi_ld import iso
from gateway.north.sta_query import MOST, Options, Segment, observations_statements, parse_options, parse_path
from gateway.north.things import QUANTITIES, RELATIONS, Catalogue, Entity, thing_id
from gateway.web.seat import Seat

ROOT: Final = "/sensorthings/v1.1"
CONFORMANCE: Final = tuple(
    f"http://www.opengis.net/spec/iot_sensing/1.1/req/{name}"
    for name in (
        "datamodel",
        "resource-path/resource-path-to-entities",
        "request-data/order",
        "request-data/expand",
        "request-data/select",
        "request-data/top",
        "request-data/skip",
        "request-data/count",
        "request-data/pagination",
    )
)
THROUGH: Final = "ask for the observations of one datastream: Datastreams('id')/Observations"


def _problem(problem: Problem) -> dict[str, Any]:
    return {"code": problem.status, "type": "error", "message": str(problem)}


def sta_router(seat: Seat, looker: Looker) -> APIRouter:
    router = APIRouter(prefix=ROOT, tags=["SensorThings"], route_class=route(_problem, JSON))

    @router.get("", summary="The sets there are", include_in_schema=False)
    @router.get("/", summary="The sets there are")
    async def root(request: Request) -> Response:
        base = _base(request)
        sets = [{"name": name, "url": f"{base}/{name}"} for name in RELATIONS]
        return encoded({"value": sets, "serverSettings": {"conformance": CONFORMANCE}})

    @router.get(
        "/{path:path}",
        summary="A set, an entity, or a property of one",
        description="`Things`, `Things('id')`, `Datastreams('id')/Observations`, `Things('id')/name`. Options: $top, "
        f"$skip, $count, $orderby, $select, $expand (one level); of observations $filter by phenomenonTime. At most "
        f"{MOST} entities at once; @iot.nextLink leads on.",
    )
    async def read(request: Request, path: str) -> Response:
        return await Reader(seat, await looker.made(Catalogue), request).answer(parse_path(path))

    return router


class _Where(NamedTuple):
    """Where a path has led so far."""

    name: str
    """Of the set."""
    keys: Sequence[str]
    single: bool
    """Whether it is the first of these alone."""
    stream: str = ""
    """The datastream of which these are observations."""


class Reader:
    """Of one question."""

    def __init__(self, seat: Seat, catalogue: Catalogue, request: Request) -> None:
        self._seat = seat
        self._catalogue = catalogue
        self._request = request
        self._base = _base(request)

    async def answer(self, path: list[Segment]) -> Response:
        """Raises Problem, and GanglionError as `Seat.ask` does."""
        where, rest = self._walk(path)
        name = where.name
        if rest:
            return self._property(await self._entity(name, where.keys[0]), rest)
        options = parse_options(self._request.query_params, name, single=where.single)
        if where.single:
            entity = await self._entity(name, where.keys[0])
            return encoded(await self._formed(name, where.keys[0], entity, options, alone=True))
        if name != "Observations":
            return encoded(await self._set(name, where.keys, options))
        if not where.stream:
            raise Problem(501, "Not supported", THROUGH)
        return encoded(await self._observations(where.stream, options, str(self._request.url)))

    def _walk(self, path: list[Segment]) -> tuple[_Where, list[Segment]]:
        """Where a path leads, and what of it is a property there."""
        first = path[0]
        if first.name not in RELATIONS:
            raise Problem(404, "No such set", f"there is no {first.name}; sets are {', '.join(RELATIONS)}")
        single = first.key is not None
        where = _Where(first.name, [first.key or ""] if single else list(self._catalogue.sets[first.name]), single)
        for at, segment in enumerate(path[1:], 1):
            if not where.single:
                raise Problem(
                    404, "No such path", f"{segment.name} is of one entity: {where.name}('id')/{segment.name}"
                )
            if segment.name not in RELATIONS[where.name]:
                return where, path[at:]
            where = self._follow(where, segment)
        return where, []

    def _follow(self, where: _Where, segment: Segment) -> _Where:
        name, key = where.name, where.keys[0]
        target, several = RELATIONS[name][segment.name]
        stream = key.rpartition(":")[0] if name == "Observations" else ""
        if key not in self._catalogue.sets[name] and stream not in self._catalogue.streams:
            raise Problem(404, "No such entity", f"there is no {name}({key!r})")
        single = not several or segment.key is not None
        if target == "Observations":
            if name != "Datastreams":
                raise Problem(501, "Not supported", THROUGH)
            return _Where(target, [segment.key or ""], single, key)
        linked = [each for each in self._linked(name, key, segment.name) if segment.key in (None, each)]
        if single and not linked:
            raise Problem(404, "No such entity", f"{name}({key!r}) has no such {segment.name}")
        return _Where(target, linked, single)

    async def _set(self, name: str, keys: Sequence[str], options: Options) -> Entity:
        entities = self._catalogue.sets[name]
        chosen = [key for key in keys if key in entities]
        by_name = options.order == "name"
        chosen.sort(key=lambda key: (entities[key]["name"] if by_name else key, key), reverse=options.descending)
        page = chosen[options.skip : options.skip + options.top]
        body: Entity = {"@iot.count": len(chosen)} if options.counted else {}
        if options.skip + options.top < len(chosen) and page:
            body["@iot.nextLink"] = self._next(str(self._request.url), options)
        body["value"] = [await self._formed(name, key, entities[key], options) for key in page]
        return body

    async def _observations(self, stream: str, options: Options, url: str) -> Entity:
        """One page of a datastream's."""
        if stream not in self._catalogue.streams:
            raise Problem(404, "No such entity", f"there is no Datastreams({stream!r})")
        place, quantity = self._catalogue.streams[stream]
        ask, count = observations_statements(place, quantity, options)
        series = await self._seat.ask(f"{ask}; {count}" if options.counted else ask)
        rows = next((each.values for each in series if each.columns[1:] == [quantity]), [])
        body: Entity = {}
        if options.counted:
            counted = next((each.values[0][1] for each in series if each.columns[1:] == ["count"]), 0)
            body["@iot.count"] = counted
        if len(rows) > options.top > 0:
            body["@iot.nextLink"] = self._next(url, options)
        body["value"] = [
            await self._formed("Observations", *self._observation(stream, *row), options) for row in rows[: options.top]
        ]
        return body

    async def _entity(self, name: str, key: str) -> Entity:
        if name == "Observations":
            stream, _, seconds = key.rpartition(":")
            if stream in self._catalogue.streams and re.fullmatch("[0-9]{1,11}", seconds):
                place, quantity = self._catalogue.streams[stream]
                options = Options(top=1, conditions=[f"time = {seconds}s"])
                for series in await self._seat.ask(observations_statements(place, quantity, options)[0]):
                    return self._observation(stream, *series.values[0])[1]
        elif (found := self._catalogue.sets[name].get(key)) is not None:
            return found
        raise Problem(404, "No such entity", f"there is no {name}({key!r})")

    def _linked(self, name: str, key: str, link: str) -> Sequence[str]:
        if name == "Observations":
            stream = key.rpartition(":")[0]
            place, _ = self._catalogue.streams[stream]
            return [stream] if link == "Datastream" else [thing_id(place.site, place.node)]
        return self._catalogue.related(name, key, link)

    async def _formed(self, name: str, key: str, entity: Entity, options: Options, *, alone: bool = False) -> Entity:
        """With its links, and what is selected and expanded."""
        here = self._link(name, key)
        known = {*entity, *RELATIONS[name], "id", "@iot.id", "@iot.selfLink"}
        for each in options.select:
            if each not in known:
                raise Problem(400, "No such property", f"$select={each}: {name} have {', '.join(sorted(known))}")
        wanted = set(options.select) or known
        body = {"@iot.id": key, "@iot.selfLink": here}
        body |= {each: value for each, value in entity.items() if each in wanted}
        for link in RELATIONS[name]:
            if link in options.expand:
                body |= await self._expanded(name, key, link, alone)
            elif link in wanted:
                body[f"{link}@iot.navigationLink"] = f"{here}/{link}"
        return body

    async def _expanded(self, name: str, key: str, link: str, alone: bool) -> Entity:
        target, several = RELATIONS[name][link]
        plain = Options()
        if target == "Observations":
            if not alone or name != "Datastreams":
                raise Problem(501, "Not supported", f"$expand=Observations is supported of one datastream; {THROUGH}")
            page = await self._observations(key, plain, f"{self._link(name, key)}/{link}")
            return {
                link: page["value"],
                **({f"{link}@iot.nextLink": page["@iot.nextLink"]} if "@iot.nextLink" in page else {}),
            }
        keys = self._linked(name, key, link)
        shown = [
            await self._formed(target, each, self._catalogue.sets[target][each], plain) for each in keys[: plain.top]
        ]
        if not several:
            return {link: shown[0]}
        more = {f"{link}@iot.nextLink": f"{self._link(name, key)}/{link}?$skip={plain.top}"}
        return {link: shown} | (more if len(keys) > plain.top else {})

    def _observation(self, stream: str, when: str, value: Any) -> tuple[str, Entity]:
        """Id and body, of a row."""
        place, quantity = self._catalogue.streams[stream]
        seconds = round(datetime.fromisoformat(when).timestamp())
        result = bool(value) if QUANTITIES[place.measurement, quantity].flag else value
        return f"{stream}:{seconds}", {"phenomenonTime": iso(seconds), "resultTime": iso(seconds), "result": result}

    def _property(self, entity: Mapping[str, Any], path: list[Segment]) -> Response:
        name, *rest = [segment.name for segment in path]
        if name not in entity or rest not in ([], ["$value"]):
            raise Problem(404, "No such property", f"there is no {'/'.join([name, *rest])}; {', '.join(entity)} are")
        if rest:
            return PlainTextResponse(str(entity[name]))
        return encoded({name: entity[name]})

    def _link(self, name: str, key: str) -> str:
        return f"{self._base}/{name}('{quote(key, safe=':')}')"

    @staticmethod
    def _next(url: str, options: Options) -> str:
        """The same question from the next entity on."""
        return str(URL(url).include_query_params(**{"$skip": options.skip + options.top}))


def _base(request: Request) -> str:
    return f"{str(request.base_url).rstrip('/')}{ROOT}"
