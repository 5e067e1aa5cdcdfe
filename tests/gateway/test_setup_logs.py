"""The gateway's log, from the real process: JSON, text, and what systemd's journal gets."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

SECONDS = 60


def run(folder: Path, *options: str, config: str = "sitez = 3", journald: bool = False) -> tuple[int, list[str]]:
    """(exit code, lines on standard error) of a gateway whose configuration is wrong."""
    file = folder / "ganglion.toml"
    file.write_text(config)
    command = [sys.executable, "-m", "gateway.cli.main", "gateway", "--config", str(file), *options]
    ours, theirs = socket.socketpair()  # a stream socket, as the journal's is
    with ours, theirs:
        status = os.fstat(theirs.fileno())
        stream = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"} if journald else {}
        code = subprocess.run(command, stderr=theirs, env=os.environ | stream, timeout=SECONDS, check=False).returncode
        theirs.close()
        said = b"".join(iter(lambda: ours.recv(65536), b""))
    return code, said.decode().splitlines()


def test_json_is_one_object_a_line(tmp_path: Path) -> None:
    """Also for what ends it."""
    code, (line,) = run(tmp_path, "--log", "json")
    entry = json.loads(line)
    assert code == 1
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", entry.pop("time"))
    assert "sitez: there is no such key" in entry.pop("message")
    assert entry == {"level": "critical", "logger": "gateway"}


def test_text_is_a_sentence(tmp_path: Path) -> None:
    code, (line,) = run(tmp_path)
    assert (code, line.startswith("ganglion: ")) == (1, True)


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_journal_gets_priorities(tmp_path: Path, form: str) -> None:
    """Syslog's 2 is critical; the time is the journal's."""
    code, (line,) = run(tmp_path, "--log", form, journald=True)
    mark, rest = line[:3], line[3:]
    assert (code, mark) == (1, "<2>")
    if form == "json":
        assert json.loads(rest)["level"] == "critical"
    else:
        assert rest.startswith("CRITICAL gateway: ")


PROGRAM = """
import logging, os, sys, warnings
from gateway.logs import set_up
if sys.argv[2] == "journald":
    status = os.fstat(2)
    os.environ["JOURNAL_STREAM"] = f"{status.st_dev}:{status.st_ino}"
set_up(sys.argv[1], logging.INFO)
logging.getLogger("a.b").info("two\\nlines %s", "é")
logging.getLogger("a.b").debug("not asked for")
warnings.warn("old ways")
raise LookupError("a surprise")
"""


def surprise(form: str, where: str) -> list[str]:
    """What a program says that ends by an error nobody thought of."""
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", PROGRAM, form, where],
        capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    return done.stderr.splitlines()


def test_a_surprise_is_an_object_too() -> None:
    """With its exception; so is a warning of Python's."""
    first, warning, last = map(json.loads, surprise("json", "nowhere"))
    assert (first["level"], first["logger"], first["message"]) == ("info", "a.b", "two\nlines é")
    assert (warning["level"], warning["logger"], "old ways" in warning["message"]) == ("warning", "py.warnings", True)
    assert (last["level"], last["exception"].endswith("LookupError: a surprise")) == ("critical", True)


def test_every_line_of_an_exception_has_its_priority() -> None:
    """The journal takes each line for an entry of its own."""
    lines = surprise("text", "journald")
    assert lines[0] == "<6>INFO a.b: two\\nlines é", "what others say begins no line of its own"
    critical = [line for line in lines if line.startswith("<2>")]
    assert critical[0] == "<2>CRITICAL gateway: ended by an error of its own"
    assert critical[-1] == "<2>LookupError: a surprise"
    assert all(re.match(r"<[246]>", line) for line in lines)
