"""Pairs of key and certificate on flash, on MicroPython: power may fail at any byte, and a whole pair is there."""

from pathlib import Path

import pytest

from tests.firmware.cuts import sweep

PROGRAM = """
from node import pairs
SETTINGS = {"key": "identity/key.der", "cert": "identity/cert.der", "issuer": "identity/issuer.der"}
def pair(n):
    return b"\\x30\\x77" + bytes([n]) * 119, b"\\x30\\x82\\x01\\xa0" + bytes([n]) * 416
def issuer(n):
    return b"\\x30\\x82\\x01\\x30" + bytes([n]) * 304
def live(step):
    os.mkdir("identity")
    pairs.put(SETTINGS, *pair(1), issuer(1))
    step(1)
    WORK
def examine(step):
    if not step:
        return  # there was none before the first
    try:
        held, known = pairs.held(SETTINGS), pairs.issuer(SETTINGS)
        trial = pairs.on_trial()
        pairs.settle(SETTINGS)
        if pairs.held(SETTINGS) != held or pairs.on_trial() != trial or pairs.issuer(SETTINGS) != known:
            return "another after it was settled"
        with open("identity/key.der", "rb") as key, open("identity/cert.der", "rb") as cert:
            if (key.read(), cert.read()) != held:
                return "settled, and not in its place"
    except (OSError, IndexError) as error:
        return repr(error)
    number, second = held[0][2], trial and trial[0][2]
    if held != pair(number) or trial and trial != pair(second):
        return "half of a pair"
    if known != issuer(ISSUERS(number)):
        return "pair %s with the issuer %s" % (number, known[4])
    if (number, second) not in ALLOWED[step]:
        return "held %s, on trial %s" % (number, second)
"""

WORK = {
    "handed on": (
        "pairs.begin_trial(*pair(2), issuer(2)); step(2); pairs.keep(SETTINGS); step(3)",
        {1: [(1, None), (1, 2)], 2: [(1, 2), (2, None)], 3: [(2, None)]},
    ),
    "kept": (
        "pairs.begin_trial(*pair(2)); step(2); pairs.keep(SETTINGS); step(3)",
        {1: [(1, None), (1, 2)], 2: [(1, 2), (2, None)], 3: [(2, None)]},
    ),
    "dropped": (
        "pairs.begin_trial(*pair(2)); step(2); pairs.drop(); step(3)",
        {1: [(1, None), (1, 2)], 2: [(1, 2), (1, None)], 3: [(1, None)]},
    ),
    "enrolled": (
        "pairs.ask_with(pair(2)[0]); pairs.put(SETTINGS, *pair(2), issuer(2)); step(2); pairs.asked(); step(3)",
        {1: [(1, None), (2, None)], 2: [(2, None)], 3: [(2, None)]},
    ),
}


@pytest.mark.parametrize("what", WORK)
def test_a_cut_leaves_a_whole_pair(tmp_path: Path, what: str) -> None:
    """At every seventh byte and around each write: the old pair or the new one, never a key with another's
    certificate, and with its own issuer; and in the files that the configuration names once it is settled."""
    work, allowed = WORK[what]
    program = PROGRAM.replace("WORK", work).replace("ALLOWED", repr(allowed))
    program = program.replace("ISSUERS(number)", "number" if "issuer(2)" in work else "1")
    assert sweep(program, tmp_path, stride=7) > 100


def test_a_request_is_asked_with_the_same_key(tmp_path: Path) -> None:
    """The key of a request is there, whole, before anybody can have been asked; else there is none."""
    program = """
from node import pairs
def live(step):
    pairs.ask_with(b"k" * 121)
    step(1)
    pairs.asked()
    step(2)
def examine(step):
    found = pairs.asked_with()
    if found != b"k" * 121 and found is not None or step == 2 and found:
        return repr(found)
"""
    assert sweep(program, tmp_path, stride=0) > 100
