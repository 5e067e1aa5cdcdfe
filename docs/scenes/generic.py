"""Any series: what the generic detector says of it."""

from typing import Any

import numpy as np

from gateway.detect.core import WHY, Core


def core(axes: Any) -> None:
    """Six weeks of a load with days: a spike, a night that does not come down, and an unrest."""
    time = np.arange(0, 42 * 86_400, 1800)
    day = time / 86_400
    dice = np.random.default_rng(11)
    value = 60 + 25 * np.sin((day - 0.3) * 2 * np.pi) + dice.normal(0, 2.5, len(time))
    value[np.searchsorted(day, 24.4)] += 45
    value[(day > 30.75) & (day < 31.1)] = 80 + dice.normal(0, 2.5, np.sum((day > 30.75) & (day < 31.1)))
    value[(day > 37.4) & (day < 37.55)] += dice.choice([-22, 22], np.sum((day > 37.4) & (day < 37.55)))
    detector = Core(1)
    series, score, told = np.zeros(1, np.intp), np.zeros(len(time)), []
    for at, (when, each) in enumerate(zip(time, value, strict=True)):
        verdict = detector.step(series, np.array([when]), np.array([each]))
        score[at] = verdict.score[0]
        if verdict.alarm[0]:
            told.append((day[at], each, WHY[verdict.evidence[0]]))
    if not told:
        raise ValueError("the core says nothing of what was put in")
    shown = day > 22
    axes.plot(day[shown], value[shown], color="tab:blue", lw=0.5, label="value")
    beside = axes.twinx()
    beside.plot(day[shown], score[shown], color="tab:red", lw=0.5)
    beside.set(ylim=(0, 2.2), yticks=(0, 0.5, 1))
    axes.plot([], [], color="tab:red", lw=0.5, label="score (right)")
    axes.plot([], [], "v", color="tab:red", label="alarm")
    for when, each, why in told:
        if when > 22:
            axes.plot([when], [each], "v", color="tab:red", ms=6)
            axes.annotate(why, (when, each), (4, 2), textcoords="offset points", fontsize="x-small")
    axes.set(xlabel="day", xlim=(22, 42), ylim=(-60, 130))


SCENES = {
    "detect-core": core,
}
