"""The charge that a battery water node takes in a day, and so the years that its battery lasts. Pure."""

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta, Struct

from gateway.errors import GanglionError
from gateway.power.figures import (
    BATTERIES,
    CHIPS,
    CLOSED,
    COUNTER_UA,
    HANDSHAKE_MC,
    JOIN_MC,
    LISTEN_MA,
    LISTEN_S,
    LOAD_S,
    LOOK_S,
    NAP_S,
    PACK_MC,
    PULL_UP_KOHM,
    QUIESCENT_UA,
    SESSION_MC,
    SUPPLY_V,
    WAKE_S,
    WINDOW_S,
    Chip,
    Edge,
    Figure,
)

YEAR_DAYS: Final = 365.25
_DAY_H: Final = 24.0
_MC_PER_MAH: Final = 3600.0


class PowerError(GanglionError):
    """A plan that cannot be; the message says what to change."""


class Count(StrEnum):
    """Who counts the meter's pulses."""

    FIRMWARE = "firmware"
    """As it is: a change of a contact boots the board, and running water is then waited for in light sleep."""
    BOOT = "boot"
    """A boot for every change, without the wait."""
    FROZEN = "frozen"
    """The same, in a frozen _boot.py: needs an image of one's own."""
    ULP = "ulp"
    """The chip's low-power coprocessor: needs a program for it."""
    CHIP = "chip"
    """A counter chip beside it."""


class Plan(Struct, frozen=True, kw_only=True):
    """What is asked. Hours, minutes, litres."""

    chip: str = "esp32"
    battery: str = "er34615"
    report_h: float = 24
    window_min: float = 60
    litres_per_pulse: float = 1
    litres_per_day: float = 400
    flow_l_h: float = 500
    """While water runs."""
    draws_per_day: float = 40
    """How often water begins to run."""
    events_per_day: float = 0
    """Reports that do not wait for their time."""
    reeds: Annotated[int, Meta(ge=1, le=2)] = 1
    tls: bool = True
    count: Count = Count.FIRMWARE
    pull_up_kohm: float = PULL_UP_KOHM
    quiescent_ua: float = QUIESCENT_UA


class Item(Struct, frozen=True):
    """One line of the bill."""

    name: str
    mah: float
    """A day."""
    detail: str


class Budget(Struct, frozen=True):
    """The bill of a plan."""

    items: tuple[Item, ...]
    mah_a_day: float
    years: float


def check(plan: Plan) -> None:
    """Raises PowerError naming what cannot be."""
    for name, value, known in (("chip", plan.chip, CHIPS), ("battery", plan.battery, BATTERIES)):
        if value not in known:
            raise PowerError(f"there is no {name} {value!r}; known are {', '.join(known)}")
    positive = ("report_h", "window_min", "litres_per_pulse", "flow_l_h", "pull_up_kohm")
    for name in (*positive, "litres_per_day", "draws_per_day", "events_per_day", "quiescent_ua"):
        value = getattr(plan, name)
        if not (0 < value < 1e9 or (value == 0 and name not in positive)):
            raise PowerError(f"{name.replace('_', ' ')} cannot be {value:g}")
    if plan.count is Count.ULP and CHIPS[plan.chip].ulp_ua is None:
        raise PowerError(f"the {plan.chip} has no low-power coprocessor: choose another way to count")


def budget(plan: Plan, edge: Edge = "value") -> Budget:
    """The bill, with every figure at its expected value, or at the low or high edge of what it may be.

    All figures at one edge at once is a bound, not a likely case. Raises PowerError.
    """
    check(plan)
    chip, battery = CHIPS[plan.chip], BATTERIES[plan.battery]

    def at(figure: Figure) -> float:
        return float(getattr(figure, edge))

    def standing(ua: float) -> float:
        return ua * _DAY_H / 1000

    sleep_ua, counting = _counting(plan, chip, at)
    reports = _DAY_H / plan.report_h + plan.events_per_day
    windows = _DAY_H * 60 / plan.window_min
    boot = at(chip.boot_mc) + at(WAKE_S) * at(chip.run_ma)
    report = boot + at(LOAD_S) * at(chip.run_ma) + at(JOIN_MC) + at(SESSION_MC) + at(LISTEN_S) * at(LISTEN_MA)
    report += at(HANDSHAKE_MC) if plan.tls else 0
    contact_ua = plan.reeds * at(CLOSED) * SUPPLY_V / plan.pull_up_kohm * 1000
    lost = battery.mah * at(battery.yearly) / YEAR_DAYS
    items = (
        Item("sleep", standing(sleep_ua), f"{sleep_ua:g} uA"),
        Item("regulator", standing(plan.quiescent_ua), f"{plan.quiescent_ua:g} uA"),
        Item("contacts", standing(contact_ua), f"{contact_ua:.2g} uA through {plan.pull_up_kohm:g} kOhm"),
        counting,
        Item(
            "windows",
            windows * (boot + at(WINDOW_S) * at(chip.run_ma)) / _MC_PER_MAH,
            f"{windows:g} wakes of {boot + at(WINDOW_S) * at(chip.run_ma):.0f} mC",
        ),
        Item(
            "reports",
            (reports * report + windows * at(PACK_MC)) / _MC_PER_MAH,
            f"{reports:.3g} of {report:.0f} mC, and {windows:g} packs",
        ),
        Item("self-discharge", lost, f"{at(battery.yearly):.0%} a year"),
    )
    total = sum(item.mah for item in items)
    usable: dict[Edge, Edge] = {"low": "high", "value": "value", "high": "low"}
    return Budget(items, total, battery.mah * getattr(battery.usable, usable[edge]) / total / YEAR_DAYS)


def _counting(plan: Plan, chip: Chip, at: Callable[[Figure], float]) -> tuple[float, Item]:
    """(current of deep sleep in uA, the bill of the meter's pulses)."""
    changes = 2 * plan.reeds * plan.litres_per_day / plan.litres_per_pulse  # a contact closes, and opens again
    look = at(LOOK_S) * at(chip.run_ma)
    wake = at(WAKE_S) * at(chip.run_ma) + look
    sleep_ua = at(chip.sleep_ua)
    if plan.count is Count.ULP:
        assert chip.ulp_ua is not None
        return at(chip.ulp_ua), Item("pulses", 0, "in the sleep's current")
    if plan.count is Count.CHIP:
        return sleep_ua + at(COUNTER_UA), Item("pulses", 0, "in the sleep's current")
    if plan.count is Count.FROZEN:
        each = at(chip.frozen_mc) + look
        return sleep_ua, Item("pulses", changes * each / _MC_PER_MAH, f"{changes:g} wakes of {each:.2g} mC")
    if plan.count is Count.BOOT:
        each = at(chip.boot_mc) + wake
        return sleep_ua, Item("pulses", changes * each / _MC_PER_MAH, f"{changes:g} wakes of {each:.0f} mC")
    gap_s = 3600 * plan.litres_per_pulse / plan.flow_l_h / (2 * plan.reeds)
    # Within a draw the next change comes in light sleep, if it comes in time; after the last one the wait is in vain.
    boots = changes if gap_s > NAP_S else min(changes, plan.draws_per_day)
    napped_s = min((changes - boots) * gap_s + boots * NAP_S, _DAY_H * 3600)
    nap = napped_s * at(chip.light_ua) / 1000
    charge = boots * (at(chip.boot_mc) + wake) + (changes - boots) * look + nap
    detail = f"{boots:g} boots, {changes - boots:g} looks, {napped_s / 60:.0f} min of light sleep"
    return sleep_ua, Item("pulses", charge / _MC_PER_MAH, detail)
