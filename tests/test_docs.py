"""The documentation is held against the code: generated pages, links, commands, settings and examples."""

import json
import re
import runpy
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import typer

from gateway.cli.main import make_app
from gateway.config import Config, load
from gateway.errors import ConfigError
from gateway.forward.lines import pack_lines
from gateway.http import Metrics
from gateway.ingest.decode import decode_pack, decode_packs, decode_status
from gateway.records import Figures, Ledger, Mirrored, Pack, Status
from gateway.steer.talk import OPS
from gateway.update.service import Want
from sim_hardware.city.layout import lay_out
from sim_hardware.city.scenario import parse, places
from sim_hardware.fleet.faults import parse as parse_faults
from sim_hardware.fleet.line import holds
from tests.firmware.importer import load as firmware

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]

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


@pytest.mark.parametrize("name", ["quantities.md", "reasons.md", "kinds.md"])
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
        if isinstance(field.default, msgspec.Struct):
            for inner in msgspec.structs.fields(type(field.default)):
                assert told[f"{field.name}.{inner.name}"] == json.dumps(inner.default), inner.name
        else:
            assert field.name in told
    for number, text in enumerate(blocks(DOCS / "operating.md", "toml")):
        path = tmp_path / f"{number}.toml"
        path.write_text(text)
        load(path, None)


def test_every_metric_of_the_gateway_is_told() -> None:
    """By its name with labels, and no other."""
    figures = Figures(Ledger(0, 0, 0, 0, 0, 0), None, 0, 0, 0, 0, {"jam": 1}, mirrors={"spare": Mirrored(0, 0, 0)})
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
