"""`make bench`: runs the benchmarks that are named, or all of them. Figures go to stdout, progress to stderr.

What is said behind the name of one that has options is its own: `make bench ARGS="gateway --seconds 20"`.
"""

import argparse
import sys
from collections.abc import Callable, Sequence

from rich.console import Console

from gateway.errors import GanglionError
from tests.bench import firmware, fleet, gateway, operators, trust
from tests.bench.detection import parts as detection

BENCHES: dict[str, Callable[[Console], bool]] = {
    "firmware": firmware.run,
    "fleet": fleet.run,
    "gateway": gateway.run,
    "detection": detection.run,
    "operators": operators.run,
    "trust": trust.run,
}
"""Each prints its figures, and returns whether all went as it must."""
WITH_OPTIONS: dict[str, Callable[[Console, Sequence[str]], bool]] = {
    "gateway": gateway.run,
    "detection": detection.run,
    "operators": operators.run,
    "trust": trust.run,
}
"""Those that take options, when they are run alone."""


def main(arguments: list[str] | None = None) -> int:
    """0 when all went well, 1 when something did not, 2 when a name is not known."""
    options = argparse.ArgumentParser(prog="make bench ARGS=...", description=__doc__.partition("\n")[0])
    options.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(BENCHES)}; without one all run")
    given, rest = options.parse_known_args(arguments)
    names = given.names
    for name in names:
        if name not in BENCHES:
            options.error(f"there is no benchmark {name!r}; there is: {', '.join(BENCHES)}")
    if rest and not (len(names) == 1 and names[0] in WITH_OPTIONS):
        options.error(f"{rest[0]} is no option of {', '.join(names) or 'all'}; options have: {', '.join(WITH_OPTIONS)}")
    console = Console(stderr=True)
    good = True
    for name in names or BENCHES:
        try:
            good = (WITH_OPTIONS[name](console, rest) if rest else BENCHES[name](console)) and good
        except (GanglionError, TimeoutError) as error:
            console.print(f"{name}: {error}", style="red", markup=False)
            good = False
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
