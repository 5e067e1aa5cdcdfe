"""`make bench ARGS=operators`: with less of everything it gives all figures that the documentation tells of."""

import re
import subprocess
import sys

import msgspec
import pytest

from tests.bench.result import Result
from tests.micropython import ROOT

SHORT = "--nodes 30 --days 2 --ended 40 --consoles 3 --seconds 3 --warm 1 --settle 1"
TOLD = dict(
    re.findall(
        r"^\| `(\w+)` \| ([^|]+) \|",
        (ROOT / "docs/benchmarks.md")
        .read_text()
        .partition("## operators")[2]
        .partition("### Figures of the operators")[0],
        re.MULTILINE,
    )
)
"""{metric: unit} of the documentation's tables."""


@pytest.mark.soak
@pytest.mark.parametrize(
    ("part", "prefixes"),
    [
        ("--visits 1 --rounds 0", ("first_view", "series", "zoom")),
        ("--visits 0 --rounds 1", ("console", "journal", "gateway")),
    ],
    ids=["looks", "load"],
)
def test_all_figures_are_told(part: str, prefixes: tuple[str, ...]) -> None:
    """By a real browser, and by consoles that hear of the map's changes while packs come."""
    command = [sys.executable, "-m", "tests.bench", "operators", *SHORT.split(), *part.split()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = [msgspec.json.decode(line, type=Result) for line in done.stdout.splitlines()]
    assert {each.metric for each in found} == {name for name in TOLD if name.startswith(prefixes)}
    for each in found:
        assert TOLD[each.metric] == each.unit
        assert each.bench == "operators"
        assert each.value > 0 or each.metric == "console_idle_cpu_share", each
