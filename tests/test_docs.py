"""The documentation is held against the code: generated pages, links, commands, settings and examples."""

import ast
import json
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import numpy as np
import pytest
import typer

from gateway.cli.main import make_app
from gateway.config import Config, load
from gateway.detect import plan, relations
from gateway.detect.air import fault_rule
from gateway.detect.traffic import queues
from gateway.errors import ConfigError
from gateway.forward.lines import pack_lines
from gateway.http import Metrics
from gateway.ingest.decode import decode_pack, decode_packs, decode_status
from gateway.journal.store import Journal
from gateway.records import Figures, Ledger, Mirrored, Pack, Queued, Status
from gateway.steer.talk import OPS
from gateway.update.service import Want
from sim_hardware.city.layout import lay_out
from sim_hardware.city.scenario import parse, places
from sim_hardware.fleet.faults import parse as parse_faults
from sim_hardware.fleet.line import holds
from tests.firmware.importer import load as firmware
from tests.gateway.commandline import CommandLine

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted(DOCS.glob("*.md"))]

_FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_ENDS_COMMAND = {"|", ">", ">>", "&&", "||", "&", ";", "..."}


def blocks(page: Path, language: str) -> list[str]:
    return [text for found, text in _FENCE.findall(page.read_text()) if found == language]


def prose(page: Path) -> str:
    return _FENCE.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """Of the headings, as the usual renderers make them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(page: Path) -> Iterator[list[str]]:
    """The words after `ganglion` of each command line in a block of code, up to a pipe or the like."""
    for _, text in _FENCE.findall(page.read_text()):
        for line in text.replace("\\\n", " ").splitlines():
            match = re.match(r"^[\s$]*(?:[\w./-]*/)?ganglion (\w.*)", line)
            if match:
                words = shlex.split(match[1], comments=True)
                ends = [at for at, word in enumerate(words) if word in _ENDS_COMMAND]
                yield words[: ends[0]] if ends else words


@pytest.mark.parametrize("name", ["quantities.md", "reasons.md", "kinds.md", "privacy.md"])
def test_generated_pages_are_as_the_code_is(name: str) -> None:
    page = runpy.run_path(str(DOCS / "generate.py"))["PAGES"][name]
    assert (DOCS / name).read_text() == page(), "run `python docs/generate.py`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    """To a file of the project that exists and, behind a `#`, to one of its headings."""
    for link in _LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_can_be_given(page: Path) -> None:
    """Those in blocks of code with all of their options; those in a sentence by name."""
    program: Any = typer.main.get_command(make_app())
    for words in commands(page):
        assert words[0] in program.commands, words
        if "--help" not in words:
            program.commands[words[0]].make_context(words[0], words[1:])  # raises for what it does not know
    for name in re.findall(r"`ganglion ([\w-]+)", prose(page)):
        assert name in program.commands, name


def test_every_setting_of_the_gateway_is_told(tmp_path: Path) -> None:
    """With its default; and the examples can be loaded."""
    told = dict(re.findall(r"^\| `([\w.]+)` \| `?(.*?)`? \|", (DOCS / "operating.md").read_text(), re.MULTILINE))
    for field in msgspec.structs.fields(Config):
        of = get_args(field.type)[0] if type(None) in get_args(field.type) else field.type
        table = of if hasattr(of, "__struct_fields__") else None
        if table is not None:
            for inner in msgspec.structs.fields(table):
                default = "–" if inner.required else json.dumps(inner.default)
                assert told[f"{field.name}.{inner.name}"] == default, inner.name
        else:
            assert field.name in told
    for number, text in enumerate(blocks(DOCS / "operating.md", "toml")):
        path = tmp_path / f"{number}.toml"
        path.write_text(text)
        load(path, None)


def test_every_metric_of_the_gateway_is_told() -> None:
    """By its name with labels, and no other."""
    figures = Figures(
        Ledger(0, 0, 0, 0, 0, 0), None, 0, 0, 0, 0, {"jam": 1},
        expired={"letters": 0}, mirrors={"spare": Mirrored(0, 0, 0)}, targets={"duty": Queued(0, 0, 0, 0, False)},
    )  # fmt: skip
    text = Metrics().render(figures).decode()
    samples = re.findall(r"^(ganglion_\w+)(?:\{(\w+)=.*\})? ", text, re.MULTILINE)
    told = re.findall(r"`(ganglion_\w+(?:\{\w+\})?)`", (DOCS / "architecture.md").read_text().partition("### HTTP")[2])
    histogram = re.compile(r"_(bucket|sum|count)$")
    assert {
        histogram.sub("", name) + (f"{{{label}}}" if label not in ("", "le") else "") for name, label in samples
    } == {*told}


def test_every_setting_of_a_node_is_told() -> None:
    """With its default; and the example is one that a node would run with."""
    page = DOCS / "boards.md"
    configuration = firmware("node.config")
    told = dict(re.findall(r"^\| `([\w.]+)` \| `?(.*?)`? \|", page.read_text(), re.MULTILINE))
    told |= dict.fromkeys(("site", "node"), "–")  # one row for both
    for key, default in configuration.DEFAULTS.items():
        if isinstance(default, dict) and default:
            for inner, value in default.items():
                known = {json.dumps(value)} | ({"–"} if (key, inner) == ("mqtt", "host") else set())
                assert told[f"{key}.{inner}"] in known, inner
        else:
            assert told[key] in {json.dumps(default), "–"}, key
    (example,) = blocks(page, "json")
    configuration.check(json.loads(example))


def test_the_protocols_examples_hold() -> None:
    """The pack is taken and gives the line that is told; so are the packs of one message, the birth and the rest."""
    page = DOCS / "protocol.md"
    pack, several, birth, *down, incident = (text.encode() for text in blocks(page, "json"))
    taken = decode_pack("riverside", "air-0007", "telemetry", pack, now=1_795_430_400)
    (line,) = pack_lines(taken)
    assert line.decode() in page.read_text()
    found = decode_packs("riverside", "air-0007", "telemetry", several, now=1_795_430_400)
    assert [each.seq for each in found if isinstance(each, Pack)] == [1234, 1235]
    assert decode_status(birth) == Status(True, "air", 3, "0.1.0", "esp32-devkit", "power_on", clock=True)
    wanted, reported, hold, command, reply, *time, want = map(json.loads, down)
    assert wanted.keys() == reported["taken"].keys() | reported["refused"].keys()
    assert holds(json.dumps(hold).encode())
    assert (command["id"], command["op"] in OPS, len(command["id"]) <= 32) == (reply["id"], True, True)
    assert all(0 < len(each["id"]) <= 32 for each in time)
    assert msgspec.convert(want, Want).at == 4096
    assert json.loads(incident)["closed"] is None


def test_the_pins_are_those_of_the_boards() -> None:
    """All that a board's file names is told, for each board."""
    head, *rows = re.findall(
        r"^\| (signal|[^|]+) \| ([\w–-]+) \| ([\w–-]+) \| ([\w–-]+) \|$", pins_table(), re.MULTILINE
    )
    for column, name in enumerate(head[1:], 1):
        board = runpy.run_path(str(ROOT / "firmware/boards" / f"{name.replace('-', '_')}.py"))
        told = {row[0]: int(row[column]) for row in rows if row[column].isdigit()}
        loops = {
            f"lane {lane}, {loop} loop": pin
            for lane, pair in enumerate(board["LOOPS"], 1)
            for loop, pin in zip(("first", "second"), pair, strict=True)
        }
        buses = {
            f"{told_as}, {line}": board[bus][pin]
            for bus, told_as in (("RADAR", "radar"), ("PARTICLES", "particles"))
            for pin, line in (("tx", "from the board (TX)"), ("rx", "to the board (RX)"))
        } | {f"I2C, {pin.upper()}": board["I2C"][pin] for pin in ("scl", "sda")}
        single = {
            "reed": "REED",
            "second reed": "REED_B",
            "DS18B20": "ONEWIRE",
            "lid switch": "TAMPER",
            "power failing": "POWER_FAIL",
            "LED": "LED",
        }
        assert told == loops | buses | {label: board[key] for label, key in single.items()}, name


def pins_table() -> str:
    page = (DOCS / "boards.md").read_text()
    return page[page.index("| signal |") :].partition("\n\n")[0]


def test_the_command_line_of_the_project_is_installed_as_told() -> None:
    """The commands that join from outside of the gateway exist as files, not only as entry points."""
    entries = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["ganglion.commands"]
    for place in entries.values():
        module, _, function = place.partition(":")
        source = (ROOT / module.replace(".", "/")).with_suffix(".py").read_text()
        assert f"def {function}(" in source


def test_the_city_of_the_page_can_be_built() -> None:
    """Its scenario and its faults, word for word."""
    city, faults = (text for text in blocks(DOCS / "fleet.md", "toml"))
    scenario = parse(city, "city.toml")
    layout = lay_out(scenario, places(30), np.random.SeedSequence(1))
    assert len(layout.names) > 30
    assert parse_faults(faults, "faults.toml", layout, 360, broker=True).kinds() == {"power_cut", "link_dead", "kill"}
    shown = next(line for line in prose_blocks(DOCS / "fleet.md") if line.startswith("city.toml:"))
    with pytest.raises(ConfigError) as refused:
        parse(city.replace('kind = "crash"\nat = "Market Street"', 'kind = "crash"\nat = "Market Stret"'), "city.toml")
    assert str(refused.value) == shown


def prose_blocks(page: Path) -> list[str]:
    """The lines of its blocks that are in no language."""
    return "".join(blocks(page, "")).splitlines()


DETECTION = DOCS / "detection.md"
_SEVERITY_AT = {"Finding": 4, "turned": 99, "Flag": 1}
"""What is called with the kind of an incident first, and which argument is its severity; `warning` where it is not."""
_COMPUTED = {
    "flags.py": set[str](),
    "found.py": set[str](),
    "fault_rule.py": {*fault_rule.NAMES.values()},
    "queues.py": {queues._OBSTACLE[0], queues._CAUSE[0]},
}
"""Where the kind is not a word: the first two are handed it, the others have a table of theirs."""


def rules_of_the_gateway() -> set[Path]:
    """The modules that the table of rules brings in."""
    found: set[Path] = set()
    more = [ROOT / "gateway/detect/rules.py", ROOT / "gateway/detect/site.py"]
    while more:
        path = more.pop()
        if path in found or not path.exists():
            continue
        found.add(path)
        for each in ast.walk(ast.parse(path.read_text())):
            if isinstance(each, ast.ImportFrom) and (each.module or "").startswith("gateway.detect."):
                more.append((ROOT / str(each.module).replace(".", "/")).with_suffix(".py"))
    return found


def kinds_of_incidents() -> dict[str, set[str]]:
    """Those that its rules can raise, by their source, with their severities."""
    found: dict[str, set[str]] = {}
    for path in rules_of_the_gateway():
        for call in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in _SEVERITY_AT):
                continue
            words = [each.value if isinstance(each, ast.Constant) else None for each in call.args]
            if words[1] == "close":
                continue
            at = _SEVERITY_AT[call.func.id]
            assert not any(each.arg == "severity" for each in call.keywords), "this test reads it by its place"
            for kind in _COMPUTED[path.name] if words[0] is None else {words[0]}:
                severity = words[at] if at < len(words) else "warning"
                # One that is reckoned is either, by how bad it is.
                found.setdefault(kind, set()).update({"warning", "critical"} if severity is None else {severity})
    return found


def section(title: str) -> str:
    return DETECTION.read_text().partition(f"\n{title}\n")[2].partition("\n## ")[0]


def test_every_kind_of_incident_is_told() -> None:
    """And no other; so is what is told together, and what may turn out to be what."""
    kinds = kinds_of_incidents()
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|", section("## All kinds"), re.MULTILINE)
    for kind, told in rows:
        assert set(re.findall("info|warning|critical", told)) == kinds[kind], kind
    assert {kind for kind, _ in rows} == kinds.keys()
    lives = section("## An incident")
    together = re.findall(
        r"^\| `(\w+)` \| (?:the same )?(node|street|zone|site)\b[^|]*\| (\d+) \|$", lives, re.MULTILINE
    )
    assert {kind: (scope, 60 * int(minutes)) for kind, scope, minutes in together} == {
        kind: how for kind, how in relations.TOGETHER.items() if kind in kinds
    }
    sharpens = re.findall(r"^\| `(\w+)` \| ((?:`\w+`(?:, )?)+) \|$", lives, re.MULTILINE)
    assert {kind: tuple(re.findall(r"\w+", others)) for kind, others in sharpens} == relations.SHARPENS
    assert relations.SHARPENS.keys() | relations.PASSES <= kinds.keys()


def test_the_plan_of_the_page_is_one(tmp_path: Path) -> None:
    settings, shown = blocks(DETECTION, "toml")
    (tmp_path / "plan.toml").write_text(shown)
    (tmp_path / "ganglion.toml").write_text(settings)
    configuration = load(tmp_path / "ganglion.toml", None)
    found = plan.load(Path(configuration.detect.plan))
    assert (len(found.street), len(found.zone), found.zone[0].inlet) == (2, 1, ("water-0001",))


def test_the_incident_of_the_page_is_what_the_program_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the packs of which the page's picture of a jam is drawn."""
    monkeypatch.syspath_prepend(str(DOCS))
    from scenes.traffic import example  # type: ignore[import-not-found]

    journal = Journal.open(tmp_path / "data", 2**20)
    journal.found(1, [example()])
    journal.close()
    told = CommandLine(tmp_path, 1).invoke("incidents", "show", example().id).stdout
    (shown,) = (text for text in blocks(DETECTION, "") if "evidence" in text)
    assert [line.rstrip() for line in told.splitlines()] == shown.splitlines()


@pytest.mark.soak
def test_every_picture_of_rules_is_drawn(tmp_path: Path) -> None:
    """As it is on the page, to the byte."""
    subprocess.run([sys.executable, DOCS / "pictures.py", tmp_path], check=True, cwd=ROOT, timeout=300)
    images = DOCS / "images"
    stale = [path.name for path in tmp_path.iterdir() if path.read_bytes() != (images / path.name).read_bytes()]
    assert stale == []


def test_pictures_of_rules_are_drawn(tmp_path: Path) -> None:
    """Some of them, which fails where a rule finds nothing any more; the page shows each that can be drawn."""
    names = ["detect-jam", "detect-burst", "detect-episode"]
    subprocess.run([sys.executable, DOCS / "pictures.py", tmp_path, *names], check=True, cwd=ROOT, timeout=60)
    assert {path.stem for path in tmp_path.iterdir()} == {*names}
    scenes = re.findall(
        r'^    "(detect-[\w-]+)": ', "".join(p.read_text() for p in DOCS.glob("scenes/*.py")), re.MULTILINE
    )
    assert sorted(re.findall(r"images/(detect-[\w-]+)\.svg", DETECTION.read_text())) == sorted(scenes)


def test_every_attack_and_provision_has_its_tests() -> None:
    """Each test that docs/security.md names is there, and each provision of EN 303 645 names one."""
    page = (DOCS / "security.md").read_text()
    named, file = 0, ""
    for found in re.finditer(r"`(tests/[\w/]+\.py)?(?:::(\w+))?`", page):
        file = found[1] or file
        if found[0] == "``":
            continue
        source = (ROOT / file).read_text()
        assert not found[2] or re.search(rf"^(async )?def {found[2]}\(", source, re.MULTILINE), found[0]
        named += 1
    assert named > 80
    rows = re.findall(r"^\| (5\.\d+|6) .*\|(.*)\|$", page, re.MULTILINE)
    assert [number for number, _ in rows] == [*(f"5.{n}" for n in range(1, 14)), "6"]
    assert all("`tests/" in tests for _, tests in rows)
