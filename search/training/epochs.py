"""One epoch of training and one scoring, with a look at the outside world every few steps."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from search.training.phase_images import PhaseImages
from search.training.run_state import NonFiniteLoss
from search.trial import Cause, EpochReport

STEPS_PER_EXECUTION = 10
"""Most steps run between two returns to Python. Measured on two cores: an epoch of the tutorial's CNN takes 0.93 of its
time with single steps."""
IMAGES_PER_EXECUTION = 2000
"""Most images trained on between two returns, so that a trial can be stopped soon whatever its batch size."""
EVALUATION_PIXEL_VALUES = 784_000
"""Pixel values scored at once, 1,000 images of MNIST; moves no result."""


class TrialStopped(Exception):  # noqa: N818 - a signal to leave Keras's loop, not an error
    """The trial was asked to stop."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause.value)
        self.cause = cause


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """How a run talks to whoever asked for it.

    Args:
        report: Receives every epoch's report.
        should_stop: Asked every few steps; returns the cause to stop for, or None.
    """

    report: Callable[[EpochReport], None] = lambda _: None
    should_stop: Callable[[], Cause | None] = lambda: None


@dataclass(frozen=True, slots=True)
class EpochContext:
    """One pass over the training images.

    Args:
        seed: The trial's.
        epoch: Epochs finished before.
        batch_size: Images a step.
        hooks: Asked whether to stop.
    """

    seed: int
    epoch: int
    batch_size: int
    hooks: Hooks


def steps_per_execution(batch_size: int, steps: int) -> int:
    """Returns how many steps to run between two returns to Python."""
    return max(1, min(STEPS_PER_EXECUTION, IMAGES_PER_EXECUTION // batch_size, steps))


def fit_epoch(
    model: Any, images: PhaseImages, targets: np.ndarray, context: EpochContext, seconds: dict[str, float]
) -> float:
    """Trains one epoch in an order drawn from (seed, epoch) alone, so that a resumed trial sees the same batches.

    Args:
        model: A compiled Keras model.
        images: What to train on.
        targets: Identity matrix (classes, classes), whose rows are the one-hot labels.
        context: Which pass it is.
        seconds: Gets the time added, however the epoch ends: to "build" until the first steps of a run are through,
            in which the backend traces and compiles, then to "fit".

    Returns:
        The mean training loss.
    """
    started = time.perf_counter()
    stop_callback = _StopCallback(context.hooks.should_stop)
    order = np.random.default_rng((context.seed, context.epoch)).permutation(len(images.training_images))
    try:
        history = model.fit(
            images.training_images[order],
            targets[images.training_labels[order]],
            batch_size=context.batch_size,
            initial_epoch=context.epoch,
            epochs=context.epoch + 1,
            shuffle=False,
            verbose=0,
            callbacks=[stop_callback],
        )
    finally:
        tracing_ended = (stop_callback.first_steps_ended or time.perf_counter()) if seconds["fit"] == 0.0 else started
        seconds["build"] += tracing_ended - started
        seconds["fit"] += time.perf_counter() - tracing_ended
    return float(history.history["loss"][-1])


def evaluate(model: Any, images: PhaseImages, hooks: Hooks, seconds: dict[str, float]) -> tuple[float, np.ndarray]:
    """Scores the images that a phase is judged by.

    Args:
        model: A Keras model.
        images: What to score.
        hooks: Asked whether to stop.
        seconds: Gets the time added, to "evaluate".

    Returns:
        Mean cross-entropy in nats, and the probabilities, (images, classes).

    Raises:
        NotFinite: The model gives no probabilities any more.
    """
    started = time.perf_counter()
    batch_size = max(
        1, min(EVALUATION_PIXEL_VALUES // math.prod(images.evaluation_images.shape[1:]), len(images.evaluation_images))
    )
    try:
        stop_callback = _StopCallback(hooks.should_stop)
        probabilities = model.predict(
            images.evaluation_images, batch_size=batch_size, verbose=0, callbacks=[stop_callback]
        )
    finally:
        seconds["evaluate"] += time.perf_counter() - started
    return cross_entropy(probabilities, images.evaluation_labels), probabilities


def cross_entropy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Returns the mean cross-entropy in nats of probabilities, (images, classes).

    Raises:
        NotFinite: They are no probabilities any more.
    """
    true_class_probabilities = probabilities[np.arange(len(probabilities)), labels].astype(np.float64)
    loss = float(-np.log(np.clip(true_class_probabilities, keras.config.epsilon(), 1.0)).mean())
    if not math.isfinite(loss):
        raise NonFiniteLoss
    return loss


class _StopCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Notes when the first steps ended, and leaves the loop when asked to or when the loss is no number."""

    def __init__(self, should_stop: Callable[[], Cause | None]) -> None:
        super().__init__()
        self._should_stop = should_stop
        self.first_steps_ended: float | None = None

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Called whenever Keras returns to Python."""
        self.first_steps_ended = self.first_steps_ended or time.perf_counter()
        if not math.isfinite(float((logs or {}).get("loss", 0.0))):
            raise NonFiniteLoss
        self._raise_if_stopped()

    def on_predict_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Called whenever Keras returns to Python."""
        self._raise_if_stopped()

    def _raise_if_stopped(self) -> None:
        cause = self._should_stop()
        if cause is not None:
            raise TrialStopped(cause)
