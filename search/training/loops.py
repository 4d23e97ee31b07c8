"""How one model trains an epoch and predicts: the interface, and Keras's own ``fit`` and ``predict``.

On a CPU with TensorFlow, ``search.training.tensorflow_cpu.loops`` is faster. Called by ``search.training.epochs``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

OnCall = Callable[[int, float], None]
"""Called after each call from Python with the images it trained on and the epoch's mean loss so far; an exception that
it raises ends the loop."""
STEPS_PER_CALL = 10
"""Most steps of a call from Python. Measured on two cores: an epoch of the tutorial's CNN takes 0.93 of its time with
single steps."""
IMAGES_PER_CALL = 2000
"""Most images of a call from Python, so that a trial stops soon at any batch size."""
EVALUATION_PIXEL_VALUES = 784_000
"""Pixel values evaluated at once, 1,000 images of MNIST; does not affect results."""


class Loops(ABC):
    """The loops of training and prediction of one compiled model."""

    @abstractmethod
    def train(
        self, images: Any, labels: np.ndarray, targets: np.ndarray, on_call: OnCall, *, order: np.ndarray
    ) -> float:
        """Trains on each image once, in an order; returns the mean loss.

        Args:
            images: (count, height, width, channels), an array or a ``Subset``.
            labels: (count,).
            targets: Identity matrix (classes, classes), whose rows are the one-hot labels.
            on_call: Called after each call.
            order: A permutation of the images' positions, (count,).
        """

    @abstractmethod
    def predict(self, images: np.ndarray, on_call: OnCall) -> np.ndarray:
        """Returns the probabilities of images (count, height, width, channels), (count, classes).

        Args:
            images: The images.
            on_call: Called after each call.
        """


def steps_per_call(batch_size: int, steps: int) -> int:
    """Returns how many steps Keras's loop runs in a call from Python; on PyTorch it knows single steps only."""
    if keras.backend.backend() == "torch":
        return 1
    return max(1, min(STEPS_PER_CALL, IMAGES_PER_CALL // batch_size, steps))


def evaluation_batch_size(shape: Sequence[int]) -> int:
    """Returns how many images of a shape (count, height, width, channels) are evaluated at once, at least one."""
    return max(1, min(EVALUATION_PIXEL_VALUES // math.prod(shape[1:]), shape[0]))


class KerasLoops(Loops):
    """Keras's own loops, on any backend and device; ``fit`` copies the images.

    Args:
        model: A compiled Keras model, with ``steps_per_execution`` by ``steps_per_call``.
        batch_size: Images a training step.
    """

    def __init__(self, model: Any, batch_size: int) -> None:
        self._model, self._batch_size = model, batch_size

    def train(
        self, images: Any, labels: np.ndarray, targets: np.ndarray, on_call: OnCall, *, order: np.ndarray
    ) -> float:
        """Trains on each image once, in an order; returns the mean loss."""
        history = self._model.fit(
            images[order],
            targets[labels[order]],
            batch_size=self._batch_size,
            shuffle=False,
            verbose=0,
            callbacks=[_Callback(on_call, self._batch_size, len(order))],
        )
        return float(history.history["loss"][-1])

    def predict(self, images: np.ndarray, on_call: OnCall) -> np.ndarray:
        """Returns the probabilities of images, (count, classes)."""
        batch_size, batches = evaluation_batch_size(images.shape), []
        for start in range(0, len(images), batch_size):  # Keras's predict would copy all images first
            batches.append(self._model.predict_on_batch(images[start : start + batch_size]))
            on_call(0, 0.0)
        return np.concatenate(batches)


class _Callback(keras.callbacks.Callback):  # type: ignore[misc]
    """Keras's callback of ``OnCall``."""

    def __init__(self, on_call: OnCall, batch_size: int, images: int) -> None:
        super().__init__()
        self._on_call, self._batch_size, self._images, self._trained = on_call, batch_size, images, 0

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Keras calls this after each call from Python, with the number of its last step."""
        trained = min((batch + 1) * self._batch_size, self._images)
        images, self._trained = trained - self._trained, trained
        self._on_call(images, float((logs or {}).get("loss", 0.0)))
