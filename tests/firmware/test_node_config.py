"""The node's configuration: what is wrong is refused with the key named, on both interpreters alike."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.firmware.importer import load
from tests.micropython import run

configuration = load("node.config")
ESP32 = load("boards.esp32_devkit")

GOOD: dict[str, Any] = {"kind": "water", "site": "riverside", "node": "water-1", "mqtt": {"host": "gateway.lan"}}

LONG = "a" * 33
NAME = "must be 1 to 32 of a-z, 0-9 and -, and not begin with -"

WRONG = [
    ({"kind": "wind"}, "kind must be one of traffic, water, air"),
    ({"kind": None}, "kind must be one of traffic, water, air"),
    *(({"site": name}, f"site {NAME}") for name in ("", "Riverside", "-x", "a b", "ä", LONG, 7, None)),
    ({"node": "water/1"}, f"node {NAME}"),
    ({"mqtt": {}}, "mqtt.host is missing"),
    ({"mqtt": {"host": ""}}, "mqtt.host is missing"),
    ({"mqtt": {"hots": "x"}}, "unknown key mqtt.hots"),
    ({"mqtt": {"host": "x", "password": "y"}}, "mqtt.password needs mqtt.user"),
    ({"mqtt": "gateway.lan"}, "mqtt. must be an object"),
    *(
        ({"mqtt": {"host": "x", "port": port}}, "mqtt.port must be a whole number from 1 to 65535")
        for port in (0, 65_536, "1883", None)
    ),
    *(
        ({"mqtt": {"host": "x", "keepalive_s": s}}, "mqtt.keepalive_s must be a whole number from 1 to 65535")
        for s in (0, -1, 65_536, 1.5, "60")
    ),
    ({"wifi": {"password": "x"}}, "unknown key wifi.password"),
    ({"wifi": []}, "wifi. must be an object"),
    ({"sensors": None}, "sensors. must be an object"),
    *(({"window_s": s}, "window_s must be a whole number from 1 to 3600") for s in (0, 3601, 60.5, "60", None)),
    *(({"health_s": s}, "health_s must be a whole number from 1 to 86400") for s in (0, 86_401)),
    ({"windows": 60}, "unknown key windows"),
]


def text(changes: Any) -> str:
    return json.dumps(GOOD | changes)


@pytest.mark.parametrize(("changes", "message"), WRONG)
def test_a_wrong_configuration(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    """The key, and what may stand there."""
    path = tmp_path / "config.json"
    path.write_text(text(changes))
    with pytest.raises(configuration.ConfigError) as refused:
        configuration.load(str(path))
    assert str(refused.value) == message


def test_micropython_says_the_same(tmp_path: Path) -> None:
    """All of the table, and what is no JSON or no object, on the interpreter of the board."""
    texts = [(text(changes), message) for changes, message in WRONG]
    for content, message in (("{", "is not JSON"), ("", "is not JSON"), ("[]", "")):
        texts.append((content, f"{len(texts)}.json {message}" if message else "the configuration must be an object"))
    for n, (content, _) in enumerate(texts):
        (tmp_path / f"{n}.json").write_text(content)
    printed = run(
        f"""
from node import config
for n in range({len(texts)}):
    try:
        print(config.load("%d.json" % n))
    except config.ConfigError as error:
        print(error)
""",
        tmp_path,
    )
    assert printed == [message for _, message in texts]


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"board": 32}, "board"),
        ({"ntp": ["pool.ntp.org"]}, "ntp"),
        ({"wifi": {"ssid": 1}}, "ssid"),
        ({"wifi": {"key": 12345678}}, "key"),
        *(({"mqtt": {"host": "x"} | {key: 7}}, key) for key in ("host", "user", "password")),
    ],
)
def test_what_must_be_a_text(changes: dict[str, Any], key: str) -> None:
    """A number would fail only later, in the middle of a connection, and each time."""
    with pytest.raises(configuration.ConfigError, match=rf"{key} must be a text"):
        configuration.check(GOOD | changes)


def test_an_unknown_board_is_named(tmp_path: Path) -> None:
    """On MicroPython; a known one gives its pins."""
    printed = run(
        f"""
import main
from node import config
good = {GOOD!r}
print(main.board(config.check(good)).REED)
good["board"] = "esp99"
try:
    main.board(config.check(good))
except config.ConfigError as error:
    print(error)
""",
        tmp_path,
    )
    assert printed == ["27", "board: no boards/ file is named esp99"]


def test_what_is_not_said_has_a_default() -> None:
    """Also inside of a table, and nothing is shared with the next configuration."""
    config = configuration.check(GOOD)
    assert (config["window_s"], config["mqtt"]["port"], config["mqtt"]["host"]) == (60, 1883, "gateway.lan")
    assert (config["board"], config["wifi"], config["sensors"]) == ("esp32-devkit", {"ssid": None, "key": None}, {})
    config["mqtt"]["port"] = 1
    config["wifi"]["ssid"] = "x"
    config["sensors"]["lanes"] = 1
    again = configuration.check(GOOD)
    assert (again["mqtt"]["port"], again["wifi"]["ssid"], again["sensors"]) == (1883, None, {})


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    """The board has no identity yet, which is another thing than a wrong one."""
    with pytest.raises(OSError, match=r"none\.json"):
        configuration.load(str(tmp_path / "none.json"))


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        *(("traffic", {"lanes": n}, "sensors.lanes must be 1 to 2 on this board") for n in (0, 3, "2", None)),
        ("traffic", {"lane": 1}, "unknown key sensors.lane"),
        *(
            ("traffic", {key: value}, f"sensors.{key} must be a whole number from 50 to 2000")
            for key in ("spacing_cm", "loop_cm")
            for value in (0, -400, 49, 2001, "400", 4.5, None)
        ),
        *(
            (
                "water",
                {"litres_per_pulse": n},
                "sensors.litres_per_pulse must be 1, 10 or 100, as the meter's plate says",
            )
            for n in (0, 2, "1", None)
        ),
        ("water", {"litres": 1}, "unknown key sensors.litres"),
        ("air", {"lanes": 1}, "unknown key sensors.lanes"),
    ],
)
def test_a_wrong_sensor(kind: str, given: dict[str, Any], message: str) -> None:
    """Each kind knows its own keys, and is asked before a pin is touched."""
    with pytest.raises(configuration.ConfigError) as refused:
        load(f"sensors.{kind}").build(ESP32, given)
    assert str(refused.value) == message
