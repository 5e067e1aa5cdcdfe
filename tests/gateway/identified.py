"""A city with identities for the tests: keys, requests, nodes that connect by them, and enrolment as a node does it."""

import json
import threading
import time
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import urllib3
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import NameOID
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from urllib3.util import make_headers

from gateway.pki.certificates import common_name, key_bytes, new_key
from sim_hardware.secure import City
from sim_hardware.servers import free_port, wait_until
from tests.bench.wire import trust

SECONDS = 30.0


def request(name: str, key: Any, *more: x509.NameAttribute, curve_hash: Any = None) -> bytes:
    """PKCS #10, DER."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name), *more])
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(subject)
        .sign(key, curve_hash or hashes.SHA256())
        .public_bytes(Encoding.DER)
    )


def want(csr: bytes, cert: bytes, by: ec.EllipticCurvePrivateKey) -> bytes:
    """What a node says on `identity/want`."""
    proof = by.sign(csr, ec.ECDSA(hashes.SHA256()))
    parts = {"csr": csr, "cert": cert, "proof": proof}
    return json.dumps({name: b64encode(part).decode() for name, part in parts.items()}).encode()


class Kept:
    """A node's certificate and key, on disk for who connects by them."""

    def __init__(self, folder: Path, der: bytes, key: ec.EllipticCurvePrivateKey) -> None:
        self.certificate = x509.load_der_x509_certificate(der)
        self.der, self.key = der, key
        self.name = common_name(self.certificate)
        self.serial = f"{self.certificate.serial_number:x}"
        self.folder = folder / self.serial
        self.folder.mkdir(parents=True)
        (self.folder / "cert.pem").write_bytes(self.certificate.public_bytes(Encoding.PEM))
        (self.folder / "key.pem").write_bytes(key_bytes(key, Encoding.PEM))

    @classmethod
    def of(cls, folder: Path, flashed: Path) -> Self:
        """As the authority made it."""
        key = load_pem_private_key((flashed / "key.pem").read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return cls(folder, (flashed / "cert.der").read_bytes(), key)


class Node:
    """A node at the broker, from `with` on; comes back by itself, as nodes do, when it is thrown out."""

    def __init__(self, city: City, kept: Kept) -> None:
        self.name = kept.name
        self.heard: list[bytes] = []
        self.out = threading.Event()
        self._in = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
        self._client.tls_set_context(trust(city.ca, kept.folder))
        self._client.reconnect_delay_set(1, 1)
        self._port = city.broker.port
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = lambda *_: (self._in.clear(), self.out.set())
        self._client.on_message = lambda _c, _u, message: self.heard.append(message.payload)
        self._client.on_subscribe = lambda *_: self._in.set()

    def _on_connect(self, client: Client, *_: Any) -> None:
        client.subscribe(f"ganglion/v1/{self.name}/identity", 1)

    def __enter__(self) -> Self:
        self._client.connect_async("127.0.0.1", self._port)
        self._client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    @property
    def connected(self) -> bool:
        return self._in.is_set()

    def wait(self, seconds: float = SECONDS) -> Self:
        assert self._in.wait(seconds), f"{self.name} did not connect"
        return self

    def say(self, what: str, payload: bytes, qos: int = 1) -> None:
        self._client.publish(f"ganglion/v1/{self.name}/{what}", payload, qos)

    def ask(self, payload: bytes) -> dict[str, str]:
        """The gateway's answer."""
        before = len(self.heard)
        self.say("identity/want", payload)
        wait_until(lambda: len(self.heard) > before, SECONDS, f"an answer to {self.name}")
        answer: dict[str, str] = json.loads(self.heard[-1])
        return answer


def refused(city: City, kept: Kept) -> bool:
    """Whether the broker does not let it in."""
    node = Node(city, kept)
    with node:
        return not node._in.wait(0.5)


class Setting:
    """A city whose broker reads what its gateway writes, and the gateway's configuration."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.crl, self.ca_crl = folder / "crl.pem", folder / "ca_crl.pem"
        self.city = City(folder / "city", crl=str(self.crl))
        self.enrol_port = free_port()
        self.take_authoritys_list()
        self.crl.write_bytes((self.city.broker.folder / "crl.pem").read_bytes())
        server = self.city.authority.folder / "server" / "localhost"
        self.table = (
            f'[identity]\nissuer = "{self.city.issuer}"\ncrl = "{self.crl}"\nca_crl = "{self.ca_crl}"\n'
            f'listen = "127.0.0.1:{self.enrol_port}"\ncert = "{server}/cert.pem"\nkey = "{server}/key.pem"\n'
        )

    def take_authoritys_list(self) -> None:
        """As an operator copies it."""
        new = self.ca_crl.with_suffix(".new")
        new.write_bytes((self.city.authority.folder / "crl.pem").read_bytes())
        new.replace(self.ca_crl)

    def flashed(self, node: str, site: str = "riverside") -> Kept:
        return Kept.of(self.folder / "kept", self.city.node(site, node))

    def enrol(self, name: str, token: str, csr: bytes, **headers: str) -> tuple[int, bytes, Mapping[str, str]]:
        """(status, body, headers) of EST: a certificate and its issuer's, where nothing else is accepted."""
        headers |= make_headers(basic_auth=f"{name}:{token}")
        headers.setdefault("Accept", "application/pkix-cert")
        with urllib3.PoolManager(retries=False, timeout=SECONDS, ca_certs=str(self.city.ca)) as pool:
            answer = pool.request("POST", f"{self.est}/simpleenroll", b64encode(csr), headers=headers)
        return answer.status, answer.data, answer.headers

    @property
    def est(self) -> str:
        return f"https://localhost:{self.enrol_port}/.well-known/est"

    def enrolled(self, name: str, token: str) -> Kept:
        key = new_key()
        status, body, _ = self.enrol(name, token, request(name, key))
        assert status == 200, body
        return Kept(self.folder / "kept", self.both(body)[0], key)

    def both(self, body: bytes) -> tuple[bytes, bytes]:
        """(certificate, issuer's certificate) of an answer to who enrols. Fails where they are not that."""
        issuer = x509.load_pem_x509_certificate((self.city.issuer / "cert.pem").read_bytes())
        der = issuer.public_bytes(Encoding.DER)
        assert body.endswith(der)
        return body.removesuffix(der), der


def ends_within(certificate: x509.Certificate, days: float) -> bool:
    return abs(certificate.not_valid_after_utc - datetime.now(UTC) - timedelta(days=days)) < timedelta(minutes=5)


def seconds_until(condition: Any, seconds: float, what: str) -> float:
    began = time.monotonic()
    wait_until(condition, seconds, what)
    return time.monotonic() - began
