"""Signed incidents: whoever has the city's ca.pem can tell them from those of anybody else."""

import asyncio
import base64
import json
import subprocess
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiomqtt
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from lxml import etree
from signxml.verifier import XMLVerifier

from gateway.audit.log import Place
from gateway.audit.service import message
from gateway.cap.alert import document
from gateway.config import Config, Mqtt, Signing, load
from gateway.detect.plan import Plan
from gateway.errors import ConfigError
from gateway.notify.service import documents
from gateway.notify.settings import Topic, Webhook
from gateway.notify.targets.target import make_target
from gateway.outlet import publish
from gateway.pki.authority import Authority, Identity
from gateway.signing.check import NotSigned, check_jws, check_xml
from gateway.signing.signer import PROPERTY, Signer, signer_of
from sim_hardware.servers import Mosquitto
from tests.gateway.commandline import CommandLine, sentence
from tests.gateway.drawn import jam
from tests.gateway.hooked import Hook
from tests.gateway.test_cap import ASK, SCHEMA
from tests.gateway.test_notify_targets import INCIDENT, OPENED
from tests.test_docs import DOCS, blocks

PAYLOAD = b'{"id":"burst.riverside.water-1.1"}'
SPACE = {"ds": "http://www.w3.org/2000/09/xmldsig#"}


class City:
    """An authority and one who signs."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority.create(folder / "pki", "City")
        self.identity = self.authority.signer()
        self.folder = Path(self.identity.folder)
        self.signer = self.of(self.identity)

    def of(self, identity: Identity) -> Signer:
        return Signer(Path(identity.folder) / "cert.pem", Path(identity.folder) / "key.pem")

    @property
    def ca(self) -> x509.Certificate:
        return self.authority.certificate


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> City:
    return City(tmp_path_factory.mktemp("city"))


def openssl_says(folder: Path, certificate: x509.Certificate, signature: bytes, data: bytes) -> bool:
    """Another program, with the raw signature as JOSE and XML-DSig have it."""
    half = len(signature) // 2
    r, s = (int.from_bytes(part, "big") for part in (signature[:half], signature[half:]))
    (folder / "signature").write_bytes(utils.encode_dss_signature(r, s))
    (folder / "data").write_bytes(data)
    key = certificate.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "key.pem").write_bytes(key)
    command = ["openssl", "dgst", "-sha256", "-verify", "key.pem", "-signature", "signature", "data"]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0


def from_url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def to_url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def test_openssl_agrees_on_a_jws(city: City, tmp_path: Path) -> None:
    """RFC 7515, appendix F, by hand: no library of ours has a part in it."""
    header, nothing, signature = city.signer.jws(PAYLOAD).split(".")
    fields = json.loads(from_url(header))
    assert (nothing, fields["alg"], abs(fields["iat"] - time.time()) < 60) == ("", "ES256", True)
    assert "b64" not in fields
    certificate = x509.load_der_x509_certificate(base64.b64decode(fields["x5c"][0]))
    certificate.verify_directly_issued_by(city.ca)
    signed = header.encode() + b"." + to_url(PAYLOAD)
    assert openssl_says(tmp_path, certificate, from_url(signature), signed)
    assert not openssl_says(tmp_path, certificate, from_url(signature), signed + b"x")


def test_what_the_city_signed_is_taken(city: City) -> None:
    assert check_jws(PAYLOAD, city.signer.jws(PAYLOAD), city.ca, time.time()) == "incidents"
    assert city.signer.jws(PAYLOAD) == city.signer.jws(PAYLOAD)


def test_a_changed_byte_is_refused(city: City) -> None:
    jws = city.signer.jws(PAYLOAD)
    for at in range(len(PAYLOAD)):
        changed = bytearray(PAYLOAD)
        changed[at] ^= 1
        with pytest.raises(NotSigned, match="does not belong"):
            check_jws(bytes(changed), jws, city.ca, time.time())
    for bad in (
        jws[:-4] + ("AAAA" if jws[-4:] != "AAAA" else "BBBB"),
        "A" + jws,
        "..",
        "",
        "a.b.c",
        jws.replace("..", ".e30."),
    ):
        with pytest.raises(NotSigned):
            check_jws(PAYLOAD, bad, city.ca, time.time())


def test_others_are_refused(city: City, tmp_path: Path) -> None:
    """Another authority's, one of the city's that is not for signing, one that has ended, one that was revoked."""
    other = City(tmp_path)
    node = city.of(city.authority.node("riverside", "air-0001"))
    gateway = city.of(city.authority.gateway())
    for signer, why in (
        (other.signer, "not of this authority"),
        (node, "not of this authority"),
        (gateway, "not for signing"),
    ):
        with pytest.raises(NotSigned, match=why):
            check_jws(PAYLOAD, signer.jws(PAYLOAD), city.ca, time.time())
        with pytest.raises(NotSigned, match=why):
            check_xml(document(jam(), signer=signer, **ASK), city.ca, time.time())
    jws, signed = city.signer.jws(PAYLOAD), document(jam(), signer=city.signer, **ASK)
    later, serial = float(city.identity.ends + 1), int(city.identity.serial, 16)
    with pytest.raises(NotSigned, match="ended"):
        check_jws(PAYLOAD, jws, city.ca, later)
    with pytest.raises(NotSigned, match="ended"):
        check_xml(signed, city.ca, later)
    with pytest.raises(NotSigned, match="revoked"):
        check_jws(PAYLOAD, jws, city.ca, time.time(), [serial])
    with pytest.raises(NotSigned, match="revoked"):
        check_xml(signed, city.ca, time.time(), [serial])


@pytest.mark.parametrize(
    "header", [{"alg": "none"}, {"alg": "HS256"}, {"alg": "ES256", "crit": ["b64"], "b64": False}, {}]
)
def test_no_weaker_way_is_taken(city: City, header: dict[str, Any]) -> None:
    """As of the attacks of RFC 8725: no signature, the public key as a secret, what the receiver does not know."""
    _, _, signature = city.signer.jws(PAYLOAD).split(".")
    certificate = x509.load_pem_x509_certificate((city.folder / "cert.pem").read_bytes())
    header |= {"x5c": [base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()]}
    for text in (signature, ""):
        with pytest.raises(NotSigned):
            check_jws(PAYLOAD, f"{to_url(json.dumps(header).encode()).decode()}..{text}", city.ca, time.time())


# CAP.


def test_a_signed_cap_document_is_valid_and_others_agree(city: City, tmp_path: Path) -> None:
    """By its schema, by signxml's own way from ca.pem, and by hand with OpenSSL."""
    plain, signed = document(jam(), **ASK), document(jam(), signer=city.signer, **ASK)
    root = etree.fromstring(signed)
    SCHEMA.assertValid(root)
    assert root[-1].tag == f"{{{SPACE['ds']}}}Signature"
    assert check_xml(signed, city.ca, time.time()) == "incidents"
    result: Any = XMLVerifier().verify(signed, ca_pem_file=str(city.authority.folder / "ca.pem"))
    assert etree.tostring(result.signed_xml, method="c14n") == etree.tostring(etree.fromstring(plain), method="c14n")
    # By hand: the document without its signature, in canonical form, has the digest that is signed.
    (signature,) = root.findall("ds:Signature", SPACE)
    certificate = x509.load_der_x509_certificate(
        base64.b64decode(signature.findtext(".//ds:X509Certificate", "", SPACE))
    )
    info = etree.tostring(signature.find("ds:SignedInfo", SPACE), method="c14n")
    value = base64.b64decode(signature.findtext("ds:SignatureValue", "", SPACE))
    wanted = base64.b64decode(signature.findtext(".//ds:DigestValue", "", SPACE))
    assert openssl_says(tmp_path, certificate, value, info)
    root.remove(signature)
    assert sha256(etree.tostring(root, method="c14n")).digest() == wanted


def test_a_changed_cap_document_is_refused(city: City) -> None:
    signed = document(jam(), signer=city.signer, **ASK)
    for bad in (
        signed.replace(b"<status>Actual", b"<status>Test"),
        signed.replace(b"</info>", b"</info><info/>", 1),
        document(jam(), **ASK),
        b"nothing",
        _wrapped(signed),
        # Outside of what is signed, though a reader may take it for a part of the document.
        signed.replace(b"Actual", b"Act<!-- -->ual"),
        signed + b"<?evil x?>",
        signed.replace(b"<alert", b'<!DOCTYPE alert [<!ATTLIST info x CDATA "y">]><alert', 1),
        signed.replace(b"</ds:KeyInfo>", b"<info>all clear</info></ds:KeyInfo>"),
        signed.replace(b"</ds:Signature>", b"<ds:Object><info>all clear</info></ds:Object></ds:Signature>"),
    ):
        assert bad != signed
        with pytest.raises(NotSigned):
            check_xml(bad, city.ca, time.time())


def _wrapped(signed: bytes) -> bytes:
    """The attack of wrapping: the signed document within another, which says something else."""
    inner = etree.fromstring(signed)
    outer = etree.fromstring(signed.replace(b"Actual", b"Test"))
    outer.append(inner)
    return bytes(etree.tostring(outer))


def test_the_same_document_is_the_same_bytes(city: City) -> None:
    """So that who has it need not fetch it again: a signature of this kind is another each time."""
    assert document(jam(), signer=city.signer, **ASK) == document(jam(), signer=city.signer, **ASK)
    assert document(jam(), signer=city.of(city.identity), **ASK) != document(jam(), signer=city.signer, **ASK)


# The key.


def test_a_new_key_is_taken_while_it_runs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Files that cannot be used are told, and the pair before signs on."""
    city = City(tmp_path)
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    old, new = city.folder, Path(city.authority.signer("second").folder)
    certificate.write_bytes((old / "cert.pem").read_bytes())
    key.write_bytes((old / "key.pem").read_bytes())
    signer = Signer(certificate, key)
    assert check_jws(PAYLOAD, signer.jws(PAYLOAD), city.ca, time.time()) == "incidents"
    certificate.write_bytes((new / "cert.pem").read_bytes())
    assert check_jws(PAYLOAD, signer.jws(PAYLOAD), city.ca, time.time()) == "incidents"
    assert "is not the key of" in caplog.text
    key.write_bytes((new / "key.pem").read_bytes())
    assert check_jws(PAYLOAD, signer.jws(PAYLOAD), city.ca, time.time()) == "second"


def test_an_identity_that_cannot_sign_is_refused_at_the_start(city: City, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not the key of"):
        Signer(city.folder / "cert.pem", Path(city.authority.server(["broker.example"]).folder) / "key.pem")
    file = tmp_path / "ganglion.toml"
    file.write_text('sites = ["riverside"]\ndata_dir = "data"\n[signing]\ncert = "c.pem"\nkey = "k.pem"\n')
    config = load(file)
    assert config.signing == Signing(str(tmp_path / "c.pem"), str(tmp_path / "k.pem"))
    with pytest.raises(ConfigError, match=r"signing\.cert"):
        signer_of(config)


# Where they go.


async def test_incidents_and_heads_are_signed_at_the_broker(city: City, broker: Mosquitto) -> None:
    async with aiomqtt.Client("127.0.0.1", broker.port, protocol=aiomqtt.ProtocolVersion.V5) as client:
        await publish(client, INCIDENT, city.signer)
        await client.subscribe("ganglion/v1/riverside/incident/#", qos=1)
        async with asyncio.timeout(20):
            heard = await anext(client.messages)
    assert heard.retain
    payload, properties = bytes(heard.payload), dict(heard.properties.UserProperty)  # type: ignore[union-attr]
    assert check_jws(payload, properties[PROPERTY], city.ca, time.time()) == "incidents"
    assert msgspec.json.decode(payload)["id"] == INCIDENT.id
    head = message("riverside", Place(1, "0" * 64), 0.0)
    assert check_jws(head, city.signer.jws(head), city.ca, time.time())


async def test_machines_that_are_told_can_check_it(city: City, broker: Mosquitto) -> None:
    """A webhook's header, a topic's property, and CAP by a webhook."""
    config = Config(
        ("riverside",), "data", signing=Signing(str(city.folder / "cert.pem"), str(city.folder / "key.pem"))
    )
    cap = documents(config, Plan(), signer_of(config))

    def tell(table: Webhook | Topic) -> None:
        make_target(table, Mqtt("127.0.0.1", broker.port), cap, city.signer).deliver(OPENED, "Burst", "Much.")

    with Hook() as hook:
        await asyncio.to_thread(tell, Webhook(name="duty", url=hook.url))
        await asyncio.to_thread(tell, Webhook(name="duty", url=hook.url, format="cap"))
    for posted in hook.posted:
        assert check_jws(posted.body, posted.headers["ganglion-jws"], city.ca, time.time())
    assert check_xml(hook.posted[1].body, city.ca, time.time())
    async with aiomqtt.Client("127.0.0.1", broker.port, protocol=aiomqtt.ProtocolVersion.V5) as client:
        await client.subscribe("city/duty", qos=1)
        await asyncio.to_thread(tell, Topic(name="duty", topic="city/duty"))
        async with asyncio.timeout(20):
            heard = await anext(client.messages)
    properties = dict(heard.properties.UserProperty)  # type: ignore[union-attr]
    assert check_jws(bytes(heard.payload), properties[PROPERTY], city.ca, time.time())


def test_a_receiver_that_does_as_the_page_says_knows_who_told(city: City, tmp_path: Path) -> None:
    _, code = blocks(DOCS / "notifications.md", "python")
    names: dict[str, Any] = {}
    exec(code, names)
    ca = (city.authority.folder / "ca.pem").read_bytes()
    jws = city.signer.jws(PAYLOAD)
    assert names["signed_by"](PAYLOAD, jws, ca) == "CN=incidents"
    other, gateway = City(tmp_path).signer, city.of(city.authority.gateway("docs"))
    bad = ((PAYLOAD + b" ", jws), (PAYLOAD, other.jws(PAYLOAD)), (PAYLOAD, gateway.jws(PAYLOAD)))
    for payload, signature in bad:
        with pytest.raises(Exception):  # noqa: B017, PT011 - the page promises no more
            names["signed_by"](payload, signature, ca)


def test_the_command_line(city: City, tmp_path: Path) -> None:
    cli, ca = CommandLine(tmp_path, 1), str(city.authority.folder / "ca.pem")
    (tmp_path / "body").write_bytes(PAYLOAD)
    (tmp_path / "alert.xml").write_bytes(document(jam(), signer=city.signer, **ASK))
    jws, crl = city.signer.jws(PAYLOAD), str(city.authority.folder / "crl.pem")
    said = cli.invoke("incidents", "verify", str(tmp_path / "body"), "--jws", jws, "--ca", ca, "--crl", crl)
    assert said.stdout == "signed by incidents\n"
    other = str(Authority.create(tmp_path / "other", "City").folder / "crl.pem")
    asked = cli.invoke("incidents", "verify", str(tmp_path / "body"), "--jws", jws, "--ca", ca, "--crl", other)
    assert "has no list by the authority of" in sentence(asked)
    assert cli.invoke("incidents", "verify", str(tmp_path / "alert.xml"), "--ca", ca).stdout == said.stdout
    (tmp_path / "body").write_bytes(PAYLOAD + b" ")
    assert "does not belong" in sentence(
        cli.invoke("incidents", "verify", str(tmp_path / "body"), "--jws", jws, "--ca", ca)
    )
