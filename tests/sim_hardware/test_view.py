"""What a person sees of a run: on a terminal of the usual size, on a poor one, and where nothing can be written."""

import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console

from gateway.records import Incident, Ledger
from sim_hardware.fleet.fleet import FleetError
from sim_hardware.fleet.inject import FOREVER, Record
from sim_hardware.fleet.slots import Counts
from sim_hardware.fleet.snapshot import Curve, Heard, Snapshot
from sim_hardware.fleet.view import LiveView, OutputClosed, PlainView, is_screen, make_view, tell

START = 1_795_417_200
COUNTS = Counts(10, 12_345, 12_340, 5, 0, 10)


def snapshot(
    incidents: int = 4,
    crashes: int = 0,
    started: int = 30,
    dark: int = 0,
    late: int = 0,
    faults: tuple[Record, ...] = (),
) -> Snapshot:
    """A city with a long curve that is lowest at its end, and incidents of long words."""
    found = tuple(
        Incident(str(n), "jam", "riverside", f"traffic-{n:04d}", "", "warning", START + 60 * n, None, "word " * 40)
        for n in range(incidents)
    )
    curve = Curve("mean PM2.5", "ug/m3", tuple(float(value) for value in range(100, 0, -1)))
    heard = Heard(Ledger(37_035, 37_000, 35, 0, 0, 0), found, False, {"air": curve})
    kinds = dict.fromkeys(("traffic", "water", "air"), COUNTS)
    counts = Counts(30, 37_035, 37_020, 15, 0, 30)
    return Snapshot(61.0, START, 30, crashes, counts, kinds, heard, started, dark, late, faults)


def drawn(now: Snapshot, width: int, height: int) -> list[str]:
    """The lines of the live view, without colours, as they were drawn last."""
    out = io.StringIO()
    console = Console(file=out, width=width, height=height, force_terminal=True, _environ={"TERM": "xterm"})
    with LiveView(console, "ganglion demo") as view:
        view.show(now)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue()).replace("\r", "")
    return text[text.rindex("ganglion demo") :].splitlines()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (80, 16), (200, 60), (60, 24)])
def test_nothing_newest_is_cut_off(width: int, height: int) -> None:
    """It fits: each row has one line; the value of now, the newest incidents and their number are there."""
    lines = drawn(snapshot(incidents=12), width, height)
    assert len(lines) <= height
    assert all(len(line) <= width for line in lines)
    text = "\n".join(lines)
    if width >= 80:
        assert "mean PM2.5 1.0 ug/m3" in text
        air = next(line for line in lines if line.startswith("air"))
        assert air.rstrip().endswith("▁"), "the end of the curve"
        assert "traffic-0011" in text
        assert "balanced" in text
    shown = sum("riverside/traffic" in line for line in lines)
    assert 1 <= shown <= 8
    assert f"and {12 - shown} more" in text


def test_crashes_are_shown() -> None:
    """On both views, and only if there are any."""
    out = io.StringIO()
    for crashes in (0, 3):
        PlainView(Console(file=out), "ganglion demo").show(snapshot(crashes=crashes))
    quiet, loud = (line for line in out.getvalue().splitlines() if "connected" in line)
    assert "crash" not in quiet
    assert "board crashes: 3" in loud
    assert "crash" not in drawn(snapshot(), 100, 30)[0]
    assert "board crashes: 3" in drawn(snapshot(crashes=3), 100, 30)[0]


FAULTS = (
    Record("link_loss", ("air-0001", "air-0002"), START - 60, START + 60),
    Record("broker_restart", (), START - 120, START - 90),
    Record("power_cut", ("water-0007",), START - 3600, FOREVER, cause="city"),
)


def test_faults_are_shown_on_one_line() -> None:
    """The newest first, whether they go on, and how many boards are without power or late; nothing where none is."""
    everything = snapshot(incidents=12, crashes=3, dark=4, late=2, faults=FAULTS)
    lines = drawn(everything, 140, 24)
    (line,) = [each for each in lines if "faults" in each]
    assert line.rstrip() == (
        "no power: 4, late: 2  faults: 06:59 link_loss 2 nodes (now); 06:58 broker_restart; "
        "06:00 power_cut water-0007 (now)"
    )
    assert len(drawn(everything, 80, 16)) <= 16
    assert not any("no power" in each or "faults" in each for each in drawn(snapshot(), 140, 24))
    assert any(each.rstrip() == "late: 2" for each in drawn(snapshot(late=2), 140, 24))


def test_the_start_of_many_boards_shows_how_far_it_is() -> None:
    """A bar, until all have power."""
    (line,) = [each for each in drawn(snapshot(started=12), 100, 30) if "starting boards" in each]
    assert line.rstrip().endswith("12/30")
    assert line.index("╺") - line.index("━") == 12, "of thirty columns"
    assert not any("starting" in each for each in drawn(snapshot(), 100, 30))


def test_a_plain_view_says_each_fault_once() -> None:
    """In order of time; and what boards lack, in its lines."""
    out = io.StringIO()
    view = PlainView(Console(file=out), "ganglion demo")
    view.show(snapshot(faults=FAULTS[1:], started=20))
    over = Record("power_cut", ("water-0007",), START - 3600, START, cause="city")
    view.show(snapshot(faults=(*FAULTS[:2], over), dark=1))
    said = [line for line in out.getvalue().splitlines() if line.startswith("fault")]
    assert said == [
        "fault 06:00 power_cut water-0007 (now)",
        "fault 06:58 broker_restart",
        "fault 06:59 link_loss 2 nodes (now)",
    ]
    assert "20 started" in out.getvalue()


@pytest.mark.parametrize(
    ("terminal", "term", "encoding", "live"),
    [
        (True, "xterm", "utf-8", True),
        (True, "dumb", "utf-8", False),
        (True, "xterm", "ascii", False),
        (False, "xterm", "utf-8", False),
    ],
)
def test_a_poor_terminal_gets_plain_lines(terminal: bool, term: str, encoding: str, live: bool) -> None:
    """One that cannot be drawn on, or lacks the characters."""
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=out, force_terminal=terminal, _environ={"TERM": term})
    assert is_screen(console) is live
    assert isinstance(make_view(console, ""), LiveView if live else PlainView)


def test_what_an_encoding_lacks_is_escaped() -> None:
    """A name of a folder may hold anything, also what is no text at all."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    tell(Console(file=out), "straße \udcff")
    assert out.detach().getvalue() == b"stra\\xdfe \\udcff\n"


@contextmanager
def unread() -> Iterator[Console]:
    """A pipe that nobody reads."""
    ours, theirs = os.pipe()
    os.close(ours)
    with os.fdopen(theirs, "w") as out:
        yield Console(file=out)


@contextmanager
def full() -> Iterator[Console]:
    """A disk without room."""
    with Path("/dev/full").open("w") as out:
        yield Console(file=out)


def test_what_cannot_be_written_is_said() -> None:
    """As a sentence; nobody's reading is a broken pipe, which ends a command quietly. Neither fails once more later."""
    with full() as console, pytest.raises(FleetError, match="No space left on device"):
        tell(console, "a line")
    with unread() as console:
        with pytest.raises(OutputClosed) as closed:
            tell(console, "a line")
        tell(console, "another")
    assert isinstance(closed.value, BrokenPipeError)
    assert closed.value.errno is not None
