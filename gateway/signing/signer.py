"""Signs what leaves: bytes by a detached JWS (RFC 7515, appendix F), CAP by a signature within it (XML-DSig 1.1)."""

import base64
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.config import Config
from gateway.errors import ConfigError
from gateway.files import stamp
from gateway.pki.folder import PkiError, load_signer
from gateway.pki.lists import Signer as Pair

log = logging.getLogger(__name__)

PROPERTY: Final = "jws"
"""User property of an MQTT message."""
HEADER: Final = "Ganglion-JWS"
"""Of an HTTP request."""
ALGORITHM: Final = "ES256"
KEPT: Final = 512
"""Signatures remembered: the same document is the same bytes, and so has the same entity tag."""


class Signer:
    """One a process. Files that have changed are read again; while they cannot be used, the pair before signs on."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """PEM files, of an identity that `ganglion pki signer` makes. Raises ConfigError when they cannot be used."""
        self._paths = certificate, key
        self._lock = threading.Lock()
        self._read = stamp(certificate, key)
        self._pair = _load(certificate, key)
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()

    @property
    def ends(self) -> datetime:
        """When the certificate does: after that nobody takes what it signs."""
        certificate, _ = self._current()
        return certificate.not_valid_after_utc

    def jws(self, payload: bytes) -> str:
        """`header..signature`, over exactly these bytes. The header has the certificate (`x5c`), and when (`iat`)."""
        pair = self._current()
        return self._once(b"jws" + payload, lambda: _jws(pair, payload, time.time())).decode("ascii")

    def xml(self, document: bytes) -> bytes:
        """The document with an enveloped signature as its last element (CAP 1.2, 3.3.4.1)."""
        pair = self._current()
        return self._once(b"xml" + document, lambda: _xml(pair, document))

    def _once(self, what: bytes, make: Callable[[], bytes]) -> bytes:
        """What was made of the same before, with the same key."""
        name = sha256(what).digest()
        with self._lock:
            if name in self._kept:
                self._kept.move_to_end(name)
                return self._kept[name]
        made = make()
        with self._lock:
            made = self._kept.setdefault(name, made)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return made

    def _current(self) -> Pair:
        with self._lock:
            found = stamp(*self._paths)
            if found not in (self._read, None):
                self._read = found
                try:
                    self._pair = _load(*self._paths)
                    self._kept.clear()
                except ConfigError as error:
                    log.error("the identity before goes on to sign: %s", error)
            return self._pair


def signer_of(config: Config) -> Signer | None:
    """That of `[signing]`; None without the table. Raises ConfigError."""
    return Signer(Path(config.signing.cert), Path(config.signing.key)) if config.signing else None


def with_signature(signer: Signer | None, payload: bytes) -> Properties | None:
    """The properties of a message that is published; None without a signer."""
    if signer is None:
        return None
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.UserProperty = [(PROPERTY, signer.jws(payload))]
    return properties


def _jws(pair: Pair, payload: bytes, now: float) -> bytes:
    from jwt.api_jws import PyJWS  # what signs nothing need not load it

    der = base64.b64encode(pair[0].public_bytes(Encoding.DER)).decode("ascii")
    headers = {"typ": None, "x5c": [der], "iat": int(now)}
    header, _, signature = PyJWS().encode(payload, pair[1], ALGORITHM, headers).split(".")
    return f"{header}..{signature}".encode("ascii")


def _xml(pair: Pair, document: bytes) -> bytes:
    from lxml import etree
    from signxml.algorithms import SignatureMethod
    from signxml.signer import XMLSigner

    root = etree.fromstring(document, etree.XMLParser(resolve_entities=False, no_network=True))
    signer = XMLSigner(signature_algorithm=SignatureMethod.ECDSA_SHA256)
    signed = signer.sign(root, key=pair[1], cert=[pair[0]])
    written: bytes = etree.tostring(signed, encoding="utf-8", xml_declaration=True)
    return written + b"\n"


def _load(certificate: Path, key: Path) -> Pair:
    try:
        pair = load_signer(certificate, key)
    except PkiError as error:
        raise ConfigError(f"signing.cert, signing.key: {error}") from error
    if not isinstance(pair[1].curve, ec.SECP256R1):
        raise ConfigError(f"signing.key: {key} is no EC key on P-256: `ganglion pki signer` makes one")
    return pair
