"""On which line of a TOML file a key stands; Python's reader of TOML does not tell."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

Path = Sequence[str | int]
"""As `("incident", 2, "begin")`: the key of the third `[[incident]]`."""

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*[=.]""")
_FENCE = re.compile(r'"""|' + "'''")


def line_of(text: str, path: Path) -> int:
    """The line, from 1, of the key at a path; that of its table where the key cannot be found; else 1."""
    wanted, found = tuple(path), (0, 1)
    for number, where in _marks(text):
        same = 0
        while same < min(len(where), len(wanted)) and where[same] == wanted[same]:
            same += 1
        # A table stands for all that is in it, the first of several for all of them.
        if same == min(len(where), len(wanted)) and same > found[0]:
            found = (same, number)
    return found[1]


def _marks(text: str) -> Iterator[tuple[int, tuple[str | int, ...]]]:
    """(line, path) of each header and each key, in order."""
    table: tuple[str | int, ...] = ()
    seen: Counter[str] = Counter()
    fence = ""
    for number, line in enumerate(text.splitlines(), 1):
        inside, fence = bool(fence), _fence_after(line, fence)
        if inside:
            continue
        if header := _HEADER.match(line):
            name = header[2].strip("\"'")
            table = (name, seen[name]) if header[1] == "[[" else tuple(part.strip() for part in name.split("."))
            seen[name] += 1
            yield number, table
        elif key := _KEY.match(line):
            yield number, (*table, key[1] or key[2] or key[3])


def _fence_after(line: str, fence: str) -> str:
    """The quotes of the string of several lines that is open behind a line; empty for none."""
    for mark in _FENCE.findall(line):
        if not fence:
            fence = mark
        elif mark == fence:
            fence = ""
    return fence
