"""The same question a period earlier: yesterday, a week ago. Pure.

A period is a number of seconds: over a change of the clocks, the same hour of the week before is an hour off.
"""

from typing import Final

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from gateway.query.fit import quantity as line_of
from gateway.query.fit import round_length, span, suited
from gateway.query.influxql import By, QueryError, Question, measurement, seconds

COMPARED_POINTS: Final = 300
"""About so many intervals where a question names none: readings of two days never stand at the same seconds."""


def fixed(question: Question, now: float) -> Question:
    """The same with a beginning and an end (whole Unix seconds), so that it can be asked twice. Raises QueryError."""
    begin, end = span(question, now)
    return structs.replace(question, last="", begin=str(int(begin)), end=str(int(end)))


def pair(question: Question, period: str, now: float) -> tuple[Question, Question]:
    """The question with fixed times and intervals, and the same a period before. Raises QueryError.

    The intervals of the earlier one begin a period before those of the first, also where the period is no whole
    multiple of them.
    """
    before = seconds(period)
    asked = fixed(question if question.aggregate else in_intervals(question, now), now)
    begin, end = int(asked.begin), int(asked.end)
    if begin < before:
        raise QueryError(f"compare: there is nothing {period} before 1970: give a beginning")
    offset = -before % seconds(asked.every) if asked.every else 0
    earlier = structs.replace(
        asked, begin=str(begin - before), end=str(end - before), offset=f"{offset}s" if offset else ""
    )
    return asked, earlier


def in_intervals(question: Question, now: float) -> Question:
    """With intervals, if it has none: about `COMPARED_POINTS`, of what suits the quantity. Raises QueryError."""
    if question.every:
        return question
    begin, end = span(question, now)
    kind = measurement(question.quantity, question.kind)
    return structs.replace(
        question,
        every=round_length((end - begin) / COMPARED_POINTS),
        aggregate=question.aggregate or suited(line_of(kind, question.quantity)),
        by=question.by or (By.NODE if question.aggregate else By.CHANNEL),
    )


def align(times: NDArray[np.float64], period: str) -> NDArray[np.float64]:
    """Times of the earlier answer (Unix seconds, any shape) as they are drawn: a period later."""
    return times + seconds(period)
