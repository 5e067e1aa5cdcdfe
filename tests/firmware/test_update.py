"""The updater on MicroPython, with a gateway that does what a test wants: it ends well or changes nothing.

The whole way, over a broker and through power cuts, is in tests/system/test_updates.py.
"""

import hashlib
import json
from ast import literal_eval
from pathlib import Path

import msgspec
import pytest

from gateway.update import keys
from gateway.update.package import Package
from tests.firmware.packages import NEXT, VERSION, delegation, files, key, other_key, package, signer
from tests.micropython import run

SMALL = {"main.mpy": b"M\x06\x00\x1f" + bytes(range(256)) * 20, "node/a.mpy": b"a" * 3000}

_PROGRAM = """
import asyncio, json, os, struct
from node import signature, slots, update
from node.update import Updater

update._FIRST_MS, update._LONGEST_MS = 30, 60
HOST = os.getcwd()

def get(path):
    with open(path, "rb") as f:
        return f.read()

MANIFEST, served = get("manifest"), "archive"

class Uplink:
    # The gateway is `answer(at, size)`: the pieces that come for a request.
    def __init__(self):
        self.handlers, self.on_connect, self.connected = {}, [], True
        self.wants, self.reports = [], []
    def hear(self, level, handler):
        self.handlers[level] = handler
    async def say(self, level, payload, retain=False):
        if not self.connected:
            raise OSError(128)
        assert isinstance(payload, str)
        said = json.loads(payload)
        if level == "update/reported":
            assert retain
            self.reports.append(said)
            return
        assert level == "update/want" and not retain
        self.wants.append(said["at"])
        asyncio.create_task(self.reply(said))
    async def reply(self, said):
        for piece in answer(said["at"], said["size"]):
            self.handlers["update/piece"](piece)
            await asyncio.sleep_ms(0)
    def manifest(self, text):
        self.handlers["update"](text)

def piece(at, size):
    with open(HOST + "/" + served, "rb") as f:
        f.seek(at)
        return struct.pack(">I", at) + f.read(size)

def answer(at, size):
    return [piece(at, size)]

uplink = Uplink()
ended = asyncio.Event()
reasons = []
async def restart(reason):
    reasons.append(reason)
    ended.set()
    await asyncio.sleep_ms(1 << 30)
updater = Updater(uplink, "esp32-devkit", restart, lambda *said: None)

def states():
    return [(each["version"], each["state"]) for each in uplink.reports]

async def until(condition):
    while not condition():
        await asyncio.sleep_ms(1)

async def tick():
    while True:  # the emulated board looks at the wire's time at every step of its own
        await asyncio.sleep_ms(5)

async def main():
    asyncio.create_task(tick())
    tasks = [asyncio.create_task(start()) for _, start in updater.tasks]
    await asyncio.wait_for(life(), 25)
    for task in tasks:
        task.cancel()
"""

_TO_THE_END = """
async def life():
    uplink.manifest(MANIFEST)
    await ended.wait()
asyncio.run(main())
assert reasons == ["update"], reasons
assert slots.mark("a")["version"] == "NEXT"
assert slots.state()["trial"] == "a" and slots.state()["tries"] == 0
assert not os.listdir(".").count("update.part")
print(states())
print(len(uplink.wants))
""".replace("NEXT", NEXT)


def small(version: str = NEXT, boards: tuple[str, ...] = ("esp32-devkit",)) -> Package:
    return keys.sign(Package.make(SMALL, version, boards), key())


def board(folder: Path, body: str, offered: Package | None = None) -> list[str]:
    offered = offered or small()
    (folder / "update.key").write_text(keys.public_text(key().public_key()))
    (folder / "manifest").write_bytes(msgspec.json.encode(offered.manifest))
    (folder / "archive").write_bytes(offered.archive)
    return run(_PROGRAM + body, folder, heap="512K")  # the compiler and a gateway live in it too


ORDINARY = [(NEXT, "fetching"), (NEXT, "ready")]


def test_an_update_is_fetched_unpacked_and_put_on_trial(tmp_path: Path) -> None:
    said = board(tmp_path, _TO_THE_END, package())
    assert said[0] == str(ORDINARY)
    unpacked = {
        path.relative_to(tmp_path / "a").as_posix(): path.read_bytes() for path in (tmp_path / "a").rglob("*.mpy")
    }
    assert unpacked == files(NEXT)


@pytest.mark.parametrize(
    "answer",
    [
        "[piece(at, size)] * 3",
        "[piece(at, size), piece(at + size, size), piece(max(0, at - size), size)]",
        "[b'', b'\\0', b'\\0\\0\\0', struct.pack('>I', at), piece(at, size)]",
        "[struct.pack('>I', at) + bytes(1025), struct.pack('>I', at) + bytes(4090), piece(at, size)]",
        "[struct.pack('>I', each) + b'x' * 2048 for each in (at + 1, 0xffffffff, at ^ 1)] + [piece(at, size)]",
        "[piece(at, (size + 1) // 2)]",
        "[piece(at, size)] if len(uplink.wants) % 3 == 0 else []",
        "[struct.pack('>I', at) + bytes(size + 1), piece(at, size)] if size < 1024 else [piece(at, size)]",
    ],
)
def test_pieces_of_every_kind_lead_to_the_same_end(tmp_path: Path, answer: str) -> None:
    said = board(tmp_path, f"\ndef answer(at, size):\n    return {answer}\n" + _TO_THE_END)
    assert said[0] == str(ORDINARY)


def test_a_spoiled_archive_is_fetched_again(tmp_path: Path) -> None:
    said = board(
        tmp_path,
        """
def answer(at, size):
    return [piece(at, size) if uplink.wants.count(0) > 2 else struct.pack(">I", at) + bytes(size)]
"""
        + _TO_THE_END,
    )
    assert said[0] == str(ORDINARY)


def test_an_archive_that_stays_spoiled_is_given_up(tmp_path: Path) -> None:
    said = board(
        tmp_path,
        """
def answer(at, size):
    return [struct.pack(">I", at) + bytes(size)]
async def life():
    uplink.manifest(MANIFEST)
    await until(lambda: len(uplink.reports) == 2)
    print(uplink.reports[1]["state"], uplink.reports[1]["reason"], uplink.wants.count(0))
    uplink.manifest(MANIFEST)  # as after a reconnect: it is remembered, and not fetched again
    await asyncio.sleep_ms(50)
    print(uplink.wants.count(0), "update.part" in os.listdir("."))
    updater.retry()  # because a person says so
    await until(lambda: uplink.wants.count(0) > 3)
asyncio.run(main())
""",
    )
    assert said == ["refused sha256: what the gateway sent is something else 3", "3 False"]


def test_a_silent_gateway_is_asked_more_and_more_seldom(tmp_path: Path) -> None:
    said = board(
        tmp_path,
        """
import utime
update._FIRST_MS, update._LONGEST_MS = 20, 80
def answer(at, size):
    return []
times = []
say = uplink.say
async def timed(level, *said, **more):
    if level == "update/want":
        times.append(utime.ticks_ms())  # of life, whose milliseconds its waits are
    await say(level, *said, **more)
uplink.say = timed
async def life():
    uplink.manifest(MANIFEST)
    await until(lambda: len(times) == 8)
asyncio.run(main())
gaps = [b - a for a, b in zip(times, times[1:])]
assert all(gap >= 9 for gap in gaps) and all(gap >= 39 for gap in gaps[3:]), gaps
print(states())
""",
    )
    assert said == [str(ORDINARY[:1])]


def test_without_a_connection_it_goes_on_when_there_is_one(tmp_path: Path) -> None:
    said = board(
        tmp_path,
        """
cuts = [2, 3]
def answer(at, size):
    if len(uplink.wants) in cuts:
        cuts.remove(len(uplink.wants))
        uplink.connected = False
        asyncio.create_task(mend())
        return []
    return [piece(at, size)]
async def mend():
    await asyncio.sleep_ms(100)
    uplink.connected = True
    for tell in uplink.on_connect:
        tell()
    uplink.manifest(MANIFEST)  # it is retained, so it comes with each connection
"""
        + _TO_THE_END,
    )
    assert said[0] == str(ORDINARY)


def test_a_report_waits_for_a_connection(tmp_path: Path) -> None:
    said = board(
        tmp_path,
        """
async def life():
    uplink.connected = False
    uplink.manifest(b"{")
    await asyncio.sleep_ms(20)
    assert not uplink.reports
    uplink.connected = True
    for tell in uplink.on_connect:
        tell()
    await until(lambda: uplink.reports)
    print(uplink.reports[0]["state"], uplink.reports[0]["reason"], len(uplink.reports))
asyncio.run(main())
""",
    )
    assert said == ["refused manifest: is not JSON 1"]


def refusals(folder: Path, manifests: list[bytes], prepare: str = "") -> list[str]:
    """What the board reports for each; it must ask for nothing, and go on to take the next."""
    lines = b"".join(len(each).to_bytes(2, "big") + each for each in manifests)
    (folder / "manifests").write_bytes(lines)
    return board(
        folder,
        prepare
        + """
async def life():
    rest = get(HOST + "/manifests")
    while rest:
        n = rest[0] << 8 | rest[1]
        uplink.manifest(rest[2 : 2 + n])
        rest = rest[2 + n :]
        await until(lambda: updater._heard is None and updater._report is None)
        print(uplink.reports[-1]["state"], uplink.reports[-1]["reason"])
    assert not uplink.wants
asyncio.run(main())
""",
    )


def changed(**fields: object) -> bytes:
    """A manifest that the owner has signed, although it is wrong."""
    manifest = msgspec.structs.replace(small().manifest, **fields)
    return msgspec.json.encode(keys.sign(Package(manifest, b""), key()).manifest)


def test_what_must_not_be_taken_is_refused_with_its_reason(tmp_path: Path) -> None:
    forged = keys.sign(small(), other_key()).manifest
    resigned = msgspec.structs.replace(small("9.9.9").manifest, signature=small().manifest.signature)
    whole = msgspec.json.encode(small().manifest)
    longer = small().manifest.signature.replace("A", "B", 1)
    cases = {
        changed(version=VERSION): f"version: {VERSION} is not newer than {VERSION}",
        changed(version="0.1.99999"): f"version: 0.1.99999 is not newer than {VERSION}",
        changed(boards=("esp32-c3", "esp32")): "boards: not for esp32-devkit",
        changed(mpy=5): "mpy: needs another version of MicroPython",
        changed(needs=(1 << 22) - 1, size=1 << 20): "flash:",
        changed(size=(1 << 20) + 1): "size: must be a whole number up to 1048576",
        changed(version="1.2"): "version: must be like 1.2.3",
        changed(version="1.2.x"): "version: must be like 1.2.3",
        changed(version="1.2.-3"): "version: must be like 1.2.3",
        changed(boards=("esp32 devkit",)): "boards: must be names",
        changed(sha256="0" * 63): "sha256: must be 64 hexadecimal digits",
        changed(sha256="../" + "0" * 61): "sha256: must be 64 hexadecimal digits",
        msgspec.json.encode(forged): "signature: not made with the key of this board",
        msgspec.json.encode(resigned): "signature: not made with the key of this board",
        whole.replace(small().manifest.signature.encode(), longer.encode()): "signature:",
        whole.replace(small().manifest.signature.encode(), b"%%%"): "signature:",
        whole.replace(b'"signature"', b'"sign"'): "signature: must be base64",
        whole.replace(b'"size":', b'"size":true,"x":'): "size: must be a whole number",
        whole.replace(b'"size":', b'"size":1.5,"x":'): "size: must be a whole number",
        whole + b" " * 4096: "manifest: more than 4096 bytes",
        b"[]": "manifest: is no object",
        b"7": "manifest: is no object",
        b"\xff\xfe\x00": "manifest: is not JSON",
        b"[" * 4000: "manifest: ",
        b'{"version":null}': "version: must be like 1.2.3",
        b'{"version":"1.2.3"}': "boards: must be names",
    }
    flash = """
real = os.statvfs
os_statvfs = lambda path: (4096, 4096, 256, 100) + real(path)[4:]
update.os = type("", (), {"statvfs": staticmethod(os_statvfs), "stat": staticmethod(os.stat)})
"""
    found = refusals(tmp_path, list(cases), flash)
    for said, reason in zip(found, cases.values(), strict=True):
        assert said.startswith(f"refused {reason}"), (said, reason)


@pytest.mark.parametrize("n", [1, 40, 200, 500, -20, -1])
def test_a_manifest_that_was_cut_is_refused(tmp_path: Path, n: int) -> None:
    assert refusals(tmp_path, [msgspec.json.encode(small().manifest)[:n]]) == ["refused manifest: is not JSON"]


def test_without_a_key_nothing_is_taken(tmp_path: Path) -> None:
    said = refusals(tmp_path, [changed()], "os.remove('update.key')\n")
    assert said == ["refused no update.key on this board"]


@pytest.mark.parametrize("other", ["b'{}'", "b''"])
def test_what_is_withdrawn_is_not_fetched_further(tmp_path: Path, other: str) -> None:
    said = board(
        tmp_path,
        f"""
def answer(at, size):
    if at:
        uplink.manifest({other})
        return []
    return [piece(at, size)]
async def life():
    uplink.manifest(MANIFEST)
    await until(lambda: len(uplink.reports) == 2)
    await asyncio.sleep_ms(60)
    print(uplink.wants, uplink.reports[-1]["state"], uplink.reports[-1]["reason"])
asyncio.run(main())
""",
    )
    assert said == ["[0, 1024] refused withdrawn"]


@pytest.mark.parametrize("other", [b"{", b"[]", msgspec.json.encode(keys.sign(small("9.0.0"), other_key()).manifest)])
def test_rubbish_in_the_middle_of_a_fetch_does_not_end_it(tmp_path: Path, other: bytes) -> None:
    (tmp_path / "other").write_bytes(other)
    said = board(
        tmp_path,
        """
def answer(at, size):
    if at == 4096:
        uplink.manifest(get(HOST + "/other"))
    return [piece(at, size)]
"""
        + _TO_THE_END,
    )
    assert "refused" in said[0]
    assert int(said[1]) <= 10, "nothing was fetched twice but what was under way"


def test_a_newer_one_in_the_middle_of_a_fetch_takes_its_place(tmp_path: Path) -> None:
    newer = keys.sign(Package.make({**SMALL, "node/b.mpy": b"new"}, "0.3.0", ("esp32-devkit",)), key())
    (tmp_path / "other").write_bytes(msgspec.json.encode(newer.manifest))
    (tmp_path / "other-archive").write_bytes(newer.archive)
    said = board(
        tmp_path,
        """
def answer(at, size):
    global served
    if at == 4096 and states()[-1][0] == "0.2.1":
        uplink.manifest(get(HOST + "/other"))
        served = "other-archive"
        return []
    return [piece(at, size)]
async def life():
    uplink.manifest(MANIFEST)
    await ended.wait()
asyncio.run(main())
print(states(), slots.mark("a")["version"], os.listdir("a/node"))
""",
    )
    assert said[0].startswith(str([(NEXT, "fetching"), ("0.3.0", "fetching"), ("0.3.0", "ready")]) + " 0.3.0")
    assert "b.mpy" in said[0]


def test_a_fetch_goes_on_where_a_reset_has_ended_it(tmp_path: Path) -> None:
    offered = small()
    (tmp_path / "update.part").write_bytes(offered.archive[:5000])
    (tmp_path / "update.json").write_text(json.dumps({"sha256": offered.manifest.sha256}))
    said = board(tmp_path, _TO_THE_END + "print(uplink.wants)\n", offered)
    assert said[2].startswith("[5000, 6024")


@pytest.mark.parametrize("of", ['{"sha256":"00"}', "{", ""])
def test_a_part_of_something_else_is_not_gone_on_with(tmp_path: Path, of: str) -> None:
    (tmp_path / "update.part").write_bytes(b"x" * 5000)
    (tmp_path / "update.json").write_text(of)
    assert board(tmp_path, _TO_THE_END + "print(uplink.wants)\n")[2].startswith("[0, 1024")


def test_a_part_that_is_too_long_is_begun_anew(tmp_path: Path) -> None:
    offered = small()
    (tmp_path / "update.part").write_bytes(b"x" * (len(offered.archive) + 1))
    (tmp_path / "update.json").write_text(json.dumps({"sha256": offered.manifest.sha256}))
    assert board(tmp_path, _TO_THE_END + "print(uplink.wants)\n", offered)[2].startswith("[0, 1024")


def test_a_signed_archive_that_cannot_be_unpacked_is_remembered(tmp_path: Path) -> None:
    good = small()
    data = good.archive.replace(b"main.mpy", b"../x.mpy")
    manifest = msgspec.structs.replace(good.manifest, sha256=hashlib.sha256(data).hexdigest())
    said = board(
        tmp_path,
        """
async def life():
    uplink.manifest(MANIFEST)
    await until(lambda: len(uplink.reports) == 2)
    asked = len(uplink.wants)
    uplink.manifest(MANIFEST)
    await asyncio.sleep_ms(50)
    assert len(uplink.wants) == asked
    print(uplink.reports[-1]["state"], uplink.reports[-1]["reason"], slots.mark("a"))
asyncio.run(main())
""",
        keys.sign(Package(manifest, data), key()),
    )
    assert said == ["refused archive: path ../x.mpy {}"]
    assert not (tmp_path.parent / "x.mpy").exists()


ON_TRIAL = """
os.mkdir("b")
slots.running = lambda: "b"
slots.write("b/slot.json", {"version": "VERSION", "sha256": json.loads(MANIFEST)["sha256"]})
slots.write("slots.json", {"active": "a", "trial": "b", "tries": 1, "version": "VERSION", "sha": "x"})
""".replace("VERSION", NEXT)


def test_a_trial_is_kept_when_it_has_proved_itself(tmp_path: Path) -> None:
    said = board(
        tmp_path,
        ON_TRIAL
        + """
async def life():
    uplink.manifest(MANIFEST)
    await until(lambda: uplink.reports)
    await asyncio.sleep_ms(30)
    assert slots.on_trial() and not uplink.wants, "the other slot is the way back, and is not touched before that"
    updater.confirm()
    await until(lambda: len(uplink.reports) == 2)
    print(states(), slots.state())
    uplink.manifest(MANIFEST)
    await asyncio.sleep_ms(30)
    assert not uplink.wants
asyncio.run(main())
""",
    )
    assert said[0].startswith(str([(NEXT, "trial"), (NEXT, "kept")]))
    assert "'active': 'b'" in said[0]


def test_a_trial_that_proves_nothing_in_time_is_ended(tmp_path: Path) -> None:
    said = board(
        tmp_path,
        ON_TRIAL
        + """
update.TRIAL_MS = 50
async def life():
    await ended.wait()
asyncio.run(main())
print(reasons, slots.state()["trial"])
""",
    )
    assert said == ["['update not confirmed'] b"]


def test_what_was_rolled_back_is_told_and_not_tried_again(tmp_path: Path) -> None:
    sha = small().manifest.sha256
    (tmp_path / "slots.json").write_text(
        json.dumps({"active": None, "trial": None, "version": NEXT, "bad": sha, "why": "ValueError('x',)"})
    )
    said = board(
        tmp_path,
        """
async def life():
    await until(lambda: uplink.reports)
    print(uplink.reports[0]["version"], uplink.reports[0]["state"], uplink.reports[0]["reason"])
    uplink.manifest(MANIFEST)
    await asyncio.sleep_ms(50)
    assert not uplink.wants
    updater.retry()
    await ended.wait()
asyncio.run(main())
print(slots.state()["trial"])
""",
    )
    assert said == [f"{NEXT} rolled_back ValueError('x',)", "a"]


def test_a_full_flash_is_told_and_leaves_the_firmware_alone(tmp_path: Path) -> None:
    said = board(
        tmp_path,
        """
async def full(*_):
    raise OSError(28)
slots.fill = full
async def life():
    uplink.manifest(MANIFEST)
    await until(lambda: len(uplink.reports) == 2)
    print(uplink.reports[-1]["reason"], os.listdir(".").count("update.part"), slots.state())
asyncio.run(main())
""",
    )
    assert "ENOSPC" in said[0] or "28" in said[0]
    assert said[0].endswith("0 {}")


@pytest.mark.parametrize("where", ["signature.verify", "slots.fill", "uplink.say"])
def test_a_full_heap_in_the_middle_of_an_update_only_delays_it(tmp_path: Path, where: str) -> None:
    """The supervisor runs the task again, and it takes up what it was at: nobody has to send the manifest again."""
    said = board(
        tmp_path,
        f"""
from node import supervisor
supervisor._FIRST_MS = 20
kept, fulls = {where}, []
def full(*args, **named):
    if len(fulls) < 2:
        fulls.append(1)
        raise MemoryError
    return kept(*args, **named)
{where} = full
keeper = supervisor.Supervisor(lambda *said: None)
updater.tasks = [(name, lambda name=name, start=start: keeper.keep(name, start)) for name, start in updater.tasks]
"""
        + _TO_THE_END
        + "assert len(fulls) == 2\n",
    )
    assert literal_eval(said[0])[-1] == ORDINARY[-1]


def by(serial: int, version: str = NEXT) -> Package:
    """Each has an archive of its own."""
    found = {**SMALL, "node/b.mpy": f"{serial} {version}".encode()}
    return keys.sign(Package.make(found, version, ("esp32-devkit",)), signer(serial), delegation(serial))


def test_an_update_by_a_delegated_key_is_put_on_trial(tmp_path: Path) -> None:
    assert board(tmp_path, _TO_THE_END, by(1))[0] == str(ORDINARY)
    assert json.loads((tmp_path / "signer.json").read_text())["serial"] == 1


def test_a_replayed_update_is_refused_and_told_once(tmp_path: Path) -> None:
    """Whoever has the broker may send all that was ever signed, as often as they like."""
    (tmp_path / "old").write_bytes(msgspec.json.encode(by(1, "0.0.9").manifest))
    (tmp_path / "older").write_bytes(msgspec.json.encode(small("0.0.8").manifest))
    said = board(
        tmp_path,
        """
async def life():
    for path, times in (("/old", 20), ("/older", 20)):
        told = len(uplink.reports)
        for _ in range(times):
            uplink.manifest(get(HOST + path))
            await until(lambda: updater._heard is None)
            await asyncio.sleep_ms(2)
        await until(lambda: len(uplink.reports) > told)
    print([each["reason"] for each in uplink.reports], uplink.wants, reasons)
asyncio.run(main())
""",
    )
    assert said == [
        f"['version: 0.0.9 is not newer than {VERSION}', 'version: 0.0.8 is not newer than {VERSION}'] [] []"
    ]


@pytest.mark.parametrize("version", [VERSION, "0.3.0"], ids=["of what runs", "newer"])
def test_a_new_key_ends_what_is_fetched_by_its_predecessor(tmp_path: Path, version: str) -> None:
    """In the middle of the archive, and in the very last moment before the restart."""
    (tmp_path / "other").write_bytes(msgspec.json.encode(by(2, version).manifest))
    for moment in ("fetch", "fill"):
        (tmp_path / "signer.json").unlink(missing_ok=True)
        said = board(
            tmp_path,
            f"""
over = []
def come():
    over.append(1)
    uplink.manifest(get(HOST + "/other"))
fill = slots.fill
async def filled(*args):
    await fill(*args)
    if {moment!r} == "fill":
        come()
slots.fill = filled
def answer(at, size):
    if at == 4096 and {moment!r} == "fetch":
        come()
    return [] if over else [piece(at, size)]
async def life():
    uplink.manifest(MANIFEST)
    await until(lambda: updater._last != MANIFEST and updater._heard is None)
    await asyncio.sleep_ms(30)
    told = len(uplink.reports)
    uplink.manifest(MANIFEST)
    await until(lambda: len(uplink.reports) > told)
    print(uplink.reports[-1]["reason"], reasons, slots.mark("a"), slots.state())
asyncio.run(main())
""",
            by(1),
        )
        assert said == ["by: delegation 1 has a successor, 2 [] {} {}"]


def test_a_new_key_is_looked_at_though_the_firmware_is_the_one_that_runs(tmp_path: Path) -> None:
    """An operator ends a stolen key by signing what already runs anew: nobody has to wait for the next version."""
    texts = [small(VERSION), by(1, VERSION), by(2, VERSION), by(2)]
    for i, each in enumerate(texts):
        (tmp_path / f"m{i}").write_bytes(msgspec.json.encode(each.manifest))
    said = board(
        tmp_path,
        """
from node.node import _is_needed
def needed():
    return [_is_needed("update", get(HOST + "/m%d" % i)) for i in range(4)]
async def life():
    print(needed())
    for i in (1, 2):
        uplink.manifest(get(HOST + "/m%d" % i))
        await until(lambda: updater._heard is None)
        print(needed())
    for damage in ('"x"', "{", '{"serial":[]}'):
        with open("signer.json", "w") as f:
            f.write(damage)
        print(needed())
asyncio.run(main())
""",
    )
    assert said == [
        "[False, True, True, True]",
        "[False, False, True, True]",
        "[False, True, False, True]",
        *["[False, True, True, True]"] * 3,
    ]
