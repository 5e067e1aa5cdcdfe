"""The node's log on MicroPython: on the console, and the last of it for who asks."""

from pathlib import Path

from tests.micropython import run

LOG = "from node.log import Log, traceback\nlog = Log()\n"


def test_the_last_lines_are_kept(tmp_path: Path) -> None:
    """Forty of them; the console has all. Each says when it was, who spoke, and no more than fits."""
    *console, kept = run(
        LOG
        + """
now = 0
log.uptime_ms = lambda: now
for n in range(100):
    now = 1000 * n + 999
    log("mqtt", "line %d" % n)
log("long", "x" * 500)
print([len(log.lines(100_000)), log.lines(100_000)[0], log.lines(100_000)[-1]])
""",
        tmp_path,
    )
    assert console[:100] == [f"{n} mqtt: line {n}" for n in range(100)]
    assert kept == repr([40, "61 mqtt: line 61", ("99 long: " + 500 * "x")[:120]])
    assert console[100] == ("99 long: " + 500 * "x")[:120]


def test_an_answer_has_the_newest_that_fit(tmp_path: Path) -> None:
    """Oldest first, with what JSON puts around them."""
    *_, found = run(
        LOG
        + """
import json
for n in range(40):
    log("n", "%03d" % n)
print([(most, log.lines(most), len(json.dumps(log.lines(most)))) for most in (0, 9, 11, 12, 24, 25)])
""",
        tmp_path,
    )
    answers = eval(found)
    assert [lines for _, lines, _ in answers] == [
        [],
        [],
        [],
        ["0 n: 039"],
        ["0 n: 038", "0 n: 039"],
        ["0 n: 038", "0 n: 039"],
    ]
    assert all(length <= most + 2 for most, _, length in answers)


def test_a_traceback_keeps_its_end(tmp_path: Path) -> None:
    """Where it says what happened; of any letters."""
    *_, short, cut, whole = run(
        LOG
        + """
def deep(n):
    if n:
        deep(n - 1)
    raise ValueError("no good: \\u00e4\\u4e2d")
try:
    deep(20)
except ValueError as error:
    print(traceback(error, 20))
    print(len(traceback(error, 700)))
    print(traceback(error, 9000)[:9])
""",
        tmp_path,
    )
    assert eval(short) == "ValueError: no good: ä中\n".encode()[-20:]
    assert cut == "700"
    assert eval(whole) == b"Traceback"
