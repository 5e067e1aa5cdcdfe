"""A stand-in for the gateway's side of identities: looks at what nodes ask for, as OpenSSL does, and answers."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_der_private_key
from paho.mqtt.client import Client, MQTTMessage

from gateway.pki.certificates import Key, key_bytes, new_key, self_signed, signed
from gateway.pki.folder import load_signer
from sim_hardware.secure import City
from tests.firmware.peers import Subscriber

NAME = "riverside/water-1"
"""Of the node, where a test has one."""


class Issuer(NamedTuple):
    """An authority for nodes."""

    certificate: x509.Certificate
    key: Key

    @classmethod
    def of(cls, city: City) -> "Issuer":
        return cls(*load_signer(city.issuer / "cert.pem", city.issuer / "key.pem"))

    @classmethod
    def stranger(cls, name: str = "Somebody") -> "Issuer":
        key = new_key()
        return cls(self_signed(key, name, _in(1000)), key)

    @property
    def der(self) -> bytes:
        """What a board has as `issuer.der`."""
        return self.certificate.public_bytes(Encoding.DER)

    def sign(self, key: ec.EllipticCurvePublicKey, name: str, days: float) -> x509.Certificate:
        return signed(self, key, "node", name, (), _in(days))

    def identity(self, folder: Path, name: str, days: float) -> x509.Certificate:
        """Its cert.der and key.der in a folder."""
        key = new_key()
        certificate = self.sign(key.public_key(), name, days)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cert.der").write_bytes(certificate.public_bytes(Encoding.DER))
        (folder / "key.der").write_bytes(key_bytes(key, Encoding.DER))
        return certificate


def _in(days: float) -> datetime:
    return (datetime.now(UTC) + timedelta(days=days)).replace(microsecond=0)


class Want(NamedTuple):
    """What a node asked for: all of it was found to be right."""

    name: str
    key: ec.EllipticCurvePublicKey
    present: x509.Certificate


def read(payload: bytes) -> Want:
    """Fails for a request that is not signed by its own key, or not proven by the present one."""
    said = json.loads(payload)
    assert said.keys() == {"csr", "cert", "proof"}
    csr, certificate, proof = (base64.b64decode(said[name], validate=True) for name in ("csr", "cert", "proof"))
    request, present = x509.load_der_x509_csr(csr), x509.load_der_x509_certificate(certificate)
    assert request.is_signature_valid
    key, old = request.public_key(), present.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert isinstance(old, ec.EllipticCurvePublicKey)
    old.verify(proof, csr, ec.ECDSA(hashes.SHA256()))
    assert key != old
    (name,) = request.subject
    return Want(str(name.value), key, present)


def certificate(made: x509.Certificate, issuer: x509.Certificate | None = None) -> bytes:
    """An answer; with that of a new issuer."""
    told = {"cert": made} | ({"issuer": issuer} if issuer else {})
    coded = {name: base64.b64encode(each.public_bytes(Encoding.DER)).decode() for name, each in told.items()}
    return json.dumps(coded).encode()


class Gateway(Subscriber):
    """Hears all that a city says, with the gateway's certificate; `answer(want)` is what nodes are answered."""

    def __init__(self, city: City, answer: Callable[[Want], bytes]) -> None:
        self._answer = answer
        self.wants: list[Want] = []
        own = city.identity()
        files = str(city.ca), str(own / "cert.pem"), str(own / "key.pem")
        super().__init__(city.broker.gateways_port, "ganglion/v1/#", files)

    def _take(self, client: Client, userdata: object, message: MQTTMessage) -> None:
        if message.topic.endswith("/identity/want"):
            want = read(bytes(message.payload))
            self.wants.append(want)
            client.publish(message.topic.removesuffix("/want"), self._answer(want), 1)
        else:
            super()._take(client, userdata, message)

    def birth(self) -> dict[str, object]:
        """The next one."""
        while True:
            heard = self.next()
            if heard.topic.endswith("/status") and not heard.retain:
                said: dict[str, object] = json.loads(heard.payload)
                if said["online"]:
                    return said

    def reply(self) -> dict[str, object]:
        while not (heard := self.next()).topic.endswith("/reply"):
            pass
        found: dict[str, object] = json.loads(heard.payload)
        return found


def told(made: x509.Certificate) -> dict[str, object]:
    """How a birth tells it."""
    return {"serial": f"{made.serial_number:x}", "ends": int(made.not_valid_after_utc.timestamp())}


def on_flash(folder: Path) -> x509.Certificate:
    """The certificate in its file, to which the key in the other belongs; there is nothing else."""
    found = x509.load_der_x509_certificate((folder / "identity/cert.der").read_bytes())
    key = load_der_private_key((folder / "identity/key.der").read_bytes(), None)
    assert key.public_key() == found.public_key()
    assert not list(folder.glob("pair.*"))
    return found
