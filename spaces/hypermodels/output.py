"""The last layer of a model that does not return class probabilities. Imports Keras."""

from __future__ import annotations

from typing import Any

import keras


def to_probabilities(outputs: Any, kind: str) -> Any:
    """Returns class probabilities, (batch, classes).

    Args:
        outputs: What a model returns, (batch, classes); (batch, 1) for the probability of the second of two classes.
        kind: "linear" for logits of all classes, "sigmoid" for a probability of each, "sigmoid logits" for its logit.
    """
    if kind == "linear" and outputs.shape[-1] > 1:
        return keras.ops.softmax(keras.ops.cast(outputs, "float32"))
    if kind != "sigmoid":
        outputs = keras.ops.sigmoid(keras.ops.cast(outputs, "float32"))
    if outputs.shape[-1] == 1:
        return keras.ops.concatenate([1.0 - outputs, outputs], axis=-1)
    return outputs / keras.ops.maximum(keras.ops.sum(outputs, axis=-1, keepdims=True), keras.config.epsilon())


class ClassProbabilities(keras.layers.Layer):  # type: ignore[misc]
    """Passes a model's outputs on in training, where its loss receives them, and returns probabilities otherwise.

    Args:
        kind: As ``to_probabilities`` takes it.
        name: The layer's name.
    """

    def __init__(self, kind: str, name: str | None = None) -> None:
        super().__init__(name=name, dtype="float32")
        self.kind = kind

    def call(self, outputs: Any, training: bool | None = None) -> Any:
        """Returns outputs in training, else probabilities."""
        return outputs if training else to_probabilities(outputs, self.kind)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {"kind": self.kind, "name": self.name}
