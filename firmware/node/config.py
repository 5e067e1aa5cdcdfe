# The node's configuration: config.json, checked once, before anything is switched on. In memory only meanwhile: what
# stays there has ConfigError from node/files.py.

from node import files
from node.checks import ANYTHING, merge, whole
from node.files import ConfigError

DEFAULTS = {
    "board": "esp32-devkit",
    "kind": None,
    "site": None,
    "node": None,
    "window_s": 60,
    "health_s": 600,
    "wifi": {"ssid": None, "key": None},
    "mqtt": {"host": None, "port": 1883, "user": None, "password": None, "keepalive_s": 60, "tls": None},
    "ntp": None,
    "sensors": ANYTHING,
    "calibration": ANYTHING,
    "outbox_kib": 512,
    "power_fail": False,
    "battery": ANYTHING,
}

_BATTERY = {"report_s": 86_400, "window_s": 3_600, "burst_l_h": None}
_TLS = {"ca": None, "cert": None, "key": None, "issuer": "issuer.der", "name": None, "renew_days": 30, "enrol": None}
_MQTT_TEXTS = ("host", "user", "password")
KINDS = ("traffic", "water", "air")
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


def load(path=files.CONFIG):
    """Read and check a configuration. Raises OSError when there is none, ConfigError when it cannot be used."""
    return check(files.load(path))


def check(given):
    """A complete configuration: what is given, the rest from DEFAULTS. Raises ConfigError naming the key."""
    config = merge(DEFAULTS, given, "")
    if config["kind"] not in KINDS:
        raise ConfigError("kind must be one of " + ", ".join(KINDS))
    for key in ("site", "node"):
        if not _is_name(config[key]):
            raise ConfigError("%s must be 1 to 32 of a-z, 0-9 and -, and not begin with -" % key)
    if not config["mqtt"]["host"]:
        raise ConfigError("mqtt.host is missing")
    for table, keys in ((config, ("board", "ntp")), (config["wifi"], ("ssid", "key")), (config["mqtt"], _MQTT_TEXTS)):
        for key in keys:
            if table[key] is not None and not isinstance(table[key], str):
                raise ConfigError("%s must be a text" % key)
    if config["mqtt"]["password"] is not None and config["mqtt"]["user"] is None:
        raise ConfigError("mqtt.password needs mqtt.user")
    if config["mqtt"]["tls"] is not None:
        config["mqtt"]["tls"] = _tls(config["mqtt"]["tls"])
    whole("mqtt.port", config["mqtt"]["port"], 1, 65_535)
    whole("mqtt.keepalive_s", config["mqtt"]["keepalive_s"], 1, 65_535)
    whole("window_s", config["window_s"], 1, 3600)
    whole("health_s", config["health_s"], 1, 86_400)
    whole("outbox_kib", config["outbox_kib"], 16, 16_384)
    if not isinstance(config["power_fail"], bool):
        raise ConfigError("power_fail must be true or false")
    if config["battery"]:
        config["battery"] = _battery(config["battery"], config["kind"])
    return config


def _battery(given, kind):
    battery = merge(_BATTERY, given, "battery.")
    if kind != "water":
        raise ConfigError("battery: only a water meter can sleep")
    whole("battery.window_s", battery["window_s"], 60, 86_400)
    whole("battery.report_s", battery["report_s"], battery["window_s"], 604_800)
    burst = battery["burst_l_h"]
    if burst is not None and (isinstance(burst, bool) or not isinstance(burst, (int, float)) or not 0 < burst < 1e6):
        raise ConfigError("battery.burst_l_h must be a number above 0, or null")
    return battery


def _tls(given):
    tls = merge(_TLS, given, "mqtt.tls.")
    for key in ("ca", "cert", "key", "issuer"):
        if not tls[key] or not isinstance(tls[key], str):
            raise ConfigError("mqtt.tls.%s must be the name of a file" % key)
    if tls["name"] is not None and (not tls["name"] or not isinstance(tls["name"], str)):
        raise ConfigError("mqtt.tls.name must be the name in the broker's certificate, or null: the host's")
    whole("mqtt.tls.renew_days", tls["renew_days"], 1, 3650)
    if tls["enrol"] is not None:
        enrol = tls["enrol"] = merge({"url": None, "token": None}, tls["enrol"], "mqtt.tls.enrol.")
        url = enrol["url"]
        if not isinstance(url, str) or url[:8] != "https://" or "@" in url or "/" in url[8:].rstrip("/"):
            raise ConfigError("mqtt.tls.enrol.url must be https://HOST:PORT")
        if not enrol["token"] or not isinstance(enrol["token"], str):
            raise ConfigError("mqtt.tls.enrol.token must be a text")
    return tls


def _is_name(text):
    if not isinstance(text, str) or not 1 <= len(text) <= 32 or text[0] == "-":
        return False
    return all(c in _LETTERS or c == "-" for c in text)
