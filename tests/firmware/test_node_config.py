"""The node's configuration: what is wrong is refused with the key named, on both interpreters alike."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.firmware.importer import load
from tests.micropython import run

configuration = load("node.config")
files = load("node.files")
ESP32 = load("boards.esp32_devkit")

GOOD: dict[str, Any] = {"kind": "water", "site": "riverside", "node": "water-1", "mqtt": {"host": "gateway.lan"}}

TLS = {"ca": "ca.der", "cert": "node.der", "key": "node.key"}

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
    *(({"window_s": s}, "window_s must be a whole number from 1 to 3600") for s in (0, 3601, 60.5, "60", None, True)),
    *(({"health_s": s}, "health_s must be a whole number from 1 to 86400") for s in (0, 86_401, True)),
    *(
        ({"outbox_kib": n}, "outbox_kib must be a whole number from 16 to 16384")
        for n in (15, 16_385, 64.0, "64", None)
    ),
    *(({"power_fail": value}, "power_fail must be true or false") for value in (1, 0, "yes", None, 23)),
    *(({"calibration": value}, "calibration. must be an object") for value in (None, [], 3)),
    *(({"battery": value}, "battery. must be an object") for value in (None, True, 86_400)),
    ({"battery": {"report": 1}}, "unknown key battery.report"),
    ({"battery": {"report_s": 3600}, "kind": "air"}, "battery: only a water meter can sleep"),
    *(
        ({"battery": {"window_s": s}}, "battery.window_s must be a whole number from 60 to 86400")
        for s in (0, 59, 86_401, 600.5, "600", None, True)
    ),
    *(
        ({"battery": {"window_s": 600, "report_s": s}}, "battery.report_s must be a whole number from 600 to 604800")
        for s in (599, 604_801, 900.5, "900", None)
    ),
    *(
        ({"battery": {"burst_l_h": flow}}, "battery.burst_l_h must be a number above 0, or null")
        for flow in (0, -1, 1_000_000, "900", True, [])
    ),
    *(({"mqtt": {"host": "x", "tls": value}}, "mqtt.tls. must be an object") for value in (True, "ca.der", [])),
    ({"mqtt": {"host": "x", "tls": TLS | {"ca_cert": "x"}}}, "unknown key mqtt.tls.ca_cert"),
    ({"mqtt": {"host": "x", "tls": {}}}, "mqtt.tls.ca must be the name of a file"),
    *(
        ({"mqtt": {"host": "x", "tls": TLS | {key: value}}}, f"mqtt.tls.{key} must be the name of a file")
        for key in (*TLS, "issuer")
        for value in (None, "", 7, True)
    ),
    *(
        (
            {"mqtt": {"host": "x", "tls": TLS | {"name": name}}},
            "mqtt.tls.name must be the name in the broker's certificate, or null: the host's",
        )
        for name in ("", 7, True)
    ),
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
from node import config, setup
good = {GOOD!r}
print(setup.board(config.check(good)).REED)
good["board"] = "esp99"
try:
    setup.board(config.check(good))
except config.ConfigError as error:
    print(error)
""",
        tmp_path,
    )
    assert printed == ["27", "board: no boards/ file is named esp99"]


def test_what_is_not_said_has_a_default() -> None:
    """Also inside of a table, and nothing is shared with the next configuration."""
    config = configuration.check(GOOD)
    assert (config["outbox_kib"], config["power_fail"], config["mqtt"]["tls"]) == (512, False, None)
    assert (config["calibration"], config["battery"]) == ({}, {})
    assert (config["window_s"], config["mqtt"]["port"], config["mqtt"]["host"]) == (60, 1883, "gateway.lan")
    assert (config["board"], config["wifi"], config["sensors"]) == ("esp32-devkit", {"ssid": None, "key": None}, {})
    config["mqtt"]["port"] = 1
    config["wifi"]["ssid"] = "x"
    config["sensors"]["lanes"] = 1
    again = configuration.check(GOOD)
    assert (again["mqtt"]["port"], again["wifi"]["ssid"], again["sensors"]) == (1883, None, {})


def test_what_a_battery_and_tls_do_not_say_has_a_default() -> None:
    """Only when there is one: an empty battery is none."""
    config = configuration.check(GOOD | {"battery": {"burst_l_h": 900.5}, "mqtt": {"host": "x", "tls": TLS}})
    assert config["battery"] == {"report_s": 86_400, "window_s": 3_600, "burst_l_h": 900.5}
    assert config["mqtt"]["tls"] == TLS | {
        "issuer": "issuer.der",
        "name": None,
        "renew_days": 30,
        "enrol": None,
    }
    assert configuration.check(GOOD | {"battery": {}, "kind": "air"})["battery"] == {}
    named = configuration.check(GOOD | {"mqtt": {"host": "x", "tls": TLS | {"name": "gateway"}}})
    assert named["mqtt"]["tls"]["name"] == "gateway"


def test_a_table_that_others_know_is_passed_on(tmp_path: Path) -> None:
    """Calibration, as it stands there; and what is checked once is good once more."""
    table = {"version": 3, "temperature": {"gain": 0.84, "offset": -1.5}}
    (tmp_path / "config.json").write_text(text({"calibration": table, "battery": {"window_s": 60}}))
    config = configuration.load(str(tmp_path / "config.json"))
    assert config["calibration"] == table
    assert configuration.check(config) == config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, None),
        ({"calibration": {"version": 1, "temperature": {"offset": -0.5}}, "battery": {"window_s": 600}}, None),
        ({"calibration": {"version": 1, "co2": {"offset": 5}}}, "calibration.co2: what can be calibrated is "),
        ({"calibration": {"co2": {"offset": 5}}}, "calibration.version must be a whole number from 0 to "),
        ({"sensors": {"litres": 1}}, "unknown key sensors.litres"),
        ({"board": "esp99"}, "board: no boards/ file is named esp99"),
        ({"board": "esp32-c3", "battery": {"window_s": 600}}, "battery: this board's chip does not wake by a meter"),
    ],
)
def test_what_a_node_could_not_begin_with(tmp_path: Path, changes: dict[str, Any], message: str | None) -> None:
    """The node's kind, its board and its configuration together, before a pin is touched."""
    (tmp_path / "config.json").write_text(text(changes))
    printed = run(
        """
from node import config, setup
from world import world
try:
    setup.check(config.load())
    print("good", len(world.pins))
except config.ConfigError as error:
    print(error)
""",
        tmp_path,
    )
    assert len(printed) == 1
    assert printed[0] == "good 0" if message is None else printed[0].startswith(message)


@pytest.mark.parametrize("content", [None, "{", "[]", "7", ""])
def test_a_wish_that_cannot_be_read_is_none(tmp_path: Path, content: str | None) -> None:
    """`read` is for what a node can do without."""
    path = tmp_path / "wanted.json"
    if content is not None:
        path.write_text(content)
    assert files.read(str(path)) == {}
    path.write_text('{"windows": 7}')
    assert files.read(str(path)) == {"windows": 7}, "unchecked"


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    """The board has no identity yet, which is another thing than a wrong one."""
    with pytest.raises(OSError, match=r"none\.json"):
        configuration.load(str(tmp_path / "none.json"))


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        ("traffic", {"detector": "camera"}, "sensors.detector must be loops or radar"),
        ("traffic", {"direction": "left"}, "sensors.direction must be one of receding, approaching, both"),
        ("traffic", {"forbidden": "both"}, "sensors.forbidden must be receding, approaching or null"),
        (
            "traffic",
            {"forbidden": "receding", "direction": "receding"},
            "sensors.forbidden: sensors.direction must be both",
        ),
        ("traffic", {"max_m": 101}, "sensors.max_m must be a whole number from 30 to 100"),
        ("traffic", {"max_m": 40, "line_m": 25}, "sensors.line_m must be a whole number from 10 to 20"),
        ("traffic", {"min_kmh": 0}, "sensors.min_kmh must be a whole number from 1 to 120"),
        *(
            ("traffic", {"lanes": n}, "sensors.lanes must be a whole number from 1 to 4")
            for n in (0, 5, "2", True, None)
        ),
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
            for n in (0, 2, "1", True, 1.0, None)
        ),
        ("water", {"litres": 1}, "unknown key sensors.litres"),
        *(
            ("water", {"reeds": n}, "sensors.reeds must be 1, or 2 for a meter that tells the direction")
            for n in (0, 3, "2", 1.0, True)
        ),
        *(("water", {key: 1}, f"sensors.{key} must be true or false") for key in ("temperature", "tamper")),
        ("air", {"lanes": 1}, "unknown key sensors.lanes"),
        ("air", {"particles": "sds011"}, "sensors.particles must be one of pms5003, sps30, or null"),
        *(("air", {key: None}, f"sensors.{key} must be true or false") for key in ("co2", "climate", "gas")),
        (
            "air",
            {"particles": None, "co2": False, "climate": False},
            "sensors: of particles, co2, climate and gas there must be one",
        ),
    ],
)
def test_a_wrong_sensor(kind: str, given: dict[str, Any], message: str) -> None:
    """Each kind knows its own keys, and is asked before a pin is touched: nothing can be built here."""
    sensor = load(f"sensors.{kind}")
    for refuse in (lambda: sensor.check(ESP32, given), lambda: sensor.build(ESP32, given, None)):
        with pytest.raises(configuration.ConfigError) as refused:
            refuse()
        assert str(refused.value) == message


@pytest.mark.parametrize("kind", configuration.KINDS)
def test_a_sensor_without_settings(kind: str) -> None:
    """All it knows has a default, and what is complete is good once more."""
    sensor = load(f"sensors.{kind}")
    settings = sensor.check(ESP32, {})
    assert settings == sensor.DEFAULTS
    assert sensor.check(ESP32, settings) == settings


def test_a_board_without_the_pins() -> None:
    """What a sensor needs and the board has not is named too."""

    class Bare:
        LOOPS = ESP32.LOOPS[:1]
        REED = 27

    for kind, given, message in (
        ("traffic", {"detector": "radar"}, "sensors.detector: this board has no pins for a radar"),
        ("traffic", {"lanes": 2}, "sensors.lanes must be a whole number from 1 to 1"),
        ("water", {"temperature": True}, "sensors.temperature: this board has no pin for it"),
        ("water", {"tamper": True}, "sensors.tamper: this board has no pin for it"),
        ("water", {"reeds": 2}, "sensors.reeds: this board has no pin for the second"),
    ):
        with pytest.raises(configuration.ConfigError) as refused:
            load(f"sensors.{kind}").check(Bare, given)
        assert str(refused.value) == message
        assert load(f"sensors.{kind}").check(ESP32, given)
