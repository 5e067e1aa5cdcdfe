"""How a figure is printed: one JSON object on a line of its own."""

import os
import platform
import sys
from functools import cache
from pathlib import Path

import msgspec
from msgspec import Struct


class Result(Struct, frozen=True):
    bench: str
    metric: str
    value: float
    unit: str
    on: dict[str, str | int | float]
    """What it was measured with."""


def result(bench: str, metric: str, value: float, unit: str, **on: str | int | float) -> Result:
    """A figure of this machine."""
    short = {key: round(each, 3) if isinstance(each, float) else each for key, each in on.items()}
    return Result(bench, metric, round(value, 3), unit, {**_machine(), **short})


def tell(found: Result) -> None:
    sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
    sys.stdout.flush()


def show(bench: str, metric: str, value: float, unit: str, **on: str | int | float) -> None:
    tell(result(bench, metric, value, unit, **on))


@cache
def _machine() -> dict[str, str | int | float]:
    return {"cores": os.cpu_count() or 0, "cpu": _cpu(), "python": platform.python_version()}


def _cpu() -> str:
    """The processor's name, or its architecture where the system does not tell more."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
