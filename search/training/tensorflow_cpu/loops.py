"""Loops of training and prediction steps inside TensorFlow, on images that are passed a few batches at a time.

Keras's ``fit`` and ``predict`` copy all images into a data set first, and start threads that compete with other
workers. Called by ``search.training.epochs``.
"""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import tensorflow as tf

from search.training.loops import Loops, OnCall, evaluation_batch_size

SECONDS_PER_CALL = 0.5
"""Time of a call from Python that the number of its steps aims at, so that a trial stops soon at any size of network,
image and batch. A call costs about a millisecond."""
BYTES_PER_CALL = 2**25
"""Most bytes of images that are copied for a call of several steps."""


class CompiledLoops(Loops):
    """The compiled loops of one model.

    Args:
        model: A compiled Keras model.
        batch_size: Images a training step.
        pixel_type: Of the images.
    """

    def __init__(self, model: Any, batch_size: int, pixel_type: np.dtype[Any]) -> None:
        self._model, self._batch_size = model, batch_size
        image_shape = model.input_shape[1:]
        image_bytes = math.prod(image_shape) * pixel_type.itemsize
        self._max_steps = max(1, BYTES_PER_CALL // (image_bytes * batch_size))
        self._steps, self._is_traced = 1, False
        images = tf.TensorSpec((None, *image_shape), pixel_type)
        targets = tf.TensorSpec((None, model.output_shape[-1]), tf.float32)

        def train(images: Any, targets: Any) -> Any:
            count = tf.shape(images)[0]

            def step(start: Any) -> tuple[Any]:
                end = tf.minimum(start + batch_size, count)
                model.train_step((images[start:end], targets[start:end]))
                return (start + batch_size,)

            tf.while_loop(lambda start: start < count, step, (tf.constant(0),), parallel_iterations=1)
            return model.get_metrics_result()["loss"]

        self._train = tf.function(train, input_signature=(images, targets), autograph=False)
        self._predict = tf.function(
            lambda images: model(images, training=False), input_signature=(images,), autograph=False
        )

    def train(
        self, images: Any, labels: np.ndarray, targets: np.ndarray, on_call: OnCall, *, order: np.ndarray
    ) -> float:
        """Trains on each image once, in an order; returns the mean loss."""
        self._model.reset_metrics()
        loss, start = math.nan, 0
        while start < len(order):
            chosen = order[start : start + self._steps * self._batch_size]
            started = time.perf_counter()
            loss = float(self._train(images[chosen], targets[labels[chosen]]))
            if self._is_traced:  # else most of the time went into tracing
                steps = math.ceil(len(chosen) / self._batch_size)
                seconds_per_step = (time.perf_counter() - started) / steps
                self._steps = max(1, min(int(SECONDS_PER_CALL / seconds_per_step), 2 * self._steps, self._max_steps))
            self._is_traced = True
            start += len(chosen)
            on_call(len(chosen), loss)
        return loss

    def predict(self, images: np.ndarray, on_call: OnCall) -> np.ndarray:
        """Returns the probabilities of images, (count, classes)."""
        batch_size, batches = evaluation_batch_size(images.shape), []
        for start in range(0, len(images), batch_size):
            batches.append(self._predict(images[start : start + batch_size]).numpy())
            on_call(0, 0.0)
        return np.concatenate(batches)
