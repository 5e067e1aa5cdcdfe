"""What the gateway wants of the configuration: what is good is taken, the rest refused with the reason."""

import json
import os
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.firmware.importer import load
from tests.micropython import run

wanted = load("node.wanted")
configuration = load("node.config")
files = load("node.files")
calibration = load("node.calibration")
ESP32 = load("boards.esp32_devkit")
water = load("sensors.water")

BASE: dict[str, Any] = {"kind": "water", "site": "riverside", "node": "water-1", "mqtt": {"host": "gateway.lan"}}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
GOOD = {
    "window_s": st.integers(1, 3600),
    "health_s": st.integers(1, 86_400),
    "ntp": st.none() | st.just("pool.lan"),
    "sensors": st.fixed_dictionaries({"litres_per_pulse": st.sampled_from([1, 10, 100])}),
    "calibration": st.just({}) | st.just({"version": 2, "flow": {"gain": 1.5}}),
    "outbox_kib": st.integers(16, 16_384),
    "power_fail": st.booleans(),
    "battery": st.fixed_dictionaries({"window_s": st.integers(60, 3600)}),
}
"""What can be taken, whatever else is."""

NEAR = {
    "window_s": st.integers(-1, 4000),
    "sensors": st.dictionaries(st.sampled_from(sorted(water.DEFAULTS)), JSON, max_size=3),
    "calibration": st.dictionaries(st.sampled_from(["version", "flow", "co2"]), JSON, max_size=3),
    "battery": st.dictionaries(st.sampled_from(["report_s", "window_s", "burst_l_h"]), JSON, max_size=3),
}
"""What is nearly right."""

KEYS = st.sampled_from((*configuration.DEFAULTS, "safe", "")) | st.text(max_size=6)


@st.composite
def wishes(draw: st.DrawFn) -> dict[str, Any]:
    """Any mixture of good values, nearly good ones and none."""
    asked = draw(st.lists(KEYS, max_size=6, unique=True))
    return {key: draw(st.one_of(*(t[key] for t in (GOOD, NEAR) if key in t), JSON)) for key in asked}


def check(given: dict[str, Any]) -> None:
    """What the configuration and the sensors know: as the node asks them."""
    config = configuration.check(given)
    water.check(ESP32, config["sensors"])
    calibration.check(config["calibration"], config["kind"])


@given(wish=wishes())
def test_what_is_taken_is_good_and_all_else_has_a_reason(wish: dict[str, Any]) -> None:
    """Each key on one side; what is taken is as it was wanted, and with it a node begins."""
    base, before = deepcopy(BASE), repr(wish)
    taken, refused = wanted.judge(base, wish, check)
    assert (base, repr(wish)) == (BASE, before)
    assert set(taken) | set(refused) == set(wish)
    assert not set(taken) & set(refused)
    assert set(taken) <= set(wanted.KEYS)
    assert repr(taken) == repr({key: wish[key] for key in wish if key in taken})
    assert all(isinstance(why, str) and why for why in refused.values())
    complete = configuration.check({**BASE, **taken})
    check(complete)
    for key in ("kind", "site", "node", "board"):
        assert complete[key] == configuration.check(BASE)[key]
    assert complete["mqtt"]["host"] == "gateway.lan"


@given(wish=st.fixed_dictionaries({}, optional=GOOD))
def test_what_is_good_is_taken(wish: dict[str, Any]) -> None:
    """All of it, in any combination."""
    assert wanted.judge(BASE, wish, check) == (wish, {})


@given(wish=wishes(), good=st.fixed_dictionaries({}, optional=GOOD))
def test_a_refused_key_spoils_no_other(wish: dict[str, Any], good: dict[str, Any]) -> None:
    """Whatever stands beside it."""
    wish = {key: value for key, value in wish.items() if key not in GOOD}
    taken, refused = wanted.judge(BASE, {**wish, **good}, check)
    assert taken == good
    assert set(refused) == set(wish)


def checked(given: Any) -> tuple[dict[str, Any] | None, str]:
    """(the complete configuration or None, why it is refused)."""
    try:
        return configuration.check(given), ""
    except configuration.ConfigError as error:
        return None, str(error)


@given(config=st.fixed_dictionaries({}, optional=dict.fromkeys(configuration.DEFAULTS, JSON)) | JSON)
def test_any_configuration_is_checked_or_refused(config: Any) -> None:
    """Nothing but ConfigError; what passes is complete, and passes again."""
    given = {**BASE, **config} if isinstance(config, dict) else config
    complete, why = checked(given)
    if complete is None:
        assert why
        return
    assert set(complete) == set(configuration.DEFAULTS)
    assert repr(configuration.check(complete)) == repr(complete)


TABLES = {"mqtt": configuration.DEFAULTS["mqtt"], "wifi": configuration.DEFAULTS["wifi"], "battery": {"window_s": 0}}


@given(data=st.data(), table=st.sampled_from(sorted(TABLES)))
def test_any_value_in_a_table(data: st.DataObject, table: str) -> None:
    """One wrong value in what is good: refused with its name, or complete."""
    key = data.draw(st.sampled_from(sorted(TABLES[table])))
    value = data.draw(JSON | st.integers(0, 70_000) | st.dictionaries(st.sampled_from(["ca", "cert", "key"]), JSON))
    complete, why = checked({**BASE, table: {**BASE.get(table, {}), key: value}})
    if complete is None:
        assert key in why
    elif complete[table]:
        assert {key: value}.items() <= complete[table].items() or (key, table) == ("tls", "mqtt") or value != value


# Heard on the wire, kept on flash.


class Uplink:
    """Where a part says what it hears."""

    def hear(self, level: str, handler: Any) -> None:
        assert level == "config"


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The root of a board's flash is where it is."""
    before = os.getcwd()
    root = tmp_path_factory.mktemp("board")
    os.chdir(root)
    (root / "config.json").write_text(json.dumps(BASE))
    yield root
    os.chdir(before)


def part() -> Any:
    return wanted.Wanted(Uplink(), None, check, lambda name, text: None)


def take(payload: bytes) -> tuple[bool, Any]:
    """(whether a new boot must begin, what is answered); what is kept is what the answer says."""
    mine = part()
    changed = mine._take(payload)
    answer = json.loads(json.dumps(mine._answer))
    assert repr(files.read("wanted.json")) == repr(answer["taken"])
    assert "wanted.json.new" not in os.listdir()
    return changed, answer


@given(payload=st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes(board: Path, payload: bytes) -> None:
    """No exception, and no change by what is no object."""
    take(b'{"window_s": 30}')
    changed, answer = take(payload)
    try:
        ok = isinstance(json.loads(payload or b"{}"), dict)
    except ValueError:
        ok = False
    if not ok:
        assert (changed, answer) == (False, {"taken": {"window_s": 30}, "refused": {"": "not a JSON object"}})
    assert set(answer["taken"]) <= set(wanted.KEYS)


@given(first=wishes(), second=wishes())
def test_a_change_is_taken_once(board: Path, first: dict[str, Any], second: dict[str, Any]) -> None:
    """A wish replaces the one before as a whole; the same again changes nothing, nor does its refused part."""
    take(b"")
    assert take(b"")[0] is False
    before = take(json.dumps(first).encode())[1]["taken"]
    changed, answer = take(json.dumps(second).encode())
    assert changed == (json.dumps(before) != json.dumps(answer["taken"]))
    assert set(answer["taken"]) | set(answer["refused"]) == set(second)
    again, same = take(json.dumps(second).encode())
    assert again is False
    assert repr(same) == repr(answer)
    assert take(b"") == (answer["taken"] != {}, {"taken": {}, "refused": {}})


def test_a_flash_that_takes_nothing(board: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so, tells what still holds, and does not restart for nothing."""
    take(b'{"window_s": 30}')

    def broken(old: str, new: str) -> None:
        raise OSError(5, "broken")

    monkeypatch.setattr(files.os, "rename", broken)
    mine = part()
    assert mine._take(b'{"window_s": 45}') is False
    assert mine._answer["taken"] == {"window_s": 30}
    assert "flash" in mine._answer["refused"][""]


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"window_s": 3', "\x00\x00"])
def test_a_spoilt_file_is_replaced(board: Path, content: str) -> None:
    """What is kept cannot be read: nothing of it holds, and the next wish is taken as ever."""
    (board / "wanted.json").write_text(content)
    assert files.read("wanted.json") == {}
    assert take(b'{"window_s": 30}') == (True, {"taken": {"window_s": 30}, "refused": {}})


DEEP = b'{"window_s": 30, "sensors": {"reeds": %s}}'
PAYLOADS = [
    b"",
    b"{}",
    b"null",
    b"\xff\xfe",
    b'{"\xff": 1}',
    b'{"window_s": 30}',
    b'{"window_s": true}',
    b'{"window_s": 1e999}',
    b'{"window_s": 30, 1: 2, null: 3}',
    b'{"window_s": 30, "calibration": {"version": 1, 5: {"gain": 2}}}',
    b'{"window_s": 30, "sensors": {7: 1}}',
    b'{"window_s": 30, "battery": {null: 1}}',
    b'{"window_s": 30, "battery": {"burst_l_h": 1e999}}',
    DEEP % (b"[" * 30 + b"]" * 30),
    DEEP % (b"[" * 500 + b"]" * 500),
    DEEP % (b"[" * 2000 + b"]" * 2000),
    b"[" * 4000,
    b'{"a":' * 800,
]


def test_on_the_interpreter_of_the_board(tmp_path: Path) -> None:
    """It reads what JSON is not, and runs out of stack and heap: an answer all the same, and what is kept is good."""
    (tmp_path / "config.json").write_text(json.dumps(BASE))
    for n, payload in enumerate(PAYLOADS):
        (tmp_path / f"{n}").write_bytes(payload)
    printed = run(
        f"""
import json
from node import config, files, setup, wanted

def check(given):
    setup.check(config.check(given))

class Uplink:
    def hear(self, level, handler):
        pass

def say(name, text):
    json.dumps(text)

for n in range({len(PAYLOADS)}):
    with open("%d" % n, "rb") as f:
        payload = f.read()
    part = wanted.Wanted(Uplink(), None, check, say)
    part._take(b"")
    part._take(payload)
    print(json.dumps(part._answer))
    kept = files.read("wanted.json")
    assert kept == part._answer["taken"]
    whole = config.load("config.json")
    whole.update(kept)
    check(whole)
""",
        tmp_path,
        seconds=30,
    )
    answers = [json.loads(line) for line in printed]
    for payload, answer in zip(PAYLOADS, answers, strict=True):
        assert set(answer["taken"]) <= {"window_s"}, payload[:60]
        if b"30" in payload and len(payload) < 500:
            assert answer["taken"]["window_s"] == 30, payload[:60]
    assert answers[:4] == [{"taken": {}, "refused": each} for each in ({}, {}, *[{"": "not a JSON object"}] * 2)]
    assert all(answer["refused"] for answer in answers[6:])
