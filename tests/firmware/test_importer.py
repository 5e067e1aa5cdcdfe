"""The importer of the firmware: what other tests of this process may rely on."""

import sys
import time

import pytest

from tests.firmware.importer import PACKAGES, load, ticks_add, ticks_diff


def test_nothing_is_left_behind() -> None:
    """Neither modules with common names nor a changed clock."""
    path = list(sys.path)
    load("sensors.air")
    assert sys.path == path
    assert not [name for name in sys.modules if name.partition(".")[0] in (*PACKAGES, "machine", "micropython")]
    assert not hasattr(time, "ticks_ms")
    with pytest.raises(ModuleNotFoundError):
        import drivers  # noqa: F401


def test_modules_are_the_same_each_time() -> None:
    """An exception of one is the exception that another raises."""
    assert load("sensors.traffic").ConfigError is load("node.config").ConfigError


@pytest.mark.parametrize(("a", "b", "difference"), [(5, (1 << 30) - 5, 10), ((1 << 30) - 5, 5, -10), (7, 7, 0)])
def test_ticks_wrap(a: int, b: int, difference: int) -> None:
    """As the board's do."""
    assert ticks_diff(a, b) == difference
    assert ticks_add(b, difference) == a
