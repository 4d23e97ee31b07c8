"""One epoch of training, and one evaluation; both poll for stop requests every few steps.

Called by the trainer; vectorized training shares the hooks and the cross-entropy.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from search.training.calibration import are_probabilities
from search.training.loops import Loops
from search.training.run_state import NonFiniteLoss
from search.training.task import PhaseImages
from search.trial import Cause, EpochReport

SUM_TOLERANCE = 1e-2
"""Largest deviation of a sum of probabilities from 1."""


class TrialStopped(Exception):  # noqa: N818 - a signal to leave Keras's loop, not an error
    """The trial must stop."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause.value)
        self.cause = cause


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """The callbacks of a run.

    Args:
        report: Receives every epoch's report.
        should_stop: Polled every few steps; returns the cause to stop for, or None.
        on_images: Receives the number of images trained on since the last call.
    """

    report: Callable[[EpochReport], None] = lambda _: None
    should_stop: Callable[[], Cause | None] = lambda: None
    on_images: Callable[[int], None] = lambda _: None


def steps_per_epoch(images: int, batch_size: int) -> int:
    """Returns how many batches an epoch has; the last one may be smaller."""
    return math.ceil(images / batch_size)


def augmented_images(config: Mapping[str, Any], epoch: int, epochs: int, images: int, *, full_epochs: int) -> int:
    """Returns how many images of an epoch are trained on with augmentation, a whole number of steps.

    The clean epochs at the end keep their share of the training in a short trial, which may be a part of an epoch.

    Args:
        config: The complete configuration.
        epoch: Epochs finished before.
        epochs: Of the trial.
        images: Of an epoch.
        full_epochs: Of a full trial.
    """
    clean = config["clean_epochs"] * epochs / full_epochs
    share: float = min(max(epochs - clean - epoch, 0.0), 1.0)
    batch_size: int = config["batch_size"]
    return min(images, round(share * steps_per_epoch(images, batch_size)) * batch_size)


def fit_epoch(
    loops: Loops,
    images: PhaseImages,
    targets: np.ndarray,
    *,
    seed: int,
    epoch: int,
    augmented_images: int,
    set_augmentation: Callable[[bool], None],
    hooks: Hooks,
    seconds: dict[str, float],
) -> float:
    """Trains one epoch; returns the mean training loss.

    The order of the images depends on (seed, epoch) only, so a resumed trial sees the same batches.

    Args:
        loops: Of a compiled model.
        images: The images of the phase.
        targets: Identity matrix (classes, classes), whose rows are the one-hot labels.
        seed: The trial's.
        epoch: Epochs finished before.
        augmented_images: How many of the images, the first in their order, are trained on with augmentation.
        set_augmentation: Turns it on or off.
        hooks: Called every few steps.
        seconds: Receives the time, even if the epoch fails: as "build" until the first steps of a run end, in which
            the backend traces and compiles, then as "fit".

    Raises:
        TrialStopped: The trial must stop.
        NonFiniteLoss: The loss became NaN or infinite.
    """
    is_first, started = seconds["fit"] == 0.0, time.perf_counter()
    first_steps_ended: float | None = None

    def on_call(trained: int, loss: float) -> None:
        nonlocal first_steps_ended
        first_steps_ended = first_steps_ended or time.perf_counter()
        hooks.on_images(trained)
        if not math.isfinite(loss):
            raise NonFiniteLoss
        _raise_if_stopped(hooks)

    order = np.random.default_rng((seed, epoch)).permutation(len(images.training_images))
    mean_loss = 0.0
    try:
        for is_augmented, part in ((True, order[:augmented_images]), (False, order[augmented_images:])):
            if len(part):
                set_augmentation(is_augmented)
                loss = loops.train(images.training_images, images.training_labels, targets, on_call, order=part)
                mean_loss += loss * (len(part) / len(order))
        return mean_loss
    finally:
        tracing_ended = (first_steps_ended or time.perf_counter()) if is_first else started
        seconds["build"] += tracing_ended - started
        seconds["fit"] += time.perf_counter() - tracing_ended


def evaluate(loops: Loops, images: PhaseImages, hooks: Hooks, seconds: dict[str, float]) -> np.ndarray:
    """Returns the probabilities that a model gives the evaluation images of a phase, (images, classes).

    Args:
        loops: Of a compiled model.
        images: The images of the phase.
        hooks: Called every few images.
        seconds: Receives the time as "evaluate".

    Raises:
        TrialStopped: The trial must stop.
        ValueError: The model's output is not probabilities.
    """
    started = time.perf_counter()
    try:
        outputs = loops.predict(images.evaluation_images, lambda *_: _raise_if_stopped(hooks))
    finally:
        seconds["evaluate"] += time.perf_counter() - started
    check_probabilities(outputs)
    return outputs


def check_probabilities(outputs: np.ndarray) -> None:
    """Checks the outputs of a model, (images, classes), unless some are not finite, which training reports.

    Raises:
        ValueError: They are not probabilities.
    """
    if np.isfinite(outputs).all() and not are_probabilities(outputs, tolerance=SUM_TOLERANCE):
        sums = outputs.sum(axis=1)
        raise ValueError(
            "The builder's output is not probabilities. Expected: for each image values of 0 or more with a sum of 1, "
            f"as of a last layer with activation='softmax'. Received: sums of {sums.min():.3g} to {sums.max():.3g}."
        )


def _raise_if_stopped(hooks: Hooks) -> None:
    if (cause := hooks.should_stop()) is not None:
        raise TrialStopped(cause)


def cross_entropy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Returns the mean cross-entropy in nats of probabilities, (images, classes).

    Raises:
        NonFiniteLoss: The probabilities are not finite.
    """
    true_class_probabilities = probabilities[np.arange(len(probabilities)), labels].astype(np.float64)
    loss = float(-np.log(np.clip(true_class_probabilities, keras.config.epsilon(), 1.0)).mean())
    if not math.isfinite(loss):
        raise NonFiniteLoss
    return loss
