"""What holds no more, as brokers read it: lists of both authorities, of which the gateway signs its issuer's."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from gateway.identity.issuer import Issuer, Refusal
from gateway.pki import lists
from gateway.pki.authority import PkiError
from gateway.pki.certificates import CANARY
from gateway.pki.lists import Lists, key_of


def read(path: Path) -> Lists:
    """All lists in a file. Raises PkiError."""
    try:
        found = lists.read(path.read_bytes())
    except OSError as error:
        raise PkiError(f"{path} cannot be read: {error.strerror}; copy the authority's crl.pem there") from error
    except ValueError as error:
        raise PkiError(f"{path} is damaged: {error}; copy the authority's crl.pem there") from error
    if not found:
        raise PkiError(f"{path} holds no list: copy the authority's crl.pem there")
    return found


def check(issuer: Issuer, found: Lists, path: Path) -> None:
    """Raises PkiError for a list that bears an authority's name and not its signature, and when the off-line one's is
    missing. Those of others stay: a broker that believes a former issuer needs its list."""
    signed = [lists.of(authority, found) for authority in issuer.authorities]
    names = {authority.subject for authority in issuer.authorities}
    if any(each.issuer in names and each not in signed for each in found.values()):
        raise PkiError(f"{path} holds a list that its authority has not signed: copy the city's own crl.pem there")
    if any(lists.of(authority, found) is None for authority in issuer.offline):
        raise PkiError(f"{path} lacks the list of the authority in mqtt.ca: copy its crl.pem there")


def serials(found: Lists) -> set[str]:
    """Hexadecimal, of all that is listed and was ever given to somebody."""
    return {f"{line.serial_number:x}" for each in found.values() for line in each if line.serial_number != CANARY}


def compose(issuer: Issuer, others: Lists, own: Sequence[Refusal], now: datetime) -> Lists:
    """What the broker reads. `others` were checked. What they hold of the issuer's certificates joins our own."""
    known = {each.serial for each in own}
    more = [Refusal(f"{CANARY:x}", now.timestamp(), hold=False)]
    more += [
        Refusal(f"{line.serial_number:x}", line.revocation_date_utc.timestamp(), hold=False)
        for line in lists.of(issuer.certificate, others) or ()
        if f"{line.serial_number:x}" not in known and line.serial_number != CANARY
    ]
    ours = issuer.list(sorted([*own, *more], key=lambda each: each.serial), now)
    key = key_of(issuer.certificate)
    return {by: each for by, each in others.items() if by != key} | {key: ours}


def same(issuer: Issuer, one: Lists, other: Lists) -> bool:
    """Whether a broker does the same by both. Signatures are looked at, numbers and dates are not."""
    return _told(issuer, one) == _told(issuer, other)


def _told(issuer: Issuer, found: Lists) -> dict[bytes, object]:
    """Of the issuer's own list what is on it, of others their bytes."""
    told: dict[bytes, object] = {by: each.public_bytes(Encoding.DER) for by, each in found.items()}
    if (ours := lists.of(issuer.certificate, found)) is not None:
        told[key_of(issuer.certificate)] = frozenset((line.serial_number, tuple(line.extensions)) for line in ours)
    return told
