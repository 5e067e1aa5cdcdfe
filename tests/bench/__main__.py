"""`make bench`: runs the benchmarks that are named, or all of them. Figures go to stdout, progress to stderr."""

import argparse
import sys
from collections.abc import Callable

from rich.console import Console

from gateway.errors import GanglionError
from tests.bench import firmware, fleet

BENCHES: dict[str, Callable[[Console], bool]] = {"firmware": firmware.run, "fleet": fleet.run}
"""Each prints its figures, and returns whether all went as it must."""


def main(arguments: list[str] | None = None) -> int:
    """0 when all went well, 1 when something did not, 2 when a name is not known."""
    options = argparse.ArgumentParser(prog="make bench ARGS=...", description=__doc__.partition("\n")[0])
    options.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(BENCHES)}; without one all run")
    names = options.parse_args(arguments).names
    for name in names:
        if name not in BENCHES:
            options.error(f"there is no benchmark {name!r}; there is: {', '.join(BENCHES)}")
    console = Console(stderr=True)
    good = True
    for name in names or BENCHES:
        try:
            good = BENCHES[name](console) and good
        except GanglionError as error:
            console.print(f"{name}: {error}", style="red", markup=False)
            good = False
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
