"""What holds no more, as brokers read it: PEM lists of both authorities in one file."""

import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.identity.issuer import Issuer, Refusal
from gateway.pki.authority import PkiError
from gateway.pki.certificates import CANARY

_BLOCK: Final = re.compile(rb"-----BEGIN X509 CRL-----.+?-----END X509 CRL-----", re.DOTALL)

List = x509.CertificateRevocationList


def parsed(text: bytes) -> list[List]:
    """All lists in a PEM text. Raises ValueError."""
    return [x509.load_pem_x509_crl(block) for block in _BLOCK.findall(text)]


def read(path: Path) -> list[List]:
    """All lists in a file. Raises PkiError."""
    try:
        found = parsed(path.read_bytes())
    except OSError as error:
        raise PkiError(f"{path} cannot be read: {error.strerror}; copy the authority's crl.pem there") from error
    except ValueError as error:
        raise PkiError(f"{path} is damaged: {error}; copy the authority's crl.pem there") from error
    if not found:
        raise PkiError(f"{path} holds no list: copy the authority's crl.pem there")
    return found


def check(issuer: Issuer, lists: Sequence[List], path: Path) -> None:
    """Raises PkiError for a list that bears an authority's name and not its signature, and when the off-line one's is
    missing. Those of others stay: a broker that believes a former issuer needs its list."""
    for each in lists:
        same = [authority for authority in issuer.authorities if authority.subject == each.issuer]
        if same and not any(_by(each, authority) for authority in same):
            raise PkiError(f"{path} holds a list that its authority has not signed: copy the city's own crl.pem there")
    for authority in issuer.offline:
        if not any(_by(each, authority) for each in lists):
            raise PkiError(f"{path} lacks the list of the authority in mqtt.ca: copy its crl.pem there")


def serials(lists: Sequence[List]) -> set[str]:
    """Hexadecimal, of all that is listed and was ever given to somebody."""
    return {f"{line.serial_number:x}" for each in lists for line in each if line.serial_number != CANARY}


def compose(issuer: Issuer, others: Sequence[List], own: Sequence[Refusal], now: datetime) -> bytes:
    """The broker's file. `others` were checked. What they hold of the issuer's certificates joins our own."""
    known = {each.serial for each in own}
    more = [Refusal(f"{CANARY:x}", now.timestamp(), hold=False)]
    more += [
        Refusal(f"{line.serial_number:x}", line.revocation_date_utc.timestamp(), hold=False)
        for each in others
        if _by(each, issuer.certificate)
        for line in each
        if f"{line.serial_number:x}" not in known and line.serial_number != CANARY
    ]
    ours = issuer.list(sorted([*own, *more], key=lambda each: each.serial), now)
    return b"".join(
        each.public_bytes(Encoding.PEM)
        for each in (*(each for each in others if not _by(each, issuer.certificate)), ours)
    )


def same(issuer: Issuer, one: Sequence[List], other: Sequence[List]) -> bool:
    """Whether a broker does the same by both. Signatures are looked at, numbers and dates are not."""
    return _told(issuer, one) == _told(issuer, other)


def _told(issuer: Issuer, lists: Sequence[List]) -> list[object]:
    """Of the issuer's own list what is on it, of others their bytes, in their order."""
    return [
        frozenset((line.serial_number, tuple(line.extensions)) for line in each)
        if _by(each, issuer.certificate)
        else each.public_bytes(Encoding.DER)
        for each in lists
    ]


def _by(each: List, authority: x509.Certificate) -> bool:
    key = authority.public_key()
    return (
        isinstance(key, ec.EllipticCurvePublicKey) and each.issuer == authority.subject and each.is_signature_valid(key)
    )
