"""Parts of a file: cut from it whole lines at a time, and read into packs and dead letters. Memory holds one part."""

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, BinaryIO, Final, Literal

import msgspec
from msgspec import Meta, Struct

from gateway.errors import Refused
from gateway.intake import lineprotocol
from gateway.intake.lineprotocol import Precision
from gateway.intake.rows import NO_NUMBER, Row, check
from gateway.intake.table import IntakeError, Table
from gateway.records import DeadLetter, Pack, Reading, Stream

PART_BYTES: Final = 2**18
"""About as much as is taken in at once: some thousand lines."""
MAX_LINE: Final = 8192
"""Bytes of a line, which holds one point; of a longer one the beginning is kept."""
MAX_READINGS: Final = 512
"""Of one pack, whatever a file says of one node and time."""

Form = Literal["csv", "lp"]
Measurement = Literal["traffic", "water", "air", "health"]
Kinds = Mapping[tuple[str, str], str]
"""The kind of a node by (site, node), where it is known."""


class Options(Struct, frozen=True, kw_only=True):
    """How a part is to be read, and what it lacks."""

    form: Form
    precision: Precision = "ns"
    """Of the times in line protocol."""
    site: str = ""
    node: str = ""
    kind: Literal["", Measurement] = ""
    file: Annotated[str, Meta(max_length=100, pattern=r"^[^/\x00-\x1f]*\Z")] = "-"
    """Its name, for the dead letters."""
    offset: Annotated[int, Meta(ge=0)] = 0
    """Lines of the file that are left out before this part, behind the header."""


class RefusedLine(Struct, frozen=True):
    line: int
    """From 1, in the file."""
    reason: str
    detail: str


class Part(Struct, frozen=True):
    """What became of a part of a file."""

    lines: int
    """With the header, comments and empty ones."""
    rows: int
    """Without them."""
    packs: list[Pack]
    letters: list[DeadLetter]
    refused: list[RefusedLine]
    """One for each letter, in the same order."""


class Imported(Struct, frozen=True):
    """The answer to one part of a file: everything in it is on disk."""

    lines: int
    rows: int
    packs: int
    readings: int
    refused: list[RefusedLine]

    @classmethod
    def of(cls, part: Part) -> "Imported":
        readings = sum(len(pack.readings) for pack in part.packs)
        return cls(part.lines, part.rows, len(part.packs), readings, part.refused)


class Cut(Struct, frozen=True):
    """Whole lines of a file."""

    data: bytes
    offset: int
    """As in `Options`."""


def cut(file: BinaryIO, form: Form, size: int = PART_BYTES) -> Iterator[Cut]:
    """The parts of a file, each with the CSV's header in front; lines beyond `MAX_LINE` without their end."""
    header = _whole_line(file) if form == "csv" else b""
    lines: list[bytes] = []
    held = offset = 0
    while line := _whole_line(file):
        lines.append(line)
        held += len(line)
        if held >= size:
            yield Cut(header + b"".join(lines), offset)
            offset += len(lines)
            lines, held = [], 0
    if lines or offset == 0:
        yield Cut(header + b"".join(lines), offset)


def read(data: bytes, options: Options, now: float, kinds: Callable[[], Kinds] = dict) -> Part:
    """Every line of `data`: in packs, or as a dead letter with its bytes and the reason.

    Readings of the same site, node and time make one pack; what stands twice has the later value, as in the database.
    `now` in Unix seconds is the gateway's clock; `kinds` is asked once, if any row leaves its kind open.
    Raises IntakeError for a header that cannot be used.
    """
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    parse, first = _parser(lines, options)
    known: Kinds | None = None
    gathered = _Gathered()
    letters: list[DeadLetter] = []
    refused: list[RefusedLine] = []
    rows = 0
    for index, line in enumerate(lines[first:], first):
        try:
            rows += 1
            row = _parse(parse, line, options)
            if row is None:
                rows -= 1
                continue
            kind = ""
            if not row.measurement:
                known = kinds() if known is None else known
                kind = known.get((row.site, row.node), "")
            gathered.add(check(row, now, kind))
        except Refused as error:
            number = index + 1 + options.offset
            letters.append(DeadLetter(f"import/{options.file}:{number}", line, error.reason, error.detail, now))
            refused.append(RefusedLine(number, error.reason, error.detail))
    return Part(len(lines), rows, gathered.packs(), letters, refused)


class _Gathered:
    """Checked rows on their way to packs, in the order in which each pack began."""

    def __init__(self) -> None:
        self._done: list[Pack] = []
        self._open: dict[tuple[str, str, Stream, str, int], dict[tuple[str, str], Reading]] = {}

    def add(self, pack: Pack) -> None:
        key = (pack.site, pack.node, pack.stream, pack.measurement, pack.time)
        readings = self._open.setdefault(key, {})
        for reading in pack.readings:
            readings[reading.channel, reading.quantity] = reading
        if len(readings) >= MAX_READINGS:
            self._done.append(_pack(key, self._open.pop(key)))

    def packs(self) -> list[Pack]:
        return self._done + [_pack(key, readings) for key, readings in self._open.items()]


def _pack(key: tuple[str, str, Stream, str, int], readings: Mapping[tuple[str, str], Reading]) -> Pack:
    site, node, stream, measurement, time = key
    return Pack.of(site, node, stream, measurement, NO_NUMBER, NO_NUMBER, time, readings.values())


def _parser(lines: list[bytes], options: Options) -> tuple[Callable[[str], Row | None], int]:
    """What reads a line, and the index of the first one."""
    if options.form == "lp":
        return lambda line: lineprotocol.parse(line, options.precision), 0
    if not lines:
        raise IntakeError("there is no header: the first line must name the columns")
    table = Table.of(lines[0].decode("utf-8", "replace").rstrip("\r"))
    for column, option in (("site", options.site), ("node", options.node)):
        if column not in table.columns and not option:
            raise IntakeError(f"the header has no column {column}: add it, or say which with --{column}")
    return table.row, 1


def _parse(parse: Callable[[str], Row | None], line: bytes, options: Options) -> Row | None:
    if len(line) > MAX_LINE:
        raise Refused("size", f"the line is longer than {MAX_LINE} bytes; its beginning is kept")
    try:
        row = parse(line.decode().removesuffix("\r"))
    except UnicodeDecodeError as error:
        raise Refused("line", f"not UTF-8: {error}") from error
    if row is None:
        return None
    return msgspec.structs.replace(
        row,
        measurement=row.measurement or options.kind,
        site=row.site or options.site,
        node=row.node or options.node,
    )


def _whole_line(file: BinaryIO) -> bytes:
    """The next line with its end, cut off behind `MAX_LINE`; empty at the end of the file."""
    line = file.readline(MAX_LINE + 2)
    if len(line) == MAX_LINE + 2 and not line.endswith(b"\n"):
        while (rest := file.readline(2**16)) and not rest.endswith(b"\n"):
            pass
        line = line[:-1] + b"\n"
    return line
