"""Who may update a board: RSA with 3072 bits, PKCS#1 v1.5, SHA-256.

A board holds the public modulus of one key, its anchor. The anchor signs updates, or says which other key may
(`delegation.py`). Private keys belong on no machine that is on the network.
Not a curve: MicroPython has no signature check, but it can raise a number to a power, which is all that RSA needs.
"""

import base64
import binascii
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
    RSAPublicKey,
    RSAPublicNumbers,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from gateway.files import PRIVATE, PUBLIC, create
from gateway.update.delegation import Delegation, delegated_text
from gateway.update.errors import UpdateError
from gateway.update.package import Manifest, Package

BITS: Final = 3072
EXPONENT: Final = 65_537


def generate() -> RSAPrivateKey:
    return generate_private_key(EXPONENT, BITS)


def save_private(key: RSAPrivateKey, path: Path, passphrase: str = "") -> None:
    """PEM that only its owner may read. Never replaces a file. Raises UpdateError."""
    how: KeySerializationEncryption = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)
    _create(path, pem, PRIVATE)


def save_public(key: RSAPublicKey, path: Path) -> None:
    """The file `update.key` of a board. Never replaces a file. Raises UpdateError."""
    _create(path, public_text(key).encode() + b"\n", PUBLIC)


def public_text(key: RSAPublicKey) -> str:
    """The modulus, as a board holds it: 768 hexadecimal digits."""
    return f"{key.public_numbers().n:0{BITS // 4}x}"


def load_private(path: Path, passphrase: str = "") -> RSAPrivateKey:
    """Raises UpdateError when the file holds no such key, or the passphrase does not open it."""
    try:
        key = load_pem_private_key(path.read_bytes(), passphrase.encode() or None)
    except OSError as error:
        raise UpdateError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise UpdateError(
            f"{path} is no private key that can be opened: {error}; --passphrase-file says where its passphrase is"
        ) from error
    if not isinstance(key, RSAPrivateKey) or key.key_size != BITS or key.public_key().public_numbers().e != EXPONENT:
        raise UpdateError(f"{path} is no RSA key of {BITS} bits: make one with `ganglion update keygen`")
    return key


def load_public(path: Path) -> RSAPublicKey:
    """Of a board's `update.key`. Raises UpdateError."""
    try:
        key = RSAPublicNumbers(EXPONENT, int(path.read_text(encoding="ascii"), 16)).public_key()
    except OSError as error:
        raise UpdateError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, OverflowError) as error:
        raise UpdateError(f"{path} is no public key of `ganglion update keygen`") from error
    if key.key_size != BITS:
        raise UpdateError(f"{path} has a key of {key.key_size} bits, boards take {BITS}: it is none of ganglion's")
    return key


def delegate(anchor: RSAPrivateKey, serial: int, key: RSAPublicKey) -> Delegation:
    """The anchor's word that `key` may sign updates, and none of a lower serial number any more. Raises UpdateError."""
    modulus = _modulus(key)
    signature = _base64(anchor.sign(delegated_text(serial, modulus), PKCS1v15(), hashes.SHA256()))
    try:
        return msgspec.convert({"serial": serial, "key": modulus, "signature": signature}, Delegation)
    except msgspec.ValidationError as error:
        raise UpdateError(f"no delegation can be made: {error}") from error


def sign(package: Package, key: RSAPrivateKey, by: Delegation | None = None) -> Package:
    """The same package, signed by the anchor, or by the key that `by` speaks of. Raises UpdateError for another one."""
    if by is not None and by.key != _modulus(key.public_key()):
        raise UpdateError(f"delegation {by.serial} is for another key: give the one that belongs to this private key")
    manifest = msgspec.structs.replace(package.manifest, by=by)
    signature = _base64(key.sign(manifest.signed_text(), PKCS1v15(), hashes.SHA256()))
    return Package(msgspec.structs.replace(manifest, signature=signature), package.archive)


def refusal(manifest: Manifest, anchor: RSAPublicKey) -> str:
    """Why a board with this anchor would not believe it; empty when it would."""
    if not manifest.signature:
        return "it is not signed: `ganglion update sign` does it"
    by, key = manifest.by, anchor
    if by is not None:
        if not _holds(anchor, by.signature, delegated_text(by.serial, by.key)):
            return f"its delegation {by.serial} was not made by the anchor: make one with `ganglion update delegate`"
        key = _public(by.key)
    if not _holds(key, manifest.signature, manifest.signed_text()):
        whose = "the anchor" if by is None else f"the key of delegation {by.serial}"
        return f"it was not signed by {whose}, or was changed since: sign it again"
    return ""


def newest_serial(manifests: Iterable[Manifest], anchor: RSAPublicKey) -> int:
    """The highest delegation among those that boards with this anchor would believe; 0 without any."""
    return max((each.by.serial for each in manifests if each.by and is_signed(each, anchor)), default=0)


def is_signed(manifest: Manifest, anchor: RSAPublicKey) -> bool:
    """Whether a board with this anchor would believe it."""
    return not refusal(manifest, anchor)


def _holds(key: RSAPublicKey, signature: str, text: bytes) -> bool:
    try:
        key.verify(base64.b64decode(signature, validate=True), text, PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, binascii.Error):
        return False
    return True


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _modulus(key: RSAPublicKey) -> str:
    return _base64(key.public_numbers().n.to_bytes(BITS // 8, "big"))


def _public(key: str) -> RSAPublicKey:
    """Of a delegation."""
    return RSAPublicNumbers(EXPONENT, int.from_bytes(base64.b64decode(key), "big")).public_key()


def _create(path: Path, content: bytes, mode: int) -> None:
    try:
        create(path, content, mode)
    except FileExistsError as error:
        raise UpdateError(f"{path} exists: boards may depend on that key; name another file") from error
    except OSError as error:
        raise UpdateError(f"{path} cannot be written: {error.strerror}") from error
