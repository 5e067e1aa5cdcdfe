"""Scored by the rules of the Numenta Anomaly Benchmark (Lavin and Ahmad 2015), on what of its files is at hand."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gateway.detect.core import Core
from tests.bench.result import Result, result

SHARED = Path(__file__).parents[3].parent / "shared"
FOLDS = 5
PARTITIONS = 20


def results() -> Iterator[Result]:
    """`nab_standard` with the one best threshold, `nab_cross_validated` with that of the other files."""
    corpus = _corpus()
    scores = _scores(corpus)
    found = corpus.score(scores)
    on = {"files": found["files"], "windows": found["windows"]}
    yield result(
        "detection", "nab_standard", float(found["norm"]), "points", **on, threshold=float(found["threshold"]),
        hit=found["detected"], false_rows=found["fp_rows"],
    )  # fmt: skip
    each = cross_validated(corpus, scores)
    yield result(
        "detection", "nab_cross_validated", float(np.mean(each)), "points", **on, folds=FOLDS, partitions=PARTITIONS,
        deviation=float(np.std(each)),
    )  # fmt: skip


def cross_validated(corpus: Any, scores: dict[str, np.ndarray], seed: int = 1) -> list[float]:
    """For each partition of the files the points of all, each fold judged at the threshold that is best for the others.

    Folds have an equal share of each category.
    """
    chance = np.random.default_rng(seed)
    windows = sum(len(file.win) for file in corpus.files)
    points = []
    for _ in range(PARTITIONS):
        shuffled = sorted(chance.permutation(corpus.files), key=lambda file: file.category)
        raw = 0.0
        for fold in range(FOLDS):
            judged = {file.path for number, file in enumerate(shuffled) if number % FOLDS == fold}
            others = {file.path for file in shuffled} - judged
            threshold = corpus.score(scores, files=others)["threshold"]
            raw += corpus.score(scores, files=judged, threshold=threshold)["raw"]
        points.append(100 * (raw + windows) / (2 * windows))
    return points


def _corpus() -> Any:
    spec = importlib.util.spec_from_file_location("nabscore", SHARED / "score" / "nabscore.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(SHARED / "score" / "nabscore.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Corpus(str(SHARED / "data" / "nab"))


def _scores(corpus: Any) -> dict[str, np.ndarray]:
    """All files in step, row by row: each is a series of its own."""
    core = Core(len(corpus.files))
    times = [np.array(file.ts, "datetime64[s]").astype(np.int64) for file in corpus.files]
    scores = [np.zeros(file.n) for file in corpus.files]
    for row in range(max(file.n for file in corpus.files)):
        rows = np.array([number for number, file in enumerate(corpus.files) if row < file.n])
        time = np.array([times[number][row] for number in rows])
        value = np.array([corpus.files[number].v[row] for number in rows])
        for number, score in zip(rows, core.step(rows, time, value).score, strict=True):
            scores[number][row] = score
    return {file.path: score for file, score in zip(corpus.files, scores, strict=True)}
