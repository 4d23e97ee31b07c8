"""What a configuration describes: its network, optimizer, learning-rate schedule and loss.

A network takes raw pixels, scales and augments them, and continues with the space's own builder. Called by the trainer,
vectorized training and the export of scripts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from search.errors import TrialError
from search.training.augmentation import RandomAffine
from search.training.elastic import RandomElastic
from search.training.runtime import Precision
from spaces.hypermodels import HypermodelBuilder
from spaces.space import Builder
from spaces.training import AUGMENTATION_PARAMETERS, peak_learning_rate

NESTEROV_MOMENTUM = 0.9
"""Momentum of SGD, fixed as in most published recipes for small images."""
WARM_UP_SHARE = {"cosine": 0.05, "one_cycle": 0.30}
"""Share of all steps in which the rate rises linearly to its peak; 0.3 is the one-cycle policy's usual share.
Source: Smith and Topin, "Super-Convergence", 2018, arXiv:1708.07120, and the fastai library's default."""
EXPONENTIAL_FINAL_SHARE = 0.01
"""Share of the peak rate at which the exponential schedule ends."""


def make_network(
    build: Builder,
    config: Mapping[str, Any],
    pixels: np.ndarray,
    *,
    classes: int,
    seed: int,
    precision: Precision = Precision.TF32,
    white: float | None = None,
) -> Any:
    """Returns the network, not compiled; its random numbers were seeded by the caller.

    Args:
        build: The space's model builder.
        config: The complete configuration.
        pixels: Images (count, height, width, channels), uint8 or float32 in [0, 1], for their shape and type.
        classes: Number of classes.
        seed: Of the augmentation.
        precision: Of the space's layers; pixels and augmentation are float32.
        white: Value of a white pixel of the network's input; None for that of ``pixels``.
    """
    scale = 1.0 / (white or (255.0 if pixels.dtype == np.uint8 else 1.0))
    inputs = keras.Input(pixels.shape[1:], name="pixels")
    images = keras.layers.Rescaling(scale, name="scale")(inputs)
    magnitudes = {name: config[name] for name in AUGMENTATION_PARAMETERS if config[name]}
    if magnitudes:
        layer = RandomElastic if "elastic" in magnitudes else RandomAffine
        images = layer(**magnitudes, seed=seed, name="augment")(images)
    builder = _bfloat16_builder(build) if precision is Precision.BFLOAT16 else build
    return keras.Model(inputs, builder(images, config, classes))


def _bfloat16_builder(build: Builder) -> Builder:
    """Returns a builder of the same network, whose layers compute in bfloat16, and the last one in float32.

    In bfloat16, with 8 bits, probabilities near 1 would lie 0.004 apart, and many be equal. A layer with a type of its
    own keeps it.
    """

    def build_in_bfloat16(images: Any, config: Mapping[str, Any], classes: int) -> Any:
        policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy("mixed_bfloat16")
        try:
            outputs = build(images, config, classes)
        finally:
            keras.config.set_dtype_policy(policy)
        last = _last_operation(outputs)
        if not isinstance(last, keras.layers.Layer):  # a function, such as keras.ops.softmax
            return keras.ops.cast(outputs, "float32")
        for layer in last._flatten_layers():  # itself and its nested layers
            layer.dtype_policy = "float32"
        return outputs

    return build_in_bfloat16


def _last_operation(tensor: Any) -> Any:
    """Returns the layer or function that made a tensor; for a nested model, its last one."""
    operation = tensor._keras_history.operation
    is_graph = isinstance(operation, keras.Model) and hasattr(operation, "outputs")
    return _last_operation(operation.outputs[0]) if is_graph else operation


def without_augmentation(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the configuration of the same network without augmentation."""
    return {**config, **dict.fromkeys(AUGMENTATION_PARAMETERS, 0)}


def make_inference_network(
    build: Builder,
    config: Mapping[str, Any],
    pixels: np.ndarray,
    *,
    trained_model: Any,
    precision: Precision,
    white: float | None = None,
) -> Any:
    """Returns a trained network without augmentation, from given pixels to probabilities, of Keras's own layers.

    Args:
        build: The space's model builder.
        config: The complete configuration of the trained network.
        pixels: As ``make_network`` takes them.
        trained_model: The trained network.
        precision: As it was trained.
        white: Value of a white pixel in the data as given; None if they are standardized, or unknown.
    """
    weights = _weights_by_layer(trained_model)
    keras.utils.clear_session(free_memory=False)  # else Keras continues to number its layers
    classes = trained_model.output_shape[-1]
    if isinstance(build, HypermodelBuilder):
        build = replace(build, is_for_export=True)
    inference_model = make_network(
        build, without_augmentation(config), pixels, classes=classes, seed=0, precision=precision, white=white
    )
    for layer, own in zip(filter(_has_weights, inference_model.layers), weights, strict=True):
        layer.set_weights(own)
    return inference_model


def require_savable(model: Any) -> None:
    """Checks that Keras can save a network and make it again, before it is trained for that.

    Raises:
        TrialError: A class of the user has no ``get_config``.
    """
    for layer in model.layers:
        try:
            if not isinstance(layer, RandomAffine):  # it is no part of a saved model
                layer.get_config()
        except Exception as error:
            found = re.search(r"Object (\w+)", str(error))
            name = found[1] if found else type(layer).__name__
            raise TrialError(
                f"The model cannot be saved: its class {name} has no get_config() that returns its arguments. Add one, "
                "or export it with --as script."
            ) from error


def _weights_by_layer(model: Any) -> list[Any]:
    """Returns the weights of the layers that have any; those of the augmentation are left out."""
    return [layer.get_weights() for layer in filter(_has_weights, model.layers)]


def _has_weights(layer: Any) -> bool:
    return bool(layer.weights) and not isinstance(layer, RandomAffine)


def set_augmentation(model: Any, on: bool) -> None:
    """Switches a network's augmentation, if it has one, on or off."""
    for layer in model.layers:
        if isinstance(layer, RandomAffine):
            layer.strength.assign(1.0 if on else 0.0)


def trainable_parameters(model: Any) -> int:
    """Returns the number of trainable parameters."""
    return sum(math.prod(variable.shape) for variable in model.trainable_variables)


def make_schedule(name: str, peak: float, total_steps: int) -> Any:
    """Returns the learning rate over steps: a float for "constant", else a Keras schedule.

    Args:
        name: constant, cosine, one_cycle or exponential.
        peak: Highest learning rate.
        total_steps: Optimizer steps of the whole trial.
    """
    if name == "constant":
        return peak
    if name == "exponential":
        return keras.optimizers.schedules.ExponentialDecay(peak, max(total_steps, 1), EXPONENTIAL_FINAL_SHARE)
    warm_up = max(1, round(total_steps * WARM_UP_SHARE[name]))
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        decay_steps=max(1, total_steps - warm_up),
        warmup_target=peak,
        warmup_steps=warm_up,
    )


_OPTIMIZERS = {
    "adam": keras.optimizers.Adam,
    "rmsprop": keras.optimizers.RMSprop,
    "nadam": keras.optimizers.Nadam,
    "lion": keras.optimizers.Lion,
}
"""Optimizers at Keras's defaults, but for the learning rate."""


def make_optimizer(config: Mapping[str, Any], total_steps: int) -> Any:
    """Returns the optimizer that a configuration describes."""
    schedule = make_schedule(config["schedule"], peak_learning_rate(config), total_steps)
    if config["optimizer"] == "sgd":
        return keras.optimizers.SGD(schedule, momentum=NESTEROV_MOMENTUM, nesterov=True)
    if config["optimizer"] == "adamw":
        return keras.optimizers.AdamW(schedule, weight_decay=config["weight_decay"])
    return _OPTIMIZERS[config["optimizer"]](schedule)


def make_loss(config: Mapping[str, Any], class_weights: np.ndarray | None = None) -> Any:
    """Returns cross-entropy over one-hot labels, smoothed where the configuration says so.

    Args:
        config: The complete configuration.
        class_weights: Factor of the loss of an image of each class, (classes,); None for 1.
    """
    if class_weights is None:
        return keras.losses.CategoricalCrossentropy(label_smoothing=config["label_smoothing"])
    return WeightedCrossEntropy(class_weights, label_smoothing=config["label_smoothing"])


class WeightedCrossEntropy(keras.losses.CategoricalCrossentropy):  # type: ignore[misc]
    """Cross-entropy whose images have the weights of their classes, as by ``class_weight`` of Keras's ``fit``.

    Args:
        class_weights: (classes,).
        label_smoothing: Share of the labels that is spread over all classes.
    """

    def __init__(self, class_weights: np.ndarray, *, label_smoothing: float) -> None:
        super().__init__(label_smoothing=label_smoothing)
        self._class_weights = np.asarray(class_weights, np.float32)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each image, (batch,).

        Args:
            y_true: One-hot labels, (batch, classes).
            y_pred: Probabilities, (batch, classes).
        """
        return super().call(y_true, y_pred) * keras.ops.sum(y_true * self._class_weights, axis=-1)
