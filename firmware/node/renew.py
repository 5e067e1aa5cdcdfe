# A new key and certificate while the old ones hold: asked for over MQTT, checked, and put on trial.

import asyncio
import json
from binascii import a2b_base64, b2a_base64

from node import der, p256, pairs, request
from node.net import wire_ms

_ANSWER_MS = 600_000  # of the wire: a gateway that was just started has more to do


async def run(identity, uplink, log):
    """Returns when a new pair is on trial. Raises ValueError in words, or OSError."""
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
    certificate = _certificate(identity.answer)
    request.check(certificate, identity.name, point)
    pairs.begin_trial(key, certificate)
    log("identity", "a new certificate came")


def _certificate(answer):
    try:
        said = json.loads(answer)
        if "error" in said:
            raise ValueError("the gateway says: " + said["error"])
        return a2b_base64(said["cert"])
    except (KeyError, TypeError, RuntimeError, MemoryError):  # the last two when it is nested deep
        raise ValueError("the gateway's answer is none") from None


def _text(data):
    return b2a_base64(data).decode().strip()
