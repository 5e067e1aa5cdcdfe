"""Scored by the rules of the Numenta Anomaly Benchmark (Lavin and Ahmad 2015), on what of its files is at hand."""

from collections.abc import Iterator, Mapping

import numpy as np

from gateway.detect.memory import Floats
from gateway.evaluate import nab
from gateway.evaluate.adapters import detector
from gateway.evaluate.series import run_each
from gateway.evaluate.sets import read_nab
from tests.bench.detection.data import DATA
from tests.bench.result import Result, result

FOLDS = 5
PARTITIONS = 20
RULE = nab.PROFILES["standard"]


def results() -> Iterator[Result]:
    """`nab_standard` with the one best threshold, `nab_cross_validated` with that of the other files."""
    series, files = read_nab(DATA / "nab")
    runs = run_each(series, detector("generic", len(series), together=False))
    scores = {each.name: run.score for each, run in zip(series, runs, strict=True)}
    found = nab.score(files, scores, RULE)
    on = {"files": len(files), "windows": found.windows}
    yield result(
        "detection", "nab_standard", found.score, "points", **on, threshold=found.threshold,
        hit=found.hit, false_rows=found.false,
    )  # fmt: skip
    each = cross_validated(files, scores)
    yield result(
        "detection", "nab_cross_validated", float(np.mean(each)), "points", **on, folds=FOLDS, partitions=PARTITIONS,
        deviation=float(np.std(each)),
    )  # fmt: skip


def cross_validated(files: Mapping[str, nab.Labelled], scores: Mapping[str, Floats], seed: int = 1) -> list[float]:
    """For each partition of the files the points of all, each fold judged at the threshold that is best for the others.

    Folds have an equal share of each category.
    """
    chance = np.random.default_rng(seed)
    points = []
    for _ in range(PARTITIONS):
        shuffled = sorted(chance.permutation(list(files)).tolist(), key=lambda name: name.partition("/")[0])
        folds = []
        for fold in range(FOLDS):
            judged = {name: files[name] for name in shuffled[fold::FOLDS]}
            others = {name: each for name, each in files.items() if name not in judged}
            threshold = nab.score(others, scores, RULE).threshold
            folds.append(nab.score(judged, scores, RULE, threshold))
        points.append(float(np.average([each.score for each in folds], weights=[each.windows for each in folds])))
    return points
