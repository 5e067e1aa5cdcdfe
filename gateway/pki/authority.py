"""The authority's folder: its key, what it has signed, what it has revoked.

    ca.pem ca.der          its certificate, for everybody
    ca.key                 its key: who has this can be any node, the gateway and the broker
    crl.pem                what holds no more
    server/{name}/         cert.pem key.pem
    gateway/{name}/        cert.pem key.pem
    signer/{name}/         cert.pem key.pem
    issuer/                cert.pem key.pem crl.pem: a second authority, for nodes alone, that may stand on a network
    node/{site}/{node}/    cert.pem key.pem, and ca.der cert.der key.der for the board
    old/{serial}/          what was revoked or renewed

Every identity is a folder that appears whole, by one rename, and nothing is ever overwritten but `crl.pem`.
"""

import contextlib
import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from msgspec import Struct

from gateway.errors import GanglionError
from gateway.files import PRIVATE, PUBLIC, create, replace
from gateway.pki.certificates import (
    common_name,
    hosts_of,
    key_bytes,
    new_key,
    revocation,
    revocations,
    self_signed,
    signed,
)
from gateway.pki.names import RESERVED, is_host, is_name

DAYS: Final = {
    "ca": 30 * 365,
    "issuer": 10 * 365,
    "server": 5 * 365,
    "gateway": 5 * 365,
    "signer": 2 * 365,
    "node": 20 * 365,
}
"""How long certificates hold if nothing else is said. A node's from here as long as its housing: only a gateway with
the issuer renews it without a ladder, and what is stolen is revoked, not waited out. Gateways make short ones."""

_PLACES: Final = {"server": "*", "gateway": "*", "signer": "*", "node": "*/*", "issuer": "."}
"""Below which folders of its kind an identity lies."""


class PkiError(GanglionError):
    """An identity cannot be made, found or revoked; the message says what to do."""


class Identity(Struct, frozen=True):
    """One certificate that the authority has signed."""

    kind: str
    """`server`, `gateway`, `node`, `signer` or `issuer`."""
    name: str
    """Its common name; a node's is `site/node`, which is its user name at the broker too."""
    hosts: tuple[str, ...]
    serial: str
    """Hexadecimal."""
    ends: int
    """Unix seconds."""
    state: str
    """`valid`, `expired`, `revoked`, or `renewed`: it holds still, and another has taken its place."""
    folder: str


class Authority:
    """An authority that exists; `create` makes one."""

    def __init__(self, folder: Path) -> None:
        """Raises PkiError when the folder holds no authority, or one that cannot be read."""
        self.folder = folder
        try:
            self.certificate = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
            key = load_pem_private_key((folder / "ca.key").read_bytes(), None)
        except FileNotFoundError as error:
            raise PkiError(f"{folder} holds no authority: make one with `ganglion pki init --dir {folder}`") from error
        except OSError as error:
            raise PkiError(f"the authority in {folder} cannot be read: {error}") from error
        except ValueError as error:
            raise PkiError(f"{folder}/ca.pem or ca.key is damaged: {error}; take it from a backup") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != self.certificate.public_key():
            raise PkiError(f"{folder}/ca.key is not the key of ca.pem: take both from the same backup")
        self._key = key

    @classmethod
    def create(cls, folder: Path, name: str, days: int = DAYS["ca"]) -> "Authority":
        """Make a new authority in a folder that does not exist yet or is empty. Raises PkiError."""
        key, now = new_key(), datetime.now(UTC)
        certificate = self_signed(key, name, _end(now, days))
        put(
            folder,
            {
                "ca.pem": certificate.public_bytes(Encoding.PEM),
                "ca.der": certificate.public_bytes(Encoding.DER),
                "ca.key": key_bytes(key, Encoding.PEM),
                "crl.pem": revocations((certificate, key), [], 1, now).public_bytes(Encoding.PEM),
            },
        )
        return cls(folder)

    def server(self, hosts: Sequence[str], days: int = DAYS["server"], *, renew: bool = False) -> Identity:
        """An identity for a broker: the names and addresses that it is reached under, the first is what it is called.

        Raises PkiError for a name or address that cannot be, or when it has one and is not to be renewed.
        """
        for host in hosts:
            if not is_host(host):
                raise PkiError(
                    f"{host!r} is no host's name and no IP address: write it in small letters, without a port"
                )
        if not hosts:
            raise PkiError("a server needs a name or an IP address, by which its clients know it")
        return self._issue("server", hosts[0], tuple(dict.fromkeys(hosts)), days, renew=renew)

    def gateway(self, name: str = "gateway", days: int = DAYS["gateway"], *, renew: bool = False) -> Identity:
        """An identity for a gateway, or for another program that may see the whole city. Raises PkiError."""
        _check_name("the gateway", name)
        return self._issue("gateway", name, (), days, renew=renew)

    def signer(self, name: str = "incidents", days: int = DAYS["signer"], *, renew: bool = False) -> Identity:
        """An identity that signs incidents, and can do nothing else. Raises PkiError."""
        _check_name("a signer", name)
        return self._issue("signer", name, (), days, renew=renew)

    def node(self, site: str, node: str, days: int = DAYS["node"], *, renew: bool = False) -> Identity:
        """An identity for a node. Raises PkiError."""
        _check_name("a site", site)
        _check_name("a node", node)
        if node in RESERVED:
            raise PkiError(f"{node!r} cannot be a node: the gateway speaks below that topic")
        return self._issue("node", f"{site}/{node}", (), days, renew=renew)

    def issuer(self, days: int = DAYS["issuer"], *, renew: bool = False) -> Identity:
        """A second authority, signed by itself, for the gateway's machine: brokers believe it about nodes alone, and
        nodes not at all. So whoever steals its key plays neither broker nor gateway.

        Raises PkiError when there is one and it is not to be renewed. The former holds on until it is revoked.
        """
        name = f"{common_name(self.certificate)[:48]} issuer {secrets.token_hex(2)}"
        return self._issue("issuer", name, (), days, renew=renew)

    def identities(self) -> list[Identity]:
        """All that was ever signed, by kind and name, the present one before old ones."""
        revoked = {each.serial_number for each in self._revocations()}
        found = []
        for kind, depth in _PLACES.items():
            found += [self._identity(path, kind, revoked) for path in (self.folder / kind).glob(f"{depth}/cert.pem")]
        for path in (self.folder / "old").glob("*/*/cert.pem"):
            found.append(self._identity(path, path.parent.name, revoked))
        order = list(_PLACES)
        return sorted(found, key=lambda each: (order.index(each.kind), each.name, "/old/" in each.folder, each.serial))

    def revoke(self, who: str) -> list[Identity]:
        """Revoke a name's certificates, old ones that hold still too, or the one of a serial number; those it was.

        The broker must be given the new `crl.pem`, and for an issuer its folder anew. Raises PkiError when there is
        none of that name.
        """
        with self._locked():
            found = [each for each in self.identities() if who in (each.name, each.serial)]
            chosen = [each for each in found if each.state != "revoked"]
            if not chosen:
                raise PkiError(
                    f"{who} is revoked already" if found else f"nobody here is {who}: see `ganglion pki list`"
                )
            now = datetime.now(UTC)
            revoked = [*self._revocations(), *(revocation(int(each.serial, 16), now) for each in chosen)]
            listed = revocations((self.certificate, self._key), revoked, self._number() + 1, now)
            # First the list, then the folders: whatever ends us between, it is revoked.
            replace(self.folder / "crl.pem", listed.public_bytes(Encoding.PEM))
            for each in chosen:
                self._retire(each)
        return [each for each in self.identities() if each.serial in {gone.serial for gone in chosen}]

    def _issue(self, kind: str, name: str, hosts: Sequence[str], days: int, *, renew: bool) -> Identity:
        folder = self.folder / kind / ("" if kind == "issuer" else name)
        end, last = _end(datetime.now(UTC), days), self.certificate.not_valid_after_utc
        if end > last:
            raise PkiError(f"the authority itself ends on {last:%Y-%m-%d}: take fewer than {days} days")
        with self._locked():
            if folder.exists():
                if not renew:
                    who = "the issuer" if kind == "issuer" else name
                    raise PkiError(f"{who} has a certificate already, in {folder}: revoke it, or ask for --renew")
                self._retire(self._identity(folder / "cert.pem", kind, set()))
        # Not locked, for the disk is waited for: what is new appears whole, and never in place of another.
        key = new_key()
        by = self.certificate, self._key
        certificate = self_signed(key, name, end) if kind == "issuer" else signed(by, key, kind, name, hosts, end)
        files = {
            "cert.pem": certificate.public_bytes(Encoding.PEM),
            "key.pem": key_bytes(key, Encoding.PEM),
        }
        if kind == "issuer":
            listed = revocations((certificate, key), [], 1, datetime.now(UTC))
            files["crl.pem"] = listed.public_bytes(Encoding.PEM)
        if kind == "node":
            # Every MicroPython takes DER, not every one PEM; and it is the smaller on a small flash.
            files["ca.der"] = self.certificate.public_bytes(Encoding.DER)
            files["cert.der"] = certificate.public_bytes(Encoding.DER)
            files["key.der"] = key_bytes(key, Encoding.DER)
        put(folder, files)
        return self._identity(folder / "cert.pem", kind, set())

    def _identity(self, path: Path, kind: str, revoked: set[int]) -> Identity:
        try:
            certificate = x509.load_pem_x509_certificate(path.read_bytes())
        except (OSError, ValueError) as error:
            raise PkiError(f"{path} cannot be read: {error}; move its folder away or take it from a backup") from error
        state = "renewed" if path.is_relative_to(self.folder / "old") else "valid"
        if certificate.not_valid_after_utc < datetime.now(UTC):
            state = "expired"
        if certificate.serial_number in revoked:
            state = "revoked"
        return Identity(
            kind=kind,
            name=common_name(certificate),
            hosts=hosts_of(certificate),
            serial=f"{certificate.serial_number:x}",
            ends=int(certificate.not_valid_after_utc.timestamp()),
            state=state,
            folder=str(path.parent),
        )

    def _retire(self, identity: Identity) -> None:
        """Make room for the next one of its name."""
        source, target = Path(identity.folder), self.folder / "old" / identity.serial / identity.kind
        if source != target:
            target.parent.mkdir(parents=True, exist_ok=True)
            source.rename(target)

    def _list(self) -> x509.CertificateRevocationList:
        path = self.folder / "crl.pem"
        try:
            return x509.load_pem_x509_crl(path.read_bytes())
        except (OSError, ValueError) as error:
            raise PkiError(f"{path} cannot be read: {error}; take it from a backup or from the broker") from error

    def _revocations(self) -> list[x509.RevokedCertificate]:
        return list(self._list())

    def _number(self) -> int:
        return self._list().extensions.get_extension_for_class(x509.CRLNumber).value.crl_number

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One at a time: two revocations at once must not forget each other."""
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _end(now: datetime, days: int) -> datetime:
    return (now + timedelta(days=days)).replace(microsecond=0)


def _check_name(what: str, name: str) -> None:
    if not is_name(name):
        raise PkiError(f"{name!r} cannot be {what}: 1 to 32 of a-z, 0-9 and -, not beginning with -")


def put(folder: Path, files: Mapping[str, bytes], private: Collection[str] = ()) -> None:
    """Write a folder of files that is there whole or not at all; keys are `private` anyway. Raises PkiError."""
    new = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=".", dir=folder.parent))  # mode 0700
        for name, content in files.items():
            secret = name in private or name.endswith(".key") or name.startswith("key.")
            create(new / name, content, PRIVATE if secret else PUBLIC)
        new.chmod(0o755)  # the broker must come to its own files; the keys in it are for their owner alone
        new.rename(folder)  # fails when there is a folder with anything in it
    except OSError as error:
        if new is not None:
            shutil.rmtree(new, ignore_errors=True)
        if folder.exists():
            raise PkiError(f"{folder} exists and is not empty: nothing was changed") from error
        raise PkiError(f"{folder} cannot be written: {error.strerror}") from error
