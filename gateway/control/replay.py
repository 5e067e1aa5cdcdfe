"""Dead letters are taken in again, once the reason is gone: as the messages they are, or as the packs they were."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import msgspec
from msgspec import Struct, structs

from gateway.errors import Refused
from gateway.ingest.decode import decode_pack, decode_packs, parse_topic
from gateway.journal.letters import Letters
from gateway.journal.store import Journal
from gateway.records import DeadLetter, Pack, Stream

AT_ONCE: Final = 500
"""Letters in one transaction."""


class Replay(Struct, frozen=True, forbid_unknown_fields=True):
    """Which dead letters: those of these numbers, or those of this reason, or all."""

    numbers: tuple[int, ...] = ()
    reason: str = ""
    after: int = 0
    """The number that the last answer has come to; 0 to begin."""
    upto: int = 0
    """The newest number to look at; 0: the newest there is."""


class Replayed(Struct, frozen=True):
    """What became of the next letters, at most `AT_ONCE`."""

    numbers: list[int]
    taken: int
    """Became packs, at least in part."""
    refused: list[tuple[int, str, str]]
    """(number, reason, detail) of those that are still bad: they stay."""
    after: int
    upto: int
    more: bool


def replay(journal: Journal, which: Replay, now: float) -> Replayed:
    """Take in the next letters; `now` in Unix seconds is the gateway's clock. Raises JournalFull."""
    found = journal.dead_letters_after(which.after, AT_ONCE, which.reason)
    newest = which.upto or max((number for number, _ in journal.dead_letters(1)), default=0)
    chosen = [(n, each) for n, each in found if n <= newest and (not which.numbers or n in which.numbers)]
    kinds = journal.kinds() if chosen else {}
    reborn, refused = sort(chosen, kinds, now)
    taken = journal.revive(reborn, now) if reborn else 0
    after = found[-1][0] if found else newest
    return Replayed(
        [number for number, _ in chosen], taken, refused, after, newest, more=len(found) == AT_ONCE and after < newest
    )


def sort(
    letters: Letters, kinds: Mapping[tuple[str, str], str], now: float
) -> tuple[list[tuple[int, Sequence[Pack | DeadLetter]]], list[tuple[int, str, str]]]:
    """What letters have become, by their numbers, and (number, reason, detail) of those that are as bad as ever."""
    reborn: list[tuple[int, Sequence[Pack | DeadLetter]]] = []
    refused: list[tuple[int, str, str]] = []
    for number, letter in letters:
        try:
            arrivals = _arrivals(letter, kinds, now)
        except Refused as error:
            refused.append((number, error.reason, error.detail))
            continue
        bad = [each for each in arrivals if isinstance(each, DeadLetter)]
        if len(bad) == len(arrivals):
            refused.append((number, bad[0].reason, bad[0].detail))
        else:
            reborn.append((number, arrivals))
    return reborn, refused


def _arrivals(letter: DeadLetter, kinds: Mapping[tuple[str, str], str], now: float) -> list[Pack | DeadLetter]:
    site, node, level = parse_topic(letter.topic)
    if level == "status":
        raise Refused("status", "a birth or a will is not replayed: the node has told others since, or will")
    stream, kind = cast(Stream, level), kinds.get((site, node), "")
    if letter.reason == "influx":
        return [_own(site, node, stream, letter.payload, now, kind)]
    return [
        each
        if isinstance(each, Pack)
        else DeadLetter(letter.topic, each.payload, each.refused.reason, each.refused.detail, letter.received)
        for each in decode_packs(site, node, stream, letter.payload, now=now, kind=kind)
    ]


def _own(site: str, node: str, stream: Stream, payload: bytes, now: float, kind: str) -> Pack:
    """A pack that the gateway itself has written as SenML. One that no node has numbered stays without a number."""
    records: list[dict[str, Any]] = msgspec.json.decode(payload)
    numbered = records[0]["v"] >= 0
    if not numbered:
        records[0]["v"] = records[1]["v"] = 0
        payload = msgspec.json.encode(records)
    pack = decode_pack(site, node, stream, payload, now=now, kind=kind)
    return pack if numbered else structs.replace(pack, boot=-1, seq=-1)
