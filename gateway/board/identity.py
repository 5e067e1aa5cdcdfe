"""Files that say who a node is and whom it believes, in the form that every MicroPython reads: DER."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_pem_private_key,
)

from gateway.board.errors import SettingsError
from gateway.pki.authority import Authority
from gateway.update.keys import load_public, public_text

FOLDER: Final = "identity"
UPDATE_KEY: Final = "update.key"
PATHS: Final = {name: f"{FOLDER}/{name}.der" for name in ("ca", "issuer", "cert", "key")}
"""Where they lie on a board."""
RENEWED: Final = ("pair.trial", "pair.ok", "pair.key")
"""What a node keeps while its identity changes (firmware/node/pairs.py); of no use beside one that comes by cable."""


def load(
    ca: Path | None, cert: Path | None, key: Path | None, issuer: Path | None = None
) -> dict[str, tuple[str, bytes]]:
    """{"ca" | "issuer" | "cert" | "key": (path on the board, content)}, or {} when none is given.

    Each may be PEM or DER; without the issuer the board renews nothing by itself. Raises SettingsError when one is
    missing, or is not what it should be.
    """
    given = {"ca": ca, "cert": cert, "key": key} | ({"issuer": issuer} if issuer else {})
    if not any(given.values()):
        return {}
    found = {}
    for name, path in given.items():
        if path is None:
            raise SettingsError(f"--{name} is missing: --ca, --cert and --key belong together")
        found[name] = (PATHS[name], _der(name, path))
    return found


def of_authority(folder: Path, site: str, node: str) -> dict[str, bytes]:
    """{path on the board: content} of the node's identity in an authority's folder; it is made if there is none.

    Raises PkiError, or SettingsError when the one that is there does not hold any more.
    """
    authority, name = Authority(folder), f"{site}/{node}"
    found = [each for each in authority.identities() if each.kind == "node" and each.name == name]
    held = [each for each in found if Path(each.folder) == folder / "node" / site / node]
    if held and held[0].state != "valid":
        raise SettingsError(
            f"--pki: the certificate of {name} in {folder} is {held[0].state}: "
            f"give it another with `ganglion pki node --site {site} --node {node} --renew`"
        )
    source = Path((held[0] if held else authority.node(site, node)).folder)
    try:
        return {path: (source / f"{name}.der").read_bytes() for name, path in PATHS.items()}
    except OSError as error:
        raise SettingsError(
            f"--pki: {error.filename} cannot be read: {error.strerror}; "
            f"give the node another identity with `ganglion pki node --site {site} --node {node} --renew`"
        ) from error


def authority_of(path: Path | None) -> bytes:
    """The certificate that a board believes, in DER. Raises SettingsError."""
    if path is None:
        raise SettingsError("--ca is missing: a board that enrols by itself must know whom to believe")
    return _der("ca", path)


def load_update_key(path: Path) -> bytes:
    """The public key that updates must be signed with. Raises UpdateError."""
    return public_text(load_public(path)).encode() + b"\n"


def _der(name: str, path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"--{name}: {path} cannot be read: {error.strerror}") from error
    try:
        return _CONVERT[name](data)
    except (ValueError, TypeError) as error:
        wanted = "private key without a passphrase" if name == "key" else "certificate"
        raise SettingsError(f"--{name}: {path} is no {wanted} in PEM or DER") from error


def _certificate(data: bytes) -> bytes:
    load = x509.load_pem_x509_certificate if data.startswith(b"-----") else x509.load_der_x509_certificate
    return load(data).public_bytes(Encoding.DER)


def _key(data: bytes) -> bytes:
    load = load_pem_private_key if data.startswith(b"-----") else load_der_private_key
    return load(data, None).private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())


_CONVERT: Final[dict[str, Callable[[bytes], bytes]]] = {
    "ca": _certificate,
    "issuer": _certificate,
    "cert": _certificate,
    "key": _key,
}
