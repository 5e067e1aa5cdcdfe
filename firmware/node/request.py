# A request for a certificate, and whether what comes is the certificate that was asked for.

from node import der, p256
from node.clock import BELIEVABLE, rtc_ms


async def made(name, key):
    """(the request in DER, the key in DER, its public point) of a private key. The same each time."""
    point = await p256.public(key)
    info = der.request_info(name, point)
    return der.request(info, der.signature(*await p256.sign(key, info))), der.private_key(key, point), point


def check(certificate, name, point):
    """Raises ValueError when it is not for this name and key, or does not hold now as far as the node knows the time.

    Not who signed it: see `is_by`.
    """
    found = der.certificate(certificate)
    if found["name"] != name:
        raise ValueError("it is for " + found["name"])
    if found["point"] != point:
        raise ValueError("it is for another key")
    now = rtc_ms() // 1000
    if now >= BELIEVABLE and not found["begins"] <= now < found["ends"]:
        raise ValueError("it holds from %d to %d, and it is %d" % (found["begins"], found["ends"], now))


async def is_by(issuer, certificate):
    """Whether a certificate is signed by the key of another. Raises ValueError for what is no certificate."""
    return await p256.verify(der.certificate(issuer)["point"], *der.signed(certificate))
