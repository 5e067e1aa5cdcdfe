"""What others have of the log's head, and what doctor says of log and signatures."""

from pathlib import Path

import urllib3

from gateway.audit import record
from gateway.audit.heads import Heads
from gateway.audit.log import place
from gateway.audit.reading import Head, verify
from gateway.config import Influx
from gateway.doctor import proof
from gateway.doctor.context import Context
from gateway.pki.authority import Authority
from sim_hardware.servers import InfluxDB
from tests.gateway.commandline import CommandLine


def test_the_database_has_every_head(tmp_path: Path, influx: InfluxDB, influx_db: str) -> None:
    """One point where it has changed; by any of them the log can be checked."""
    heads = Heads(Influx(url=influx.url, database=influx_db), "riverside", tmp_path)
    record(tmp_path, "logout", who="ada")
    first = place(tmp_path)
    heads.write()
    heads.write()  # nothing has changed
    with urllib3.PoolManager() as pool:
        fields = {"db": influx_db, "q": "SELECT entries, head, site FROM audit"}
        (series,) = pool.request("GET", f"{influx.url}/query", fields=fields).json()["results"][0]["series"]
    assert [row[1:] for row in series["values"]] == [[1, first.head, "riverside"]]
    record(tmp_path, "logout", who="ada")
    assert verify(tmp_path, [Head(series["values"][0][2], 1)]).faults == ()


def said(context: Context) -> list[tuple[str, str]]:
    return [(each.level, each.seen) for look in (proof.audit, proof.signing) for each in look(context)]


def test_doctor_says_what_proves_nothing(tmp_path: Path) -> None:
    cli = CommandLine(tmp_path, 1)
    (tmp_path / "data").mkdir()
    assert [level for level, _ in said(Context(cli.file, offline=True))] == ["ok", "ok"]
    for number in range(3):
        record(tmp_path / "data", "command", who="ada", detail={"n": number})
    record(tmp_path / "data", "command.unasked", who="?", of="riverside/air-0007")
    identity = Authority.create(tmp_path / "pki", "City").signer(days=20)
    with cli.file.open("a") as file:
        file.write(f'[signing]\ncert = "{identity.folder}/cert.pem"\nkey = "{identity.folder}/key.pem"\n')
    whole, unasked, signing = said(Context(cli.file, offline=True))
    assert whole == ("ok", "the audit log holds: entries 1 to 4")
    assert (unasked[0], "riverside/air-0007" in unasked[1]) == ("warning", True)
    assert (signing[0], "ends in" in signing[1]) == ("warning", True)
    (path,) = (tmp_path / "data" / "audit").glob("*.jsonl")
    path.write_bytes(path.read_bytes().replace(b'"n":1}', b'"n":9}'))
    broken = said(Context(cli.file, offline=True))[0]
    assert (broken[0], "audit-00000001.jsonl:3" in broken[1]) == ("fault", True)
