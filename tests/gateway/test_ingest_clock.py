"""The gateway's clock: what it takes for the future is of the future, whatever the machine's clock does."""

from gateway.ingest.clock import BEHIND, Clock
from gateway.ingest.pipeline import Pipeline
from gateway.ingest.receiver import Chunk
from gateway.records import Pack
from tests.gateway.conftest import NOW, payload_of

TOPIC = b"ganglion/v1/riverside/air-0007/telemetry"


class Machine:
    """Its wall clock, and the one that only grows."""

    def __init__(self, wall: float) -> None:
        self.wall, self.grown = wall, 5.0

    def pass_(self, seconds: float) -> None:
        self.wall += seconds
        self.grown += seconds

    def clock(self, newest: float) -> Clock:
        return Clock(newest, lambda: self.wall, lambda: self.grown)


def accepted(clock: Clock, *times: int) -> list[int]:
    """The packs of these times that the pipeline takes, all of them in one batch."""
    pipeline = Pipeline(None, None, lambda seconds, number: None)  # type: ignore[arg-type]  # it decodes only
    messages = [(TOPIC, payload_of(seq, bt=time), 1, False) for seq, time in enumerate(times)]
    batch = pipeline.decode([Chunk(1, 0.0, messages)], clock)
    return [each.time for each in batch.arrivals if isinstance(each, Pack)]


def test_a_clock_that_is_right_is_followed() -> None:
    """And no pack moves it, however many a node with a fast clock sends."""
    machine = Machine(NOW)
    clock = machine.clock(newest=NOW - 100)
    assert accepted(clock, *(NOW + 100 * n for n in range(20))) == [NOW + 100 * n for n in range(7)]
    machine.pass_(60)
    assert clock() == NOW + 60


def test_a_jump_back_is_not_followed_and_one_forward_while_it_lasts() -> None:
    machine = Machine(NOW)
    clock = machine.clock(newest=0)
    machine.wall -= 1e9
    machine.pass_(10)
    assert clock() == NOW + 10
    machine.wall += 2e9
    assert clock() == NOW + 1e9 + 10
    machine.wall -= 1e9
    assert clock() == NOW + 10


def test_a_machine_that_begins_in_1970_goes_by_its_packs() -> None:
    """From the newest that it had, on: also when they come faster than life, as after an outage, in one batch."""
    machine = Machine(100.0)
    clock = machine.clock(newest=NOW)
    times = [NOW + 60 * n for n in range(200)]
    assert accepted(clock, *times) == times
    assert clock() == times[-1]
    assert accepted(clock, times[-1] + 700) == [], "ten minutes ahead of all is still the future"
    machine.pass_(60)
    assert clock() == times[-1]
    machine.wall = times[-1] + 300  # somebody has set it
    assert accepted(clock, *(times[-1] + 300 + 100 * n for n in range(20))) == [
        times[-1] + 300 + 100 * n for n in range(7)
    ]
    assert BEHIND == 600
