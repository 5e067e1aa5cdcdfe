"""The detectors over a simulated city: what happens is found in time, and nothing else is."""

from gateway.detect.detectors import Detectors
from sim_hardware.city.scenario import load
from sim_hardware.city.truth import score
from tests.gateway.streets import city, detect, lived


def test_quiet_days_raise_nothing() -> None:
    """A working day of 60 homes, streets and air stations: showers, rush hours, morning smog."""
    assert detect(city(1, 60)) == {}


def test_the_first_scenario_is_found_whole() -> None:
    """Each incident of it, none beside it, and as soon as its rule allows."""
    packs, town = lived(1.6 / 24, 30, scenario=load(None))
    incidents = detect(packs)
    until = town.next_minute
    result = score(town.truth(until), incidents.values(), until)
    assert (result.injected, result.detected, result.false) == (4, 4, 0)
    minutes = {kind: delay.max / 60 for kind, delay in result.delay_s.items()}
    assert minutes["burst"] <= 31
    assert minutes["stuck"] <= 32
    assert minutes["jam"] <= 5
    assert minutes["air_episode"] <= 20, "the smoke has to cross the city, and the mean of ten minutes to rise"


def test_the_memory_of_a_thousand_nodes_is_small() -> None:
    """Less than three kilobytes a node: it is saved every half minute."""
    detectors = Detectors()
    detectors.feed(city(0.02, 1000))
    assert len(detectors.save()) < 3_000_000
