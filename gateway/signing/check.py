"""Whether the city told what one has heard: for receivers, who need nothing but its `ca.pem`."""

import base64
import binascii
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from jwt.api_jws import PyJWS
from jwt.exceptions import PyJWTError
from jwt.utils import base64url_encode

from gateway.errors import GanglionError
from gateway.pki.certificates import DOCUMENT_SIGNING, common_name
from gateway.signing.signer import ALGORITHM

_PARTS: Final = 3
_SPACE: Final = "http://www.w3.org/2000/09/xmldsig#"
_UNSIGNED: Final = (
    f"//comment() | //processing-instruction() | //*[local-name() = 'Signature' and namespace-uri() = '{_SPACE}']"
    f"//*[namespace-uri() != '{_SPACE}' or local-name() = 'Object']"
)
"""What a signature says nothing of, and a reader may stumble over: a comment cuts a text in two, and within the
signature there is room for more."""


class NotSigned(GanglionError):
    """What was heard does not prove that it comes from the city."""


def check_jws(payload: bytes, jws: str, authority: x509.Certificate, now: float, revoked: Sequence[int] = ()) -> str:
    """The common name of who signed exactly these bytes; `now` in Unix seconds, `revoked` serial numbers.

    Raises NotSigned for bytes or a signature that were changed, another algorithm, and a certificate that is not of
    the authority, not for signing, expired or revoked.
    """
    parts = jws.strip().split(".")
    if len(parts) != _PARTS or parts[1]:
        raise NotSigned("the signature is not header..signature, as of a detached JWS (RFC 7515, appendix F)")
    whole = f"{parts[0]}.{base64url_encode(payload).decode('ascii')}.{parts[2]}"
    try:
        header = PyJWS().get_unverified_header(whole)
        certificate = _certificate(header)
        _trusted(certificate, authority, now, revoked)
        PyJWS().decode(whole, certificate.public_key(), algorithms=[ALGORITHM])  # type: ignore[arg-type]
    except (PyJWTError, UnicodeError) as error:
        raise NotSigned(f"the signature does not belong to these bytes: {error}") from error
    return common_name(certificate)


def check_xml(document: bytes, authority: x509.Certificate, now: float, revoked: Sequence[int] = ()) -> str:
    """The same for a CAP document, all of which must be signed. Raises NotSigned likewise, and for anything beside
    elements: what is not in the document when it is signed (Canonical XML 1.1) must not be in it when it is read."""
    from lxml import etree
    from signxml.exceptions import SignXMLException
    from signxml.verifier import XMLVerifier

    space = f"{{{_SPACE}}}"
    try:
        root = etree.fromstring(document, etree.XMLParser(resolve_entities=False, no_network=True))
        if root.getroottree().docinfo.internalDTD is not None or root.xpath(_UNSIGNED):
            raise NotSigned("the document has parts that are not signed: comments, declarations or further elements")
        found = root.findall(f"{space}Signature/{space}KeyInfo/{space}X509Data/{space}X509Certificate")
        if len(found) != 1:
            raise NotSigned("the document has no signature, or more than one certificate")
        certificate = x509.load_der_x509_certificate(base64.b64decode(found[0].text or ""))
        _trusted(certificate, authority, now, revoked)
        result: Any = XMLVerifier().verify(root, x509_cert=certificate)
    except (SignXMLException, etree.XMLSyntaxError, ValueError, InvalidSignature) as error:
        raise NotSigned(f"the signature does not belong to this document: {error}") from error
    if result.signed_xml is None or result.signed_xml.tag != root.tag:
        raise NotSigned("not the whole document is signed")
    return common_name(certificate)


def _certificate(header: dict[str, Any]) -> x509.Certificate:
    if header.get("alg") != ALGORITHM or header.get("crit"):
        raise NotSigned(f"the signature is by {header.get('alg')!r}: {ALGORITHM} alone is taken, and no `crit`")
    chain = header.get("x5c")
    try:
        return x509.load_der_x509_certificate(base64.b64decode(chain[0], validate=True))  # type: ignore[index]
    except (TypeError, IndexError, KeyError, ValueError, binascii.Error) as error:
        raise NotSigned("the signature's header has no certificate (x5c)") from error


def _trusted(certificate: x509.Certificate, authority: x509.Certificate, now: float, revoked: Sequence[int]) -> None:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise NotSigned("the certificate is not of this authority") from error
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        usages = x509.ExtendedKeyUsage([])
    name = common_name(certificate)
    if DOCUMENT_SIGNING not in usages:
        raise NotSigned(f"the certificate of {name} is not for signing: `ganglion pki signer` makes those")
    moment = datetime.fromtimestamp(now, UTC)
    if not certificate.not_valid_before_utc <= moment <= certificate.not_valid_after_utc:
        raise NotSigned(f"the certificate of {name} has ended on {certificate.not_valid_after_utc:%Y-%m-%d}")
    if certificate.serial_number in revoked:
        raise NotSigned(f"the certificate of {name} is revoked")
