"""The signature check on MicroPython against signatures of `cryptography`."""

import hashlib
import json
import random
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.update import keys
from gateway.update.delegation import Delegation, delegated_text
from gateway.update.package import Manifest
from tests.firmware.importer import load
from tests.firmware.packages import key, other_key, package
from tests.micropython import run

MESSAGE = b"ganglion update 1\nversion 1.2.3\n"
BYTES = 384
PREFIX = bytes.fromhex("3031300d060960864801650304020105000420")

_PROGRAM = """
import json
from node import signature
key = signature.load_key()
with open("cases") as f:
    for line in f:
        message, given = json.loads(line)
        print(signature.verify(key, bytes.fromhex(message), bytes.fromhex(given)))
"""


def verdicts(folder: Path, cases: list[tuple[bytes, bytes]]) -> list[bool]:
    """What the board says to (message, signature) pairs."""
    (folder / "update.key").write_text(keys.public_text(key().public_key()) + "\n")
    lines = [json.dumps([message.hex(), given.hex()]) for message, given in cases]
    (folder / "cases").write_text("\n".join(lines) + "\n")
    return [line == "True" for line in run(_PROGRAM, folder)]


def good(message: bytes = MESSAGE) -> bytes:
    return key().sign(message, PKCS1v15(), hashes.SHA256())


def opens_to(encoded: bytes) -> bytes:
    """The signature that the private key makes of an encoding of one's own choice."""
    numbers = key().private_numbers()
    return pow(int.from_bytes(encoded, "big"), numbers.d, numbers.public_numbers.n).to_bytes(BYTES, "big")


def encoding(digest: bytes, *, fill: bytes = b"\xff", prefix: bytes = PREFIX, head: bytes = b"\x00\x01") -> bytes:
    tail = b"\x00" + prefix + digest
    return head + fill * (BYTES - len(head) - len(tail)) + tail


def test_the_owners_signatures_are_taken(tmp_path: Path) -> None:
    messages = [b"", MESSAGE, bytes(range(256)) * 8]
    assert verdicts(tmp_path, [(message, good(message)) for message in messages]) == [True] * 3


def test_a_signature_with_any_bit_changed_is_refused(tmp_path: Path) -> None:
    whole = int.from_bytes(good(), "big")
    bits = {0, 1, 7, 8, 8 * BYTES - 1, *random.Random(7).sample(range(8 * BYTES), 120)}
    cases = [(MESSAGE, (whole ^ 1 << bit).to_bytes(BYTES, "big")) for bit in bits]
    assert not any(verdicts(tmp_path, cases))


def test_a_message_with_any_bit_changed_is_refused(tmp_path: Path) -> None:
    whole = int.from_bytes(MESSAGE, "big")
    cases = [((whole ^ 1 << bit).to_bytes(len(MESSAGE), "big"), good()) for bit in range(0, 8 * len(MESSAGE), 3)]
    cases += [(MESSAGE[:-1], good()), (MESSAGE + b"\n", good())]
    assert not any(verdicts(tmp_path, cases))


def test_what_is_signed_otherwise_is_refused(tmp_path: Path) -> None:
    digest = hashlib.sha256(MESSAGE).digest()
    short = encoding(digest)[-(3 + 8 + len(PREFIX) + 32) :]
    modulus = key().public_key().public_numbers().n
    refused = {
        "another key": other_key().sign(MESSAGE, PKCS1v15(), hashes.SHA256()),
        "another hash": key().sign(MESSAGE, PKCS1v15(), hashes.SHA512()),
        "another padding": key().sign(MESSAGE, PSS(MGF1(hashes.SHA256()), PSS.MAX_LENGTH), hashes.SHA256()),
        "padding that is not FF": opens_to(encoding(digest, fill=b"\xfe")),
        "block type 2": opens_to(encoding(digest, head=b"\x00\x02")),
        "no parameters": opens_to(
            encoding(digest, prefix=bytes.fromhex("302f300b0609608648016503040201") + b"\x04\x20")
        ),
        "short padding, then garbage": opens_to(
            b"\x00\x01" + b"\xff" * 8 + b"\x00" + PREFIX + digest + b"\x42" * (BYTES - 11 - len(PREFIX) - 32)
        ),
        "leading zeros": opens_to(b"\x00" * (BYTES - len(short)) + short),
        "the digest alone": opens_to(b"\x00" * (BYTES - 32) + digest),
        "zero": bytes(BYTES),
        "one": (1).to_bytes(BYTES, "big"),
        "above the modulus": (int.from_bytes(good(), "big") + modulus).to_bytes(BYTES + 1, "big")[-BYTES:],
        "too short": good()[:-1],
        "too long": good() + b"\x00",
        "a zero before": b"\x00" + good(),
        "nothing": b"",
    }
    # The same way of making them, with nothing changed, gives one that is taken.
    found = verdicts(tmp_path, [(MESSAGE, each) for each in [opens_to(encoding(digest)), *refused.values()]])
    assert found == [True] + [False] * len(refused)


@pytest.mark.parametrize("text", ["", "xyz", "ab" * 383, "ab" * 385, "00" + "ab" * 383, "fe" * 384, "z" * 768])
def test_a_key_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "update.key").write_text(text)
    program = """
from node import signature
try:
    signature.load_key()
except ValueError as error:
    print("refused:", error)
"""
    assert run(program, tmp_path)[0].startswith("refused:")


@settings(max_examples=30)
@given(
    st.lists(st.from_regex(r"[a-z0-9][a-z0-9-]{0,31}", fullmatch=True), min_size=1, max_size=5),
    st.integers(1, 1 << 20),
    st.integers(1, 1 << 22),
    st.from_regex(r"[0-9]{1,5}\.[0-9]{1,5}\.[0-9]{1,5}", fullmatch=True),
    st.integers(0, (1 << 31) - 1),
)
def test_both_sides_sign_the_same_text(boards: list[str], size: int, needs: int, version: str, serial: int) -> None:
    by = Delegation(serial=serial, key="A" * 512, signature="B" * 512) if serial else None
    manifest = Manifest(version=version, boards=tuple(boards), mpy=6, size=size, needs=needs, sha256="0" * 64, by=by)
    fields = {each: getattr(manifest, each) for each in manifest.__struct_fields__}
    if by:
        fields["by"] = {"serial": by.serial, "key": by.key}
        assert load("node.manifest").delegated_text(fields["by"]) == delegated_text(by.serial, by.key)
    assert load("node.manifest").signed_text(fields) == manifest.signed_text()


def test_a_board_and_the_command_line_agree(tmp_path: Path) -> None:
    manifest = package().manifest
    assert keys.is_signed(manifest, key().public_key())
    assert not keys.is_signed(manifest, other_key().public_key())
