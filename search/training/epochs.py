"""One epoch of training, and one evaluation; both poll for stop requests every few steps.

Called by the trainer; vectorized training shares the hooks and the cross-entropy.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from search.training.run_state import NonFiniteLoss
from search.training.task import PhaseImages
from search.trial import Cause, EpochReport

STEPS_PER_EXECUTION = 10
"""Most steps of a call from Python. Measured on two cores: an epoch of the tutorial's CNN takes 0.93 of its time with
single steps."""
IMAGES_PER_EXECUTION = 2000
"""Most images of a call from Python, so that a trial stops soon at any batch size."""
EVALUATION_PIXEL_VALUES = 784_000
"""Pixel values evaluated at once, 1,000 images of MNIST; does not affect results."""


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
    """

    report: Callable[[EpochReport], None] = lambda _: None
    should_stop: Callable[[], Cause | None] = lambda: None


def steps_per_epoch(images: int, batch_size: int) -> int:
    """Returns how many batches an epoch has; the last one may be smaller."""
    return math.ceil(images / batch_size)


def steps_per_execution(batch_size: int, steps: int) -> int:
    """Returns how many steps to run in a call from Python."""
    return max(1, min(STEPS_PER_EXECUTION, IMAGES_PER_EXECUTION // batch_size, steps))


def evaluation_batch_size(shape: Sequence[int]) -> int:
    """Returns how many images of a shape (count, height, width, channels) are evaluated at once, at least one."""
    return max(1, min(EVALUATION_PIXEL_VALUES // math.prod(shape[1:]), shape[0]))


def fit_epoch(
    model: Any,
    images: PhaseImages,
    targets: np.ndarray,
    *,
    seed: int,
    epoch: int,
    batch_size: int,
    should_stop: Callable[[], Cause | None],
    seconds: dict[str, float],
) -> float:
    """Trains one epoch; returns the mean training loss.

    The order of the images depends on (seed, epoch) only, so a resumed trial sees the same batches.

    Args:
        model: A compiled Keras model.
        images: The images of the phase.
        targets: Identity matrix (classes, classes), whose rows are the one-hot labels.
        seed: The trial's.
        epoch: Epochs finished before.
        batch_size: Images a step.
        should_stop: As ``Hooks`` has it.
        seconds: Receives the time, even if the epoch fails: as "build" until the first steps of a run end, in which
            the backend traces and compiles, then as "fit".

    Raises:
        TrialStopped: The trial must stop.
        NonFiniteLoss: The loss became NaN or infinite.
    """
    started = time.perf_counter()
    stop_callback = _StopCallback(should_stop)
    order = np.random.default_rng((seed, epoch)).permutation(len(images.training_images))
    try:
        history = model.fit(
            images.training_images[order],
            targets[images.training_labels[order]],
            batch_size=batch_size,
            initial_epoch=epoch,
            epochs=epoch + 1,
            shuffle=False,
            verbose=0,
            callbacks=[stop_callback],
        )
    finally:
        tracing_ended = (stop_callback.first_steps_ended or time.perf_counter()) if seconds["fit"] == 0.0 else started
        seconds["build"] += tracing_ended - started
        seconds["fit"] += time.perf_counter() - tracing_ended
    return float(history.history["loss"][-1])


def evaluate(
    model: Any, images: PhaseImages, should_stop: Callable[[], Cause | None], seconds: dict[str, float]
) -> tuple[float, np.ndarray]:
    """Evaluates a model on the evaluation images of a phase.

    Args:
        model: A Keras model.
        images: The images of the phase.
        should_stop: As ``Hooks`` has it.
        seconds: Receives the time as "evaluate".

    Returns:
        Mean cross-entropy in nats, and the probabilities, (images, classes).

    Raises:
        TrialStopped: The trial must stop.
        NonFiniteLoss: The probabilities are not finite.
    """
    started = time.perf_counter()
    batch_size = evaluation_batch_size(images.evaluation_images.shape)
    batches = []
    try:
        # Keras's predict would first copy all images, as float32: four times the memory of uint8 pixels.
        for first in range(0, len(images.evaluation_images), batch_size):
            batches.append(model.predict_on_batch(images.evaluation_images[first : first + batch_size]))
            if (cause := should_stop()) is not None:
                raise TrialStopped(cause)
    finally:
        seconds["evaluate"] += time.perf_counter() - started
    probabilities = np.concatenate(batches)
    return cross_entropy(probabilities, images.evaluation_labels), probabilities


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


class _StopCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Records when the first steps end; leaves Keras's loop on a stop request or if the loss is not finite."""

    def __init__(self, should_stop: Callable[[], Cause | None]) -> None:
        super().__init__()
        self._should_stop = should_stop
        self.first_steps_ended: float | None = None

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Keras calls this after each call from Python."""
        self.first_steps_ended = self.first_steps_ended or time.perf_counter()
        if not math.isfinite(float((logs or {}).get("loss", 0.0))):
            raise NonFiniteLoss
        cause = self._should_stop()
        if cause is not None:
            raise TrialStopped(cause)
