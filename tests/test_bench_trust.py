"""`make bench ARGS=trust`: with less of everything it gives all figures that the documentation tells of."""

import re
import subprocess
import sys

import msgspec
import pytest

from tests.bench.result import Result
from tests.micropython import ROOT

_PAGE = (ROOT / "docs/benchmarks.md").read_text().partition("## trust")[2].partition("### Figures of trust")[0]
TOLD = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", _PAGE, re.MULTILINE))
"""{metric: unit} of the documentation's table."""
CHEAP = {"handshakes_per_second", "handshakes_per_cpu_second", "connection_kib"}


def measured(options: str) -> list[Result]:
    """Each is told of in the documentation, with its unit."""
    command = [sys.executable, "-m", "tests.bench", "trust", *options.split()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = [msgspec.json.decode(line, type=Result) for line in done.stdout.splitlines()]
    for each in found:
        assert (each.bench, TOLD[each.metric]) == ("trust", each.unit)
    return found


def test_handshakes_and_connections() -> None:
    """Of both versions of TLS, and in each state of a connection."""
    found = measured("--seconds 0.3 --connections 60 --rounds 0 --boards 0")
    assert {each.metric for each in found} == CHEAP
    shaken = [each for each in found if each.metric.startswith("handshakes")]
    assert [each.on["tls"] for each in shaken] == ["1.2", "1.2", "1.3", "1.3"]
    assert all(each.value > 0 for each in shaken)
    kib = {each.on["state"]: each.value for each in found if each.metric == "connection_kib"}
    assert kib.keys() == {"idle, plain text", "idle", "half open", "silent"}
    assert min(kib["idle"], kib["half open"], kib["silent"]) > 4 > kib["idle, plain text"] >= 0


@pytest.mark.soak
def test_boards_and_rates() -> None:
    """Beside them all that the documentation tells of; what was sent is written, or it would have failed."""
    found = measured("--seconds 3 --connections 2 --rounds 1 --nodes 30 --boards 3")
    assert {each.metric for each in found} == TOLD.keys()
    rate, node = (next(each for each in found if each.metric == name) for name in ("tls_rate_ratio", "node_tls_kib"))
    assert 0 < rate.value < 3
    assert float(rate.on["broker_us_tls"]) > 0
    assert node.value == pytest.approx(float(node.on["tls_kib"]) - float(node.on["plain_kib"]), abs=0.01)
