"""`leak`, live: feeds the sequential test of `leak` with the litres of windows, and says what it finds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gateway.detect.memory import Bools, Memory, column
from gateway.detect.readings import readings
from gateway.detect.rule import Finding, NodeRule, State, Windows
from gateway.detect.water.home import BUSY, HIGH_FLOW, Character, Pace, inlets
from gateway.detect.water.leak import Leak, Verdicts
from gateway.detect.water.register import Registers
from gateway.records import Evidence


@dataclass(slots=True)
class Told(Memory):
    open: Bools = column(np.bool_)


class LeakRule(NodeRule):
    """One series a home's meter: `volume`; `flow` over its window where a meter has no register."""

    def __init__(self) -> None:
        self.pace = Pace.blank(0)
        self.character = Character.blank(0)
        self.told = Told.blank(0)
        self.registers = Registers()
        self.leak = Leak()

    def feed(self, windows: Windows) -> Sequence[Finding]:
        given = readings(windows, "flow")
        if given is None:
            return []
        rows, time, flow = given.series, given.time, given.value
        volume = windows.get("volume")[given.where]
        pace, character = self.pace.take(rows), self.character.take(rows)
        lasted, _ = pace.step(time)
        character.step(time, lasted, flow)
        self.pace.put(rows, pace)
        self.character.put(rows, character)
        drawn = self.registers.step(rows, time, volume)
        # Who has a register is judged by it alone: what is missing of it will be in its next reading.
        without = np.isnan(self.registers.memory.value[rows])
        litres = np.where(without, flow * lasted / 3600, drawn.litres)
        verdicts = self.leak.step(rows, time, litres, np.where(without, lasted, drawn.seconds))
        turns = verdicts.alarm | verdicts.over
        if not turns.any():
            return []
        # A district's inlet never pauses, and what runs faster than this is a burst.
        home = (character.mean < BUSY) & ~inlets(windows.plan, given.node) & ~(verdicts.level >= HIGH_FLOW)
        found = []
        for at in np.flatnonzero(turns).tolist():
            series, when, was = int(rows[at]), int(time[at]), bool(self.told.open[rows[at]])
            if verdicts.over[at] and not verdicts.alarm[at]:
                self.told.open[series] = False
                if was:
                    found.append(Finding("leak", "close", series, when))
            elif was or home[at]:
                self.told.open[series] = True
                found.append(_told(series, when, "update" if was else "open", verdicts, at))
        return found


def _told(series: int, time: int, state: State, verdicts: Verdicts, at: int) -> Finding:
    level, hours, before = (float(each[at]) for each in (verdicts.level, verdicts.hours, verdicts.expected))
    text = f"at least {level:.3g} l/h have run in every hour of {hours:.0f} h"
    sure = f"the evidence for a leak is {verdicts.nats[at]:.0f} nats, this home needs {verdicts.need[at]:.0f}"
    evidence = (
        Evidence("time without a pause", hours, before, "h", text),
        Evidence("evidence of a leak", float(verdicts.nats[at]), float(verdicts.need[at]), "nats", sure),
    )
    summary = f"Seen: {text}; expected of this home: a pause, it has never run on for longer than {before:.0f} h."
    since = time - round(3600 * hours)
    return Finding("leak", state, series, time, summary=summary, evidence=evidence, since=since)
