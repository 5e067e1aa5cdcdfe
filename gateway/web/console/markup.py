"""Pieces of pages as HTML. Everything that a node or a person has written is escaped on the way."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Final
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

from markupsafe import Markup

from gateway.errors import GanglionError
from gateway.records import Incident
from gateway.web.console.states import BY_NAME

_UNITS: Final = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def html(template: str, **values: object) -> Markup:
    """`{name}` in a template of ours, replaced by values that are escaped unless they are Markup."""
    return Markup(template).format(**values)


def join(parts: Iterable[Markup]) -> Markup:
    return Markup("").join(parts)


def moment(seconds: float | None, zone: ZoneInfo) -> str:
    """Unix seconds for a person, in the sites' time; a dash for never."""
    return datetime.fromtimestamp(seconds, zone).strftime("%a %d %b %Y, %H:%M:%S") if seconds else "–"


def short(seconds: float, zone: ZoneInfo) -> str:
    """The same without year and seconds."""
    return datetime.fromtimestamp(seconds, zone).strftime("%d %b, %H:%M")


def span(seconds: float) -> str:
    """A length of time: its largest unit, and the next."""
    rest = max(0, round(seconds))
    for (unit, size), (smaller, part) in pairwise(_UNITS):
        if rest >= size:
            count, left = divmod(rest, size)
            return f"{count} {unit}" + (f" {left // part} {smaller}" if left // part else "")
    return f"{rest} s"


def node_url(site: str, node: str) -> str:
    return f"/nodes/{quote(site)}/{quote(node)}"


def incident_url(incident: Incident) -> str:
    return f"/incidents/{quote(incident.id, safe='')}"


def url(path: str, **fields: object) -> str:
    """With those fields that have a value."""
    given = {name: str(value) for name, value in fields.items() if value not in ("", None, False)}
    return f"{path}?{urlencode(given)}" if given else path


def badge(state: str, words: str = "") -> Markup:
    """A state's sign in its colour, with its words."""
    return html(
        '<span class="badge s-{name}"><b aria-hidden="true">{sign}</b> {words}</span>',
        name=state,
        sign=BY_NAME[state].sign,
        words=words or BY_NAME[state].words,
    )


def severity(incident: Incident) -> Markup:
    return badge("ok", "ended") if incident.closed is not None else badge(incident.severity, incident.severity)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], empty: str) -> Markup:
    """A table, or the sentence `empty`."""
    body = join(
        html("<tr>{cells}</tr>", cells=join(html("<td>{cell}</td>", cell=cell) for cell in row)) for row in rows
    )
    if not body:
        return html('<p class="empty">{empty}</p>', empty=empty)
    head = join(html('<th scope="col">{name}</th>', name=name) for name in columns)
    return html(
        '<div class="scroll" tabindex="0" role="region" aria-label="table"><table><thead><tr>{head}</tr>'
        "</thead><tbody>{body}</tbody></table></div>",
        head=head,
        body=body,
    )


def choices(values: Iterable[tuple[str, str]], chosen: str) -> Markup:
    """What a `<select>` offers: values and their words."""
    mark = Markup(" selected")
    return join(
        html(
            '<option value="{value}"{on}>{words}</option>', value=value, words=words, on=mark if value == chosen else ""
        )
        for value, words in values
    )


def called(incident: Incident) -> str:
    """Its kind, in words."""
    return incident.kind.replace("_", " ")


def refused(error: GanglionError) -> Markup:
    """What stands in place of what could not be made."""
    return html('<p class="empty" role="alert">{words}</p>', words=str(error))


def facts(pairs: Iterable[tuple[str, object]]) -> Markup:
    """Words and what is to be said of them; those with nothing to say are left out."""
    said = [(word, value) for word, value in pairs if value not in ("", None)]
    return html(
        '<dl class="facts">{rows}</dl>',
        rows=join(html("<div><dt>{word}</dt><dd>{value}</dd></div>", word=w, value=v) for w, v in said),
    )
