"""A little of what `python -m tests.bench.fuzz` does at length: malformed messages harm nobody."""

from itertools import islice
from pathlib import Path

import pytest

from gateway.ingest.decode import REASONS
from sim_hardware.servers import InfluxDB
from tests.bench import fuzz
from tests.bench.fuzz import FuzzError, decoder, examine, through
from tests.bench.malformed import MUTATIONS, Case, Malformed, Packs

START = 1_700_000_000
NOW = START + 10**7
DECODERS = {
    "json",
    "senml",
    "size",
    "identity",
    "topic",
    "unit",
    "quantity",
    "value",
    "kind",
    "future",
    "past",
    "sequence",
    "status",
}
"""The reasons that are its own; others belong to journal, database and files."""


def test_what_is_not_mutated_is_taken() -> None:
    """So what is refused is refused for its mutation."""
    packs = Packs(START)
    for slot in range(3):
        node = ("traffic-00000", "water-00001", "air-00002")[slot]
        case = Case(f"ganglion/v1/riverside/{node}/telemetry".encode(), packs.message(slot, 7, 2), "")
        assert examine(case, NOW) == ["taken", "taken"]


def test_the_same_seed_gives_the_same_messages() -> None:
    first, again, other = (list(islice(Malformed(seed, START), 200)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_the_decoder_has_a_reason_for_everything_that_it_refuses() -> None:
    """Every mutation is tried, and all reasons come up that are its own."""
    found, _ = decoder(5_000, seed=11)
    assert found["taken"]
    assert found.keys() >= DECODERS
    assert found.keys() <= {"taken", "status", *REASONS}
    tried = {word for case in islice(Malformed(11, START), 5_000) for word in case.mutation.split("+")}
    assert tried == {"topic", *MUTATIONS}


def test_what_comes_out_of_the_decoder_unexpectedly_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    case = next(Malformed(1, START))

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(fuzz, "parse_topic", broken)
    with pytest.raises(FuzzError, match="ZeroDivisionError"):
        examine(case, NOW)


def test_a_gateway_counts_them_all_and_writes_the_good_ones_between(tmp_path: Path, influx: InfluxDB) -> None:
    """Through a real broker: the ledger balances, each dead letter is kept, no good pack is missing."""
    found = through(tmp_path, 600, seed=5, database=influx)
    assert found.faults == []
    assert found.good == 60
    assert found.refused_by_broker
    assert sum(found.reasons.values()) == found.counts["dead"] > 100
