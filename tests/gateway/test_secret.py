"""Secrets: by environment or by file, for nobody else, and in nothing that is told."""

import logging
from pathlib import Path

import pytest

from gateway import secret as module
from gateway.config import Config, Influx, Mirror, Mqtt, load
from gateway.errors import ConfigError
from gateway.logs import JsonFormatter, TextFormatter
from gateway.notify.settings import Email, Ntfy, Topic, Webhook
from gateway.secret import FILE, redacted, secret_of
from gateway.web.child import environment

HEAD = 'sites = ["riverside"]\ndata_dir = "data"\n'
TABLES = (Mqtt, Influx, Mirror, Webhook, Email, Topic, Ntfy)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text("correct horse\n")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("table", TABLES)
def test_every_secret_may_come_from_a_file(table: type) -> None:
    """Whatever is added later, too."""
    names = {field for field in table.__struct_fields__ if field.endswith(("_env", FILE))}
    for name in {each.removesuffix("_env").removesuffix(FILE) for each in names}:
        assert {f"{name}_env", f"{name}{FILE}"} <= names


def test_a_file_is_read_without_its_last_newline_and_anew(file: Path) -> None:
    table = Mqtt(password_file=str(file))
    assert secret_of(table, "password") == "correct horse"
    file.write_text("two\n\n")
    assert secret_of(table, "password") == "two\n"
    file.write_text("windows\r\n")
    assert secret_of(table, "password") == "windows"


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o660, 0o602])
def test_a_file_that_others_may_read_is_refused(file: Path, mode: int) -> None:
    file.chmod(mode)
    group = file.stat().st_gid
    if group == 0 and mode & 0o007 == 0:
        pytest.skip("the group of root is no other")
    with pytest.raises(ConfigError, match=f"password_file: .* may be read by others: chmod 600 {file}"):
        secret_of(Mqtt(password_file=str(file)), "password")


@pytest.mark.parametrize("content", [b"", b"\n", b"a" * 70_000, b"a\0b", b"s3cret\xff"])
def test_a_file_without_a_secret_is_refused_and_not_shown(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(ConfigError, match="password_file: ") as raised:
        secret_of(Mqtt(password_file=str(file)), "password")
    assert "s3cret" not in str(raised.value)
    assert raised.value.__cause__ is None or "s3cret" not in repr(raised.value.__cause__)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[mqtt]\npassword_env = "A"\npassword_file = "b"\n', r"mqtt\.password_env, password_file: both are given"),
        ('[influx]\ntoken_file = "none"\n', r"influx\.token_file: .*/none cannot be read"),
        ('[[mirror]]\nname = "a"\ntoken_file = "none"\n', r"mirror\.a\.token_file: "),
        ('[influx]\nurl = "http://me:s3cret@db:8086"\n', r"influx\.url: name and password do not belong there"),
        ('[influx]\nurl = "s3cret@db"\n', r"influx\.url: 's3cret@db' is not http"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "ganglion.toml"
    path.write_text(HEAD + text)
    with pytest.raises(ConfigError, match=words):
        load(path, {"A": "x"})


def test_a_file_is_looked_for_beside_the_configuration(file: Path) -> None:
    path = file.with_name("ganglion.toml")
    path.write_text(HEAD + '[influx]\ntoken_file = "password"\n')
    assert secret_of(load(path, {}).influx, "token") == "correct horse"


def test_no_log_has_a_secret_nor_a_line_of_anybody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_given", set())
    monkeypatch.setenv("T", "user:hunter2hunter2")
    secret_of(Influx(token_env="T"), "token")
    said = "they say: Basic dXNlcjpodW50ZXIyaHVudGVyMg== hunter2hunter2\n<2>CRITICAL root: \x1b[2Jall is lost\x9b"
    try:
        raise ValueError(said)
    except ValueError as error:
        record = logging.LogRecord("a", logging.ERROR, "a.py", 1, said, (), (ValueError, error, error.__traceback__))
    for text in (TextFormatter("%(message)s").format(record), JsonFormatter().format(record)):
        assert "hunter2" not in text
        assert "dXNlc" not in text
        assert "[secret]" in text
        assert "\x1b" not in text
    record.exc_info = record.exc_text = None
    assert "\n" not in TextFormatter("%(message)s").format(record)
    assert redacted("short: user") == "short: user"


def test_pages_get_the_secrets_that_they_use_and_no_others() -> None:
    config = Config(
        ("riverside",),
        "data",
        mqtt=Mqtt(password_env="BROKER"),
        influx=Influx(token_env="DATABASE"),
        mirror=(Mirror(name="a", token_env="SPARE"),),
        notify=(Webhook(name="b", url="https://a.example", secret_env="HOOK", token_env="DATABASE"),),
    )
    environ = dict.fromkeys(("BROKER", "DATABASE", "SPARE", "HOOK", "PATH", "NOTIFY_SOCKET"), "x")
    assert set(environment(config, "console", environ)) == {"BROKER", "DATABASE", "PATH"}
    assert set(environment(config, "citizens", environ)) == {"DATABASE", "PATH"}
