"""The configuration: what is right is taken, what is wrong is refused with the key named."""

import errno
from pathlib import Path

import pytest

from gateway.config import Http, load, secret
from gateway.errors import ConfigError

GOOD = """
sites = ["riverside", "hill-2"]
data_dir = "data"
[mqtt]
host = "broker"
port = 8883
ca = "ca.pem"
username = "gateway"
password_env = "PASSWORD"
[influx]
url = "https://db:8086"
api = "v1"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "ganglion.toml"
    path.write_text(text)
    return path


def test_a_good_file(tmp_path: Path) -> None:
    """Paths are relative to the file; what is not said has a default."""
    config = load(write(tmp_path, GOOD), {"PASSWORD": "x"})
    assert config.sites == ("riverside", "hill-2")
    assert config.data_dir == str(tmp_path / "data")
    assert config.mqtt.ca == str(tmp_path / "ca.pem")
    assert (config.mqtt.cert, config.mqtt.port, config.influx.api) == ("", 8883, "v1")
    assert config.http.address == ("127.0.0.1", 8080)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('site = ["a"]', r"ganglion\.toml: site: there is no such key; the nearest is sites"),
        (GOOD + "[influx.x]\n", r"influx\.x: there is no such key; the nearest is influx\.\w+"),
        (GOOD.replace("port", "prot"), r"mqtt\.prot: there is no such key; the nearest is mqtt\.port"),
        (GOOD.replace("8883", '"8883"'), r"mqtt\.port: Expected `int`, got `str`"),
        (GOOD.replace("8883", "0"), r"mqtt\.port: Expected `int` >= 1"),
        (GOOD.replace('"v1"', '"v9"'), r"influx\.api: Invalid enum value 'v9'"),
        (GOOD.replace("hill-2", "Hill 2"), r"sites\[1\]: is no name: that is 1 to 32 of a-z, 0-9 and -"),
        ('data_dir = "x"', r"ganglion\.toml: sites: is missing"),
        ('sites = []\ndata_dir = "x"', r"sites: Expected `array` of length >= 1"),
        ('sites = ["a"]\ndata_dir = ""', r"data_dir: is empty"),
        ('sites = ["a"]\ndata_dir = "x"\nmqtt = 3', r"mqtt: Expected `object`, got `int`"),
        (GOOD + '[[mirror]]\nurl = "http://x"\n', r"mirror\[0\]\.name: is missing"),
        (GOOD + '[[notify]]\nkind = "mail"\n', r"notify: not available in this version"),
        (GOOD.replace('ca = "ca.pem"', 'cert = "c"\nkey = "k"'), r"mqtt\.ca: is missing"),
        (GOOD.replace('ca = "ca.pem"', 'ca = "c"\nkey = "k"'), r"one needs the other"),
        (GOOD.replace("https://db", "db"), r"influx\.url: 'db:8086' is not http"),
        (GOOD.replace("PASSWORD", "OTHER"), r"mqtt\.password_env: the environment variable OTHER is not set"),
        (GOOD + '[http]\nlisten = "8080"\n', r"http\.listen: is no address and port, such as"),
        ("sites = [", r"ganglion\.toml is not TOML"),
    ],
)
def test_a_wrong_file(tmp_path: Path, text: str, message: str) -> None:
    """File, key, and what is wrong with it."""
    with pytest.raises(ConfigError, match=message):
        load(write(tmp_path, text), {"PASSWORD": "x"})


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        ("0.0.0.0:81", "http://127.0.0.1:81"),
        ("[::]:81", "http://[::1]:81"),
        ("[::1]:81", "http://[::1]:81"),
        ("cabinet:81", "http://cabinet:81"),
    ],
)
def test_where_this_machine_reaches_the_gateway(listen: str, url: str) -> None:
    assert Http(listen).url == url


def test_a_file_that_is_not_for_everybody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the package installs it: another file would be no cure."""

    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)  # who runs the tests may be root, who may read all
    with pytest.raises(ConfigError, match=r"cannot be read: Permission denied; run this as the gateway's user"):
        load(tmp_path / "ganglion.toml")


def test_a_missing_file(tmp_path: Path) -> None:
    """Said with its name."""
    with pytest.raises(ConfigError, match=r"none\.toml cannot be read: No such file"):
        load(tmp_path / "none.toml")


def test_looking_needs_no_secrets(tmp_path: Path) -> None:
    """The journal can be looked into without the gateway's passwords."""
    assert load(write(tmp_path, GOOD), None).sites


def test_secret() -> None:
    """Empty where none is configured, else what the environment says."""
    assert secret("", {}) == ""
    assert secret("A", {"A": "b"}) == "b"
