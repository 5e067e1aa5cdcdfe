"""`/api/v1` of the operators' port: questions, and what the journal knows, for programs. It only reads."""

import asyncio
import difflib
import io
import time
from typing import Annotated, Final, Literal

import msgspec
from fastapi import APIRouter, Depends, Path, Query, Request, Response

from gateway.errors import ConfigError
from gateway.query.answer import Answered, answered_later, answering
from gateway.query.fit import MOST_POINTS
from gateway.query.influxql import QueryError, Question, only_reading, statement
from gateway.query.table import MEDIA, FileFormat, Table, table, write
from gateway.records import Incident
from gateway.web.answers import Balance, Letter, Node, NodeWithGaps, QuantityLine, Rows, placed, quantity_lines, shown
from gateway.web.asked import Compare, Site, question
from gateway.web.careful import Careful, Refused, Turns, documented, json
from gateway.web.drawn import POINTS, Drawn, drawn, named
from gateway.web.seat import Seat, Snapshot

TAG: Final = "query"
MOST_ROWS: Final = 200_000
"""Of one answer, all series together."""
MOST_LETTERS: Final = 200
NOTE: Final = "X-Ganglion-Note"
"""Header of the notes where the body has no place for them."""

Asked = Annotated[Question, Depends(question)]
Band = Annotated[bool, Query(description="Beside it what is expected by the four weeks before.")]


def make_router(seat: Seat) -> APIRouter:
    """To be included in the application of the operators' port."""
    api = APIRouter(prefix="/api/v1", tags=[TAG], route_class=Careful)
    turns = Turns()

    @api.get(
        "/query",
        summary="Time series as a table",
        responses=documented(
            Rows,
            "the rows",
            refusals=(400, 404, 413, 501, 502, 503),
            more={media: {} for media in MEDIA.values()},
        ),
        response_class=Response,
    )
    async def query(
        request: Request,
        asked: Asked,
        compare: Compare = "",
        band: Band = False,
        most: Annotated[
            int, Query(ge=1, le=MOST_ROWS, description="Points of a series; an answer of more is thinned.")
        ] = MOST_POINTS,
        influxql: Annotated[
            str, Query(max_length=10_000, description="A statement of your own that reads, instead of all the above.")
        ] = "",
        form: Annotated[
            Literal["json", "csv", "parquet"] | None,
            Query(alias="format", description="Without it, what the Accept header asks for, or json."),
        ] = None,
    ) -> Response:
        """The short form, or InfluxQL that reads (SELECT without INTO, SHOW, EXPLAIN)."""
        wanted = form or _accepted(request.headers.get("accept", ""))

        async def work() -> Response:
            if influxql:
                if asked != Question(quantity="") or compare or band:
                    raise QueryError("influxql is a whole question: leave out the parameters that narrow it")
                said = only_reading(influxql)
                answer = Answered(asked, await seat.ask(said))
            else:
                answer = await _answer(seat, asked, most, compare, band)
                said = statement(answer.question)
            return await asyncio.to_thread(_table, seat, answer, said, compare, wanted)

        return await turns.take(work)

    @api.get(
        "/series",
        summary="Time series as curves, with what is expected, what was before, and alarms",
        responses=documented(Drawn, "all that a chart shows", refusals=(400, 404, 413, 502, 503)),
        response_class=Response,
    )
    async def series(
        asked: Asked,
        compare: Compare = "",
        band: Band = False,
        points: Annotated[int, Query(ge=10, le=5000, description="Of a curve; more are thinned.")] = POINTS,
    ) -> Response:
        async def work() -> Response:
            answer = await _answer(seat, asked, points, compare, band)
            found = await asyncio.to_thread(drawn, answer, seat.snapshot, seat.zone, compare)
            return json(found)

        return await turns.take(work)

    @api.get(
        "/nodes", responses=documented(list[Node], "every node heard of", refusals=(503,)), response_class=Response
    )
    async def nodes(
        site: Site = "",
        kind: Annotated[str, Query(max_length=20, description="Only this kind.", examples=["air"])] = "",
    ) -> Response:
        """By site and name."""
        snapshot = _seen(seat)
        return json(
            [
                placed(seat.plan, each, snapshot.time)
                for each in snapshot.nodes
                if site in ("", each.site) and kind in ("", each.kind)
            ]
        )

    @api.get(
        "/nodes/{site}/{node}",
        responses=documented(NodeWithGaps, "one node, with every gap", refusals=(404, 503)),
        response_class=Response,
    )
    async def node(
        site: Annotated[str, Path(max_length=32, examples=["riverside"])],
        node: Annotated[str, Path(max_length=32, examples=["air-0007"])],
    ) -> Response:
        snapshot = _seen(seat)
        view = snapshot.node(site, node)
        if view is None:
            raise _unknown("node", f"{site}/{node}", [f"{each.site}/{each.node}" for each in snapshot.nodes])
        missing = await seat.look(lambda journal: journal.gaps(site, node))
        return json(NodeWithGaps(**msgspec.structs.asdict(placed(seat.plan, view, snapshot.time)), missing=missing))

    @api.get(
        "/incidents",
        responses=documented(list[Incident], "the latest changed first", refusals=(400, 503)),
        response_class=Response,
    )
    async def incidents(
        open_only: Annotated[bool, Query(alias="open", description="Only those that have not ended.")] = False,
        held: Annotated[bool, Query(description="Those held back by the budget of alarms, too.")] = False,
        site: Site = "",
        node: Annotated[str, Query(max_length=32, description="Only those that concern this node.")] = "",
        kind: Annotated[str, Query(max_length=50, description="Only this kind.", examples=["burst"])] = "",
        limit: Annotated[int, Query(ge=1, le=10_000, description="At most so many.")] = 1000,
    ) -> Response:
        """Times are the packs' own, in Unix seconds."""
        found = [
            each
            for each in reversed(_seen(seat).incidents)
            if (held or not each.held)
            and not (open_only and each.closed is not None)
            and site in ("", each.site)
            and kind in ("", each.kind)
            and (not node or node in (each.node, *each.nodes))
        ]
        return json(found[:limit])

    @api.get(
        "/incidents/{id}",
        responses=documented(Incident, "one incident, with its evidence", refusals=(404, 503)),
        response_class=Response,
    )
    async def incident(name: Annotated[str, Path(alias="id", max_length=200)]) -> Response:
        known = {each.id: each for each in _seen(seat).incidents}
        if name not in known:
            raise _unknown("incident", name, list(known))
        return json(known[name])

    @api.get("/ledger", responses=documented(Balance, "the count", refusals=(503,)), response_class=Response)
    async def ledger() -> Response:
        snapshot = _seen(seat)
        assert snapshot.figures is not None
        count = snapshot.figures.ledger
        return json(Balance(**msgspec.structs.asdict(count), balanced=count.balanced, time=snapshot.time))

    @api.get("/quantities", responses=documented(list[QuantityLine], "all that is measured"), response_class=Response)
    async def quantities() -> Response:
        """One line for each kind that measures it."""
        return json(quantity_lines())

    @api.get(
        "/dead-letters",
        responses=documented(list[Letter], "the newest first", refusals=(400, 503)),
        response_class=Response,
    )
    async def dead_letters(
        limit: Annotated[int, Query(ge=1, le=MOST_LETTERS, description="At most so many.")] = 20,
    ) -> Response:
        """Messages that were refused, each with its reason."""
        found = await seat.look(lambda journal: journal.dead_letters(limit))
        return json([shown(number, each) for number, each in found])

    return api


async def _answer(seat: Seat, asked: Question, most: int, compare: str, band: bool) -> Answered:
    if not asked.quantity:
        raise QueryError("name a quantity, such as pm2_5: /api/v1/quantities has all")
    asking = answering(asked, now=time.time(), most=most, total=MOST_ROWS, compare=compare, band=band)
    return await answered_later(asking, seat.ask)


def _accepted(header: str) -> Literal["json", "csv", "parquet"]:
    """The first of our media types that is named; json when none is."""
    for each in header.split(","):
        media = each.partition(";")[0].strip().lower()
        if media == MEDIA[FileFormat.CSV]:
            return "csv"
        if media == MEDIA[FileFormat.PARQUET]:
            return "parquet"
        if media == "application/json":
            break
    return "json"


def _table(seat: Seat, answer: Answered, said: str, compare: str, form: str) -> Response:
    of: Table = table(answer, seat.zone, compare)
    if form == "json":
        return json(Rows(of.columns, of.rows, list(of.notes), said))
    stream = io.BytesIO()
    write(of, FileFormat(form), stream)
    headers = {"Content-Disposition": f'attachment; filename="{named(answer.question, form)}"'}
    if of.notes:
        headers[NOTE] = ascii("; ".join(of.notes))[1:-1]
    return Response(stream.getvalue(), headers=headers, media_type=MEDIA[FileFormat(form)])


def _seen(seat: Seat) -> Snapshot:
    """What was last seen of the journal. Raises ConfigError when it was never seen."""
    if seat.snapshot.figures is None:
        raise ConfigError(seat.trouble or "the journal was not looked at yet: ask again in a moment")
    return seat.snapshot


def _unknown(what: str, name: str, known: list[str]) -> Refused:
    near = difflib.get_close_matches(name, known, n=5, cutoff=0.5)
    hint = f"; the nearest: {', '.join(near)}" if near else ""
    return Refused(404, f"there is no {what} {name}{hint}", near)
