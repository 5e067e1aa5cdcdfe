"""`ganglion doctor` on what works and is weak."""

from pathlib import Path

import pytest

from gateway.doctor import weak
from gateway.doctor.context import Context

HEAD = 'sites = ["riverside"]\ndata_dir = "data"\n'
HOOK = '[[notify]]\nname = "duty"\nvia = "webhook"\n'


def _context(folder: Path, text: str) -> Context:
    (folder / "ganglion.toml").write_text(HEAD + text)
    return Context(folder / "ganglion.toml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[http]\nlisten = "0.0.0.0:8080"\n', "http.listen 0.0.0.0:8080 is reached by others in plain text"),
        ('[console]\nlisten = "192.0.2.7:8090"\n', "console.listen 192.0.2.7:8090 is reached"),
        ('[citizens]\nlisten = "[::]:8091"\n', "citizens.listen"),
        ('[mqtt]\nhost = "broker.example"\n', "without a login, to broker.example in plain text"),
        (
            '[mqtt]\nhost = "10.0.0.2"\nusername = "gw"\npassword_env = "P"\n',
            "the password and all packs go to 10.",
        ),
        ('[influx]\nurl = "http://db.example:8086"\ntoken_env = "T"\n', "in plain text, its token too"),
        ('[influx]\nurl = "https://db.example:8086"\n', "asked without a token"),
        ('[[mirror]]\nname = "spare"\nurl = "https://db.example"\n', "mirror.spare.url https://db.example is asked"),
        (HOOK + 'url = "http://hook.example/x"\nsecret_env = "S"\n', "http://hook.example is in plain text"),
        (HOOK + 'url = "https://hook.example/x?access_token=s3cret"\nsecret_env = "S"\n', "a secret in its address"),
        (HOOK + 'url = "https://hook.example/x"\n', "cannot tell our messages from anybody's"),
        (
            '[[notify]]\nname = "m"\nvia = "email"\nto = ["a@b.c"]\nfrom = "d@e.f"\n'
            'host = "m.example"\nsecurity = "none"\n',
            "mails go to m.example in plain text",
        ),
        (
            '[[notify]]\nname = "t"\nvia = "mqtt"\ntopic = "a"\nhost = "m.example"\n',
            "messages go to m.example in plain text",
        ),
    ],
)
def test_a_weak_way_is_told(tmp_path: Path, text: str, words: str) -> None:
    said = list(weak.way(_context(tmp_path, text)))
    assert [each.level for each in said] == ["warning"], said
    assert words in said[0].seen
    assert said[0].cure
    assert "s3cret" not in str(said)


@pytest.mark.parametrize(
    "text",
    [
        "",
        '[http]\nlisten = "[::1]:8080"\n[console]\nlisten = "0.0.0.0:8090"\nplain = true\n',
        '[console]\nlisten = "0.0.0.0:8090"\ncert = "c.pem"\nkey = "k.pem"\n',
        '[mqtt]\nhost = "broker.example"\nca = "ca.pem"\n[influx]\nurl = "https://db.example"\ntoken_env = "T"\n',
        HOOK + 'url = "https://hook.example/x?zone=market"\ntoken_env = "T"\n',
    ],
)
def test_what_is_not_weak_is_not_told(tmp_path: Path, text: str) -> None:
    assert [each.level for each in weak.way(_context(tmp_path, text))] == ["ok"]


def test_files_that_others_may_read_are_told(tmp_path: Path) -> None:
    key, data = tmp_path / "key.pem", tmp_path / "data"
    data.mkdir(mode=0o700)
    key.write_text("")
    key.chmod(0o600)
    context = _context(tmp_path, '[console]\ncert = "c.pem"\nkey = "key.pem"\n[mqtt]\nca = "ca.pem"\n')
    assert [each.level for each in weak.files(context)] == ["ok"]
    for path in (key, data / "users.sqlite3", tmp_path / "secrets"):
        path.touch()
        path.chmod(0o644)
        (said,) = weak.files(context)
        assert (said.level, str(path) in said.seen) == ("warning", True)
        path.chmod(0o600)
    data.chmod(0o755)
    assert str(data) in next(iter(weak.files(context))).seen
    data.chmod(0o700)
    (tmp_path / "ca.key").touch(0o600)
    assert "authority's key" in list(weak.files(context))[1].seen


def test_short_secrets_are_told_but_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = _context(tmp_path, '[mqtt]\npassword_env = "P"\n[influx]\ntoken_env = "T"\n')
    monkeypatch.setenv("P", "pumpkin")
    monkeypatch.setenv("T", "user:a long password of some words")
    (said,) = weak.secrets(context)
    assert "mqtt.password" in said.seen
    assert "influx" not in said.seen
    assert "pumpkin" not in str(said)
    monkeypatch.delenv("P")
    assert [each.level for each in weak.secrets(context)] == ["ok"]
