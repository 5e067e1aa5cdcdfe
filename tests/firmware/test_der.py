"""What a node writes and reads of X.509, against what OpenSSL makes of it."""

import contextlib
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)
from cryptography.x509.oid import NameOID

from gateway.pki.authority import Authority
from gateway.pki.certificates import hand_on, new_key, signed
from gateway.pki.folder import load_signer
from tests.firmware.importer import load
from tests.micropython import run

NAME = "riverside/air-1"
der = load("node.der")

REQUEST = """
import asyncio
from binascii import hexlify
from node import p256, request
async def main():
    for _ in range(3):
        csr, key, point = await request.made(NAME, await p256.new_key())
        print(hexlify(csr).decode(), hexlify(key).decode(), hexlify(point).decode())
asyncio.run(main())
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("der") / "pki", "Riverside")


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> bytes:
    return Path(authority.node("riverside", "air-1").folder, "cert.der").read_bytes()


@pytest.mark.parametrize("name", [NAME, "a/b", "x" * 32 + "/" + "y" * 31])
def test_a_request_is_a_request(tmp_path: Path, name: str) -> None:
    """Made on the board: OpenSSL finds the name, the key, and that the key has signed it; and reads the key."""
    for line in run(REQUEST.replace("NAME", repr(name)), tmp_path):
        csr, key, point = map(bytes.fromhex, line.split())
        read = x509.load_der_x509_csr(csr)
        assert read.is_signature_valid
        assert [(each.oid, each.value) for each in read.subject] == [(NameOID.COMMON_NAME, name)]
        assert isinstance(read.signature_hash_algorithm, hashes.SHA256)
        private = load_der_private_key(key, None)
        assert private.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()) == key
        assert private.public_key() == read.public_key()
        assert private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint) == point
        assert len(key) == 121


def test_numbers_of_all_lengths() -> None:
    """As OpenSSL writes them: a leading zero where the first bit is set, and no other."""
    key = ec.generate_private_key(ec.SECP256R1())
    for r in (1, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, (1 << 255) - 1, 1 << 255, (1 << 256) - 1):
        assert der.signature(r, 1) == encode_dss_signature(r, 1)
    scalar = der.scalar(key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    assert scalar == key.private_numbers().private_value


def test_a_certificate_of_our_authority(authority: Authority, certificate: bytes, tmp_path: Path) -> None:
    """Whose, how long, which: as OpenSSL reads it, on the real interpreter too."""
    read = x509.load_der_x509_certificate(certificate)
    wanted = {
        "serial": read.serial_number,
        "begins": int(read.not_valid_before_utc.timestamp()),
        "ends": int(read.not_valid_after_utc.timestamp()),
        "name": NAME,
        "point": read.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
    }
    assert der.certificate(certificate) == wanted
    lines = run(f"from node import der\nfound = der.certificate({certificate!r})\nprint(found == {wanted!r})", tmp_path)
    assert lines == ["True"]


def test_all_days(authority: Authority) -> None:
    """Ends over 200 years, as UTCTime before 2050 and as GeneralizedTime after."""
    dice = random.Random(8)
    issuer_key = new_key()
    own = new_key()
    ends = [datetime(2100, 2, 28, 23, 59, 59, tzinfo=UTC), datetime(2100, 3, 1, tzinfo=UTC)]
    ends += [datetime(2048, 2, 28, tzinfo=UTC) + timedelta(days=n) for n in range(4)]
    ends += [datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(2050, 1, 1, tzinfo=UTC)]
    ends += [datetime(2001, 1, 1, tzinfo=UTC) + timedelta(seconds=dice.randrange(6_000_000_000)) for _ in range(150)]
    for end in ends:
        made = signed((authority.certificate, issuer_key), own, "node", NAME, (), end)
        assert der.certificate(made.public_bytes(Encoding.DER))["ends"] == int(end.timestamp())


def other(subject: x509.Name, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    """A certificate for another subject, or another kind of key."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(7).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def test_certificates_that_a_node_does_not_read() -> None:
    """Of another curve, of RSA, or for a subject that says more than a name."""
    name = x509.NameAttribute(NameOID.COMMON_NAME, NAME)
    plain = x509.Name([name])
    key = new_key()
    assert der.certificate(other(plain, key))["serial"] == 7
    longer = x509.Name([name, x509.NameAttribute(NameOID.ORGANIZATION_NAME, "x")])
    for wrong in (
        other(plain, ec.generate_private_key(ec.SECP384R1())),
        other(plain, rsa.generate_private_key(65_537, 2048)),
        other(longer, key),
        other(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, NAME)]), key),
        other(x509.Name([]), key),
        b"",
    ):
        with pytest.raises(ValueError, match=r"certificate|DER"):
            der.certificate(wrong)
    with pytest.raises(ValueError, match="key"):
        der.scalar(
            ec.generate_private_key(ec.SECP384R1()).private_bytes(
                Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()
            )
        )


def test_damaged_certificates_are_refused_in_words(certificate: bytes) -> None:
    """Cut off anywhere, longer by a byte, any byte changed: a ValueError, or one that is read as well-formed."""
    dice = random.Random(9)
    damaged = [certificate[:n] for n in range(len(certificate))] + [certificate + b"\x00"]
    for at in range(len(certificate)):
        for value in (0x00, 0x7F, 0x80, 0xFF, dice.randrange(256)):
            damaged.append(certificate[:at] + bytes((value,)) + certificate[at + 1 :])
    refused = 0
    for each in damaged:
        try:
            found = der.certificate(each)
            assert found.keys() == {"serial", "begins", "ends", "name", "point"}
        except ValueError:
            refused += 1
    assert refused > len(certificate) + 100


def test_who_signed_a_certificate(authority: Authority, certificate: bytes) -> None:
    """What is signed and by which numbers, as OpenSSL reads it; and nothing that is cut, longer or signed otherwise."""
    read = x509.load_der_x509_certificate(certificate)
    body, r, s = der.signed(certificate)
    assert (body, encode_dss_signature(r, s)) == (read.tbs_certificate_bytes, read.signature)
    assert der.first(certificate + b"more") == (certificate, b"more")
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    wrong = [certificate[:-1], certificate + b"x", other(subject, rsa.generate_private_key(65_537, 2048)), b""]
    wrong += [certificate[: -len(read.signature) - 1] + b"\x01" + read.signature]
    wrong += [certificate[: -len(read.signature)] + b"\x30\x00" + read.signature[2:]]
    for each in wrong:
        with pytest.raises(ValueError, match=r"DER|certificate"):
            der.signed(each)


def test_who_is_an_authority(authority: Authority, certificate: bytes) -> None:
    """Issuers are, by themselves or by the one before; nodes are not, nor is a certificate that does not say."""
    issuer = load_signer(authority.folder / "issuer/cert.pem", authority.folder / "issuer/key.pem")
    assert der.is_authority(issuer[0].public_bytes(Encoding.DER))
    assert der.is_authority(hand_on(issuer, issuer[0]).public_bytes(Encoding.DER))
    assert not der.is_authority(certificate)
    assert not der.is_authority(other(x509.Name([]), new_key()))


def test_bytes_changed_anywhere_end_nothing(certificate: bytes) -> None:
    """Read, or refused in words, and nothing else."""
    dice = random.Random(9)
    for _ in range(3000):
        data = bytearray(certificate)
        for _ in range(dice.randrange(1, 4)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        for look in (der.signed, der.is_authority, der.first):
            with contextlib.suppress(ValueError):
                look(bytes(data[: dice.randrange(len(data) + 1)]))
                look(bytes(data))
