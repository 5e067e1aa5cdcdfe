"""The water meters of modelled nodes: see `models`. Pulse by pulse, as their flow is constant for a minute."""

from typing import Final

import numpy as np

from sim_hardware.city.city import DRIFT, Floats
from sim_hardware.city.incidents import DEAD, STUCK, TAMPER
from sim_hardware.fleet.fitted import Fitted
from sim_hardware.fleet.models import Column, Dice, Event, Mask, around, faulty, rounded, samples

_DAY_S: Final = 86_400.0
_AT_REST: Final = 0.7
"""Part of a turn at which a new meter stands: half-way from the contact's opening to its closing (chips/reed.py)."""
_OPENS: Final = 0.4
"""Part of a turn at which the contact opens: backwards it closes there."""
_POLL_S: Final = 5
"""States are looked at so often (firmware/sensors/meter.py)."""
_SURE: Final = 2
"""Turns in a row that tell the direction (firmware/drivers/reed.py)."""
_THERMOMETER_S: Final = 10.75
_FROST, _THAW = 3.0, 4.0
_STATES: Final = ("tamper", "reverse_flow", "frost")


class Water:
    """Meters with one reed contact, or with two that tell the direction.

    Approximate are the moments of events (the next of the looks that the board takes every 5 s, all boards at once)
    and the bounces, which here take no time. What ran through while a node was off is not in its register, as with a
    board; nor is what came between the last window's end and the loss of power.
    """

    def __init__(self, nodes: int, dice: Dice, fitted: Fitted = Fitted()) -> None:  # noqa: B008 - frozen
        self._dice, self._fitted = dice, fitted
        self.columns = (
            Column("volume", "l", "%d"),
            *([Column("reverse_volume", "l", "%d")] if fitted.reeds == 2 else []),
            Column("flow", "l/h", "%.7g"),
            Column("flow_min", "l/h", "%.7g"),
            *([Column("temperature", "Cel", "%.7g")] if fitted.temperature else []),
        )
        self._place = np.full(nodes, _AT_REST)
        self._over = np.zeros(nodes)
        """1 where the mark before it was passed last, 0 where the one behind: turning back over it is no turn."""
        self._turns = np.zeros((nodes, 2))
        """Forwards and backwards: the register."""
        self._kept = np.zeros((nodes, 2))
        """Of the last window's end: what outlives a loss of power."""
        self._run = np.zeros(nodes)
        self._pulses = np.zeros(nodes)
        self._longest = np.zeros(nodes)
        self._since = np.zeros(nodes)
        """Seconds since the last pulse."""
        self._warmth, self._looks = np.zeros(nodes), np.zeros(nodes)
        self._told = np.zeros((len(_STATES), nodes), bool)
        self._again = self._told.copy()
        self._events: list[Event] = []

    def begin(self, which: Mask, second: int) -> None:
        self._turns[which] = self._kept[which]
        for each in (self._run, self._pulses, self._longest, self._since, self._warmth, self._looks):
            each[which] = 0
        self._again[:, which] = self._told[:, which]
        restored = which & self._kept.any(axis=1)
        self._events += [Event(node, "register_restored", True, second) for node in np.flatnonzero(restored).tolist()]

    def step(self, second: int, seconds: int, fields: Floats, on: Mask) -> None:
        rate = fields[:, 0] * fields[:, DRIFT] / 3600 / self._fitted.litres_per_pulse
        pulses, backward, first_s = self._turn(rate, seconds)
        heard = on & ~faulty(fields, DEAD | STUCK)
        pulses, backward = pulses * heard, backward * heard
        self._turns[:, 0] += pulses
        self._turns[:, 1] += backward
        self._pulses += pulses
        with np.errstate(divide="ignore"):
            apart = 1 / np.abs(rate)
        some = pulses > 0
        gap = np.where(some, self._since + first_s, 0)
        gap = np.where(pulses > 1, np.maximum(gap, apart), gap)
        self._longest = np.maximum(self._longest, gap)
        last_s = first_s[some] + (pulses[some] - 1) * apart[some]
        self._since += seconds
        self._since[some] = seconds - last_s
        looked = second + min(seconds, _POLL_S)
        if self._fitted.reeds == 2:
            self._direct(second, seconds, pulses - backward, first_s, apart)
        if self._fitted.tamper:
            self._tell("tamper", faulty(fields, TAMPER), on, np.full(len(on), looked))
        n = samples(second, seconds, _THERMOMETER_S)
        if self._fitted.temperature and n:
            water = np.broadcast_to(fields[:, 1:2], (len(on), n))
            shown = rounded(around(self._dice, water, 0.1) * 16, 0) / 16
            self._warmth += shown.sum(axis=1)
            self._looks += n
            cold, mild = shown[:, -1] <= _FROST, shown[:, -1] > _THAW
            self._tell("frost", cold, on & (cold | mild), np.full(len(on), looked))

    def _turn(self, rate: Floats, seconds: int) -> tuple[Floats, Floats, Floats]:
        """The wheels turn on: (pulses, turns backwards, seconds until the first of them) of each meter."""
        end = self._place + rate * seconds
        marks = np.abs(np.floor(end))
        ahead = rate >= 0
        to_mark = np.where(ahead, 1 - self._place, self._place)
        if self._fitted.reeds == 2:
            # The first mark is none where it is the one that was passed last.
            void = np.where(ahead, self._over, 1 - self._over)
            turns = np.maximum(marks - void, 0)
            pulses, backward, to_first = turns * ahead, turns * ~ahead, to_mark + void
            self._over = np.where(marks > 0, ~ahead, self._over)
        else:
            # One contact takes every turn for one forwards; backwards it closes at its other edge.
            closings = np.floor(self._place - _OPENS) - np.floor(end - _OPENS)
            pulses, backward = np.where(ahead, marks, closings), np.zeros(len(rate))
            to_first = np.where(ahead, to_mark, (self._place - _OPENS) % 1)
        self._place = end - np.floor(end)
        with np.errstate(divide="ignore", invalid="ignore"):
            first_s = np.where(pulses + backward > 0, to_first / np.abs(rate), 0.0)
        return pulses, backward, first_s

    def _direct(self, second: int, seconds: int, turns: Floats, first_s: Floats, apart: Floats) -> None:
        """Which way the water runs is told when so many turns in a row went that way."""
        same = self._run * turns > 0
        run = np.where(turns == 0, self._run, np.clip(np.where(same, self._run + turns, turns), -_SURE, _SURE))
        lacking = _SURE - np.where(same, np.abs(self._run), 0)
        self._run = run
        sure = np.abs(run) == _SURE
        with np.errstate(invalid="ignore"):
            at = np.where(turns == 0, 0, first_s + np.maximum(lacking - 1, 0) * apart)
        looked = second + np.minimum(seconds, _POLL_S * (np.where(sure, at, 0) // _POLL_S + 1))
        self._tell("reverse_flow", run < 0, sure, looked)

    def _tell(self, name: str, state: Mask, known: Mask, looked: Floats) -> None:
        """As States of firmware/sensors/meter.py: what changes, and after a start once more what is on."""
        row = _STATES.index(name)
        news = known & ((state != self._told[row]) | (state & self._again[row]))
        if news.any():
            self._again[row] &= ~news
            self._told[row] = np.where(news, state, self._told[row])
            found = np.flatnonzero(news).tolist()
            self._events += [Event(node, name, bool(state[node]), int(looked[node])) for node in found]

    def close(self, lasted: Floats) -> Floats:
        litres = self._fitted.litres_per_pulse
        flow = self._pulses * litres * 3600 / lasted
        longest = np.minimum(np.maximum(self._longest, self._since), _DAY_S)
        with np.errstate(divide="ignore"):
            least = np.minimum(flow, litres * 3600 / longest)
        self._kept = self._turns.copy()
        volumes = self._turns[:, : self._fitted.reeds].T * litres
        found = [*volumes, rounded(flow, 1), rounded(least, 1)]
        if self._fitted.temperature:
            with np.errstate(invalid="ignore"):
                found.append(rounded(self._warmth / self._looks, 2))
        for each in (self._pulses, self._longest, self._warmth, self._looks):
            each[:] = 0
        return np.stack(found, axis=1)

    def events(self) -> list[Event]:
        found, self._events = sorted(self._events, key=lambda each: each.second), []
        return found
