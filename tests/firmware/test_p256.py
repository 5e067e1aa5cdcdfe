"""Keys and signatures of P-256 on the real MicroPython, against OpenSSL's."""

import hashlib
import random
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from tests.micropython import run

N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
RFC_KEY = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
RFC_6979 = {
    b"sample": (
        0xEFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716,
        0xF7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8,
    ),
    b"test": (
        0xF1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367,
        0x019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083,
    ),
}
"""Appendix A.2.5, with SHA-256."""

PROGRAM = """
import asyncio
from node import p256
async def main():
    for key, message in CASES:
        key = key or await p256.new_key()
        point = await p256.public(key)
        r, s = await p256.sign(key, message)
        print(key, point.hex(), r, s)
asyncio.run(main())
"""


def signed(cases: list[tuple[int, bytes]], folder: Path) -> list[tuple[int, str, int, int]]:
    """(key, point, r, s) of each; a key of 0 is drawn on the board."""
    lines = run(PROGRAM.replace("CASES", repr(cases)), folder)
    return [(int(key), point, int(r), int(s)) for key, point, r, s in map(str.split, lines)]


def test_the_vectors_of_rfc_6979(tmp_path: Path) -> None:
    found = signed([(RFC_KEY, message) for message in RFC_6979], tmp_path)
    assert [(r, s) for _, _, r, s in found] == list(RFC_6979.values())
    assert found[0][1][2:66] == "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"


def test_keys_and_signatures_are_openssls(tmp_path: Path) -> None:
    """Drawn ones, and those at both ends."""
    ends = [1, 2, 3, 4, 1 << 255, N - 1, N - 2, N // 2, N // 2 + 1]
    cases = [(key, b"") for key in ends] + [(0, bytes([n]) * n) for n in range(100)]
    found = signed(cases, tmp_path)
    assert len({key for key, *_ in found}) == len(cases), "no key is drawn twice"
    for (key, point, r, s), (_, message) in zip(found, cases, strict=True):
        public = ec.derive_private_key(key, ec.SECP256R1()).public_key()
        numbers = public.public_numbers()
        assert point == f"04{numbers.x:064x}{numbers.y:064x}"
        public.verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))


@pytest.mark.parametrize("wrong", [0, N, N + 1, (1 << 256) - 1])
def test_a_number_that_is_no_key_is_drawn_again(tmp_path: Path, wrong: int) -> None:
    (line,) = run(
        f"""
import asyncio, os
from node import p256
drawn = [({wrong}).to_bytes(32, "big"), (7).to_bytes(32, "big")]
class Dice:
    def urandom(self, n):
        return drawn.pop(0)
p256.os = Dice()
print(asyncio.run(p256.new_key()))
""",
        tmp_path,
    )
    assert line == "7"


def test_others_go_on_meanwhile(tmp_path: Path) -> None:
    """A watchdog is fed, a pulse is counted: the loop has a turn every few bits, and the heap of a board suffices."""
    lines = run(
        """
import asyncio
from node import p256
turns = 0
async def other():
    global turns
    while True:
        turns += 1
        await asyncio.sleep_ms(0)
async def main():
    asyncio.create_task(other())
    key = await p256.new_key()
    r, s = await p256.sign(key, b"")
    print(turns)
    point = await p256.public(key)
    before = turns
    print(await p256.verify(point, b"", r, s), turns - before)
asyncio.run(main())
""",
        tmp_path,
        heap="96K",
    )
    assert int(lines[0]) >= 60
    verified, turns = lines[1].split()
    assert (verified, int(turns) >= 120) == ("True", True)


def verified(cases: list[tuple[bytes, bytes, int, int]], folder: Path) -> list[bool]:
    """Of (point, message, r, s) each, as the board sees it."""
    program = f"""
import asyncio
from node import p256
async def main():
    for case in {cases!r}:
        print(await p256.verify(*case))
asyncio.run(main())
"""
    return [line == "True" for line in run(program, folder)]


def point_of(key: int) -> bytes:
    numbers = ec.derive_private_key(key, ec.SECP256R1()).public_key().public_numbers()
    return b"\x04" + numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")


def digest_of(message: bytes) -> int:
    return int.from_bytes(hashlib.sha256(message).digest(), "big")


def test_openssls_signatures_are_verified(tmp_path: Path) -> None:
    """Drawn ones and those at both ends; with one bit changed anywhere, or of another key or message, none is."""
    dice = random.Random(7)
    cases, wanted = [], []
    for n, key in enumerate([1, 2, 3, N - 1, N - 2, N // 2, *(dice.randrange(1, N) for _ in range(20))]):
        message = dice.randbytes(n * 9)
        private = ec.derive_private_key(key, ec.SECP256R1())
        r, s = decode_dss_signature(private.sign(message, ec.ECDSA(hashes.SHA256())))
        cases += [(point_of(key), message, r, s), (point_of(key), message, r, N - s)]  # both are signatures
        wanted += [True, True]
        bit = 1 << dice.randrange(256)
        cases += [
            (point_of(dice.randrange(5, N)), message, r, s),
            (point_of(key), message + b"x", r, s),
            (point_of(key), message, r ^ bit, s),
            (point_of(key), message, r, s ^ bit),
        ]
        wanted += [False] * 4
    assert verified(cases, tmp_path) == wanted


def test_what_is_no_signature_of_a_key(tmp_path: Path) -> None:
    """Numbers out of range, points that are none or of another curve, sums that are no point; but a sum of two that are
    the same, which has a formula of its own, is one."""
    key, message = RFC_KEY, b"sample"
    r, s = RFC_6979[message]
    good = point_of(key)
    x, y = good[1:33], good[33:]
    cases = [(good, message, a, b) for a in (0, r, N, r + N, -r) for b in (0, s, N, s + N, -s) if (a, b) != (r, s)]
    points = [
        b"",
        good[1:],
        good + b"\0",
        b"\x02" + good[1:],
        b"\x04" + y + x,
        b"\x04" + bytes(64),
        b"\x04" + b"\xff" * 64,
    ]
    points += [b"\x04" + x + (int.from_bytes(y, "big") ^ 1).to_bytes(32, "big")]
    cases += [(point, message, r, s) for point in points]
    # The key for which both multiples are the same point, or opposite ones: e = r * key, or its negative.
    e = digest_of(message) % N
    same = e * pow(r, -1, N) % N
    cases += [(point_of(N - same), message, r, s)]
    assert verified(cases, tmp_path) == [False] * len(cases)
    nonce = 12_345
    r = ec.derive_private_key(nonce, ec.SECP256R1()).public_key().public_numbers().x % N
    same = e * pow(r, -1, N) % N
    s = pow(nonce, -1, N) * 2 * e % N
    private = ec.derive_private_key(same, ec.SECP256R1())
    private.public_key().verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))
    assert verified([(good, b"sample", *RFC_6979[b"sample"]), (point_of(same), message, r, s)], tmp_path) == [
        True,
        True,
    ]
