"""The folder that a broker runs from, made of an authority and the settings of that broker.

mosquitto.conf nodes.acl gateways.acl    what it may do
mosquitto.service.conf                   drop-in for systemd: that it is started here
ca.pem clients.pem                       whom it believes: at the gateways' listener, and at the nodes'
crl.pem                                  what holds no more: a list of the authority and one of each issuer
cert.pem key.pem                         who it is
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.files import PRIVATE, PUBLIC, replace
from gateway.pki.authority import Authority, Identity, PkiError, put
from gateway.pki.broker import ROOT, Broker, configuration, gateways_access, nodes_access, service
from gateway.pki.certificates import common_name
from gateway.pki.names import is_name

PLACE: Final = "/etc/mosquitto/ganglion"
_SECRET: Final = ("key.pem", "nodes.acl", "gateways.acl")
"""The key for its owner alone; later Mosquittos want the lists so too."""
_TOPIC: Final = re.compile(r"[^\s#+$/][^\s#+/]*(/[^\s#+/]+|/\+)*(/#)?")
_MARK: Final = b"-----END X509 CRL-----\n"


def make(
    authority: Authority, broker: Broker, folder: Path, *, server: str = "", place: str = PLACE, renew: bool = False
) -> Identity:
    """Write the folder, or renew what is in one; the identity that the broker has in it.

    `server` is the name of that identity; it may be empty where there is only one. `place` is where the folder will
    lie. Renewed files are replaced one by one, each whole. A list of what holds no more that is newer than the
    authority's own, because a gateway wrote it, is kept.

    Raises PkiError when there is a folder and it is not to be renewed, none and it is, or no such identity.
    """
    identities = authority.identities()
    who = _server(identities, server)
    source = authority.folder
    issuers = [Path(each.folder) for each in identities if each.kind == "issuer" and each.state in ("valid", "renewed")]
    try:
        ca = (source / "ca.pem").read_bytes()
        lists = [(each / "crl.pem").read_bytes() for each in (source, *issuers)]
        files = {
            "ca.pem": ca,
            "clients.pem": b"".join([ca, *((each / "cert.pem").read_bytes() for each in issuers)]),
            "cert.pem": Path(who.folder, "cert.pem").read_bytes(),
            "key.pem": Path(who.folder, "key.pem").read_bytes(),
            "nodes.acl": nodes_access().encode(),
            "gateways.acl": gateways_access(broker).encode(),
            "mosquitto.service.conf": service(broker, place).encode(),
            "mosquitto.conf": configuration(broker).encode(),
        }
        if not renew:
            files["crl.pem"] = newest(lists)
            put(folder, files, _SECRET)
            return who
        if not (folder / "mosquitto.conf").is_file():
            raise PkiError(f"{folder} is no broker's folder: make it without --renew")
        files["crl.pem"] = newest([*lists, (folder / "crl.pem").read_bytes()])
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
            raise PkiError(f"{each!r} cannot be a name: 1 to 32 of a-z, 0-9 and -, not beginning with -")
    if twice := [each for each in names if names.count(each) > 1]:
        raise PkiError(f"{twice[0]} is named twice: each name has rights of one kind")
    for each in broker.also_write:
        if not _TOPIC.fullmatch(each) or each.startswith(f"{ROOT.split('/')[0]}/"):
            raise PkiError(f"{each!r} cannot be a further topic: it begins with a word of its own, and has no blanks")
    for each in (broker.nodes_listen, broker.gateways_listen, broker.data, broker.crl):
        if not each.isprintable() or " " in each:
            raise PkiError(f"{each!r} cannot stand in the broker's configuration: no blanks")
    return broker


def check_lists(believed: bytes, lists: bytes) -> None:
    """Whether a broker may read `lists`, a PEM file of what holds no more; `believed` are its authorities, PEM too.

    Mosquitto 2.0 lets everybody in that its authorities signed when the file is damaged or missing, and nobody of an
    authority whose list is not in it. So who reloads it looks first. Raises PkiError.
    """
    try:
        authorities = x509.load_pem_x509_certificates(believed)
        found = list(_parts([lists]))
        for authority in authorities:
            key = authority.public_key()
            assert isinstance(key, ec.EllipticCurvePublicKey)
            if not any(each.issuer == authority.subject and each.is_signature_valid(key) for each in found):
                raise PkiError(f"there is no list of {common_name(authority)}: all whom it signed would be shut out")
    except ValueError as error:
        raise PkiError(f"the list of what holds no more is damaged, and no broker must read it: {error}") from error


def check_folder(folder: Path, crl: Path | None = None) -> None:
    """`check_lists` for a broker's folder, or for the file `crl` that it reads instead of its own. Raises PkiError."""
    try:
        check_lists((folder / "clients.pem").read_bytes(), (crl or folder / "crl.pem").read_bytes())
    except OSError as error:
        raise PkiError(f"{error.filename} cannot be read: {error.strerror}") from error


def newest(lists: Iterable[bytes]) -> bytes:
    """Of each issuer in these PEM files of revocation lists the one with the highest number, as one file.

    Raises ValueError for what is no list, or has no number or issuer's key in it.
    """
    found: dict[bytes | None, x509.CertificateRevocationList] = {}
    for each in _parts(lists):
        key = each.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
        if key not in found or _number(each) > _number(found[key]):
            found[key] = each
    return b"".join(each.public_bytes(Encoding.PEM) for each in found.values())


def _parts(files: Iterable[bytes]) -> Iterator[x509.CertificateRevocationList]:
    for text in files:
        for part in text.split(_MARK):
            if part.strip():
                yield x509.load_pem_x509_crl(part + _MARK)


def _number(each: x509.CertificateRevocationList) -> int:
    return each.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def _server(identities: Iterable[Identity], name: str) -> Identity:
    servers = [each for each in identities if each.kind == "server" and each.state == "valid"]
    chosen = [each for each in servers if name in ("", each.name)]
    if len(chosen) == 1:
        return chosen[0]
    if chosen:
        raise PkiError(f"there are {len(chosen)} servers: say by --server which it is for")
    raise PkiError(
        f"there is no server {name} that holds: see `ganglion pki list`"
        if servers
        else "there is no identity for the broker yet: make one with `ganglion pki server`"
    )
