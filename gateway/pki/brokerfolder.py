"""The folder that a broker runs from, made of an authority and the settings of that broker.

mosquitto.conf nodes.acl gateways.acl    what it may do
mosquitto.service.conf                   drop-in for systemd: that it is started here
ca.pem                                   whom it believes at the gateways' listener: the authority alone
clients.pem                              and at the nodes': its issuers alone
crl.pem                                  what holds no more: a list of the authority and one of each issuer
cert.pem key.pem                         who it is
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cryptography import x509

from gateway.config import A_NAME
from gateway.files import PRIVATE, PUBLIC, replace
from gateway.pki import lists
from gateway.pki.authority import Authority, Identity, PkiError
from gateway.pki.broker import ROOT, Broker, configuration, gateways_access, nodes_access, service
from gateway.pki.certificates import common_name
from gateway.pki.folder import put
from gateway.pki.names import is_name

PLACE: Final = "/etc/mosquitto/ganglion"
_SECRET: Final = ("key.pem", "nodes.acl", "gateways.acl")
"""The key for its owner alone; later Mosquittos want the lists so too."""
_TOPIC: Final = re.compile(r"[^\s#+$/][^\s#+/]*(/[^\s#+/]+|/\+)*(/#)?")

_CRLFILE: Final = re.compile(r"^crlfile (\S+)$", re.MULTILINE)


def make(
    authority: Authority, broker: Broker, folder: Path, *, server: str = "", place: str = PLACE, renew: bool = False
) -> Identity:
    """Write the folder, or renew what is in one; the identity that the broker has in it.

    `server` is the name of that identity; it may be empty where there is only one. `place` is where the folder will
    lie. Renewed files are replaced one by one, each whole. What a gateway wrote into its list of what holds no more
    stays there.

    Raises PkiError when there is a folder and it is not to be renewed, none and it is, or no such identity or issuer.
    """
    identities = authority.identities()
    who = _server(identities, server)
    source = authority.folder
    issuers = [Path(each.folder) for each in identities if each.kind == "issuer" and each.state in ("valid", "renewed")]
    if not issuers:
        raise PkiError("there is no issuer that holds, so no node could connect: make one by `ganglion pki issuer`")
    try:
        if renew and not (folder / "mosquitto.conf").is_file():
            raise PkiError(f"{folder} is no broker's folder: make it without --renew")
        ca = (source / "ca.pem").read_bytes()
        clients = b"".join((each / "cert.pem").read_bytes() for each in issuers)
        listed = authority.listed((folder / "crl.pem").read_bytes() if renew else b"")
        check_lists(ca + clients, listed)
        files = {
            "ca.pem": ca,
            "clients.pem": clients,
            "crl.pem": listed,
            "cert.pem": Path(who.folder, "cert.pem").read_bytes(),
            "key.pem": Path(who.folder, "key.pem").read_bytes(),
            "nodes.acl": nodes_access().encode(),
            "gateways.acl": gateways_access(broker).encode(),
            "mosquitto.service.conf": service(broker, place).encode(),
            "mosquitto.conf": configuration(broker).encode(),
        }
        if not renew:
            put(folder, files, _SECRET)
            return who
        for name, content in files.items():
            path = folder / name
            if not path.is_file() or path.read_bytes() != content:
                replace(path, content, PRIVATE if name in _SECRET else PUBLIC)
    except (OSError, ValueError) as error:
        raise PkiError(f"the broker's folder {folder} cannot be made: {error}") from error
    return who


def checked(broker: Broker) -> Broker:
    """The same. Raises PkiError for what would be another line, or another right, in a text of the broker's."""
    fleets = [each.name for each in broker.fleets]
    names = [*broker.gateways, *fleets, *broker.readers, *filter(None, [broker.home_assistant])]
    for each in [*names, *(each.site for each in broker.fleets if each.site != "+")]:
        if not is_name(each):
            raise PkiError(f"{each!r} cannot be a name: {A_NAME}")
    if twice := [each for each in names if names.count(each) > 1]:
        raise PkiError(f"{twice[0]} is named twice: each name has rights of one kind")
    for each in broker.also_write:
        if not _TOPIC.fullmatch(each) or each.startswith(f"{ROOT.split('/')[0]}/"):
            raise PkiError(f"{each!r} cannot be a further topic: it begins with a word of its own, and has no blanks")
    for each in (broker.nodes_listen, broker.gateways_listen, broker.data, broker.crl):
        if not each.isprintable() or " " in each:
            raise PkiError(f"{each!r} cannot stand in the broker's configuration: no blanks")
    return broker


def check_lists(believed: bytes, listed: bytes) -> None:
    """Whether a broker may read `listed`, a PEM file of what holds no more; `believed` are its authorities, PEM too, of
    both listeners.

    Mosquitto 2.0 lets everybody in that its authorities signed when the file is damaged or missing, and nobody of an
    authority whose list is not in it. So who reloads it looks first. Raises PkiError.
    """
    try:
        found = lists.read(listed)
        for authority in x509.load_pem_x509_certificates(believed):
            if lists.of(authority, found) is None:
                raise PkiError(f"there is no list of {common_name(authority)}: all whom it signed would be shut out")
    except ValueError as error:
        raise PkiError(f"the list of what holds no more is damaged, and no broker must read it: {error}") from error


def check_folder(folder: Path, crl: Path | None = None) -> Path:
    """`check_lists` for a broker's folder and the list that its configuration names, or for the file `crl`; which of
    them it was. Raises PkiError."""
    try:
        believed = (folder / "ca.pem").read_bytes() + (folder / "clients.pem").read_bytes()
        if crl is None:
            named = _CRLFILE.findall((folder / "mosquitto.conf").read_text("utf-8"))
            if len(set(named)) != 1:
                raise PkiError(f"{folder}/mosquitto.conf does not say which list is read: say by --crl which one")
            crl = folder / named[0]
        check_lists(believed, crl.read_bytes())
    except OSError as error:
        raise PkiError(f"{error.filename} cannot be read: {error.strerror}") from error
    return crl


def _server(identities: Iterable[Identity], name: str) -> Identity:
    servers = [each for each in identities if each.kind == "server" and each.state == "valid"]
    chosen = [each for each in servers if name in ("", each.name)]
    if len(chosen) == 1:
        return chosen[0]
    if chosen:
        names = ", ".join(each.name for each in chosen)
        raise PkiError(f"there are several servers: say by --server for which: {names}")
    raise PkiError(
        f"there is no server {name} that holds: see `ganglion pki list`"
        if servers
        else "there is no identity for the broker yet: make one with `ganglion pki server`"
    )
