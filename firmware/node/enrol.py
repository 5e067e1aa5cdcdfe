# The first identity of a node, in the field: by a one-time token, over HTTPS (RFC 7030, simpleenroll).
#
# The key is on flash before anybody is asked, and the request with it is the same each time. So a gateway may answer it
# again when its answer was lost, though the token is used.

import asyncio
from binascii import b2a_base64

from node import der, p256, pairs, request, tls
from node.mqtt import Rejected
from node.net import wire_ms

_ALL_MS = 30_000  # of the wire: for everything that the other side does
_MOST = 4096  # bytes of an answer
_PATH = "/.well-known/est/simpleenroll"
_SAID = 60  # letters of the other side's words, for the log


async def run(settings, name, log):
    """Returns when key and certificate are on flash.

    Raises Rejected when the token is refused, ValueError in words for an answer of no use, OSError, TimeoutError.
    """
    kept = pairs.asked_with()
    key = der.scalar(kept) if kept else await p256.new_key()
    csr, key, point = await request.made(name, key)
    if not kept:
        pairs.ask_with(key)
    log("identity", "a certificate is asked for at " + settings["enrol"]["url"])
    answer = await asyncio.wait_for_ms(_post(settings, name, csr), wire_ms(_ALL_MS))
    certificate, issuer = der.first(answer)
    request.check(certificate, name, point)
    # Who answers is believed by `ca`, and so is whom it calls the issuer.
    if not issuer or not der.is_authority(issuer):
        raise ValueError("enrolment: the issuer's certificate does not follow the node's")
    der.certificate(issuer)
    pairs.put(settings, key, certificate, issuer)
    pairs.asked()
    log("identity", "a certificate came")


async def _post(settings, name, csr):
    where = settings["enrol"]["url"][8:].rstrip("/")
    host, _, port = where.partition(":")
    body = b2a_base64(csr)
    login = b2a_base64("%s:%s" % (name, settings["enrol"]["token"])).decode().strip()
    # HTTP/1.0: the answer comes in one piece.
    head = (
        "POST %s HTTP/1.0\r\nHost: %s\r\nAuthorization: Basic %s\r\nAccept: application/pkix-cert\r\n"
        "Content-Type: application/pkcs10\r\nContent-Transfer-Encoding: base64\r\nContent-Length: %d\r\n\r\n"
    ) % (_PATH, where, login, len(body))
    reader, writer = await tls.open_connection(host, int(port or 443), tls.stranger(settings), host)
    try:
        writer.write(head.encode() + body)
        await writer.drain()
        return await _answer(reader)
    finally:
        writer.close()
        await writer.wait_closed()


async def _answer(reader):
    """What a server has sent: the certificate, and the issuer's."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = await reader.read(512)
        if not more or len(data) > _MOST:
            raise ValueError("enrolment: no answer in HTTP")
        data += more
    head, data = data.split(b"\r\n\r\n", 1)
    lines = str(head, "utf-8").split("\r\n")
    fields = {}
    for line in lines[1:]:
        field, _, value = line.partition(":")
        fields[field.strip().lower()] = value.strip()
    length = fields.get("content-length", "")
    if not length.isdigit() or int(length) > _MOST:
        raise ValueError("enrolment: an answer of no or too great a length")
    if len(data) < int(length):
        data += await reader.readexactly(int(length) - len(data))
    status = lines[0].split(" ")[1]
    if status != "200":
        said = " ".join(str(data, "utf-8").split())[:_SAID]
        if status[:1] == "4":
            raise Rejected(13, "enrolment refused: %s %s" % (status, said))
        raise OSError(5, "enrolment: %s %s" % (status, said))
    if fields.get("content-type", "").split(";")[0] != "application/pkix-cert":
        raise ValueError("enrolment: an answer that is no certificate")
    return data
