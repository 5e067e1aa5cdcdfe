"""Which updates a board takes: attack by attack on MicroPython, in the order in which a board hears them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from gateway.update import keys
from gateway.update.package import Package
from tests.firmware.cuts import sweep
from tests.firmware.packages import NEXT, VERSION, delegation, key, other_key, signer
from tests.micropython import run

_PROGRAM = """
import asyncio, json, os
from node import files, judge
from node.manifest import parse

async def judged(text):
    try:
        await judge.check(parse(text), "esp32-devkit")
    except (ValueError, judge.Settled) as error:
        return str(error)
    return "taken"

with open("cases") as f:
    for line in f:
        print(asyncio.run(judged(json.loads(line))), "| knows", files.read(judge.SIGNER).get("serial"))
"""

NOT_SIGNED = "signature: not made with the key of this board"
NOT_DELEGATED = "by: delegation not made with the key of this board"


def plain(version: str = NEXT, boards: tuple[str, ...] = ("esp32-devkit",)) -> Package:
    return Package.make({"main.mpy": b"M\x06\x00\x1f"}, version, boards)


def by(serial: int, number: int | None = None, version: str = NEXT) -> dict[str, Any]:
    """A good manifest by delegation `serial` to `signer(number)`, as JSON has it."""
    number = serial if number is None else number
    return fields(keys.sign(plain(version), signer(number), delegation(serial, number)))


def fields(package: Package) -> dict[str, Any]:
    found = msgspec.to_builtins(package.manifest)
    assert isinstance(found, dict)
    return found


def changed(manifest: dict[str, Any], *path: str, to: object) -> dict[str, Any]:
    """A copy with one field changed."""
    copy = json.loads(json.dumps(manifest))
    inner = copy
    for each in path[:-1]:
        inner = inner[each]
    inner[path[-1]] = to
    assert isinstance(copy, dict)
    return copy


def judged(folder: Path, cases: list[object], anchor: Callable[[], Any] = key) -> list[str]:
    """What the board says to each, and which delegation it knows then."""
    (folder / "update.key").write_text(keys.public_text(anchor().public_key()))
    texts = [each if isinstance(each, str) else json.dumps(each, separators=(",", ":")) for each in cases]
    (folder / "cases").write_text("".join(json.dumps(text) + "\n" for text in texts))
    return run(_PROGRAM, folder)


def test_attack_after_attack_is_refused_with_its_reason(tmp_path: Path) -> None:
    owned = fields(keys.sign(plain(), key()))
    good = by(3)
    forged = keys.delegate(other_key(), 9, other_key().public_key())
    chained = keys.delegate(signer(3), 9, other_key().public_key())
    swapped = changed(changed(good, "signature", to=good["by"]["signature"]), "by", "signature", to=good["signature"])
    cases: list[tuple[object, str, int | None]] = [
        # The anchor's own, as ever.
        (owned, "taken", None),
        (fields(plain()), "signature: must be base64", None),
        (changed(owned, "signature", to=""), NOT_SIGNED, None),
        (fields(keys.sign(plain(), other_key())), NOT_SIGNED, None),
        (changed(owned, "version", to="9.0.0"), NOT_SIGNED, None),
        (fields(keys.sign(plain(VERSION), key())), f"version: {VERSION} is not newer than {VERSION}", None),
        (fields(keys.sign(plain("0.0.1"), key())), f"version: 0.0.1 is not newer than {VERSION}", None),
        (fields(keys.sign(plain(boards=("esp32-c3",)), key())), "boards: not for esp32-devkit", None),
        (changed(owned, "mpy", to=5), NOT_SIGNED, None),
        # A key without the anchor's word, or with somebody else's.
        (fields(keys.sign(plain(), signer(3))), NOT_SIGNED, None),
        (fields(keys.sign(plain(), other_key(), forged)), NOT_DELEGATED, None),
        (fields(keys.sign(plain(), other_key(), chained)), NOT_DELEGATED, None),
        (changed(good, "by", "serial", to=4), NOT_DELEGATED, None),
        (changed(good, "by", "key", to=by(4)["by"]["key"]), NOT_DELEGATED, None),
        (changed(good, "by", "signature", to=by(4)["by"]["signature"]), NOT_DELEGATED, None),
        (swapped, NOT_DELEGATED, None),
        # The word is good, what it is about is not: nothing is remembered of that.
        (changed(good, "by", to=by(4)["by"]), "signature: not made with the key of delegation 4", None),
        (changed(good, "by", to=by(5, 3)["by"]), "signature: not made with the key of delegation 5", None),
        (changed(good, "version", to="9.0.0"), "signature: not made with the key of delegation 3", None),
        (changed(good, "signature", to=""), "signature: not made with the key of delegation 3", None),
        (changed(owned, "by", to=good["by"]), "signature: not made with the key of delegation 3", None),
        ({name: value for name, value in good.items() if name != "by"}, NOT_SIGNED, None),
        # In use, and its successor: from then on those before it are over, whatever they have signed.
        (good, "taken", 3),
        (good, "taken", 3),
        (by(3, version="0.0.1"), f"version: 0.0.1 is not newer than {VERSION}", 3),
        (by(2), "by: delegation 2 has a successor, 3", 3),
        (by(6, version="0.0.1"), f"version: 0.0.1 is not newer than {VERSION}", 6),
        (good, "by: delegation 3 has a successor, 6", 6),
        (by(3, version="9.9.9"), "by: delegation 3 has a successor, 6", 6),
        (by((1 << 31) - 1, 1), "taken", (1 << 31) - 1),
        (by(6), f"by: delegation 6 has a successor, {(1 << 31) - 1}", (1 << 31) - 1),
        (owned, "taken", (1 << 31) - 1),
    ]
    said = judged(tmp_path, [each[0] for each in cases])
    assert said == [f"{reason} | knows {serial}" for _, reason, serial in cases]


def test_what_is_malformed_is_refused_before_anything_is_calculated(tmp_path: Path) -> None:
    good = by(3)
    serials = (0, -1, True, 1.0, "3", None, [3], 1 << 31, 1 << 4000)
    numbers = (None, 5, [], {}, "=", "a")
    cases: list[tuple[object, str]] = [
        *((changed(good, "by", "serial", to=each), "serial: must be a whole number") for each in serials),
        *((changed(good, "by", "key", to=each), "key: must be base64") for each in numbers if each != "="),
        *((changed(good, "by", "signature", to=each), "signature: must be base64") for each in numbers if each != "="),
        *((changed(good, "by", to=each), "by: is no object") for each in (0, "", [], "x", [1], False)),
        (changed(good, "by", to={}), "serial: must be a whole number"),
        (changed(good, "by", "key", to=""), NOT_DELEGATED),
        (changed(good, "by", "key", to=good["by"]["key"] + "\nserial 99"), NOT_DELEGATED),
        (changed(good, "padding", to="x" * 4096), "manifest: more than 4096 bytes"),
        ("[" * 4000, "manifest: "),
        (changed(good, "size", to=(1 << 20) + 1), "size: must be a whole number up to 1048576"),
        (changed(good, "needs", to=(1 << 22) + 1), "needs: must be a whole number up to 4194304"),
    ]
    said = judged(tmp_path, [each[0] for each in cases])
    wrong = [(line, reason) for line, (_, reason) in zip(said, cases, strict=True) if not line.startswith(reason)]
    assert not wrong
    assert all(line.endswith("| knows None") for line in said)


def test_the_longest_manifest_is_read(tmp_path: Path) -> None:
    boards = ("esp32-devkit", *(f"b{'x' * 29}{n:02}" for n in range(31)))
    signed = keys.sign(plain("99999.99999.99999", boards), signer(1), delegation((1 << 31) - 1, 1))
    assert 2500 < len(msgspec.json.encode(signed.manifest)) < 4096 - 128
    assert judged(tmp_path, [fields(signed)])[0].startswith("taken")


def test_another_anchor_begins_anew(tmp_path: Path) -> None:
    """By cable: what the one before has delegated counts no more, nor does its number."""
    first = fields(keys.sign(plain(), other_key(), keys.delegate(key(), 7, other_key().public_key())))
    second = fields(keys.sign(plain(), signer(1), keys.delegate(other_key(), 1, signer(1).public_key())))
    assert judged(tmp_path, [first]) == ["taken | knows 7"]
    assert judged(tmp_path, [first, second], other_key) == [f"{NOT_DELEGATED} | knows 7", "taken | knows 1"]


def test_who_no_longer_knows_what_was_newest_believes_the_anchor_alone(tmp_path: Path) -> None:
    for damaged in (b"", b"{", b"[]", b"7", b'{"anchor":1}', b'{"serial":1}', b"\xff", b"null"):
        (tmp_path / "signer.json").write_bytes(damaged)
        assert [each.split(" |")[0] for each in judged(tmp_path, [by(1), fields(keys.sign(plain(), key()))])] == [
            "by: signer.json is damaged, only the anchor itself is believed",
            "taken",
        ]
        assert (tmp_path / "signer.json").read_bytes() == damaged


def test_a_board_without_a_key_takes_nothing(tmp_path: Path) -> None:
    said = judged(tmp_path, [by(1)])
    assert said == ["taken | knows 1"]
    (tmp_path / "update.key").unlink()
    assert run(_PROGRAM, tmp_path) == ["no update.key on this board | knows 1"]


def test_a_cut_while_the_serial_is_remembered_forgets_none(tmp_path: Path) -> None:
    """At every byte that is written: what was known before a check is known after it, and what it has let pass too."""
    manifests = [by(serial) for serial in (1, 2, 300)]
    (tmp_path / "manifests").write_text(json.dumps(manifests))
    cuts = sweep(
        f"""
import asyncio, json
from node import judge, signature
from node.manifest import parse
with open({str(tmp_path / "manifests")!r}) as f:
    MANIFESTS = [parse(json.dumps(each)) for each in json.load(f)]
ANCHOR = 1 << 3071 | 1
# What is signed by whom is tried above; here a thousand of boards would take a minute for it.
signature.load_key = lambda: ANCHOR
signature.verify = lambda *_: True

def live(step):
    for manifest in MANIFESTS:
        asyncio.run(judge.check(manifest, "esp32-devkit"))
        step(manifest["by"]["serial"])

def examine(step):
    known = judge.newest(ANCHOR)
    after = {{0: 1, 1: 2, 2: 300, 300: 300}}[step]
    if known not in (step, after):
        return "knows %d" % known
    for manifest in MANIFESTS:
        if judge.outdated(manifest) != (manifest["by"]["serial"] < known):
            return "takes %d" % manifest["by"]["serial"]
""",
        tmp_path,
        stride=0,
    )
    assert cuts > 100
