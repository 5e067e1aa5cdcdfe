"""How an authority's folder is read and written, file by file."""

import contextlib
import fcntl
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gateway.errors import GanglionError
from gateway.files import create_folder
from gateway.pki.lists import Signer


class PkiError(GanglionError):
    """An identity cannot be made, found or revoked; the message says what to do."""


def load(path: Path) -> x509.Certificate:
    """Raises PkiError."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise PkiError(f"{path} cannot be read: {error}; move its folder away or take it from a backup") from error


def load_signer(certificate: Path, key: Path) -> Signer:
    """A certificate with its key. Raises PkiError."""
    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
        own = load_pem_private_key(key.read_bytes(), None)
    except OSError as error:
        raise PkiError(f"{error.filename} cannot be read: {error.strerror}; take it from a backup") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise PkiError(f"{certificate} or {key.name} is damaged: {error}; take it from a backup") from error
    if not isinstance(own, ec.EllipticCurvePrivateKey) or own.public_key() != found.public_key():
        raise PkiError(f"{key} is not the key of {certificate.name}: take both from the same backup")
    return found, own


def put(folder: Path, files: Mapping[str, bytes], private: Collection[str] = ()) -> None:
    """Write a folder of files that is there whole or not at all; keys are `private` anyway. Raises PkiError."""

    def secret(name: str) -> bool:
        return name in private or name.endswith(".key") or Path(name).name.startswith("key.")

    try:
        create_folder(folder, files, secret)
    except OSError as error:
        if folder.exists():
            raise PkiError(f"{folder} exists and is not empty: nothing was changed") from error
        raise PkiError(f"{folder} cannot be written: {error.strerror}") from error


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One at a time: two revocations at once must not forget each other."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
