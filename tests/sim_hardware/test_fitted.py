"""What nodes are fitted with follows from what can happen to them."""

import pytest

from sim_hardware.city.scenario import load, parse
from sim_hardware.fleet.fitted import Fitted, fitted

EVENT = """
site = "riverside"
[[incident]]
kind = "{kind}"
at = "water-0001"
begin = "08:00"
"""


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('site = "riverside"', {}),
        (EVENT.format(kind="burst"), {}),
        (EVENT.format(kind="backflow"), {"reeds": 2}),
        (EVENT.format(kind="tamper"), {"tamper": True}),
        ('site = "riverside"\n[random]\nbackflow = 0.1\ntamper = 0', {"reeds": 2}),
    ],
)
def test_only_what_the_scenario_has_use_for(text: str, wanted: dict[str, object]) -> None:
    """A second reed where water may run backwards, a lid's contact where it may be opened; planned or by chance."""
    assert fitted(parse(text, "city.toml")).config() == wanted


def test_the_demo_needs_nothing_more() -> None:
    assert fitted(load(None)) == Fitted()
