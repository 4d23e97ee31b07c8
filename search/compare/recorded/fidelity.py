"""What a cheap training tells about the full one of the same configuration and seed, from recorded trainings alone.

Compares complete trainings over fewer epochs with the curve of the full training, cut at the same epochs. Called by
``compute``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

from search.compare.recorded.recordings import Recording, Training
from search.trial import config_key

METRICS = ("error", "calibrated loss")
"""The columns of a training's curve that are compared."""
MIN_TRAININGS = 5
"""Fewest trainings for a correlation."""
CUTS = (1, 2, 3, 5)
"""Epochs after which the curve of a full training is cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictor:
    """How well one figure of a cheap training ranks full trainings.

    Args:
        name: Such as "2 complete epochs, calibrated loss".
        trainings: Number of full trainings, each with the figure.
        to_error: Spearman's rho to the error of the full training.
        to_loss: The same to its calibrated loss.
        to_loss_of_best: The same among the third with the lowest calibrated loss.
    """

    name: str
    trainings: int
    to_error: float
    to_loss: float
    to_loss_of_best: float


def predictors(recording: Recording) -> tuple[Predictor, ...]:
    """Returns the predictors for which there are enough complete trainings."""
    by_key: dict[tuple[str, int], dict[int, Training]] = defaultdict(dict)
    for training in recording.trainings:
        if training.is_complete:
            by_key[config_key(training.config), training.seed][training.epochs] = training
    groups = [group for group in by_key.values() if recording.epochs in group]
    lengths = sorted({epochs for group in groups for epochs in group} - {recording.epochs})
    return tuple(_predictors(groups, lengths, recording.epochs))


def _predictors(groups: list[dict[int, Training]], lengths: list[int], full: int) -> Iterator[Predictor]:
    for epochs in lengths:
        with_short = [group for group in groups if epochs in group]
        for column, metric in enumerate(METRICS):
            values = [group[epochs].curve[-1, column] for group in with_short]
            yield from _predictor(f"{epochs} complete epochs, {metric}", values, with_short, full)
    for cut in CUTS:
        for column, metric in enumerate(METRICS if cut < full else ()):
            values = [group[full].curve[cut - 1, column] for group in groups]
            yield from _predictor(f"{full} epochs cut at {cut}, {metric}", values, groups, full)


def _predictor(name: str, values: list[float], groups: list[dict[int, Training]], full: int) -> Iterator[Predictor]:
    if len(values) < MIN_TRAININGS:
        return
    figures, ends = np.array(values), np.array([group[full].curve[-1] for group in groups])
    best = np.argsort(ends[:, 1])[: max(MIN_TRAININGS, len(ends) // 3)]
    yield Predictor(
        name=name,
        trainings=len(values),
        to_error=spearman(figures, ends[:, 0]),
        to_loss=spearman(figures, ends[:, 1]),
        to_loss_of_best=spearman(figures[best], ends[best, 1]),
    )


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    """Returns Spearman's rho; 0 where it is not defined, since one side is constant."""
    return float(spearmanr(first, second).statistic) if np.ptp(first) > 1e-9 and np.ptp(second) > 1e-9 else 0.0
