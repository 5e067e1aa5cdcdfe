"""All parts of the benchmark of detection, one after the other, or those that are named."""

import argparse
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from rich.console import Console

from tests.bench.detection import air_faults, city, gateway_speed, leaks, nab, quiet, speed
from tests.bench.detection.data import DATA
from tests.bench.result import Result, tell

PARTS: Final[dict[str, tuple[Callable[[], Iterator[Result]], bool]]] = {
    "nab": (nab.results, True),
    "quiet": (quiet.results, True),
    "leaks": (leaks.results, True),
    "air_faults": (air_faults.results, True),
    "speed": (speed.results, False),
    "gateway_speed": (gateway_speed.results, False),
}
"""Each with whether it needs data that are no part of the project."""


def run(console: Console, arguments: Sequence[str] = ()) -> bool:
    """Print the figures. True when those of the simulated city are what is aimed at, or it was not asked for."""
    options = argparse.ArgumentParser(prog="detection", description=__doc__.partition("\n")[0])
    options.add_argument("--part", action="append", choices=[*PARTS, "city"], help="only this one; can be given again")
    given, rest = options.parse_known_args(arguments)
    for name, (results, needs_data) in PARTS.items():
        if given.part and name not in given.part:
            continue
        if needs_data and not DATA.is_dir():
            console.print(f"{name}: left out, there are no data in shared/data beside the project", markup=False)
            continue
        with console.status(f"{name} ..."):
            for each in results():
                tell(each)
    return city.run(console, rest) if not given.part or "city" in given.part else True
