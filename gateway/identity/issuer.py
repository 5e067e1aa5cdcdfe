"""The issuer at the gateway: reads its folder, checks what asks for a certificate, and signs. Nothing is kept here.

Of a request (PKCS #10) only the public key is taken. Everything else of the certificate is ours: name, serial number,
dates, what it may be used for.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

from gateway.audit import record
from gateway.audit.entry import JSON
from gateway.errors import ConfigError
from gateway.pki.certificates import PublicKey, revocation, revocations, signed
from gateway.pki.folder import PkiError, load_signer

MOST_REQUEST: Final = 2048
"""Bytes of a request: one for P-256 with a name has about 200."""
_UNREADABLE: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    InvalidSignature,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.UnsupportedGeneralNameType,
)
"""What strangers' bytes come to, in the library's words."""


class Issued(Struct, frozen=True):
    """A certificate that was just signed."""

    serial: str
    """Hexadecimal."""
    ends: int
    """Unix seconds."""
    der: bytes


class Presented(Struct, frozen=True):
    """A certificate that a node shows as its own, by one of the two authorities."""

    name: str
    """`site/node`."""
    serial: str
    """Hexadecimal."""
    ends: int
    """Unix seconds."""
    key: PublicKey


class Refusal(Struct, frozen=True):
    """A line of our list of what does not hold."""

    serial: str
    """Hexadecimal."""
    since: float
    """Unix seconds."""
    hold: bool
    """Whether it may hold again."""


class Issuer:
    """Any thread may call."""

    def __init__(self, folder: Path, ca: Path, days: int) -> None:
        """`ca` is the PEM file of the off-line authority. What stands behind the issuer's certificate in its file are
        former ones: what they signed may be renewed.

        Raises ConfigError when a file cannot be used.
        """
        try:
            _, *former = x509.load_pem_x509_certificates((folder / "cert.pem").read_bytes())
            if (folder / "key.pem").stat().st_mode & 0o007:
                raise ConfigError(f"identity.issuer: {folder}/key.pem may be read by others: give it mode 600")
            self.certificate, self._key = load_signer(folder / "cert.pem", folder / "key.pem")
            self.offline = tuple(x509.load_pem_x509_certificates(ca.read_bytes()))
            self.authorities = (*self.offline, self.certificate, *former)
            handed = folder / "handover.der"
            self.handover = handed.read_bytes() if handed.exists() else b""
            """The certificate by the issuer before, by which nodes that know that one believe this one; or nothing."""
            if self.handover and _key_of(self.handover) != self.certificate.public_key():
                raise ConfigError(f"identity.issuer: {handed} is of another issuer: copy the whole folder anew")
        except OSError as error:
            what = f"{error.filename}: {error.strerror}"
            raise ConfigError(f"identity.issuer: {what}; give the gateway's user the file") from error
        except PkiError as error:
            raise ConfigError(f"identity.issuer: {error}") from error
        except ValueError as error:
            raise ConfigError(f"identity.issuer: {folder} or {ca} is damaged: {error}; copy them anew") from error
        if self.certificate in self.offline:
            raise ConfigError(f"identity.issuer: {folder} is the authority of mqtt.ca itself: its key belongs off-line")
        if self.certificate.not_valid_after_utc <= datetime.now(UTC):
            raise ConfigError(f"identity.issuer: {folder}/cert.pem has ended: make another with `ganglion pki`")
        self._days = days

    def issue(self, name: str, key: PublicKey, now: datetime) -> Issued:
        """A node's certificate. It ends with the issuer's own at the latest."""
        end = min((now + timedelta(days=self._days)).replace(microsecond=0), self.certificate.not_valid_after_utc)
        certificate = self.sign(name, key, end)
        der = certificate.public_bytes(Encoding.DER)
        return Issued(f"{certificate.serial_number:x}", int(end.timestamp()), der)

    def sign(self, name: str, key: PublicKey, end: datetime, serial: int | None = None) -> x509.Certificate:
        """For a node of this name; without `serial` with a random number."""
        return signed((self.certificate, self._key), key, "node", name, (), end, serial)

    def list(self, refused: list[Refusal], now: datetime) -> x509.CertificateRevocationList:
        """Numbered by the time, so that a later one has a higher number, whatever was forgotten."""
        lines = [revocation(int(each.serial, 16), _moment(each.since), hold=each.hold) for each in refused]
        number = int(now.timestamp() * 1000)
        return revocations((self.certificate, self._key), lines, number, now)

    def presented(self, der: bytes, name: str, now: datetime) -> Presented:
        """The certificate that a node of this name shows. Raises PkiError when it is not its own, or no good."""
        try:
            certificate = x509.load_der_x509_certificate(der)
            ours = any(_signed_by(certificate, each) for each in self.authorities)
        except _UNREADABLE as error:
            raise PkiError("the certificate cannot be read") from error
        if not ours:  # before anything else of it is looked at
            raise PkiError("the certificate is by no authority of this city")
        try:
            key = certificate.public_key()
            common = _only_name(certificate.subject)
            usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        except _UNREADABLE as error:
            raise PkiError("the certificate is not one for a client") from error
        if ExtendedKeyUsageOID.CLIENT_AUTH not in usage or not isinstance(key, ec.EllipticCurvePublicKey):
            raise PkiError("the certificate is not one for a client with an EC key")
        if common != name:
            raise PkiError(f"the certificate is not of {name}")
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            raise PkiError("the certificate has ended: the node needs a token")
        ends = int(certificate.not_valid_after_utc.timestamp())
        return Presented(name, f"{certificate.serial_number:x}", ends, key)


def given(
    issuer: Issuer, data_dir: Path, name: str, key: PublicKey, now: float, detail: Mapping[str, JSON], came: str = ""
) -> Issued:
    """A new certificate, in the audit log before anybody has it. Blocking. Raises ConfigError where that cannot be
    kept."""
    issued = issuer.issue(name, key, datetime.fromtimestamp(now, UTC))
    whole = {**detail, "serial": issued.serial, "ends": issued.ends}
    try:
        record(data_dir, "identity.issue", who=name, of=name, came=came, detail=whole)
    except OSError as error:
        raise ConfigError(f"the audit log cannot be kept: {error}") from error
    return issued


def requested(der: bytes, name: str) -> PublicKey:
    """The key for which a certificate is asked. Raises PkiError unless the request is for this name and this alone."""
    if len(der) > MOST_REQUEST:
        raise PkiError(f"the request is larger than {MOST_REQUEST} bytes")
    try:
        request = x509.load_der_x509_csr(der)
        key, valid = request.public_key(), request.is_signature_valid
        common, algorithm = _only_name(request.subject), request.signature_hash_algorithm
    except _UNREADABLE as error:
        raise PkiError("the request is no PKCS #10 that can be read") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise PkiError("the request's key is not of the curve P-256")
    if not valid or not isinstance(algorithm, hashes.SHA256 | hashes.SHA384 | hashes.SHA512):
        raise PkiError("the request is not signed by its own key, or with a weak hash")
    if common != name:
        raise PkiError(f"the request is not for {name}")
    return key


def proven(key: PublicKey, proof: bytes, request: bytes) -> bool:
    """Whether the owner of a key has signed a request (ECDSA with SHA-256)."""
    try:
        key.verify(proof, request, ec.ECDSA(hashes.SHA256()))
    except _UNREADABLE:
        return False
    return True


def fingerprint(key: PublicKey) -> bytes:
    """SHA-256 of the key as certificates hold it (SubjectPublicKeyInfo)."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    return digest.finalize()


def _key_of(der: bytes) -> object:
    return x509.load_der_x509_certificate(der).public_key()


def _only_name(subject: x509.Name) -> str:
    """Its common name; empty where it is not all of the subject."""
    parts = list(subject)
    return str(parts[0].value) if [each.oid for each in parts] == [NameOID.COMMON_NAME] else ""


def _signed_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except _UNREADABLE:
        return False
    return True


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)
