"""A figure against that of the week before, where the two can be held against each other. Pure."""

from typing import Final

from msgspec import Struct

LEAST_HOURS: Final = 0.5
"""Share of the hours that must be known in both weeks: our choice. Monday alone says nothing of a week."""


class Change(Struct, frozen=True):
    """Of two sums over the same hours of the same nodes."""

    now: float
    before: float
    compared: float
    """Share of what could be compared that was known in both weeks."""
    share: float | None
    """now / before - 1; None where the base is too small."""
    why_not: str = ""
    """The reason for None, a part of a sentence."""


def change_of(now: float, before: float, compared: float, least: float) -> Change:
    """`least` is the smallest sum of the week before of which a share is said."""
    if compared < LEAST_HOURS:
        why = (
            "nothing came in both weeks at the same hours"
            if compared == 0
            else (f"only {100 * compared:.0f} % of the hours are known in both weeks")
        )
        return Change(now, before, compared, None, why)
    if before < least:
        return Change(now, before, compared, None, f"the week before had only {before:.0f}")
    return Change(now, before, compared, now / before - 1)


def in_words(change: Change) -> str:
    """`4 % above the week before`, or why not."""
    if change.share is None:
        return f"cannot be held against the week before: {change.why_not}"
    percent = round(100 * change.share)
    if percent == 0:
        return "as in the week before, to within half a percent"
    return f"{abs(percent)} % {'above' if percent > 0 else 'below'} the week before"
