"""The configuration: what is right is taken, what is wrong is refused with the key named."""

import errno
from pathlib import Path

import pytest

from gateway.config import Http, load
from gateway.errors import ConfigError
from gateway.notify.settings import Email, Ntfy, Topic
from gateway.secret import secret

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


NTFY = GOOD + '[[notify]]\nname = "duty"\nvia = "ntfy"\ntopic = "t"\n'
MAIL = GOOD + '[[notify]]\nname = "mail"\nvia = "email"\nto = ["duty@city.example"]\nfrom = "g@city.example"\n'
TOPIC = GOOD + '[[notify]]\nname = "board"\nvia = "mqtt"\ntopic = "city/news"\n'


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
        (NTFY + 'qiet = "22:00-06:00"\n', r"notify\.qiet: there is no such key; the nearest is notify\.quiet"),
        (NTFY.replace("ntfy", "mail"), r"notify\.via: there is no 'mail'; the nearest is email"),
        (NTFY.replace("via", "vai"), r"notify\[0\]\.via: is missing"),
        (NTFY.replace("duty", "Duty"), r"notify\[0\]\.name: is no name"),
        (NTFY + NTFY.removeprefix(GOOD), r"notify\.name: 'duty' is there twice"),
        (NTFY + 'kinds = ["brust"]\n', r"notify\.duty\.kinds: there is no 'brust'; the nearest is burst"),
        (NTFY + 'sites = ["riverdale"]\n', r"notify\.duty\.sites: there is no 'riverdale'; the nearest is riverside"),
        (NTFY + 'severity = "bad"\n', r"notify\[0\]\.severity: Invalid enum value 'bad'"),
        (NTFY + 'hours = "7-19"\n', r"notify\.duty\.hours: '7-19' is not like \"07:00-19:00\""),
        (NTFY + 'digest = "25:00"\n', r"notify\.duty\.digest: '25:00' is not like \"07:30\" or \"15m\""),
        (NTFY + 'hours = "23:00-05:00"\nquiet = "22:00-06:00"\n', r"notify\.duty\.quiet: all of 23:00-05:00 is quiet"),
        (NTFY + "updates = []\n", r"notify\.duty\.updates: is empty"),
        (NTFY + 'token_env = "OTHER"\n', r"notify\.duty\.token_env: the environment variable OTHER is not set"),
        (NTFY + 'url = "ntfy"\n', r"notify\.duty\.url: 'ntfy' is not http"),
        (
            NTFY + 'url = "https://me:secret@ntfy"\n',
            r"notify\.duty\.url: name and password before the host are not sent",
        ),
        (MAIL.replace("duty@", "duty"), r"notify\.mail: 'dutycity\.example' is no address"),
        (MAIL + 'username = "u"\nsecurity = "none"\n', r"notify\.mail\.security: a password is not sent in the clear"),
        (MAIL + 'sender = "x"\n', r"notify\.sender: there is no such key"),
        (TOPIC.replace("city/", "city/#"), r"notify\.board\.topic: 'city/#news' is no topic to publish on"),
        (TOPIC + 'username = "u"\n', r"notify\.board\.host: is missing"),
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


def test_who_is_told(tmp_path: Path) -> None:
    """Each by its own way; files are relative to the configuration."""
    text = NTFY + MAIL.removeprefix(GOOD) + 'ca = "mail.pem"\n' + TOPIC.removeprefix(GOOD)
    duty, mail, board = load(write(tmp_path, text), {"PASSWORD": "x"}).notify
    assert duty == Ntfy(name="duty", topic="t")
    assert mail == Email(name="mail", to=("duty@city.example",), sender="g@city.example", ca=str(tmp_path / "mail.pem"))
    assert board == Topic(name="board", topic="city/news")


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
