"""A full disk is told in a sentence, whatever found it."""

import subprocess
import sys
from pathlib import Path

import pytest

from sim_hardware.shared import array


def test_no_space_for_what_is_printed() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [Path(sys.executable).with_name("ganglion"), "power", "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr) == (
        1,
        "ganglion: no space is left on the disk: free some, and start again\n",
    )


def test_shared_memory_is_taken_at_once(tmp_path: Path) -> None:
    """Zeros, all on disk; more than there is is an error before anybody writes there."""
    there = array(tmp_path / "a", "<u4", (5, 3))
    assert there.shape == (5, 3)
    assert not there.any()
    assert (tmp_path / "a").stat().st_blocks > 0
    with pytest.raises(OSError, match=r"No space|too large"):
        array(tmp_path / "b", "u1", (1 << 60,))
