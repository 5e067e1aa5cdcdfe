"""The application of the operators' port: pages, interfaces that read, and who may do what."""

from functools import partial
from pathlib import Path
from typing import Final

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from nicegui import core, ui
from starlette.middleware.gzip import GZipMiddleware

from gateway.cap import web as cap
from gateway.north import router as north
from gateway.report import router as reports
from gateway.web import api
from gateway.web.console import audit, door, incidents, ledger, letters, nodes, overview, series, telling, weeks
from gateway.web.console.guard import Guard, of_this_host
from gateway.web.console.kept import Kept
from gateway.web.console.shell import Console
from gateway.web.seat import Seat

STATIC: Final = Path(__file__).parent / "static"
GZIP: Final = 4
"""A page is made anew each time: more effort would cost more than the network saves."""
PAGES: Final = (overview, incidents, series, nodes, ledger, letters, telling, weeks, audit)
"""Each has `register(console)`."""


def make_app(seat: Seat) -> FastAPI:
    """Once a process: NiceGUI has one set of pages."""
    settings = seat.config.console
    assert settings is not None
    console = Console(seat)
    app = FastAPI(title="Ganglion", openapi_url="/api/v1/openapi.json", docs_url=None, redoc_url=None)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    door.register(app, console)
    app.include_router(cap.make_router(seat))
    app.include_router(north.make_router(seat))
    app.include_router(reports.make_router(seat))
    app.include_router(api.make_router(seat))
    for page in PAGES:
        page.register(console)
    ui.run_with(app, title="Ganglion", language="en-US", tailwind=False, show_welcome_message=False, dark=None,
                reconnect_timeout=20.0, favicon=STATIC / "icon.svg",
                gzip_middleware_factory=partial(GZipMiddleware, compresslevel=GZIP))  # fmt: skip
    core.sio.eio.cors_allowed_origins = of_this_host  # pages of other origins do not get a socket
    app.add_middleware(Kept)
    app.add_middleware(Guard, console=console)
    return app
