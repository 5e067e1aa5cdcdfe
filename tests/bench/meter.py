"""What processes take of the machine, and what a gateway tells of itself."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_SAMPLE = re.compile(r"^(ganglion_\w+?(?:\{[^}]*\})?) (\S+)$", re.MULTILINE)
_BUCKET = re.compile(r'ganglion_ack_seconds_bucket\{le="([^"]+)"\}')


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found = [pid]
    for each in found:
        for thread in Path(f"/proc/{each}/task").glob("*/children"):
            try:
                found += map(int, thread.read_text().split())
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has just ended
    return found


def cpu_s(pid: int) -> float:
    """Seconds of a processor that a process, all of its threads and children have had, user and system together."""
    ticks = 0
    for each in family(pid):
        try:
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # its parent has its time now
        ticks += sum(map(int, fields[11:15]))  # utime, stime, and those of children that have ended
    return ticks / _TICKS


def rss_mib(pid: int) -> float:
    """Resident memory of a process and its children."""
    pages = 0
    for each in family(pid):
        try:
            pages += int(Path(f"/proc/{each}/statm").read_text().split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def figures(metrics: str) -> dict[str, float]:
    """The gateway's own figures of `/metrics`, by name with labels."""
    return {name: float(value) for name, value in _SAMPLE.findall(metrics)}


def ack_quantile_s(before: Mapping[str, float], after: Mapping[str, float], share: float) -> float:
    """Of the times in `ganglion_ack_seconds` between two looks, the one that `share` of them did not exceed.

    Within a bucket it is on the straight line between its bounds, as Prometheus' histogram_quantile has it; beyond the
    last bound it is infinite, and 0 when there are none.
    """
    counts = [
        (float(found[1]), value - before.get(name, 0.0))
        for name, value in after.items()
        if (found := _BUCKET.fullmatch(name))
    ]
    counts.sort()
    wanted = share * (counts[-1][1] if counts else 0.0)
    low = below = 0.0
    for bound, count in counts:
        if count >= wanted > 0:
            return low + (bound - low) * (wanted - below) / (count - below)
        low, below = bound, count
    return 0.0
