"""Questions as they come over HTTP: the parameters of `/query` and `/series`, with their meanings."""

from typing import Annotated, Final

from fastapi import Query

from gateway.query.influxql import Aggregate, By, Question, Rollup

NAME_LENGTH: Final = 200


def _text(meaning: str, *examples: str, alias: str | None = None, length: int = NAME_LENGTH) -> object:
    return Query(alias=alias, description=meaning, max_length=length, examples=list(examples))


Quantity = Annotated[str, _text("What was measured: a name of `/quantities`.", "pm2_5", "flow")]
Site = Annotated[str, _text("Only this site.", "riverside")]
Node = Annotated[str, _text("Only this node.", "air-0007")]
Channel = Annotated[str, _text("Only this channel.", "lane1")]
Kind = Annotated[str, _text("traffic, water, air or health, for what several of them measure.", "traffic")]
Last = Annotated[str, _text("How far back from now; 24h when no time is given.", "90m", "24h", "7d")]
From = Annotated[
    str,
    _text("From then on: ISO 8601 (UTC without a zone) or Unix seconds.", "2026-11-24T07:00:00Z", alias="from"),
]
To = Annotated[str, _text("Up to then, without it; likewise.", "1795505400", alias="to")]
Every = Annotated[str, _text("Aggregate over intervals of this length.", "10m")]
How = Annotated[
    Aggregate | None, Query(description="How to aggregate; mean where only `every` is given, none without both.")
]
Apart = Annotated[By | None, Query(description="What an aggregate keeps apart; node when not given.")]
FromRollup = Annotated[Rollup | None, Query(description="Ask this roll-up of the database instead of the readings.")]
Compare = Annotated[str, _text("Beside it the same of a period before.", "1d", "1w")]


def question(
    quantity: Quantity = "",
    site: Site = "",
    node: Node = "",
    channel: Channel = "",
    kind: Kind = "",
    last: Last = "",
    begin: From = "",
    end: To = "",
    every: Every = "",
    aggregate: How = None,
    by: Apart = None,
    rollup: FromRollup = None,
) -> Question:
    """A dependency."""
    return Question(
        quantity=quantity,
        kind=kind,
        site=site,
        node=node,
        channel=channel,
        last=last,
        begin=begin,
        end=end,
        every=every,
        aggregate=aggregate,
        rollup=rollup,
        by=by,
    )
