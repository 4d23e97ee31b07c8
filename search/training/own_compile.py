"""The optimizer and the loss with which a space's model was compiled by its own builder, as by Keras Tuner's.

Such a model is a layer of the network; its compile decides in place of the training parameters. Called by the trainer.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from spaces.hypermodels.builder import first_loss, is_sparse


def find_compiled(network: Any) -> Any | None:
    """Returns the compiled model within a network, or None."""
    models = (layer for layer in network.layers if isinstance(layer, keras.Model))
    return next((model for model in models if model.compiled), None)


def copy_optimizer(optimizer: Any) -> Any:
    """Returns an equal optimizer that is not built."""
    return type(optimizer).from_config(optimizer.get_config())


class OwnLoss(keras.losses.Loss):  # type: ignore[misc]
    """A model's own loss, of one-hot labels.

    A sparse loss receives the numbers of the classes, and a loss of one output the second class's label.

    Args:
        loss: As given to ``compile``: a name, a function or an object.
        class_weights: Factor of the loss of an image of each class, (classes,); None for 1.
    """

    def __init__(self, loss: Any, class_weights: np.ndarray | None) -> None:
        own = first_loss(loss)
        own = keras.losses.get(own() if isinstance(own, type) else own)
        super().__init__(reduction=getattr(own, "reduction", "sum_over_batch_size"))
        self._own = own.call if isinstance(own, keras.losses.Loss) else own
        self._is_sparse = is_sparse(loss)
        self._class_weights = None if class_weights is None else np.asarray(class_weights, np.float32)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each image, (batch,).

        Args:
            y_true: One-hot labels, (batch, classes).
            y_pred: What the model returns in training, (batch, classes) or (batch, 1).
        """
        labels = y_true
        if self._is_sparse:
            labels = keras.ops.argmax(y_true, axis=-1)
        elif y_pred.shape[-1] == 1:
            labels = y_true[:, 1:]
        losses = self._own(labels, y_pred)
        if self._class_weights is None:
            return losses
        return losses * keras.ops.sum(y_true * self._class_weights, axis=-1)
