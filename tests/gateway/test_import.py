"""Files into the journal: what a node's message would be checked for, every line of a file is."""

import asyncio
import contextlib
import gzip
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import Http, load
from gateway.control import token as tokens
from gateway.control.api import MAX_BODY, make_routes
from gateway.control.caller import ControlError
from gateway.control.door import Door
from gateway.control.ways import ByGateway
from gateway.errors import ConfigError, Refused
from gateway.forward.lines import line, pack_lines
from gateway.http import HttpServer, Metrics, make_app
from gateway.intake import lineprotocol, reader
from gateway.intake.reader import Options, Part, cut, read
from gateway.intake.table import IntakeError
from gateway.journal.access import JournalAccess
from gateway.journal.store import DATABASE, Journal
from gateway.records import Ledger, Pack
from sim_hardware.servers import InfluxDB, Mosquitto, free_port
from tests.gateway.commandline import CommandLine, sentence
from tests.gateway.conftest import NOW, make_pack
from tests.gateway.databases import select
from tests.gateway.streets import pack

LATER = NOW + 10**6
LP = Options(form="lp", precision="s", file="a.lp")
CSV = Options(form="csv", file="a.csv")


def lp(*lines: str, options: Options = LP) -> Part:
    return read("\n".join(lines).encode(), options, LATER)


def table(text: str, options: Options = CSV, kinds: reader.Kinds | None = None) -> Part:
    return read(text.encode(), options, LATER, lambda: kinds or {})


def values(packs: list[Pack]) -> list[tuple[str, str, int, dict[str, float]]]:
    return [
        (one.measurement, one.node, one.time, {f"{r.channel}/{r.quantity}".lstrip("/"): r.value for r in one.readings})
        for one in packs
    ]


def only_reason(part: Part) -> tuple[str, str]:
    (refused,) = part.refused
    assert part.packs == []
    return refused.reason, refused.detail


def test_line_protocol_of_the_gateway_comes_back_as_the_same_packs() -> None:
    """Lanes of one counter and time are one pack; boot and seq are no node's."""
    sent = [
        pack("air-0001", 1, {"pm2_5": 0.1 + 0.2, "co2": 455.0, "calibration": 2.0}),
        pack("traffic-0001", 1, {f"lane{n}/{name}": 10.0 * n for n in (1, 2) for name in ("volume", "speed")}),
        pack("water-0001", 2, {"volume": 1e9 + 0.5, "frost": 1.0}),
    ]
    part = read(b"\n".join(each for one in sent for each in pack_lines(one)), LP, LATER)
    assert part.letters == []
    assert values(part.packs) == values(sent)
    assert {(each.boot, each.seq, each.stream) for each in part.packs} == {(-1, -1, "telemetry")}


@pytest.mark.parametrize(
    ("precision", "time"), [("s", str(NOW)), ("ms", f"{NOW}000"), ("us", f"{NOW}000000"), ("ns", f"{NOW}000000000")]
)
def test_each_precision(precision: Any, time: str) -> None:
    """A finer time than a second is refused, not rounded."""
    options = Options(form="lp", precision=precision)
    (one,) = lp(f"air,site=a,node=b co2=1 {time}", options=options).packs
    assert one.time == NOW
    if precision != "s":
        reason, detail = only_reason(lp(f"air,site=a,node=b co2=1 {time[:-1]}1", options=options))
        assert (reason, "no whole second" in detail) == ("line", True)


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), min_size=1, max_size=8)


@given(
    NAMES.filter(lambda text: not text.startswith("#")),
    st.dictionaries(st.sampled_from(["site", "node", "channel"]), NAMES),
    st.dictionaries(NAMES, st.floats(allow_nan=False, allow_infinity=False) | NAMES, min_size=1),
)
def test_escapes_are_undone_as_they_were_made(
    measurement: str, tags: dict[str, str], fields: dict[str, float | str]
) -> None:
    """All that `gateway.forward.lines` can write is read as it was, but for the escapes within strings."""
    try:
        text = line(measurement, tags, fields, NOW).decode()
    except ValueError:
        return  # it cannot be written
    row = lineprotocol.parse(text, "s")
    assert row is not None
    assert (row.measurement, row.time) == (measurement, NOW)
    assert {"site": row.site, "node": row.node, "channel": row.channel} == {
        name: tags.get(name, "") for name in ("site", "node", "channel")
    }
    assert row.values.keys() == fields.keys()
    assert all(row.values[name] == value for name, value in fields.items() if isinstance(value, float))


@given(st.text(max_size=60) | st.text('air, =\\"1.ei#-\n', max_size=60))
def test_whatever_the_line_it_is_a_point_or_refused(text: str) -> None:
    """Nothing else is raised; and every line is accounted for."""
    for options in (LP, Options(form="csv", site="a", node="b")):
        data = text if options is LP else f"time,co2\n{text}"
        part = read(data.encode("utf-8", "surrogatepass"), options, LATER)
        assert len(part.letters) == len(part.refused)
        assert part.rows >= len(part.packs)
    with contextlib.suppress(Refused):
        lineprotocol.parse(text, "ns")


@pytest.mark.parametrize(
    ("text", "reason", "detail"),
    [
        ("air,site=a,node=b co2=455 1e9", "line", "not line protocol"),
        ("air,site=a,node=b co2=455", "line", "no timestamp"),
        ("air,site=a,node=b co2=455,co2=456 1795430400", "line", "'co2' appears twice"),
        ("air,site=a,node=b,node=c co2=455 1795430400", "line", "'node' appears twice"),
        ("air,site=a,node=b,host=c co2=455 1795430400", "line", "tag 'host'"),
        ("air,site=a,node=b co2=nan 1795430400", "line", "no value"),
        ("air,site=a,node=b co2=1_0 1795430400", "line", "no value"),
        ('air,site=a,node=b co2="455" 1795430400', "value", "not a number"),
        ("air,site=a,node=b co2=40001 1795430400", "value", "possible is 0 to 40000"),
        ("air,site=a,node=b co2=1e999 1795430400", "value", "co2"),
        ("air,site=a,node=b co2=t 1795430400", "value", "co2 needs v"),
        ("water,site=a,node=b frost=2 1795430400", "value", "frost needs vb"),
        ("air,site=a,node=b co3=1 1795430400", "quantity", "co3"),
        ("traffic,site=a,node=b volume=1 1795430400", "kind", "is of water, not of traffic"),
        ("water,site=a,node=b pm10=1 1795430400", "kind", "is of air, not of water"),
        ("incident,site=a,node=b x=1 1795430400", "kind", "'incident' is none of"),
        ("air,site=A,node=b co2=1 1795430400", "topic", "ganglion/v1/A/b/"),
        ("air,node=b co2=1 1795430400", "topic", "ganglion/v1//b/"),
        ("air,site=a,node=b co2=1 1577836799", "past", "before 2020"),
        ("air,site=a,node=b co2=1 1796431001", "future", "601 s ahead"),
        ("air,site=a,node=b co2=1 1795430400 ,", "line", "not line protocol"),
    ],
)
def test_a_bad_point_is_refused_with_its_line_and_reason(text: str, reason: str, detail: str) -> None:
    """And its neighbours are taken. The letter holds the very bytes."""
    good = f"air,site=a,node=b co2=1 {NOW}"
    part = lp("# comment", good, "", text, good.replace("co2", "pm10"))
    assert values(part.packs) == [("air", "b", NOW, {"co2": 1, "pm10": 1})]
    (refused,) = part.refused
    assert (refused.line, refused.reason) == (4, reason)
    assert detail in refused.detail
    (letter,) = part.letters
    assert (letter.topic, letter.payload, letter.reason) == ("import/a.lp:4", text.encode(), reason)
    assert (part.lines, part.rows) == (5, 3)


def test_lines_that_are_no_text_or_too_long() -> None:
    """The beginning of a long one is kept; the lines behind it keep their numbers."""
    long = b"air,site=a,node=b co2=" + b"1" * 100_000
    good = f"air,site=a,node=b co2=1 {NOW}".encode()
    parts = list(cut(io.BytesIO(b"\n".join([long, b"air,site=\xff", good])), "lp"))
    (part,) = [read(each.data, LP, LATER) for each in parts]
    assert [(each.line, each.reason) for each in part.refused] == [(1, "size"), (2, "line")]
    assert len(part.letters[0].payload) < 10_000
    assert part.letters[1].payload == b"air,site=\xff"
    assert len(part.packs) == 1


def test_csv_as_query_prints_it() -> None:
    """One quantity a column, empty cells are absent; a byte order mark and CRLF do no harm."""
    part = table(
        "\ufefftime,site,node,channel,speed,volume\r\n"
        "2026-11-23T10:40:00Z,a,t-1,lane1,49.7,\r\n"
        "2026-11-23T11:40:00.000+01:00,a,t-1,lane2,50,7\r\n"
        "\r\n"
        '1795430460,a,"t-1",lane1,,0\r\n'
    )
    assert part.refused == []
    assert values(part.packs) == [
        ("traffic", "t-1", NOW, {"lane1/speed": 49.7, "lane2/speed": 50, "lane2/volume": 7}),
        ("traffic", "t-1", NOW + 60, {"lane1/volume": 0}),
    ]


def test_long_csv_and_what_the_options_fill_in() -> None:
    """One reading a row; site and node may come from the command."""
    options = Options(form="csv", site="a", node="w-1", kind="water")
    part = table(f"time,quantity,value\n{NOW},volume,5\n{NOW},frost,true\n{NOW},temperature,11.5\n", options)
    assert values(part.packs) == [("water", "w-1", NOW, {"volume": 5, "frost": 1, "temperature": 11.5})]


def test_the_kind_comes_from_the_row_or_from_what_is_known() -> None:
    """Where the quantities leave it open, the registry decides; health is told by its quantities."""
    text = f"time,site,node,temperature\n{NOW},a,x,11\n"
    assert only_reason(table(text))[0] == "kind"
    assert table(text, kinds={("a", "x"): "air"}).packs[0].measurement == "air"
    assert table(f"measurement,{text.replace(str(NOW), f'health,{NOW}')}").packs[0].measurement == "health"
    (health,) = table(f"time,site,node,rssi,temperature\n{NOW},a,x,-60,11\n", kinds={("a", "x"): "air"}).packs
    assert (health.measurement, health.stream) == ("health", "health")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("", "no column"),
        ("time,site,node,pm25", "'pm25', which is none; the nearest is pm2_5"),
        ("time,site,node,mean", "'mean', which is none"),
        ("site,node,co2", "no column time"),
        ("time,site,node", "no column of a quantity"),
        ("time,site,node,quantity", "both quantity and value"),
        ("time,site,node,co2,co2", "co2 twice"),
        ("time,site,co2", "no column node: add it, or say which with --node"),
        ('time,site,"node', "not CSV"),
    ],
)
def test_a_header_that_cannot_be_used_refuses_the_file(header: str, message: str) -> None:
    with pytest.raises(IntakeError, match=message.replace("(", r"\(")):
        table(f"{header}\n1,2,3\n")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("2026-11-23T07:00:00,a,b,1", "line"),  # no zone
        ("2026-11-23T07:00:00.5Z,a,b,1", "line"),
        ("2026-13-23T07:00:00Z,a,b,1", "line"),
        (f"{NOW},a,b", "line"),
        (f"{NOW},a,b,", "line"),
        (f'{NOW},a,"b,1', "line"),
        (f"{NOW},a,b,many", "value"),
        (f"{NOW},a,b,-1", "value"),
        (f"{NOW},a b,b,1", "topic"),
    ],
)
def test_a_bad_row(row: str, reason: str) -> None:
    assert only_reason(table(f"time,site,node,co2\n{row}\n"))[0] == reason


def test_a_file_is_cut_at_lines_and_each_part_has_the_header() -> None:
    """All parts together are the file, and say the line that it has there."""
    rows = [f"{NOW + n},a,b,{n}" for n in range(1000)] + [f"{NOW},a,b,-1"]
    data = "\n".join(["time,site,node,co2", *rows]).encode()
    packs, refused = [], []
    for each in cut(io.BytesIO(data), "csv", 2000):
        assert len(each.data) < 2100
        part = read(each.data, Options(form="csv", offset=each.offset), LATER)
        packs += part.packs
        refused += part.refused
    assert [one.time for one in packs] == [NOW + n for n in range(1000)]
    assert [each.line for each in refused] == [1002]


def test_a_file_cannot_make_a_pack_without_end() -> None:
    """Also when it names ten thousand channels at one time."""
    part = lp(*(f"traffic,site=a,node=b,channel=c{n} speed=1 {NOW}" for n in range(2000)))
    assert max(len(one.readings) for one in part.packs) == reader.MAX_READINGS
    assert sum(len(one.readings) for one in part.packs) == 2000


def test_the_journal_takes_what_no_node_numbered(open_journal: Callable[..., Journal], tmp_path: Path) -> None:
    """Twice is twice, and no duplicate; the ledger balances, the registry knows of no node. Nor after a power cut."""
    journal = open_journal()
    part = lp(f"air,site=a,node=b co2=1 {NOW}", "nonsense")
    journal.commit([make_pack(0)], NOW)
    for _ in range(2):
        journal.take(part.packs, part.letters, NOW)
    ledger = journal.ledger()
    assert (ledger.received, ledger.waiting, ledger.dead_letters, ledger.duplicates) == (5, 3, 2, 0)
    assert ledger.balanced
    shutil.copytree(tmp_path / "journal", tmp_path / "cut")  # as it is on disk now
    after = Journal.open(tmp_path / "cut", 2**20)
    for each in (journal, after):
        assert [view.node for view in each.nodes()] == ["air-0007"]
        assert each.ledger() == ledger
    after.close()
    assert [each.boot for each in journal.read(DATABASE, 10).packs] == [1, -1, -1]


# The command line


@pytest.fixture
def line_(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path, free_port())


def good_file(folder: Path, rows: int = 10, name: str = "a.csv") -> Path:
    now = int(time.time()) - 86_400
    path = folder / name
    path.write_text("time,site,node,co2\n" + "".join(f"{now + n},riverside,air-1,{400 + n}\n" for n in range(rows)))
    return path


def test_without_a_gateway_the_journal_is_written(line_: CommandLine) -> None:
    """And it is said who forwards it. A dry run before changes nothing."""
    file = good_file(line_.folder)
    dry = line_.invoke("import", str(file), "--dry-run", "--json")
    assert (dry.exit_code, json.loads(dry.stdout)["packs"]) == (0, 10)
    assert not (line_.folder / "data").exists()
    result = line_.invoke("import", str(file))
    assert result.exit_code == 0, result.exception
    assert "10 rows made 10 packs of 10 readings; none refused" in result.stdout
    assert "the gateway forwards it when it is started" in result.stderr
    ledger = json.loads(line_.invoke("ledger", "--json").stdout)
    assert (ledger["received"], ledger["waiting"], ledger["balanced"]) == (10, 10, True)


def test_refused_lines_end_with_one_and_are_dead_letters(line_: CommandLine) -> None:
    """Told with file and line; gzipped files are read too."""
    text = good_file(line_.folder).read_bytes() + b"1,riverside,air-1,400\n"
    file = line_.folder / "b.csv.gz"
    file.write_bytes(gzip.compress(text))
    result = line_.invoke("import", str(file), "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {
        "file": str(file),
        "lines": 12,
        "rows": 11,
        "packs": 10,
        "readings": 10,
        "refused": 1,
        "dry_run": False,
    }
    assert f"{file}:12: past: time 1 is before 2020" in result.stderr
    (letter,) = [json.loads(each) for each in line_.invoke("dead-letters", "--json").stdout.splitlines()]
    assert (letter["topic"], letter["payload"]) == ("import/b.csv.gz:12", "1,riverside,air-1,400")


def test_files_and_options_that_cannot_be_used(line_: CommandLine) -> None:
    """One sentence each."""
    file = good_file(line_.folder)
    damaged = line_.folder / "c.csv.gz"
    damaged.write_bytes(gzip.compress(file.read_bytes())[:-10])
    for arguments, words in (
        ((str(line_.folder / "none.csv"),), "cannot be read: No such file"),
        ((str(line_.file),), "name it .csv or .lp"),
        ((str(damaged),), "gzip data are damaged"),
    ):
        assert words in sentence(line_.invoke("import", *arguments))
    for option in ("--precision", "--kind"):
        result = line_.invoke("import", str(file), option, "m")
        assert (result.exit_code, f"'{option}'" in result.stderr) == (2, True), result.output


def test_only_the_owner_of_the_journal_writes_it(line_: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """What root would make there, the gateway could not use; and who has no name has a number."""
    file = good_file(line_.folder)
    assert line_.invoke("import", str(file)).exit_code == 0
    owner = tokens.user_name(os.geteuid())
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000)
    for command in (("import", str(file)), ("dead-letters", "replay")):
        assert f"belongs to {owner}: run this as {owner}" in sentence(line_.invoke(*command))
    assert line_.invoke("import", str(file), "--dry-run").exit_code == 0
    assert tokens.user_name(4_000_000) == "user 4000000"


def test_a_full_journal_is_told_with_the_line_to_which_it_came(line_: CommandLine) -> None:
    """Nobody empties it while no gateway runs."""
    line_.file.write_text(line_.file.read_text() + "[journal]\nmax_bytes = 100\n")
    file = good_file(line_.folder, 20_000)
    said = sentence(line_.invoke("import", str(file)))
    assert "its max_bytes is 100" in said
    assert "behind line" in said
    assert "the same command again goes on" in said


# By way of a gateway


class Running:
    """The routes over a real journal, on a real port."""

    def __init__(self, folder: Path, journal: JournalAccess, port: int) -> None:
        self.folder, self.journal, self.port = folder, journal, port

    def post(self, path: str, body: bytes, token: str | None = None) -> urllib3.BaseHTTPResponse:
        given = tokens.token(self.folder) if token is None else token
        with urllib3.PoolManager(retries=False) as pool:
            headers = {"Authorization": f"Bearer {given}"} if given else {}
            return pool.request("POST", f"http://127.0.0.1:{self.port}/api/v1/{path}", body=body, headers=headers)


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    folder = tmp_path / "data"
    journal = await JournalAccess.open(folder, 5000)
    port = free_port()
    own = Running(folder, journal, port)
    routes = make_routes(journal, Door(tokens.issue(folder), folder))
    server = HttpServer(Http(f"127.0.0.1:{port}"), make_app(journal, Metrics(), {}, routes))
    serving = asyncio.create_task(server.run())
    yield own
    serving.cancel()
    await asyncio.wait([serving])
    await journal.close()


BODY = f"air,site=a,node=b co2=1 {NOW}\nnonsense\n".encode()


async def test_the_route_takes_a_part_and_says_what_became_of_it(running: Running, monkeypatch: Any) -> None:
    """Whole lines of either form; what is wrong with the question is told."""
    monkeypatch.setattr("gateway.control.api.time.time", lambda: float(LATER))
    forwarder = running.journal.listen("packs")
    answer = await asyncio.to_thread(running.post, "import?form=lp&precision=s&file=x.lp&offset=7", BODY)
    assert answer.status == 200
    said = answer.json()
    assert (said["lines"], said["packs"], said["readings"]) == (2, 1, 1)
    assert [(each["line"], each["reason"]) for each in said["refused"]] == [(9, "line")]
    ledger = await running.journal.call(Journal.ledger)
    assert (ledger.received, ledger.waiting, ledger.dead_letters) == (2, 1, 1)
    async with asyncio.timeout(10):
        await forwarder.wait()  # it was told
    for query, body, status, words in (
        ("form=lp&precison=s", BODY, 400, "the nearest is precision"),
        ("precision=s", BODY, 400, "form"),
        ("form=lp&file=a/b", BODY, 400, "file"),
        ("form=csv", b"time,pm25\n", 400, "pm25"),
        ("form=lp", b"x" * (MAX_BODY + 1), 413, "send whole lines in parts"),
    ):
        answer = await asyncio.to_thread(running.post, f"import?{query}", body)
        assert (answer.status, words in answer.json()["error"]) == (status, True), answer.data


async def test_only_who_reads_the_token_may(running: Running) -> None:
    """It is the owner's alone, and new at each start."""
    path = running.folder / "control.token"  # as operating.md says
    assert path.stat().st_mode & 0o777 == 0o600
    before = tokens.token(running.folder)
    for wrong in ("", "x", before[:-1]):
        for route in ("import?form=lp", "dead-letters/replay"):
            answer = await asyncio.to_thread(running.post, route, BODY, wrong)
            assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert (await running.journal.call(Journal.ledger)).received == 0
    assert tokens.issue(running.folder) != before


async def test_a_full_journal_asks_to_come_again_and_the_command_does(running: Running) -> None:
    """Nothing is taken meanwhile, and nothing of the file is left out in the end."""
    config = running.folder.parent / "ganglion.toml"
    config.write_text(f'sites = ["a"]\ndata_dir = "data"\n[http]\nlisten = "127.0.0.1:{running.port}"\n')
    await running.journal.call(Journal.take, [make_pack(n) for n in range(300)], [], NOW)
    answer = await asyncio.to_thread(running.post, "import?form=lp&precision=s", BODY)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
    assert (await running.journal.call(Journal.ledger)).received == 300
    loop, waited = asyncio.get_running_loop(), asyncio.Event()

    def told(words: str) -> None:
        if words == "the journal is full":
            loop.call_soon_threadsafe(waited.set)

    way = ByGateway(load(config), Options(form="lp", precision="s"), told)
    now = int(time.time())
    data = b"\n".join(f"air,site=a,node=b co2=1 {now - n}".encode() for n in range(50))
    taking = asyncio.create_task(asyncio.to_thread(way.take, reader.Cut(data, 0)))
    async with asyncio.timeout(60):
        await waited.wait()
        await running.journal.call(Journal.detected, 300, b"")
        await running.journal.call(Journal.forwarded, DATABASE, 300, 300)
        await running.journal.call(Journal.checkpoint)
        assert (await taking).packs == 50
    assert (await running.journal.call(Journal.ledger)).received == 350


async def test_a_gateway_that_does_not_answer_is_told(running: Running) -> None:
    """Its lock is held, but nobody is at the port that the configuration names."""
    config = running.folder.parent / "ganglion.toml"
    config.write_text(f'sites = ["a"]\ndata_dir = "data"\n[http]\nlisten = "127.0.0.1:{free_port()}"\n')
    assert tokens.is_held(running.folder)
    way = ByGateway(load(config), LP, lambda words: None, patience=0.0)
    with pytest.raises(ControlError, match=r"does not answer at .*check http.listen"):
        await asyncio.to_thread(way.take, reader.Cut(BODY, 0))


class Program:
    """A gateway as a program of its own, on real servers."""

    def __init__(self, folder: Path, broker: Mosquitto, influx: InfluxDB, database: str) -> None:
        self.folder, self.influx, self.database = folder, influx, database
        self.config = folder / "ganglion.toml"
        self.config.write_text(
            f'sites = ["riverside"]\ndata_dir = "data"\n[mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\n'
            f'[influx]\nurl = "{influx.url}"\ndatabase = "{database}"\nflush_ms = 10\n'
            f'[http]\nlisten = "127.0.0.1:{free_port()}"\n'
        )
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return when it answers."""
        command = [sys.executable, "-m", "gateway.cli.main", "gateway", "--config", str(self.config)]
        with (self.folder / "gateway.log").open("ab") as log:
            self.process = subprocess.Popen(command, stderr=log)
        address = f"http://{load(self.config).http.listen}/healthz"
        with urllib3.PoolManager() as pool:
            pool.request("GET", address, retries=urllib3.Retry(50, backoff_factor=0.1, backoff_max=0.5))

    def end(self, how: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(30)
        self.process = None

    def ledger(self) -> Ledger | None:
        return ledger_in(self.folder / "data")

    def points(self) -> int:
        rows = select(self.influx.url, self.database, "SELECT count(co2) FROM air")
        return int(rows[0]["count"]) if rows else 0


def ledger_in(folder: Path) -> Ledger | None:
    """None before there is a journal."""
    try:
        journal = Journal.open(folder, 2**30, read_only=True)
    except ConfigError:
        return None
    try:
        return journal.ledger()
    finally:
        journal.close()


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def gateway(broker: Mosquitto, influx: InfluxDB, influx_db: str, tmp_path: Path) -> Iterator[Program]:
    """Configured, not started."""
    program = Program(tmp_path, broker, influx, influx_db)
    yield program
    program.end(signal.SIGTERM)


def importing(config: Path, file: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "gateway.cli.main", "import", str(file), "--config", str(config), "--json"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_file_goes_through_the_running_gateway_into_the_database(gateway: Program) -> None:
    """Twice is the same points; the ledger counts both and balances."""
    gateway.start()
    file = good_file(gateway.folder, 20_000)
    with file.open("a") as more:
        more.write("1,riverside,air-1,5\n")
    for times in (1, 2):
        process = importing(gateway.config, file)
        said, errors = process.communicate(timeout=100)
        assert process.returncode == 1, errors
        assert json.loads(said)["packs"] == 20_000
        assert f"{file}:20002: past" in errors
        until(lambda: (ledger := gateway.ledger()) is not None and ledger.waiting == 0)
        ledger = gateway.ledger()
        assert ledger is not None
        assert (ledger.received, ledger.written, ledger.dead_letters) == (20_001 * times, 20_000 * times, times)
        assert ledger.balanced
        assert gateway.points() == 20_000


def test_what_was_imported_without_a_gateway_is_forwarded_by_the_next(gateway: Program) -> None:
    """The journal is the way."""
    process = importing(gateway.config, good_file(gateway.folder, 500))
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors
    gateway.start()
    until(lambda: gateway.points() == 500)


ROW = "air,site=riverside,node=air-1 co2=1 {}\n"


DAY_AGO = int(time.time()) - 86_400


def rows_of(numbers: range) -> str:
    return "".join(ROW.format((DAY_AGO + n) * 10**9) for n in numbers)


def test_a_gateway_that_is_killed_in_the_middle_costs_nothing(gateway: Program) -> None:
    """The command waits for the next one, and learns its token. The file is a pipe, so the middle is certain."""
    gateway.start()
    pipe = gateway.folder / "a.lp"
    os.mkfifo(pipe)
    process = importing(gateway.config, pipe)
    writing = pipe.open("w")
    writing.write(rows_of(range(10_000)))
    writing.flush()
    until(lambda: (ledger := gateway.ledger()) is not None and ledger.received > 0)
    gateway.end(signal.SIGKILL)

    def write_the_rest() -> None:
        with writing:  # more than the pipe and the command hold, so it comes to wait
            writing.write(rows_of(range(10_000, 20_000)))

    thread = threading.Thread(target=write_the_rest)
    thread.start()
    gateway.start()
    thread.join(100)
    said, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors
    assert json.loads(said)["packs"] == 20_000
    until(lambda: gateway.points() == 20_000)


def test_ctrl_c_ends_with_the_line_and_all_before_it_is_kept(tmp_path: Path) -> None:
    """The file is a pipe that never ends, so the end is certain to come in the middle."""
    config = tmp_path / "ganglion.toml"
    config.write_text('sites = ["riverside"]\ndata_dir = "data"\n')
    pipe = tmp_path / "a.lp"
    os.mkfifo(pipe)
    process = importing(config, pipe)
    with pipe.open("w") as writing:
        writing.write(rows_of(range(10_000)))
        writing.flush()
        until(lambda: (ledger := ledger_in(tmp_path / "data")) is not None and ledger.received > 0)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert "ended behind line" in said
