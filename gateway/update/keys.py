"""Who may update a board: RSA with 3072 bits, PKCS#1 v1.5, SHA-256.

The private key signs, and belongs on no machine that is on the network. A board holds the public modulus alone.
Not a curve: MicroPython has no signature check, but it can raise a number to a power, which is all that RSA needs.
"""

import base64
import binascii
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
            f"{path} is no private key that can be opened: {error}; --passphrase-env names where its passphrase is"
        ) from error
    if not isinstance(key, RSAPrivateKey) or key.key_size != BITS or key.public_key().public_numbers().e != EXPONENT:
        raise UpdateError(f"{path} is no RSA key of {BITS} bits: make one with `ganglion update keygen`")
    return key


def load_public(path: Path) -> RSAPublicKey:
    """Of a board's `update.key`. Raises UpdateError."""
    try:
        modulus = int(path.read_text(encoding="ascii"), 16)
        return RSAPublicNumbers(EXPONENT, modulus).public_key()
    except OSError as error:
        raise UpdateError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UpdateError(f"{path} is no public key of `ganglion update keygen`") from error


def sign(package: Package, key: RSAPrivateKey) -> Package:
    """The same package, signed."""
    signature = base64.b64encode(key.sign(package.manifest.signed_text(), PKCS1v15(), hashes.SHA256())).decode()
    return Package(msgspec.structs.replace(package.manifest, signature=signature), package.archive)


def is_signed(manifest: Manifest, key: RSAPublicKey) -> bool:
    """Whether a board with this key would take it."""
    try:
        signature = base64.b64decode(manifest.signature, validate=True)
        key.verify(signature, manifest.signed_text(), PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, binascii.Error):
        return False
    return True


def _create(path: Path, content: bytes, mode: int) -> None:
    try:
        create(path, content, mode)
    except FileExistsError as error:
        raise UpdateError(f"{path} exists: boards may depend on that key; name another file") from error
    except OSError as error:
        raise UpdateError(f"{path} cannot be written: {error.strerror}") from error
