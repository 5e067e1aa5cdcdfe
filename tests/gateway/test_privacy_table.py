"""The table of what is kept is whole, and is what the program prints. That docs/privacy.md is made of it: test_docs."""

import json
import re

from typer.testing import CliRunner

from gateway.cli.main import make_app
from gateway.privacy.table import KEPT, MEASURED, SEEN
from gateway.quantities import KINDS
from tests.test_docs import DOCS

OF_FILE = {
    "journal.sqlite3": "journal: packs",
    "audit/": "audit log",
    "notify.sqlite3": "outbox of messages",
    "users.sqlite3": "console users",
    "citizens.sqlite3": "citizens' subscriptions",
    "sums.sqlite3": "sums of homes",
}
NOT_OF_PEOPLE = {"journal.lock", "control.token", "home-assistant", "identities.sqlite3", "updates/", "vapid.pem"}


def test_every_file_of_the_gateway_has_its_place() -> None:
    """Those that docs/operating.md lists, which a newer one is added to."""
    text = (DOCS / "operating.md").read_text()
    section = re.search(r"(\| `journal\.sqlite3`.*?)\n\n", text, re.DOTALL)
    assert section is not None
    firsts = re.findall(r"^\| (.*?) \|", section[1], re.MULTILINE)
    cells = [name for first in firsts for name in re.findall(r"`(.*?)`", first)]
    files = {name for name in cells if re.fullmatch(r"[a-z-]+(\.[a-z0-9]+|/)", name)}
    assert {"journal.sqlite3", "users.sqlite3", "sums.sqlite3"} <= files
    assert files - OF_FILE.keys() - NOT_OF_PEOPLE == set()
    assert set(OF_FILE.values()) <= {each.where for each in KEPT}


def test_nothing_of_people_is_kept_without_an_end() -> None:
    for each in KEPT:
        assert all((each.what, each.why, each.how_long, each.then, each.who)), each.where
        assert not each.personal or re.search(r"\d|until|as (long|that)", each.how_long), each.where
    assert all(any(each.what.startswith(kind) for each in MEASURED) for kind in KINDS)
    assert {each.by for each in SEEN} >= {"operators", "authorities", "citizens", "Home Assistant", "other systems"}


def test_the_program_prints_it() -> None:
    program = CliRunner()
    told = program.invoke(make_app(), ["privacy", "show"])
    assert told.exit_code == 0
    assert all(each.where in told.stdout for each in KEPT)
    rows = [json.loads(line) for line in program.invoke(make_app(), ["privacy", "show", "--json"]).stdout.splitlines()]
    assert {row["table"] for row in rows} == {"measured", "kept", "seen"}
    assert len(rows) == len(MEASURED) + len(KEPT) + len(SEEN)
