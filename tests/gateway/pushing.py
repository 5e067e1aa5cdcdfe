"""A browser that asked to be told, and a push service on this machine."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import http_ece
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


class Browser:
    """Its keys."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._secret = bytes(range(16))

    @property
    def keys(self) -> dict[str, str]:
        point = self._key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return {"p256dh": _text(point), "auth": _text(self._secret)}

    def read(self, body: bytes) -> dict[str, Any]:
        """What was encrypted for it. Raises for anything else."""
        found: dict[str, Any] = json.loads(
            http_ece.decrypt(body, private_key=self._key, auth_secret=self._secret, version="aes128gcm")
        )
        return found


class PushService:
    """`answers` are the statuses of a path, the last for ever; without any 201. 0 keeps the sender waiting."""

    def __init__(self, port: int = 0) -> None:
        self.answers: dict[str, list[int]] = {}
        self.heard: list[tuple[str, dict[str, str], bytes]] = []
        self.news = threading.Condition()
        self.ending = threading.Event()
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                left = service.answers.get(self.path, [201])
                status = left.pop(0) if len(left) > 1 else left[0]
                with service.news:
                    headers = {name.lower(): value for name, value in self.headers.items()}
                    service.heard.append((self.path, headers, body))
                    service.news.notify_all()
                if status == 0:
                    service.ending.wait(60)
                    return
                self.send_response(status)
                self.send_header("Content-Length", "0")
                if status == 307:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def wait(self, number: int, path: str = "", seconds: float = 10) -> list[tuple[str, dict[str, str], bytes]]:
        """What was heard (at a path), once it is so much. Raises AssertionError when it does not become so much."""

        def found() -> list[tuple[str, dict[str, str], bytes]]:
            return [each for each in self.heard if path in ("", each[0])]

        with self.news:
            enough = self.news.wait_for(lambda: len(found()) >= number, seconds)
            assert enough, f"{len(found())} of {number}"
            return found()

    @contextmanager
    def running(self) -> Iterator["PushService"]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield self
        finally:
            self.ending.set()
            self._server.shutdown()
            self._server.server_close()
            thread.join()


def _text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
