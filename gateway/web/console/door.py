"""`/login` and `/logout`: plain forms, so that they work whatever else does not."""

import asyncio
import logging
import time
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from fastapi import FastAPI, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from markupsafe import Markup

from gateway.audit.asker import Asker, AuditError
from gateway.audit.witness import Sparing, witness
from gateway.errors import ConfigError
from gateway.web.attempts import WRONG_SECONDS, Attempts, TooMany
from gateway.web.console.markup import html
from gateway.web.console.shell import COOKIE, HEAD, Console
from gateway.web.users import SESSION_SECONDS

log = logging.getLogger(__name__)

UNKNOWN: Final = "(no user)"

PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Log in · Ganglion</title>{head}</head><body><main id="content" class="content door">
<h1>Log in to act</h1><p role="alert">{words}</p>
<form method="post" action="/login"><input type="hidden" name="to" value="{to}">
<label>Name <input name="name" autocomplete="username" required autofocus value="{name}"></label>
<label>Password <input name="password" type="password" autocomplete="current-password" required></label>
<button>Log in</button></form>
<p>An account is made on the gateway's machine: <code>ganglion users add NAME</code>. <a href="/">Only look</a></p>
</main></body></html>"""


def register(app: FastAPI, console: Console) -> None:
    """The routes."""
    attempts = Attempts()
    sparing = Sparing(Path(console.seat.config.data_dir))

    @app.get("/login", include_in_schema=False)
    async def ask(to: str = "/") -> HTMLResponse:
        return _page("", to)

    @app.post("/login", include_in_schema=False)
    async def enter(
        request: Request,
        name: Annotated[str, Form(max_length=64)],
        password: Annotated[str, Form(max_length=1000)],
        to: Annotated[str, Form(max_length=500)] = "/",
    ) -> Response:
        came = request.client.host if request.client else ""
        try:
            async with attempts.turn(name, came):
                token = await asyncio.to_thread(console.users.log_in, name, password, time.time())
                if token is None:
                    attempts.failed(name, came)
                    await _refused(console, sparing, name, came)
                else:
                    attempts.succeeded(came)
                    await _entered(console, name, token, came)
            if token is not None:  # a session that was there before is not gone on with, whoever began it
                await asyncio.to_thread(console.users.log_out, request.cookies.get(COOKIE, ""))
        except TooMany as error:
            await sparing.witness("login.crowded", who="?", came=came)
            return _page(str(error), to, name, 429)
        except (ConfigError, AuditError) as error:
            log.warning("nobody can log in: %s", error)
            return _page("The accounts cannot be used: see the gateway's log and its disk.", to, name, 503)
        if token is None:
            await asyncio.sleep(WRONG_SECONDS)
            return _page("Name and password do not belong together.", to, name, 403)
        answer = RedirectResponse(_within(to), 303)
        # The scheme is a proxy's word too, from this machine.
        secure = request.url.scheme == "https" or console.settings.link.startswith("https:")
        answer.set_cookie(COOKIE, token, SESSION_SECONDS, httponly=True, samesite="strict", secure=secure)
        return answer

    @app.post("/logout", include_in_schema=False)
    async def leave(request: Request) -> Response:
        visitor = console.visitor(request)
        try:
            name = await visitor.name()
            await asyncio.to_thread(console.users.log_out, visitor.token)
            if name is not None:
                came = request.client.host if request.client else ""
                await witness(Path(console.seat.config.data_dir), "logout", who=name, came=came)
        except ConfigError as error:  # the browser forgets it, and it ends with its shift
            log.warning("a session is left: %s", error)
        answer = RedirectResponse("/", 303)
        answer.delete_cookie(COOKIE)
        return answer


async def _entered(console: Console, name: str, token: str, came: str) -> None:
    """Who has logged in is in the log before they can act. Raises AuditError; then nobody has logged in."""
    folder = Path(console.seat.config.data_dir)
    for whose, until in await asyncio.to_thread(console.users.ended, time.time()):
        await witness(folder, "session.end", who=whose, detail={"until": round(until)})
    try:
        await Asker(folder, name, came).will("login.ok")
    except AuditError:
        await asyncio.to_thread(console.users.log_out, token)
        raise


async def _refused(console: Console, sparing: Sparing, name: str, came: str) -> None:
    """A name that is no user's is not written down: it may be a password, typed into the wrong place."""
    known = {each.name for each in await asyncio.to_thread(console.users.all)}
    await sparing.witness("login.refused", who=name if name in known else UNKNOWN, came=came)


def _page(words: str, to: str, name: str = "", status: int = 200) -> HTMLResponse:
    text = html(PAGE, head=Markup(HEAD), words=words, to=_within(to), name=name)
    return HTMLResponse(str(text), status)


def _within(to: str) -> str:
    """A path of this console; anything else is its first page."""
    try:
        elsewhere = bool(urlsplit(to).netloc)
    except ValueError:
        return "/"
    return to if to.startswith("/") and not to.startswith(("//", "/\\")) and not elsewhere else "/"
