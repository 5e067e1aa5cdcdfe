"""Attacks by words: of those who ask, and of a node that says what is more than words elsewhere."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import urllib3
from lxml import etree
from playwright.sync_api import Browser

from gateway.forward.lines import incident_lines
from gateway.records import Incident
from sim_hardware.servers import wait_until
from tests.gateway.conftest import SENT
from tests.system.attacked import DATABASE, HOSTILE, MARK, City
from tests.system.gateway_process import SECONDS

WORDS = (
    'pm2_5"; DROP DATABASE attacked; --',
    "pm2_5' OR '1'='1",
    "x') OR time > 0; DROP MEASUREMENT air",
    "pm2_5\\",
    'a"."b',
    "/.*/",
    "pm2_5 FROM air; DROP SERIES FROM air --",
    "\n; DROP DATABASE attacked",
    "*",
)
STATEMENTS = (
    "DROP DATABASE attacked",
    "SELECT * FROM air; DROP DATABASE attacked",
    "/**/DROP DATABASE attacked",
    "-- a\nDROP DATABASE attacked",
    "SELECT * INTO stolen FROM air",
    "SELECT * /**/INTO/**/ stolen FROM air",
    "SELECT 1 FROM air;\tdrop measurement air",
    "CREATE USER evil WITH PASSWORD 'x' WITH ALL PRIVILEGES",
    "EXPLAIN SELECT * FROM air; DELETE FROM air",
    "SELECT ';' FROM air;DROP SERIES FROM air",
    "SHOW DATABASES;GRANT ALL TO a",
    "SELECT * FROM air WHERE node = ''';DROP DATABASE attacked;--'",
    "KILL QUERY 1",
    "ALTER RETENTION POLICY autogen ON attacked DURATION 1h",
)


ALL = {"quantity": "pm2_5", "from": str(SENT - 3600), "to": str(SENT + 3600)}
"""A good question: everything."""


def _attempts() -> Iterator[Mapping[str, str]]:
    for field in ("quantity", "site", "node", "channel", "kind", "last", "from", "every"):
        for words in WORDS:
            yield ALL | {field: words}
    for said in STATEMENTS:
        yield {"influxql": said}


def _asked(attacked: City, statement: str) -> Any:
    with urllib3.PoolManager() as pool:
        fields = {"db": DATABASE, "q": statement}
        return pool.request("GET", f"{attacked.influx.url}/query", fields=fields).json()["results"][0].get("series", [])


def test_no_question_changes_the_database_or_widens(attacked: City) -> None:
    looks = ("SELECT count(*) FROM air", "SHOW RETENTION POLICIES", "SHOW USERS", "SHOW MEASUREMENTS")
    before = [_asked(attacked, each) for each in looks]
    url, headers = f"{attacked.console}/api/v1/query", {"Cookie": attacked.cookie}
    assert len(attacked.pool.request("GET", url, fields=ALL, headers=headers).json()["rows"]) == 1
    for each in _attempts():
        answer = attacked.pool.request("GET", url, fields=dict(each), headers=headers)
        assert answer.status in (200, 400, 404), (each, answer.data)
        if answer.status == 200 and "influxql" not in each:
            assert answer.json()["rows"] == [], each
    for arguments in (("pm2_5", "--node", WORDS[1]), ("--influxql", STATEMENTS[2])):
        assert attacked.gateway.cli("query", *arguments).returncode == 1, arguments
    assert before == [_asked(attacked, each) for each in looks]
    assert before[0], "there is something to lose"


def test_what_nodes_say_makes_no_lines_of_its_own(attacked: City) -> None:
    """No series, tag or field but those of the packs that were taken; the others are kept as they came."""
    (measured,) = _asked(attacked, "SHOW MEASUREMENTS")
    assert {row[0] for row in measured["values"]} <= {"air", "audit", "health", "incident"}
    (series,) = _asked(attacked, "SHOW SERIES FROM air")
    assert all(re.fullmatch(r"air(,[a-z]+=[a-z0-9-]+)+", row[0]) for row in series["values"]), series
    assert attacked.gateway.ledger().balanced


def test_what_nodes_say_runs_in_no_page(attacked: City, browser: Browser) -> None:
    wait_until(lambda: b"air-0007" in attacked.ask("/nodes").data, SECONDS, "the node in the console")
    context = browser.new_context(base_url=attacked.console, ignore_https_errors=True)
    name, _, value = attacked.cookie.partition("=")
    context.add_cookies([{"name": name, "value": value, "url": attacked.console}])
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    for path in ("/nodes", "/nodes/riverside/air-0007", "/letters", "/"):
        assert MARK.encode() not in attacked.ask(path).data
        page.goto(path)
        page.wait_for_selector("#content")
        assert page.evaluate("window.hacked") is None, path
    context.close()
    assert errors == []
    said = attacked.ask("/api/v1/nodes")
    assert said.headers["content-type"] == "application/json"


def test_what_nodes_say_steers_no_terminal_and_no_log(attacked: City) -> None:
    for command in ("nodes", "dead-letters"):
        said = attacked.gateway.cli(command)
        assert all(each.isprintable() for line in said.stdout.split("\n") for each in line), command
        assert not re.search(r"^<2>forged", said.stdout + said.stderr, re.MULTILINE)
    log = attacked.gateway.log
    assert all(each.isprintable() for line in log.split("\n") for each in line.expandtabs())
    assert "\n<2>forged" not in log
    assert "Traceback" not in log


def test_feeds_are_xml_whatever_is_announced(attacked: City) -> None:
    words = f"{MARK} &]]> <!ENTITY x> \"'"
    added = attacked.gateway.cli("notice", "add", "--area", "riverside", "--to", "2099-01-01T00:00", words)
    assert added.returncode == 0, added.stderr
    wait_until(
        lambda: b"window.hacked" in attacked.pool.request("GET", f"{attacked.citizens}/").data, SECONDS, "the notice"
    )
    feed = attacked.pool.request("GET", f"{attacked.citizens}/feed.atom", headers={"Host": "evil.example"}).data
    tree = etree.fromstring(feed, etree.XMLParser(resolve_entities=False))
    assert words in "".join(tree.itertext())
    assert not tree.findall(".//{*}script")
    assert b"evil.example" not in feed
    assert MARK.encode() not in attacked.pool.request("GET", f"{attacked.citizens}/").data
    links = [each.get("href") for each in tree.iter("{*}link") if (each.get("href") or "").endswith(".xml")]
    document = etree.fromstring(attacked.pool.request("GET", links[0]).data)
    assert words in "".join(document.itertext())


def test_the_words_of_an_incident_are_words_in_the_database(attacked: City) -> None:
    """Line breaks, quotes and whole lines in its story are in the story, and nowhere else."""
    summary = f'a"\\" evil,x=y z=1 1\nevil,node=b v=1 2\r\n{HOSTILE}\\'
    told = Incident("burst.1", "burst", "riverside", "air-0007", "", "info", SENT, None, summary)
    body = b"\n".join(incident_lines(told))
    with urllib3.PoolManager() as pool:
        answer = pool.request("POST", f"{attacked.influx.url}/write?db={DATABASE}&precision=s", body=body)
    assert answer.status == 204, answer.data
    (found,) = _asked(attacked, "SELECT summary FROM incident WHERE node = 'air-0007'")
    assert [row[1] for row in found["values"]] == [summary]
    (measured,) = _asked(attacked, "SHOW MEASUREMENTS")
    assert "evil" not in {row[0] for row in measured["values"]}
