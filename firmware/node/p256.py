# Keys of the curve P-256 and signatures with them (ECDSA, SHA-256), which MicroPython has not. In memory only while a
# new identity is made: see node/later.py.
#
# Big integers, points in Jacobian coordinates: no division but one at the end (formulas: hyperelliptic.org/EFD, g1p,
# jacobian-3, dbl-2001-b and madd-2004-hmv). A multiple of the base point is some 3500 products of 256 bits: 7 ms on a
# PC, and on an ESP32 about a second (estimated, not measured), in which the loop goes on 64 times. The time depends on
# the number; of a number that is used once, and measured from afar, that tells too little to find the key.

import asyncio
import hashlib
import os

from micropython import const

P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_X = 0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296
_Y = 0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5
_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
_STEPS = const(4)  # bits of the number from one breath of the loop to the next
_BYTES = const(32)


async def new_key():
    """A private key: a number from 1 to N - 1, each as likely (FIPS 186-5, A.2.2).

    The chip's random numbers are true ones only while its radio is on.
    """
    while True:
        key = int.from_bytes(os.urandom(_BYTES), "big")
        if 0 < key < N:
            return key
        await asyncio.sleep_ms(0)


async def public(key):
    """The public point of a private key: 65 bytes, uncompressed (SEC 1, 2.3.3)."""
    x, y = await _multiple(key)
    return b"\x04" + x.to_bytes(_BYTES, "big") + y.to_bytes(_BYTES, "big")


async def sign(key, message):
    """(r, s) of a message in bytes, with the nonce of RFC 6979: the same each time."""
    digest = hashlib.sha256(message).digest()
    e = int.from_bytes(digest, "big") % N
    for k in _nonces(key, e):
        r = (await _multiple(k))[0] % N
        s = pow(k, N - 2, N) * (e + r * key) % N
        if r and s:
            return r, s


async def verify(point, message, r, s):
    """Whether (r, s) signs a message in bytes, with the key of a public point of 65 bytes (SEC 1, 4.1.4).

    Takes as long as one and a half signatures (measured on a PC).
    """
    x, y = int.from_bytes(point[1:33], "big"), int.from_bytes(point[33:], "big")
    if len(point) != 65 or point[0] != 4 or x >= P or y >= P or (y * y - x * x * x + 3 * x - _B) % P:
        return False  # a point of another curve would prove nothing
    e = int.from_bytes(hashlib.sha256(message).digest(), "big") % N
    if not (0 < r < N and 0 < s < N and e):  # nobody finds a message with e = 0
        return False
    w = pow(s, N - 2, N)
    x1, y1 = await _multiple(e * w % N)
    x2, y2 = await _multiple(r * w % N, x, y)
    if x1 != x2:
        slope = (y2 - y1) * pow((x2 - x1) % P, P - 2, P)
    elif y1 == y2:
        slope = 3 * (x1 * x1 - 1) * pow(2 * y1, P - 2, P)
    else:
        return False  # the two are opposite: their sum is no point
    return (slope * slope - x1 - x2) % P % N == r


def _nonces(key, e):
    """RFC 6979, 3.2; `e` is the hash as a number below N."""
    seed = key.to_bytes(_BYTES, "big") + e.to_bytes(_BYTES, "big")
    v, k = b"\x01" * _BYTES, bytes(_BYTES)
    for byte in (b"\x00", b"\x01"):
        k = _hmac(k, v + byte + seed)
        v = _hmac(k, v)
    while True:
        v = _hmac(k, v)
        found = int.from_bytes(v, "big")
        if 0 < found < N:
            yield found
        k = _hmac(k, v + b"\x00")
        v = _hmac(k, v)


def _hmac(key, message):
    """HMAC-SHA-256 (RFC 2104) with a key of 32 bytes."""
    inner = bytes([byte ^ 0x36 for byte in key]) + b"\x36" * _BYTES
    outer = bytes([byte ^ 0x5C for byte in key]) + b"\x5c" * _BYTES
    return hashlib.sha256(outer + hashlib.sha256(inner + message).digest()).digest()


async def _multiple(k, base_x=_X, base_y=_Y):
    """k times a point, 0 < k < N: (x, y)."""
    x, y, z = base_x, base_y, 1
    top = 255
    while not k >> top:
        top -= 1
    for bit in range(top - 1, -1, -1):
        if bit % _STEPS == 0:
            await asyncio.sleep_ms(0)
        # Twice the point.
        d, g = z * z % P, y * y % P
        b = x * g % P
        a = 3 * (x - d) * (x + d) % P
        z = ((y + z) * (y + z) - g - d) % P
        x = (a * a - 8 * b) % P
        y = (a * (4 * b - x) - 8 * g * g) % P
        if k >> bit & 1:
            # And the point itself. What there is so far is neither that nor opposite to it, where the formula fails:
            # it is the multiple of an even number from 2 to N - 3.
            t = z * z % P
            h = (base_x * t - x) % P
            r = (base_y * t * z - y) % P
            q = h * h % P
            u = x * q % P
            c = q * h % P
            x = (r * r - c - 2 * u) % P
            y = (r * (u - x) - y * c) % P
            z = z * h % P
    t = pow(z, P - 2, P)
    q = t * t % P
    return x * q % P, y * q * t % P
