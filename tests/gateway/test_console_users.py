"""Who may act: accounts, passwords, sessions."""

import sqlite3
import stat
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.web.users import FILE_NAME, MOST_SESSIONS, SESSION_SECONDS, Users
from tests.gateway.commandline import CommandLine, sentence

PASSWORD = "correct horse battery"


@pytest.fixture
def users(tmp_path: Path) -> Users:
    users = Users(tmp_path)
    users.add("ada", PASSWORD, 0.0)
    return users


def test_a_session_begins_with_the_password_and_ends_by_itself(users: Users) -> None:
    assert users.log_in("ada", "correct horse batterx", 0.0) is None
    assert users.log_in("bob", PASSWORD, 0.0) is None
    token = users.log_in("ada", PASSWORD, 0.0)
    assert token is not None
    assert users.who(token, SESSION_SECONDS - 1) == "ada"
    assert users.who(token, SESSION_SECONDS) is None
    assert users.who(token[:-1], 1) is None
    assert users.who("", 1) is None


@pytest.mark.parametrize("end", ["log_out", "change", "remove"])
def test_a_session_can_be_ended(users: Users, end: str) -> None:
    token = users.log_in("ada", PASSWORD, 0.0)
    assert token is not None
    {
        "log_out": lambda: users.log_out(token),
        "change": lambda: users.change("ada", "another long password"),
        "remove": lambda: users.remove("ada"),
    }[end]()
    assert users.who(token, 1.0) is None


def test_whoever_reads_the_file_cannot_act(users: Users, tmp_path: Path) -> None:
    """Neither password nor token stand in it, and it is its owner's alone."""
    token = users.log_in("ada", PASSWORD, 0.0)
    assert token is not None
    path = tmp_path / FILE_NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert PASSWORD.encode() not in path.read_bytes()
    assert token.encode() not in path.read_bytes()
    with sqlite3.connect(path) as db:
        (hashed,) = db.execute("SELECT hash FROM users").fetchone()
    db.close()
    assert hashed.startswith("$argon2id$")


def test_sessions_are_bounded(users: Users, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE_NAME) as db:
        db.executemany("INSERT INTO sessions VALUES (?, 'ada', ?)", [(b"%d" % n, 10.0 + n) for n in range(2000)])
    db.close()
    token = users.log_in("ada", PASSWORD, 5.0)
    assert token is not None
    assert users.who(token, 6.0) == "ada"
    with sqlite3.connect(tmp_path / FILE_NAME) as db:
        assert db.execute("SELECT count(*) FROM sessions").fetchone() == (MOST_SESSIONS,)
    db.close()


@pytest.mark.parametrize("name", ["", "a b", "-ada", "a" * 65, "ada\n"])
def test_a_name_that_cannot_be_one_is_refused(users: Users, name: str) -> None:
    with pytest.raises(ConfigError, match="no user's name"):
        users.add(name, PASSWORD, 0.0)


def test_mistakes_are_named(users: Users) -> None:
    with pytest.raises(ConfigError, match="12 to 200 characters, this one has 5"):
        users.add("bob", "short", 0.0)
    with pytest.raises(ConfigError, match="there is a user ada already"):
        users.add("ada", PASSWORD, 0.0)
    with pytest.raises(ConfigError, match="no user adda; the nearest is ada"):
        users.remove("adda")


def test_the_command(tmp_path: Path) -> None:
    """Adds, lists, changes and removes; a password comes from the environment or from standard input."""
    ganglion = CommandLine(tmp_path, 1)
    assert "start the gateway once" in sentence(ganglion.invoke("users", "add", "ada"))
    (tmp_path / "data").mkdir()
    assert "no user yet" in ganglion.invoke("users").stdout
    answer = ganglion.invoke("users", "add", "ada", "--password-env", "SECRET", SECRET=PASSWORD)
    assert answer.exit_code == 0, answer.output
    assert "ada" in ganglion.invoke("users").stdout
    assert ganglion.invoke("users", "password", "ada", typed="another long password\n").exit_code == 0
    users = Users(tmp_path / "data")
    assert users.log_in("ada", PASSWORD, 0.0) is None
    assert users.log_in("ada", "another long password", 0.0)
    assert ganglion.invoke("users", "remove", "ada").exit_code == 0
    assert users.all() == []
