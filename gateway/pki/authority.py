"""The authority's folder: its key, what it has signed, what it has revoked.

    ca.pem ca.der          its certificate, for everybody
    ca.key                 its key: who has this can be the broker and any gateway
    issuer/                cert.pem key.pem: a second authority, which signs nodes and nothing else; with handover.der,
                           its certificate by the one before it, where there was one
    crl.pem                what holds no more: a list of the authority, and one of each issuer that was not revoked
    server/{name}/         cert.pem key.pem
    gateway/{name}/        cert.pem key.pem
    signer/{name}/         cert.pem key.pem
    node/{site}/{node}/    cert.pem key.pem, and ca.der issuer.der cert.der key.der for the board
    old/{serial}/          what was revoked or renewed

Every identity is a folder that appears whole, by one rename, and nothing is ever overwritten but `crl.pem`.

Nodes are never signed by the authority itself: where a client chooses its own id, as gateways do, whoever is let in can
throw out the others.
"""

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from msgspec import Struct

from gateway.config import A_NAME
from gateway.files import replace
from gateway.pki import lists
from gateway.pki.certificates import common_name, hand_on, hosts_of, key_bytes, new_key, revocation, self_signed, signed
from gateway.pki.folder import PkiError, load, load_signer, locked, put
from gateway.pki.names import is_host, is_name, why_no_node

__all__ = ["DAYS", "Authority", "Identity", "PkiError"]

DAYS: Final = {
    "ca": 30 * 365,
    "server": 5 * 365,
    "gateway": 5 * 365,
    "signer": 2 * 365,
    "node": 20 * 365,
}
"""How long certificates hold if nothing else is said; an issuer's as long as the authority's. A node's from here as
long as its housing: only a gateway with the issuer renews it without a ladder, and what is stolen is revoked, and not
waited out. Gateways make short ones."""

_PLACES: Final = {"server": "*", "gateway": "*", "signer": "*", "node": "*/*", "issuer": "."}
"""Below which folders of its kind an identity lies."""


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
        if not (folder / "ca.key").exists():
            raise PkiError(f"{folder} holds no authority: make one with `ganglion pki init --dir {folder}`")
        self.certificate, self._key = load_signer(folder / "ca.pem", folder / "ca.key")

    @classmethod
    def create(cls, folder: Path, name: str, days: int = DAYS["ca"]) -> "Authority":
        """Make a new authority and its issuer, in a folder that does not exist yet or is empty. Raises PkiError."""
        key, now = new_key(), datetime.now(UTC)
        certificate = self_signed(key, name, _end(now, days))
        issuer_key = new_key()
        issuer = self_signed(issuer_key, _issuer_name(certificate), certificate.not_valid_after_utc)
        signers = (certificate, key), (issuer, issuer_key)
        put(
            folder,
            {
                "ca.pem": certificate.public_bytes(Encoding.PEM),
                "ca.der": certificate.public_bytes(Encoding.DER),
                "ca.key": key_bytes(key, Encoding.PEM),
                "issuer/cert.pem": issuer.public_bytes(Encoding.PEM),
                "issuer/key.pem": key_bytes(issuer_key, Encoding.PEM),
                "crl.pem": lists.written({lists.key_of(by[0]): lists.extended(by, None, [], now) for by in signers}),
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
        """An identity for a node, signed by the issuer. Raises PkiError."""
        if why := why_no_node(site, node):
            raise PkiError(why)
        return self._issue("node", f"{site}/{node}", (), days, renew=renew)

    def issuer(self, days: int | None = None, *, renew: bool = False) -> Identity:
        """A second authority, signed by itself, also for the gateway's machine: brokers believe it about nodes alone,
        and nodes not at all. So whoever steals its key plays neither broker nor gateway.

        `create` makes the first. Without `days` it holds as long as the authority. The former and the nodes signed by
        it hold on until it is revoked. Raises PkiError when there is one and it is not to be renewed.
        """
        return self._issue("issuer", _issuer_name(self.certificate), (), days, renew=renew)

    def identities(self) -> list[Identity]:
        """All that was ever signed, by kind and name, the present one before old ones. Raises PkiError."""
        present, found = self._lists(), []
        for kind, depth in _PLACES.items():
            found += [self._identity(path, kind, present) for path in (self.folder / kind).glob(f"{depth}/cert.pem")]
        for path in (self.folder / "old").glob("*/*/cert.pem"):
            found.append(self._identity(path, path.parent.name, present))
        order = list(_PLACES)
        return sorted(found, key=lambda each: (order.index(each.kind), each.name, "/old/" in each.folder, each.serial))

    def revoke(self, who: str) -> list[Identity]:
        """Revoke a name's certificates, old ones that hold still too, or the one of a serial number; those it was. With
        an issuer all ends that it has signed.

        The broker must be given the new `crl.pem`, and for an issuer its folder anew. Raises PkiError when there is
        none of that name, or not the key of who signed it.
        """
        with locked(self.folder):
            found = [each for each in self.identities() if who in (each.name, each.serial)]
            chosen = [each for each in found if each.state != "revoked"]
            if not chosen:
                raise PkiError(
                    f"{who} is revoked already" if found else f"nobody here is {who}: see `ganglion pki list`"
                )
            now, present = datetime.now(UTC), self._lists()
            for each in chosen:
                certificate = load(Path(each.folder, "cert.pem"))
                by = self._signed_by(certificate)
                line = revocation(certificate.serial_number, now)
                present[by] = lists.extended(self._signer(by), present.get(by), [line], now)
                if each.kind == "issuer":
                    present.pop(lists.key_of(certificate), None)
            # First the list, then the folders: whatever ends us between, it is revoked.
            replace(self.folder / "crl.pem", lists.written(present))
            for each in chosen:
                self._retire(each)
        return [each for each in self.identities() if each.serial in {gone.serial for gone in chosen}]

    def listed(self, other: bytes = b"") -> bytes:
        """What holds no more, PEM, with what another copy of `crl.pem` says that gateways have written.

        Raises PkiError, and ValueError when the other is damaged.
        """
        return lists.written(lists.joined(self._lists(), lists.read(other), self._signer, datetime.now(UTC)))

    def _issue(self, kind: str, name: str, hosts: Sequence[str], days: int | None, *, renew: bool) -> Identity:
        folder, now = self.folder / kind / ("" if kind == "issuer" else name), datetime.now(UTC)
        with locked(self.folder):
            by = self._issuer() if kind == "node" else (self.certificate, self._key)
            last = by[0].not_valid_after_utc
            end = last if days is None else _end(now, days)
            if end > last:
                what = "issuer" if kind == "node" else "authority"
                raise PkiError(f"the {what} itself ends on {last:%Y-%m-%d}: take fewer than {days} days")
            present = self._lists()
            former = self._identity(folder / "cert.pem", kind, present) if folder.exists() else None
            if former is not None and former.state != "revoked" and not renew:
                who = "the issuer" if kind == "issuer" else name
                raise PkiError(f"{who} has a certificate already, in {folder}: revoke it, or ask for --renew")
            key = new_key()
            certificate = self_signed(key, name, end) if kind == "issuer" else signed(by, key, kind, name, hosts, end)
            files = {"cert.pem": certificate.public_bytes(Encoding.PEM), "key.pem": key_bytes(key, Encoding.PEM)}
            if kind == "issuer":
                # First its list: brokers let in nobody whose signer has none.
                present[lists.key_of(certificate)] = lists.extended((certificate, key), None, [], now)
                replace(self.folder / "crl.pem", lists.written(present))
                if former is not None and former.state != "revoked" and (folder / "key.pem").exists():
                    by = load_signer(folder / "cert.pem", folder / "key.pem")
                    files["handover.der"] = hand_on(by, certificate).public_bytes(Encoding.DER)
            if kind == "node":
                # Every MicroPython takes DER, not every one PEM; and it is the smaller on a small flash.
                files["ca.der"] = self.certificate.public_bytes(Encoding.DER)
                files["issuer.der"] = by[0].public_bytes(Encoding.DER)
                files["cert.der"] = certificate.public_bytes(Encoding.DER)
                files["key.der"] = key_bytes(key, Encoding.DER)
            if former is not None:
                self._retire(former)
        # Not locked, for the disk is waited for: what is new appears whole, and never in place of another.
        put(folder, files)
        return self._identity(folder / "cert.pem", kind, present)

    def _identity(self, path: Path, kind: str, present: lists.Lists) -> Identity:
        certificate = load(path)
        by = present.get(self._signed_by(certificate))
        state = "renewed" if path.is_relative_to(self.folder / "old") else "valid"
        if certificate.not_valid_after_utc < datetime.now(UTC):
            state = "expired"
        # An issuer that was revoked has no list any more, and whom it signed is out with it.
        if by is None or by.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None:
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

    def _lists(self) -> lists.Lists:
        path = self.folder / "crl.pem"
        try:
            found = lists.read(path.read_bytes())
            if lists.key_of(self.certificate) not in found:
                raise ValueError("the authority's own list is not in it")
        except (OSError, ValueError) as error:
            raise PkiError(f"{path} cannot be read: {error}; take it from a backup or from the broker") from error
        return found

    def _signed_by(self, certificate: x509.Certificate) -> bytes:
        """The identifier of the key by which it is taken back: whose signed it; issuers, which do so themselves, are
        the authority's to take back."""
        own = certificate.issuer == certificate.subject
        return lists.key_of(self.certificate) if own else lists.by(certificate)

    def _issuer(self) -> lists.Signer:
        folder = self.folder / "issuer"
        if not (folder / "key.pem").exists():
            raise PkiError(
                f"the issuer's key, by which nodes are signed, is not in {folder}: take the folder from a backup or "
                "from the gateway's machine, or make another by `ganglion pki issuer`"
            )
        return load_signer(folder / "cert.pem", folder / "key.pem")

    def _signer(self, key: bytes) -> lists.Signer:
        """Who has the key of this identifier. Raises PkiError when it is not here."""
        if key == lists.key_of(self.certificate):
            return self.certificate, self._key
        for each in (self.folder / "issuer", *(self.folder / "old").glob("*/issuer")):
            if (each / "key.pem").exists() and lists.key_of(load(each / "cert.pem")) == key:
                return load_signer(each / "cert.pem", each / "key.pem")
        raise PkiError(
            f"the key of who has signed it is not in {self.folder}: take the folder issuer/ from a backup or from the "
            "gateway's machine, or revoke it there with --config"
        )


def _issuer_name(authority: x509.Certificate) -> str:
    return f"{common_name(authority)[:48]} issuer {secrets.token_hex(2)}"


def _end(now: datetime, days: int) -> datetime:
    return (now + timedelta(days=days)).replace(microsecond=0)


def _check_name(what: str, name: str) -> None:
    if not is_name(name):
        raise PkiError(f"{name!r} cannot be {what}: {A_NAME}")
