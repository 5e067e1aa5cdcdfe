"""What holds no more: lists, one for each authority that signs, several in one PEM file.

They are told apart by the identifier of the key that has signed them (RFC 5280, 4.2.1.1), as certificates are.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.pki.certificates import CANARY, Key, revocation, revocations

List = x509.CertificateRevocationList
Lists = dict[bytes, List]
"""By the identifier of the key that has signed each."""
Signer = tuple[x509.Certificate, Key]

_MARK: Final = b"-----END X509 CRL-----\n"


def read(text: bytes) -> Lists:
    """In their order. Raises ValueError for what is no list, does not say its number and by which key it is, or stands
    twice."""
    found = [x509.load_pem_x509_crl(part + _MARK) for part in text.split(_MARK) if part.strip()]
    if not all(by(each) and number(each) for each in found):
        raise ValueError("a list does not say its number, or by which key it is")
    if len(lists := {by(each): each for each in found}) < len(found):
        raise ValueError("there are two lists by the same key")
    return lists


def written(lists: Lists) -> bytes:
    return b"".join(each.public_bytes(Encoding.PEM) for each in lists.values())


def by(signed: x509.Certificate | List) -> bytes:
    """The identifier of the key that has signed this; empty where it does not say so."""
    try:
        return signed.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier or b""
    except x509.ExtensionNotFound:
        return b""


def key_of(authority: x509.Certificate) -> bytes:
    """The identifier of its key."""
    return x509.SubjectKeyIdentifier.from_public_key(authority.public_key()).digest


def of(authority: x509.Certificate, lists: Lists) -> List | None:
    """An authority's own list, with its name and its signature; None where there is none."""
    found, key = lists.get(key_of(authority)), authority.public_key()
    if found is None or found.issuer != authority.subject or not isinstance(key, ec.EllipticCurvePublicKey):
        return None
    return found if found.is_signature_valid(key) else None


def number(each: List) -> int:
    """Rises with each list by the same key, from 1; 0 where it has none."""
    try:
        return each.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound:
        return 0


def extended(signer: Signer, before: List | None, more: Sequence[x509.RevokedCertificate], now: datetime) -> List:
    """The next list of a signer: the one before, and more. The first begins with `CANARY`."""
    if before is None:
        return revocations(signer, [revocation(CANARY, now), *more], 1, now)
    return revocations(signer, [*before, *more], number(before) + 1, now)


def joined(ours: Lists, others: Lists, signer: Callable[[bytes], Signer], now: datetime) -> Lists:
    """Ours, with what another copy of them says. Where both have lines that the other has not, it is signed anew by
    `signer`, which is asked by the identifier of a key. Lists that are not among ours are left out."""
    return {key: _both(each, others[key], signer, now) if key in others else each for key, each in ours.items()}


def _both(one: List, other: List, signer: Callable[[bytes], Signer], now: datetime) -> List:
    older, newer = sorted((other, one), key=number)
    missing = [line for line in older if newer.get_revoked_certificate_by_serial_number(line.serial_number) is None]
    return extended(signer(by(newer)), newer, missing, now) if missing else newer
