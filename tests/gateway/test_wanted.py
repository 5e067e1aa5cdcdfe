"""The wanted configuration as a person changes it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.steer.errors import SteerError
from gateway.steer.wanted import MAX_BYTES, encode, flat, merge, parse, without


@pytest.mark.parametrize(
    ("settings", "table"),
    [
        (["window_s=30"], {"window_s": 30}),
        (["sensors.lanes=4", "sensors.loop_m=2.5"], {"sensors": {"lanes": 4, "loop_m": 2.5}}),
        (["calibration.pm2_5.gain=1.02"], {"calibration": {"pm2_5": {"gain": 1.02}}}),
        (["ntp=pool.example"], {"ntp": "pool.example"}),
        (['ntp="3"', "power_fail=true", "battery=null"], {"ntp": "3", "power_fail": True, "battery": None}),
        (["sensors={}", "a=[1,2]"], {"sensors": {}, "a": [1, 2]}),
        (["ntp=", "a=b=c"], {"ntp": "", "a": "b=c"}),
        (["sensors.lanes=4", "sensors.lanes=2"], {"sensors": {"lanes": 2}}),
        (["sensors=off", "sensors.lanes=2"], {"sensors": {"lanes": 2}}),
    ],
)
def test_settings(settings: list[str], table: dict[str, Any]) -> None:
    """JSON where it is JSON, else a text; dots lead into tables; the later one counts."""
    assert parse(settings) == table


@pytest.mark.parametrize("setting", ["window_s", "", "=3", ".a=3", "a.=3", "a..b=3"])
def test_what_is_no_setting(setting: str) -> None:
    """Told with an example."""
    with pytest.raises(SteerError, match="is not key=value"):
        parse([setting])


def test_merging_goes_into_tables() -> None:
    """And leaves both as they were."""
    old = {"window_s": 60, "sensors": {"lanes": 2, "loop": {"m": 2}}}
    new = {"sensors": {"loop": {"mm": 3}}, "ntp": "x"}
    assert merge(old, new) == {"window_s": 60, "sensors": {"lanes": 2, "loop": {"m": 2, "mm": 3}}, "ntp": "x"}
    assert old == {"window_s": 60, "sensors": {"lanes": 2, "loop": {"m": 2}}}


def test_a_key_is_taken_out() -> None:
    """With the tables that would be left empty; a whole table likewise."""
    table = {"window_s": 60, "sensors": {"loop": {"m": 2}}, "calibration": {"version": 1, "co2": {"gain": 1.1}}}
    assert without(table, "sensors.loop.m") == {key: table[key] for key in ("window_s", "calibration")}
    assert without(table, "calibration.co2")["calibration"] == {"version": 1}
    assert without(without(table, "sensors"), "calibration") == {"window_s": 60}
    for key in ("windows", "sensors.lop", "window_s.x", "calibration.co2.gain.x"):
        with pytest.raises(SteerError, match="not among what is wanted"):
            without(table, key)
    with pytest.raises(SteerError, match="the nearest is window_s"):
        without(table, "window")


def test_what_a_node_could_not_read_is_not_sent() -> None:
    """A node's buffer is small."""
    assert encode({"a": 1}) == b'{"a":1}'
    with pytest.raises(SteerError, match=f"at most {MAX_BYTES}"):
        encode({"sensors": "x" * MAX_BYTES})


_names = st.text("abc_0", min_size=1, max_size=3)
_values = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5) | st.lists(st.integers(0, 9))
_tables = st.recursive(
    st.dictionaries(_names, _values, max_size=3),
    lambda inner: st.dictionaries(_names, _values | inner, max_size=3),
    max_leaves=8,
)


@given(_tables, _tables)
def test_flat_and_back(old: dict[str, Any], new: dict[str, Any]) -> None:
    """A table said key by key is that table; merging it in is what it says, and taking it out again ends it."""
    said = [f"{key}={json.dumps(value)}" for key, value in flat(new).items()]
    assert parse(said) == new
    both = merge(old, new)
    assert flat(new).items() <= flat(both).items() or any(value == {} for value in flat(new).values())
    for key in flat(both):
        both = without(both, key)
    assert both == {}
