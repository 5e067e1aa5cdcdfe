"""Which sequence numbers of a boot were heard: half-open ranges in one flat sorted list `[from, to, from, to, ...]`.

A boot without gaps is one range, `[0, n]`. Numbers start at 0. Pure functions over plain lists.
"""

from bisect import bisect_right

MAX_RANGES = 512
"""Ranges kept for one boot. Beyond it the lowest is forgotten: a pack down there that comes again is taken as new,
which the database does not mind; taking it for a duplicate could lose a late one."""


def add(ranges: list[int], seq: int) -> int | None:
    """Enter `seq` (>= 0) into `ranges`, in place.

    Returns by how much the number of gaps changed: 0 for the next in order, n after n were skipped, -1 for a late
    one that fills a gap; None for a duplicate, which changes nothing.
    """
    at = bisect_right(ranges, seq)
    if at & 1:  # behind a `from` and before its `to`
        return None
    top = ranges[-1] if ranges else 0
    joins_left = at > 0 and ranges[at - 1] == seq
    joins_right = at < len(ranges) and ranges[at] == seq + 1
    if joins_left and joins_right:
        del ranges[at - 1 : at + 1]
    elif joins_left:
        ranges[at - 1] = seq + 1
    elif joins_right:
        ranges[at] = seq
    else:
        ranges[at:at] = (seq, seq + 1)
        del ranges[: -2 * MAX_RANGES]
    return seq - top if seq >= top else -1


def missing(ranges: list[int]) -> list[tuple[int, int]]:
    """The gaps below the highest number heard, as (first, last), both missing.

    Where ranges were forgotten (`MAX_RANGES`) the first gap is longer than it was.
    """
    edges = [0, *ranges[:-1]]
    return [(begin, end - 1) for begin, end in zip(edges[::2], edges[1::2], strict=True) if begin < end]
