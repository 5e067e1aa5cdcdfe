"""Packs of modelled nodes in text, as firmware/node/pack.py writes them: one format for each set of known readings."""

from collections.abc import Iterable, Sequence

import numpy as np

from sim_hardware.city.city import Floats
from sim_hardware.fleet.models import Column, Event


def head(site: str, node: str) -> str:
    """What every pack of a node begins with, up to its time."""
    return f'[{{"bn":"{site}/{node}/","bt":'


class Writer:
    """Packs with these columns."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._records = []
        for name, unit, form in columns:
            said = f'"u":"{unit.replace("%", "%%")}",' if unit else ""
            self._records.append(f'{{"n":"{name}",{said}"v":{form}}}')
        self._bits = 1 << np.arange(len(columns))
        self._formats: dict[int, str] = {}

    def write(
        self,
        heads: Sequence[str],
        time: int,
        boots: Sequence[int],
        seqs: Sequence[int],
        readings: Floats,
        which: Iterable[int],
    ) -> list[bytes]:
        """One pack for each of `which`, places in the other arguments; NaN is left out."""
        known = ~np.isnan(readings)
        masks = (known @ self._bits).tolist()
        whole = int(self._bits.sum())
        rows = readings.tolist()
        packs = []
        for i in which:
            mask = masks[i]
            row = rows[i] if mask == whole else [value for value in rows[i] if value == value]  # noqa: PLR0124 - NaN
            form = self._formats.get(mask) or self._format(mask)
            packs.append((form % (heads[i], time, boots[i], seqs[i], *row)).encode())
        return packs

    def _format(self, mask: int) -> str:
        records = [record for i, record in enumerate(self._records) if mask >> i & 1]
        form = self._formats[mask] = '%s%d,"n":"boot","v":%d},' + ",".join(['{"n":"seq","v":%d}', *records]) + "]"
        return form


def event(head: str, boot: int, seq: int, told: Event) -> bytes:
    state = "true" if told.on else "false"
    return (
        f'{head}{told.second},"n":"boot","v":{boot}}},{{"n":"seq","v":{seq}}},{{"n":"{told.name}","vb":{state}}}]'
    ).encode()
