"""`ganglion incidents verify`: whether the city told what one has heard."""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from gateway.errors import ConfigError


def verify(
    message: Annotated[Path, typer.Argument(help="The bytes that were heard; - for standard input.", metavar="FILE")],
    ca: Annotated[Path, typer.Option(help="The city's ca.pem.", metavar="FILE")],
    jws: Annotated[
        str, typer.Option(help="The user property jws, or the header Ganglion-JWS. Without it: a CAP document.")
    ] = "",
    crl: Annotated[Path | None, typer.Option(help="The city's crl.pem.", metavar="FILE")] = None,
) -> None:
    """Check who signed an incident, the body of a webhook, a head of the audit log, or a CAP document.

    Needs no gateway. Ends with 1 when it was not signed by the city, or was changed since.

    Examples: ganglion incidents verify body.json --jws eyJhbG..xyz --ca ca.pem

    ganglion incidents verify alert.xml --ca ca.pem
    """
    from cryptography import x509

    from gateway.pki import lists
    from gateway.signing.check import check_jws, check_xml  # the other commands start faster without it

    data = sys.stdin.buffer.read() if str(message) == "-" else _read(message)
    try:
        authority = x509.load_pem_x509_certificate(_read(ca))
        listed = lists.of(authority, lists.read(_read(crl))) if crl else None
    except ValueError as error:
        raise ConfigError(f"{ca} is no certificate, or {crl} no list of revoked ones: {error}") from error
    if crl and listed is None:
        raise ConfigError(f"{crl} has no list by the authority of {ca}")
    revoked = [each.serial_number for each in listed or ()]
    now = time.time()
    signer = check_jws(data, jws, authority, now, revoked) if jws else check_xml(data, authority, now, revoked)
    typer.echo(f"signed by {signer}")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
