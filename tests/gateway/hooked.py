"""Who is told, in tests: an HTTP server that takes what is posted, and a mail server."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple, Self

import msgspec
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from sim_hardware.servers import free_port


class Posted(NamedTuple):
    path: str
    headers: dict[str, str]
    """Names in small letters."""
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Hook:
    """Takes every POST with 204, or with what `answer` says: a status, and headers."""

    def __init__(self, port: int = 0) -> None:
        self.posted: list[Posted] = []
        self.answer: tuple[int, dict[str, str]] = (204, {})
        self.silent = threading.Event()
        """While it is set the server takes a message, and neither notes nor answers it."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if outer.silent.is_set():
                    outer.held.set()
                    outer.over.wait()
                    return
                status, headers = outer.answer
                outer.posted.append(Posted(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Tests need no log."""

        self.held = threading.Event()
        self.over = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def told(self) -> list[tuple[str, list[str]]]:
        """(type, ids of the incidents) of each message, in order."""
        return [(each.json["type"], [one["id"] for one in each.json["data"]["incidents"]]) for each in self.posted]


class Mailbox:
    """What a mail server does with what it is given: takes it, or says what `says` says at that step."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.envelopes: list[Envelope] = []
        self.says: dict[str, str] = {}
        """By `RCPT` (or an address) and `DATA`."""
        self.logins: list[tuple[bytes, bytes]] = []
        self.secret = b"open sesame"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if said := self.says.get(address) or self.says.get("RCPT"):
            return said
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if said := self.says.get("DATA"):
            return said
        assert isinstance(envelope.content, bytes)
        self.envelopes.append(envelope)
        self.mails.append(message_from_bytes(envelope.content, policy=policy.default))  # type: ignore[arg-type]
        return "250 taken"

    def authenticate(self, server: SMTP, session: Session, envelope: Envelope, way: str, given: Any) -> AuthResult:
        assert isinstance(given, LoginPassword)
        self.logins.append((given.login, given.password))
        right = given.password == self.secret
        return AuthResult(success=right, handled=right)  # the server answers what is not handled


@contextmanager
def mail_server(box: Mailbox, tls: ssl.SSLContext | None = None, *, whole: bool = False) -> Iterator[int]:
    """Its port. With `tls` it wants STARTTLS and a login, or with `whole` speaks TLS from the first byte."""
    keys: dict[str, Any] = {"ssl_context": tls} if whole else {}
    if tls is not None and not whole:
        keys = {"tls_context": tls, "require_starttls": True, "authenticator": box.authenticate, "auth_required": True}
    server = Controller(box, hostname="127.0.0.1", port=free_port(), server_hostname="mail.test", **keys)
    server.start()
    try:
        yield server.port
    finally:
        server.stop()
