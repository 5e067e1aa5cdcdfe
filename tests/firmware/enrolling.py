"""A stand-in for the gateway's enrolment: HTTPS, and answers as a test wants them."""

import base64
import queue
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from sim_hardware.secure import City
from tests.firmware.issuing import NAME, Issuer

TOKEN = "a-token-of-one-use"
PKIX = "application/pkix-cert"


class Asked(NamedTuple):
    """A request as it came."""

    path: str
    login: str
    accept: str
    csr: bytes


class Answer(NamedTuple):
    status: int
    content_type: str
    body: bytes


Answering = Callable[[Asked, ec.EllipticCurvePublicKey], Answer | None]


class Est(HTTPServer):
    """Answers by `answer`; None hangs up instead."""

    def __init__(self, identity: Path, answer: Answering) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(identity / "cert.pem", identity / "key.pem")
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.answer = answer
        self.asked: queue.SimpleQueue[Asked] = queue.SimpleQueue()
        self.url = f"https://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """One who does not believe us hangs up in the handshake."""


class _Handler(BaseHTTPRequestHandler):
    server: Est

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        kind, _, login = self.headers["Authorization"].partition(" ")
        assert kind == "Basic"
        assert self.headers["Content-Type"] == "application/pkcs10"
        csr = base64.b64decode(body)
        asked = Asked(self.path, base64.b64decode(login).decode(), self.headers["Accept"], csr)
        request = x509.load_der_x509_csr(csr)
        assert request.is_signature_valid
        key = request.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        self.server.asked.put(asked)
        answer = self.server.answer(asked, key)
        if answer:
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.content_type)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def est(identity: Path, answer: Answering) -> Iterator[Est]:
    with Est(identity, answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def signing(city: City, made: list[x509.Certificate], name: str = NAME) -> Answering:
    """An answer with a certificate that the broker believes."""
    issuer = Issuer.of(city)

    def answer(_: Asked, key: ec.EllipticCurvePublicKey) -> Answer:
        made.append(issuer.sign(key, name, 90))
        return Answer(200, PKIX, made[-1].public_bytes(Encoding.DER) + issuer.der)

    return answer
