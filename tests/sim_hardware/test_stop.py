"""Signals that end a run: noted twice, raised the third time, and as before afterwards."""

import os
import signal

import pytest

from sim_hardware.fleet.stop import Stop


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_two_are_noted_and_the_third_is_raised(number: signal.Signals) -> None:
    """`check` raises from the first one on."""
    before = signal.getsignal(number)
    with Stop() as stop:
        stop.check()
        for expected in (1, 2):
            os.kill(os.getpid(), number)
            assert stop.signals == expected
        with pytest.raises(KeyboardInterrupt):
            stop.check()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before
