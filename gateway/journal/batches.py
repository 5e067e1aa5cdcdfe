"""One batch of arrivals as bytes, column by column: a third of the size of pack by pack, and of the time. Pure."""

import zlib
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

from gateway.records import Pack, Shape, Status, Stream

Word = tuple[str, str, Status]
"""A birth or a will: (site, node, what it said)."""

STREAMS: Final[tuple[Stream, ...]] = ("telemetry", "event", "health")
"""By their number in a batch. Append, never change."""


ROW_BYTES: Final = 64
"""What a batch takes on the disk beside its bytes: numbers, times, its share of the pages."""


class _Columns(Struct, array_like=True):
    nodes: list[tuple[str, str]]
    shapes: list[Shape]
    words: list[Word]
    # of each pack
    node: list[int]
    shape: list[int]
    stream: list[int]
    boot: list[int]
    seq: list[int]
    time: list[int]
    values: list[tuple[float, ...]]
    times: dict[int, tuple[int, ...]]
    """By the pack's number, where it has some."""


class Damaged(Exception):
    """The bytes of a batch are not those that were written."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Columns).decode
_STREAM: Final = {stream: number for number, stream in enumerate(STREAMS)}


def encode(packs: Sequence[Pack], words: Sequence[Word] = ()) -> tuple[int, bytes]:
    """(checksum, bytes)."""
    nodes: dict[tuple[str, str], int] = {}
    shapes: dict[Shape, int] = {}
    body = _encode(
        _Columns(
            node=[nodes.setdefault((pack.site, pack.node), len(nodes)) for pack in packs],
            shape=[shapes.setdefault(pack.shape, len(shapes)) for pack in packs],
            stream=[_STREAM[pack.stream] for pack in packs],
            boot=[pack.boot for pack in packs],
            seq=[pack.seq for pack in packs],
            time=[pack.time for pack in packs],
            values=[pack.values for pack in packs],
            times={number: pack.times for number, pack in enumerate(packs) if pack.times},
            words=list(words),
            nodes=list(nodes),
            shapes=list(shapes),
        )
    )
    return zlib.crc32(body), body


def decode(checksum: int, body: bytes) -> tuple[list[Pack], list[Word]]:
    """What was encoded. Raises Damaged."""
    if zlib.crc32(body) != checksum:
        raise Damaged("its checksum is wrong")
    try:
        columns = _decode(body)
    except msgspec.DecodeError as error:
        raise Damaged(str(error)) from error
    nodes, shapes = columns.nodes, columns.shapes
    packs = [
        Pack(site, name, STREAMS[stream], shapes[shape], boot, seq, time, values)
        for (site, name), stream, shape, boot, seq, time, values in zip(
            [nodes[each] for each in columns.node],
            columns.stream,
            columns.shape,
            columns.boot,
            columns.seq,
            columns.time,
            columns.values,
            strict=True,
        )
    ]
    for number, own in columns.times.items():
        packs[number] = msgspec.structs.replace(packs[number], times=own)
    return packs, columns.words
