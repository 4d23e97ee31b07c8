"""A configuration's network: raw pixels in, scaled and augmented, then the space's own builder.

Called by the trainer, and by whoever writes a network down as Python.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from search.training.augmentation import RandomAffine
from search.training.runtime import Precision
from spaces.space import Builder
from spaces.training import AUGMENTATION_PARAMETERS


def make_network(
    build: Builder,
    config: Mapping[str, Any],
    pixels: np.ndarray,
    *,
    classes: int,
    seed: int,
    precision: Precision = Precision.TF32,
) -> Any:
    """Returns the network, not compiled; its random numbers were seeded by the caller.

    Args:
        build: The space's model builder.
        config: Every training parameter, and what the builder reads.
        pixels: Images (count, height, width, channels), uint8 or float32 in [0, 1], for their shape and type.
        classes: Number of classes.
        seed: Of the augmentation.
        precision: In what the space's layers compute; what comes before them, pixels and positions, is float32.
    """
    scale = 1.0 / 255.0 if pixels.dtype == np.uint8 else 1.0
    inputs = keras.Input(pixels.shape[1:], name="pixels")
    images = keras.layers.Rescaling(scale, name="scale")(inputs)
    magnitudes = {name: config[name] for name in AUGMENTATION_PARAMETERS}
    if any(magnitudes.values()):
        images = RandomAffine(**magnitudes, seed=seed, name="augment")(images)
    builder = _bfloat16_builder(build) if precision is Precision.BFLOAT16 else build
    return keras.Model(inputs, builder(images, config, classes))


def _bfloat16_builder(build: Builder) -> Builder:
    """Returns a builder of the same network, whose layers compute in bfloat16, and the last one in float32.

    What follows needs more than bfloat16's 8 bits: probabilities near 1 would lie 0.004 apart, and many be equal. A
    layer that its builder gave a type of its own keeps it.
    """

    def build_in_bfloat16(images: Any, config: Mapping[str, Any], classes: int) -> Any:
        policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy("mixed_bfloat16")
        try:
            said = build(images, config, classes)
        finally:
            keras.config.set_dtype_policy(policy)
        last = _last_operation(said)
        if not isinstance(last, keras.layers.Layer):  # a function, such as keras.ops.softmax
            return keras.ops.cast(said, "float32")
        for layer in last._flatten_layers():  # itself, and what it is made of
            layer.dtype_policy = "float32"
        return said

    return build_in_bfloat16


def _last_operation(tensor: Any) -> Any:
    """Returns the layer or function that a tensor comes from; of a graph of layers within the network its last one."""
    operation = tensor._keras_history.operation
    is_graph = isinstance(operation, keras.Model) and hasattr(operation, "outputs")
    return _last_operation(operation.outputs[0]) if is_graph else operation


def without_augmentation(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the configuration of the same network, whose images stay as they are."""
    return {**config, **dict.fromkeys(AUGMENTATION_PARAMETERS, 0)}


def make_inference_network(
    build: Builder,
    config: Mapping[str, Any],
    pixels: np.ndarray,
    *,
    trained_model: Any,
    precision: Precision,
) -> Any:
    """Returns a trained network by itself, from raw pixels to probabilities, of Keras's own layers.

    Args:
        build: The space's model builder.
        config: What the trained network was made from.
        pixels: As ``make_network`` takes them.
        trained_model: The network, with whatever augments its images.
        precision: As it was trained.
    """
    weights = [layer.get_weights() for layer in trained_model.layers if not isinstance(layer, RandomAffine)]
    keras.utils.clear_session(free_memory=False)  # else its layers were numbered after those of the other
    classes = trained_model.output_shape[-1]
    inference_model = make_network(
        build, without_augmentation(config), pixels, classes=classes, seed=0, precision=precision
    )
    for layer, own in zip(inference_model.layers, weights, strict=True):
        layer.set_weights(own)
    return inference_model


def set_augmentation(model: Any, *, on: bool) -> None:
    """Switches a network's augmentation on or off, where it has one."""
    for layer in model.layers:
        if isinstance(layer, RandomAffine):
            layer.strength.assign(1.0 if on else 0.0)


def trainable_parameters(model: Any) -> int:
    """Returns how many numbers are trained."""
    return sum(math.prod(variable.shape) for variable in model.trainable_variables)
