"""X.509 certificates and keys: EC P-256 throughout. Pure but for the random numbers; times are handed in."""

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

Key = ec.EllipticCurvePrivateKey
PublicKey = ec.EllipticCurvePublicKey

NOT_BEFORE: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""On purpose, and not an oversight. MicroPython on the ESP32 compares a certificate's dates with the board's clock, and
that says 2000-01-01 after every loss of power. The board has to connect before anybody can tell it the time, so every
certificate that it checks must be valid on that day."""

DOCUMENT_SIGNING: Final = ObjectIdentifier("1.3.6.1.5.5.7.3.36")
"""id-kp-documentSigning (RFC 9336)."""
CANARY: Final = 1
"""A serial number that stands on every list of what holds no more, from the first on. Nobody has it, for numbers are
random; `ganglion doctor` makes a certificate with it, to see whether the broker reads the list."""

USAGES: Final = {
    "server": ExtendedKeyUsageOID.SERVER_AUTH,
    "gateway": ExtendedKeyUsageOID.CLIENT_AUTH,
    "node": ExtendedKeyUsageOID.CLIENT_AUTH,
    "signer": DOCUMENT_SIGNING,
}
"""What an identity of each kind may be used for: a node's certificate cannot play broker, and one that signs incidents
cannot log in at one."""


def new_key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def self_signed(key: Key, name: str, end: datetime) -> x509.Certificate:
    """The authority's own certificate. It signs identities, and no further authority."""
    subject = _name(name)
    return (
        _begin(subject, subject, key, end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )


def hand_on(former: tuple[x509.Certificate, Key], issuer: x509.Certificate) -> x509.Certificate:
    """A new issuer's certificate signed by the one before, so that who knows that one believes it."""
    signer, key = former
    public = issuer.public_key()
    if not isinstance(public, PublicKey):
        raise TypeError("an issuer has an EC key")
    return (
        _begin(issuer.subject, signer.subject, public, issuer.not_valid_after_utc)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def signed(
    authority: tuple[x509.Certificate, Key],
    key: Key | PublicKey,
    kind: str,
    name: str,
    hosts: Sequence[str],
    end: datetime,
    serial: int | None = None,
) -> x509.Certificate:
    """An identity of one of `USAGES`, for a key of which the public half will do. `hosts` are the names and addresses
    under which a server is reached; without `serial` it has a random number."""
    issuer, issuer_key = authority
    builder = (
        _begin(_name(name), issuer.subject, key, end, serial)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([USAGES[kind]]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def revocations(
    authority: tuple[x509.Certificate, Key], revoked: Sequence[x509.RevokedCertificate], number: int, now: datetime
) -> x509.CertificateRevocationList:
    """The list of what holds no more. It is valid as long as the authority: an outdated list locks everybody out."""
    issuer, issuer_key = authority
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.subject)
        .last_update(now)
        .next_update(max(issuer.not_valid_after_utc, now + timedelta(days=1)))
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    for each in revoked:
        builder = builder.add_revoked_certificate(each)
    return builder.sign(issuer_key, hashes.SHA256())


def revocation(serial: int, now: datetime, *, hold: bool = False) -> x509.RevokedCertificate:
    """With `hold` one that may be taken off the list again."""
    builder = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now)
    if hold:
        builder = builder.add_extension(x509.CRLReason(x509.ReasonFlags.certificate_hold), critical=False)
    return builder.build()


def key_bytes(key: Key, encoding: Encoding) -> bytes:
    """PEM as PKCS #8, as servers like it; DER as SEC 1, which is the smallest that mbedTLS takes."""
    form = PrivateFormat.PKCS8 if encoding is Encoding.PEM else PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(encoding, form, NoEncryption())


def common_name(certificate: x509.Certificate) -> str:
    return str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def hosts_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """The names and addresses of a server; of others none."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(str(each.value) for each in names)


def _begin(
    subject: x509.Name, issuer: x509.Name, key: Key | PublicKey, end: datetime, serial: int | None = None
) -> x509.CertificateBuilder:
    public = key.public_key() if isinstance(key, ec.EllipticCurvePrivateKey) else key
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number() if serial is None else serial)
        .not_valid_before(NOT_BEFORE)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
