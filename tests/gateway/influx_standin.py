"""Stand-ins for InfluxDB 2.x and 3 Core, which cannot be run here: they hold requests against the documented API.

What a body may have in 2.x is read from the classes that influxdb-client generates from InfluxData's own OpenAPI
document; paths, parameters and answers are those of the API references. They know nothing of Flux or of points.
"""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, ClassVar, Self
from urllib.parse import parse_qsl, urlsplit

from influxdb_client import domain

TOKEN = "a-token"
ORG, ORG_ID = "town", "0a0b0c0d0e0f0a0b"


class Refusal(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


class StandInServer:
    """Base: a server on a port of its own. Subclasses answer (method, path, parameters, body)."""

    version: ClassVar[str]
    scheme: ClassVar[str]

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        """Method and path of all but what only reads."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one(self) -> None:
                outer.serve(self)

            do_GET = do_POST = do_PATCH = handle_one

            def log_message(self, *_: object) -> None:
                """Tests need no log."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def serve(self, request: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(request.path)
        text = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        try:
            if parts.path == "/ping":
                status, answer = 204, None
            else:
                if request.headers.get("Authorization") != f"{self.scheme} {TOKEN}":
                    raise Refusal(401, "unauthorized access")
                if text and request.headers.get("Content-Type") != "application/json":
                    raise Refusal(415, "JSON is expected")
                if request.command != "GET":
                    self.asked.append((request.command, parts.path))
                body = json.loads(text) if text else {}
                status, answer = self.answer(request.command, parts.path, dict(parse_qsl(parts.query)), body)
        except Refusal as refusal:
            status, answer = refusal.status, {"code": "refused", "message": str(refusal)}
        content = b"" if answer is None else json.dumps(answer).encode()
        request.send_response(status)
        request.send_header("X-Influxdb-Version", self.version)
        if status != 204:
            request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    def answer(self, method: str, path: str, fields: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
        raise NotImplementedError


class Influx2(StandInServer):
    """Organisations, buckets, DBRP mappings and tasks of 2.7."""

    version = "v2.7.11"
    scheme = "Token"

    def __init__(self) -> None:
        super().__init__()
        self.buckets: dict[str, dict[str, Any]] = {}
        """By id; likewise the others."""
        self.dbrps: dict[str, dict[str, Any]] = {}
        self.tasks: dict[str, dict[str, Any]] = {}
        self.deleted: list[tuple[str, str]] = []
        """(bucket, predicate)."""

    def answer(self, method: str, path: str, fields: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
        match = re.fullmatch(r"/api/v2/(orgs|buckets|dbrps|tasks|delete)(?:/([0-9a-f]{16}))?", path)
        if not match:
            raise Refusal(404, f"path not found: {path}")
        return getattr(self, f"_{method}_{match[1]}")(match[2], fields, body)

    def _GET_orgs(self, _: str | None, fields: dict[str, str], __: dict[str, Any]) -> tuple[int, Any]:
        if fields.get("org") != ORG:
            raise Refusal(404, "organization not found")
        return 200, {"orgs": [{"id": ORG_ID, "name": ORG}]}

    def _GET_buckets(self, _: str | None, fields: dict[str, str], __: dict[str, Any]) -> tuple[int, Any]:
        assert fields["orgID"] == ORG_ID
        found = [each for each in self.buckets.values() if each["name"] == fields["name"]]
        if not found:
            raise Refusal(404, f"bucket {fields['name']!r} not found")
        return 200, {"buckets": found}

    def _POST_buckets(self, _: str | None, __: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
        check(body, domain.PostBucketRequest, "orgID", "name", "retentionRules")
        for rule in body["retentionRules"]:
            check(rule, domain.BucketRetentionRules, "type", "everySeconds")
            if rule["everySeconds"] < 3600:
                raise Refusal(422, "retention is too short")
        return 201, self._keep(self.buckets, body)

    def _PATCH_buckets(self, number: str | None, __: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
        check(body, domain.PatchBucketRequest)
        for rule in body["retentionRules"]:
            check(rule, domain.PatchRetentionRule, "type", "everySeconds")
        self.buckets[number or ""].update(body)
        return 200, self.buckets[number or ""]

    def _GET_dbrps(self, _: str | None, fields: dict[str, str], __: dict[str, Any]) -> tuple[int, Any]:
        """Of a bucket without a mapping of its own 2.x tells a virtual one."""
        assert fields["orgID"] == ORG_ID
        mapped = {each["bucketID"] for each in self.dbrps.values()}
        virtual = [
            {"bucketID": number, "database": database, "retention_policy": policy or "autogen", "virtual": True}
            for number, bucket in self.buckets.items()
            if number not in mapped
            for database, _, policy in [bucket["name"].partition("/")]
        ]
        found = [each for each in [*self.dbrps.values(), *virtual] if each["database"] == fields["db"]]
        return 200, {"content": found}

    def _POST_dbrps(self, _: str | None, __: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
        check(body, domain.DBRPCreate, "orgID", "bucketID", "database", "retention_policy")
        if body["bucketID"] not in self.buckets:
            raise Refusal(400, "invalid bucket")
        place = (body["database"], body["retention_policy"])
        self.dbrps = {
            number: each for number, each in self.dbrps.items() if (each["database"], each["retention_policy"]) != place
        }
        return 201, self._keep(self.dbrps, body)

    def _GET_tasks(self, _: str | None, fields: dict[str, str], __: dict[str, Any]) -> tuple[int, Any]:
        assert fields["orgID"] == ORG_ID
        return 200, {"tasks": [each for each in self.tasks.values() if each["name"] == fields["name"]]}

    def _POST_tasks(self, _: str | None, __: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
        check(body, domain.TaskCreateRequest, "flux")
        named = re.search(r'option task = \{name: "([^"]+)", every: \d+[mhd], offset: 1m\}', body["flux"])
        if not named:
            raise Refusal(400, "missing task option")
        return 201, self._keep(self.tasks, body | {"name": named[1]})

    def _PATCH_tasks(self, number: str | None, __: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
        check(body, domain.TaskUpdateRequest)
        self.tasks[number or ""].update(body)
        return 200, self.tasks[number or ""]

    def _POST_delete(self, _: str | None, fields: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
        check(body, domain.DeletePredicateRequest, "start", "stop")
        assert fields["org"] == ORG
        if fields["bucket"] not in {each["name"] for each in self.buckets.values()}:
            raise Refusal(404, "bucket not found")
        self.deleted.append((fields["bucket"], body["predicate"]))
        return 204, None

    def _keep(self, store: dict[str, dict[str, Any]], body: dict[str, Any]) -> dict[str, Any]:
        number = f"{len(self.asked):016x}"
        store[number] = {"id": number, **body}
        return store[number]


class Influx3(StandInServer):
    """The databases of 3 Core."""

    version = "3.2.1"
    scheme = "Bearer"

    def __init__(self) -> None:
        super().__init__()
        self.databases: dict[str, str | None] = {}
        """Name to retention period."""

    def answer(self, method: str, path: str, fields: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
        if path != "/api/v3/configure/database":
            raise Refusal(404, "not found")
        if method == "GET":
            assert fields == {"format": "json"}
            return 200, [{"iox::database": name} for name in ("_internal", *self.databases)]
        if method != "POST" or not {"db"} <= body.keys() <= {"db", "retention_period"}:
            raise Refusal(400, "bad request")
        if not re.fullmatch(r"\d+(h|d|w|mo|y)", body.get("retention_period", "1d")):
            raise Refusal(400, "invalid retention period")
        if body["db"] in self.databases:
            raise Refusal(409, "database exists")
        self.databases[body["db"]] = body.get("retention_period")
        return 200, None


def check(body: dict[str, Any], shape: Any, *needed: str) -> None:
    """Raises Refusal for a key or a type that the API's own document does not have, and for one that is missing."""
    types = {shape.attribute_map[name]: kind for name, kind in shape.openapi_types.items()}
    for key, value in body.items():
        plain = {"str": str, "int": int, "bool": bool}.get(types.get(key, ""), object)
        if key not in types or not isinstance(value, plain):
            raise Refusal(400, f"{shape.__name__} has no such {key}: {value!r}")
    if missing := set(needed) - body.keys():
        raise Refusal(400, f"{shape.__name__} lacks {missing}")
