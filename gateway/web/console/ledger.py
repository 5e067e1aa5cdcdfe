"""`/ledger`: the count of packs that must balance, and how full every store is."""

from markupsafe import Markup
from nicegui import ui
from starlette.requests import Request

from gateway.records import Figures
from gateway.web.console.markup import badge, facts, html, span, table
from gateway.web.console.shell import Console, follow, page, put
from gateway.web.seat import Snapshot


def register(console: Console) -> None:
    """`/ledger`."""

    @ui.page("/ledger")
    async def ledger(request: Request) -> None:
        async with page(console, console.visitor(request), "Ledger", "/ledger"):
            put("<h1>Ledger</h1>")
            count = put(_count(console.seat.snapshot))

            def tell(snapshot: Snapshot) -> None:
                count.set_content(_count(snapshot))

            follow(console, tell)


def _count(snapshot: Snapshot) -> str:
    figures = snapshot.figures
    if figures is None:
        return '<p class="empty">The journal has not been read yet.</p>'
    kept = figures.ledger
    terms = html(
        '<p class="equation"><b>{received:,}</b> received = <b>{written:,}</b> written + <b>{waiting:,}</b> waiting + '
        '<b>{dead_letters:,}</b> <a href="/letters">dead letters</a> + <b>{duplicates:,}</b> duplicates {balanced}</p>',
        received=kept.received,
        written=kept.written,
        waiting=kept.waiting,
        dead_letters=kept.dead_letters,
        duplicates=kept.duplicates,
        balanced=badge("ok", "balanced") if kept.balanced else badge("critical", "does NOT balance"),
    )
    return str(
        html(
            "<p>Every pack that came is somewhere. What a node sent and nobody heard is a gap.</p>"
            "{terms}{rest}{mirrors}",
            terms=terms,
            rest=facts(_rest(figures, snapshot.time)),
            mirrors=table(
                ("mirror", "waiting", "refused for good", "skipped"),
                ((name, f"{m.waiting:,}", f"{m.refused:,}", f"{m.skipped:,}") for name, m in figures.mirrors.items()),
                "There is no further database.",
            )
            if figures.mirrors
            else Markup(""),
        )
    )


def _rest(figures: Figures, now: float) -> list[tuple[str, object]]:
    oldest = figures.oldest_received
    return [
        ("Oldest waiting pack", span(now - oldest) if oldest is not None else "none waits"),
        ("Missing packs, over all nodes", f"{figures.ledger.gaps:,}"),
        ("Journal", f"{figures.bytes / 2**20:,.1f} of {figures.max_bytes / 2**20:,.0f} MiB"),
        ("Nodes online", f"{figures.nodes_online:,} of {figures.nodes:,}"),
        ("Nodes silent", f"{figures.nodes_silent:,}"),
        ("Nodes without the time", f"{figures.nodes_without_time:,}"),
        ("Nodes in safe mode", f"{figures.nodes_safe:,}"),
    ]
