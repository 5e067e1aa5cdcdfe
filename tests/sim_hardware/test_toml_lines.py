"""On which line of a TOML file a key stands."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_hardware.city.toml_lines import line_of

TEXT = '''site = "a"          # line 1
note = """
[[street]]
size = 3
"""
start_hour = 7

[climate]
mean_wind = 3

[[ street ]]        # line 11
name = "a"
"length_m" = 300

[[incident]]
kind = "crash"
at = "[[street]]"

[[street]]
name = "b"
'lanes' = 1

[random]            # line 23
crash = 1
crash.size = 2
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("site",), 1),
        (("start_hour",), 6),
        (("climate",), 8),
        (("climate", "mean_wind"), 9),
        (("street", 0), 11),
        (("street", 0, "name"), 12),
        (("street", 0, "length_m"), 13),
        (("street", 0, "lanes"), 11),
        (("street", 1, "name"), 20),
        (("street", 1, "lanes"), 21),
        (("street", 1, "length_m"), 19),
        (("incident", 0, "at"), 17),
        (("random", "crash"), 24),
        (("random", "crash", "deeper"), 24),
        (("street",), 11),
        (("nowhere",), 1),
        (("street", 7, "name"), 1),
        ((), 1),
    ],
)
def test_keys_and_what_stands_for_them(path: tuple[str | int, ...], line: int) -> None:
    """A key's own line; where there is none, that of its table; where there is no such table, the first."""
    assert line_of(TEXT, path) == line


def test_a_table_in_a_line_stands_for_all_of_it() -> None:
    """Inline tables and arrays have the line of their key."""
    assert line_of('site = "a"\nincident = [{ kind = "crash" }]\n', ("incident", 0, "kind")) == 2
    assert line_of('climate = { mean_wind = 3 }\nsite = "a"\n', ("climate", "mean_wind")) == 1


@given(st.lists(st.tuples(st.sampled_from(["street", "incident", "node"]), st.integers(0, 5)), max_size=20))
def test_each_key_of_each_table(tables: list[tuple[str, int]]) -> None:
    """Whatever tables there are: the value on the line found is the value read at the path."""
    lines: list[str] = []
    for name, keys in tables:
        lines += [f"[[{name}]]", *(f"key{n} = {len(lines) + n}" for n in range(keys)), ""]
    for name, entries in tomllib.loads("\n".join(lines)).items():
        for index, entry in enumerate(entries):
            for key, value in entry.items():
                assert lines[line_of("\n".join(lines), (name, index, key)) - 1] == f"{key} = {value}"
