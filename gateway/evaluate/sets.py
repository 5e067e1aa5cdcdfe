"""The labelled sets of `ganglion evaluate`: what is put into series, and what of it is found."""

import copy
import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from msgspec import Struct

from gateway.detect.memory import Bools, Floats, Ints
from gateway.detect.water.register import FALLS
from gateway.evaluate import nab
from gateway.evaluate.adapters import Kind, detector
from gateway.evaluate.inject import FAULTS, Fault, inject_fault, inject_leak
from gateway.evaluate.series import Run, Series, read_series, run_each, run_together
from gateway.evaluate.table import Columns
from gateway.evaluate.verdict import Detector
from gateway.evaluate.windows import median, months
from gateway.lines import FileError

Tick = Callable[[], None]
DAY_S: Final = 86_400
LEAKS: Final = (1.0, 5.0, 25.0, 100.0)
"""l/h."""
LEAKS_A_METER: Final = 3
FAULTS_A_STATION: Final = 3
LEARNING_S: Final = 90 * DAY_S
"""Nothing is injected before: a detector must have seen what is usual."""
WITHIN_S: Final = 30 * DAY_S
"""What is not found so long after its beginning is not found."""
CROSSINGS: Final = 20
"""Times that the files are parted for cross-validation."""


class NabRow(Struct, frozen=True):
    profile: str
    files: str
    """`all`: the threshold is the best for these very files; `unseen`: that of other files, the mean of many halves."""
    score: float
    windows: int
    hit: int
    false: int


class FoundRow(Struct, frozen=True):
    what: str
    injected: int
    found: int
    share: float
    median_h: float | None
    """None where nothing was found."""


class QuietRow(Struct, frozen=True):
    series: str
    months: float
    alarms: int
    alarms_a_month: float


class Drawn(Struct, frozen=True):
    """For a plot."""

    name: str
    time: Ints
    values: Floats
    run: Run
    windows: list[tuple[int, int]]
    """Unix seconds."""


def read_nab(folder: Path) -> tuple[list[Series], dict[str, nab.Labelled]]:
    """The benchmark's folder: `labels/combined_windows.json` and the files it names below `data/`."""
    labels = folder / "labels" / "combined_windows.json"
    given = read_json(labels)
    if not isinstance(given, dict) or not given:
        raise FileError(f"{labels}: not windows by file name, as in NAB's labels/combined_windows.json")
    series, labelled = [], {}
    for name in sorted(given):
        (only,) = read_series(folder / "data" / name, Columns("timestamp", "value")).series
        series.append(only._replace(name=name))
        try:
            labelled[name] = nab.rows_of(only.stamps, given[name])
        except (KeyError, ValueError, TypeError) as error:
            raise FileError(f"{labels}: the windows of {name} do not fit the file: {error}") from error
    return series, labelled


def evaluate_nab(folder: Path, kind: Kind, tick: Tick) -> tuple[list[NabRow], list[Drawn]]:
    """Scores of all profiles, with the best threshold for all files, and that of one half used on the other."""
    series, labelled = read_nab(folder)
    runs = run_each(series, detector(kind, len(series), together=False), tick)
    scores = {each.name: run.score for each, run in zip(series, runs, strict=True)}
    rows = []
    for name, profile in nab.PROFILES.items():
        found = nab.score(labelled, scores, profile)
        rows.append(NabRow(name, "all", found.score, found.windows, found.hit, found.false))
        rows.append(cross_validated(labelled, scores, name))
    drawn = [
        Drawn(
            each.name,
            each.time,
            each.values,
            run,
            [(int(each.time[first]), int(each.time[last])) for first, last in labelled[each.name].windows],
        )
        for each, run in zip(series, runs, strict=True)
    ]
    return rows, drawn


def cross_validated(labelled: dict[str, nab.Labelled], scores: dict[str, Floats], profile: str) -> NabRow:
    """The mean over `CROSSINGS` halvings of the score of each half at the other half's threshold."""
    found = []
    rule = nab.PROFILES[profile]
    for train, test in nab.halves(list(labelled), CROSSINGS):
        threshold = nab.score({name: labelled[name] for name in train}, scores, rule).threshold
        found.append(nab.score({name: labelled[name] for name in test}, scores, rule, threshold))
    mean = float(np.mean([each.score for each in found]))
    windows, hit, false = (round(sum(getattr(each, what) for each in found) / CROSSINGS) for what in _COUNTS)
    return NabRow(profile, "unseen", mean, windows, hit, false)


_COUNTS: Final = ("windows", "hit", "false")


def quiet(series: Sequence[Series], runs: Sequence[Run]) -> list[QuietRow]:
    """Alarms a month of each series, and of all of them."""
    rows = [_quiet(each.name, months(each.time), int(run.alarm.sum())) for each, run in zip(series, runs, strict=True)]
    if len(rows) == 1:
        return rows
    return [*rows, _quiet("all", sum(row.months for row in rows), sum(row.alarms for row in rows))]


def _quiet(name: str, time: float, alarms: int) -> QuietRow:
    return QuietRow(name, time, alarms, alarms / time if time else 0.0)


def run_all(series: Sequence[Series], kind: Kind, wide: bool, tick: Tick) -> list[Run]:
    """The series of a file, as `ganglion detect` judges them."""
    if not wide:
        return run_each(series, detector(kind, len(series), together=False), tick)
    together = detector(kind, len(series), together=True)
    found = run_together(series[0].time, np.stack([each.values for each in series], axis=1), together, tick)
    return [Run(found.score[:, at], found.alarm[:, at]) for at in range(len(series))]


def evaluate_leaks(
    series: Sequence[Series], kind: Kind, tick: Tick
) -> tuple[list[FoundRow], list[QuietRow], list[Drawn]]:
    """Leaks put into meters, each by itself. The values are litres of each interval, or of the register."""
    cases: list[tuple[Series, float, int, Series]] = []
    for each in series:
        for litres in LEAKS:
            for begin in _begins(each.time, LEAKS_A_METER):
                lasted = np.diff(each.time, prepend=each.time[0]).astype(np.float64)
                values = inject_leak(each.values, lasted, begin, litres, register=_is_register(each.values))
                cases.append((each, litres, begin, each._replace(values=values)))
    if not cases:
        raise FileError("no meter has 120 days or more: too little to learn from and put leaks into")
    everything = [*series, *(case[3] for case in cases)]
    runs = run_each(everything, detector(kind, len(everything), together=False), tick)
    clean, faulty = dict(zip((each.name for each in series), runs, strict=False)), runs[len(series) :]
    hours: dict[float, list[float | None]] = {litres: [] for litres in LEAKS}
    drawn = []
    for (each, litres, begin, leaking), run in zip(cases, faulty, strict=True):
        hours[litres].append(_first_new(each.time, begin, run, clean[each.name]))
        end = int(each.time[begin]) + WITHIN_S
        drawn.append(
            Drawn(f"{each.name} {litres:g} lh {begin}", each.time, leaking.values, run, [(int(each.time[begin]), end)])
        )
    found = [_found(f"{litres:g} l/h", each) for litres, each in hours.items()]
    return found, quiet(series, runs[: len(series)]), drawn


def _is_register(values: Floats) -> bool:
    """Whether it hardly ever falls: this is for injections alone, the detectors find out as they go."""
    changes = np.diff(values[~np.isnan(values)])
    return bool(np.count_nonzero(changes < 0) <= FALLS * np.count_nonzero(changes))


def evaluate_faults(
    series: Sequence[Series], kind: Kind, wide: bool, tick: Tick
) -> tuple[list[FoundRow], list[QuietRow], list[Drawn]]:
    """Faults put into one station at a time; in a wide file its neighbours stay as they are."""
    hours: dict[Fault, list[float | None]] = {fault: [] for fault in FAULTS}
    clean: list[Run] = []
    drawn = []
    for group in [list(series)] if wide else [[each] for each in series]:
        time = group[0].time
        values = np.stack([each.values for each in group], axis=1)
        begins = _begins(time, FAULTS_A_STATION)
        before, judges = _watched(time, values, begins, detector(kind, len(group), together=wide), tick)
        clean += before
        for begin, judge in zip(begins, judges, strict=True):
            end = int(np.searchsorted(np.maximum.accumulate(time), time[begin] + WITHIN_S))
            for (column, each), fault in itertools.product(enumerate(group), FAULTS):
                faulty = values[begin:end].copy()
                faulty[:, column] = inject_fault(each.values, time, fault, begin)[begin:end]
                was = before[column].alarm[begin:end]
                run, hour = _until_new(time[begin:end], faulty, column, was, copy.deepcopy(judge))
                hours[fault].append(hour)
                told = len(run.alarm)
                span = (int(time[begin]), int(time[begin + told - 1]))
                name = f"{each.name} {fault} {begin}"
                drawn.append(Drawn(name, time[begin : begin + told], faulty[:told, column], run, [span]))
                tick()
    if not drawn:
        raise FileError("no station has 120 days or more: too little to learn from and put faults into")
    return [_found(fault, each) for fault, each in hours.items()], quiet(series, clean), drawn


def _watched(
    time: Ints, values: Floats, begins: list[int], judge: Detector, tick: Tick
) -> tuple[list[Run], list[Detector]]:
    """What is said of untouched columns, and the detector as it was at each of `begins`."""
    runs, judges = [], []
    for first, last in itertools.pairwise([0, *begins, len(time)]):
        if first:
            judges.append(copy.deepcopy(judge))
        runs.append(run_together(time[first:last], values[first:last], judge, tick))
    score = np.concatenate([run.score for run in runs])
    alarm = np.concatenate([run.alarm for run in runs])
    return [Run(score[:, at], alarm[:, at]) for at in range(values.shape[1])], judges


def _until_new(time: Ints, values: Floats, column: int, clean: Bools, judge: Detector) -> tuple[Run, float | None]:
    """What is said of a column up to the first alarm that the untouched one does not have; hours to it, or None."""
    score, alarm = [], []
    for row in range(len(time)):
        found = judge.step(slice(None), np.full(values.shape[1], time[row]), values[row])
        score.append(float(found.score[column]))
        alarm.append(bool(found.alarm[column]))
        if alarm[-1] and not clean[row]:
            return Run(np.array(score), np.array(alarm)), float(time[row] - time[0]) / 3600
    return Run(np.array(score), np.array(alarm)), None


def _begins(time: Ints, count: int) -> list[int]:
    """Rows, evenly spread over what is long enough behind the beginning and before the end."""
    first = int(np.searchsorted(np.maximum.accumulate(time), time[0] + LEARNING_S))
    last = int(np.searchsorted(np.maximum.accumulate(time), np.max(time) - WITHIN_S))
    return [] if first >= last else [first + (last - first) * nth // count for nth in range(count)]


def _first_new(time: Ints, begin: int, run: Run, clean: Run) -> float | None:
    """Hours from `begin` to the first alarm that the untouched series does not have; None without."""
    found = np.flatnonzero((run.alarm & ~clean.alarm)[begin:])
    waited = int(time[begin + found[0]] - time[begin]) if len(found) else WITHIN_S + 1
    return waited / 3600 if waited <= WITHIN_S else None


def _found(what: str, hours: list[float | None]) -> FoundRow:
    known = [each for each in hours if each is not None]
    return FoundRow(what, len(hours), len(known), len(known) / len(hours), median(known) if known else None)


def read_json(path: Path) -> Any:
    """Raises FileError."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise FileError(f"{path} is not JSON: {error}") from error
