"""The benchmarks print what they promise: valid lines, and every figure that the documentation tells of."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path

import msgspec
import pytest

from tests.bench import firmware
from tests.bench.lab import BenchError, Lab
from tests.bench.result import Result, tell
from tests.micropython import ROOT

Measure = Callable[[str], list[Result]]

CHEAP: dict[str, Callable[[Lab], Iterator[Result]]] = {
    "heap": firmware.heap,
    "growth": partial(firmware.growth, early=2, late=30, kinds=("water",)),
    "boot": partial(firmware.boot, boots=1, kinds=("water",)),
    "loops": partial(firmware.loops, minutes=1),
    "size": firmware.size,
    "outbox": partial(firmware.outbox, packs=60, kept_bytes=24_576),
    "signature": partial(firmware.signature, times=2),
    "radar": partial(firmware.radar, times=2),
}
"""All but the soak, with less of everything."""

EXACT = {"loop_vehicles_missed": 0}
"""What no machine may change."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="module")
def measure(lab: Lab) -> Measure:
    """The figures of a part, measured once."""
    return cache(lambda name: list(CHEAP[name](lab)))


@pytest.fixture(scope="module")
def told() -> dict[str, str]:
    """{metric: unit} of the documentation's table."""
    page = (ROOT / "docs/benchmarks.md").read_text().partition("## Figures")[0]
    return dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", page, re.MULTILINE))


@pytest.mark.parametrize("name", CHEAP)
def test_figures_are_one_object_a_line(
    measure: Measure, told: dict[str, str], capsys: pytest.CaptureFixture[str], name: str
) -> None:
    for each in measure(name):
        tell(each)
    lines = capsys.readouterr().out.splitlines()
    assert lines
    for line in lines:
        found = msgspec.json.decode(line, type=Result)
        assert found.bench == "firmware"
        assert told[found.metric] == found.unit, found.metric
        assert found.value > 0 or found.metric in {"heap_growth_bytes", *EXACT}, line
        assert found.value == EXACT.get(found.metric, found.value), line
        assert {"cores", "cpu", "python", "interpreter", "bits"} <= found.on.keys()


def test_alive_heap_is_without_the_emulation(measure: Measure) -> None:
    """One figure for each kind, and what it was taken from beside it."""
    found = {each.on["kind"]: each for each in measure("heap")}
    assert found.keys() == {"traffic", "water", "air"}
    for each in found.values():
        assert each.value == pytest.approx(float(each.on["alive_kib"]) - float(each.on["emulation_kib"]), abs=0.01)


def test_every_vehicle_is_driven_counted_and_measured(measure: Measure) -> None:
    on = measure("loops")[0].on
    assert (on["driven"], on["counted"], on["measured"]) == (800, 800, 800)


def test_a_board_that_fails_says_why(lab: Lab, tmp_path: Path) -> None:
    """Rather than to give a figure."""
    with pytest.raises(BenchError, match="ZeroDivisionError"):
        lab.run('tell("value", 1)\n1 / 0\n', tmp_path)
    with pytest.raises(BenchError, match="ended with 0"):
        lab.run("", tmp_path)


def test_the_soaks_figures_are_told(told: dict[str, str]) -> None:
    printed = set(re.findall(r'"(soak_\w+)"', (ROOT / "tests/bench/soak.py").read_text()))
    assert "soak_gaps" in printed
    assert printed == {name for name in told if name.startswith("soak_")}


def test_a_name_that_there_is_not_is_refused() -> None:
    """With those that there are."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench", "gatweay"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "'gatweay'" in done.stderr
    assert "firmware" in done.stderr
