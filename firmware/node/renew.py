# A new key and certificate while the old ones hold: asked for over MQTT, checked, and put on trial.
#
# A broker that was taken over could give a certificate of its own making, believe it, and so have the node throw away
# the pair that the city believes. So it must be signed by the issuer that the node knows; a new issuer by the one
# before it.

import asyncio
import json
from binascii import a2b_base64, b2a_base64

from node import der, p256, pairs, request
from node.net import wire_ms

_ANSWER_MS = 600_000  # of the wire: a gateway that was just started has more to do


async def run(identity, uplink, log):
    """Returns when a new pair is on trial. Raises ValueError in words, or OSError."""
    issuer, handed = pairs.issuer(identity.settings), b""
    old_key, old = pairs.held(identity.settings)
    key = await p256.new_key()
    csr, key, point = await request.made(identity.name, key)
    # With the present key: who asks is who has it, whatever the broker says.
    proof = der.signature(*await p256.sign(der.scalar(old_key), csr))
    asked = {"csr": _text(csr), "cert": _text(old), "proof": _text(proof)}
    identity.answered.clear()
    await uplink.say("identity/want", json.dumps(asked))
    asked = old_key = old = csr = proof = None
    log("identity", "a new certificate is asked for")
    try:
        await asyncio.wait_for_ms(identity.answered.wait(), wire_ms(_ANSWER_MS))
    except asyncio.TimeoutError:
        raise ValueError("the gateway does not answer") from None
    certificate, successor = _said(identity.answer)
    request.check(certificate, identity.name, point)
    # An authority it must be: else each node of the city could name itself the next issuer.
    if successor and der.is_authority(successor) and await request.is_by(issuer, successor):
        issuer = handed = successor
    if not await request.is_by(issuer, certificate):
        raise ValueError("it is not by the issuer that this node knows")
    pairs.begin_trial(key, certificate, handed)
    log("identity", "a new certificate came")


def _said(answer):
    """(the certificate, that of a new issuer or nothing)."""
    try:
        said = json.loads(answer)
        if "error" in said:
            raise ValueError("the gateway says: " + said["error"])
        return a2b_base64(said["cert"]), a2b_base64(said.get("issuer", ""))
    except (KeyError, TypeError, AttributeError, RuntimeError, MemoryError):  # the last two when it is nested deep
        raise ValueError("the gateway's answer is none") from None


def _text(data):
    return b2a_base64(data).decode().strip()
