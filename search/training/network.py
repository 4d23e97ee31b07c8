"""A configuration's network: raw pixels in, scaled and augmented, then the space's own builder.

Called by the trainer, and by whoever writes a network down as Python.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from search.training.augmentation import AUGMENTATION, RandomAffine
from spaces.space import Builder


def make_network(build: Builder, config: Mapping[str, Any], pixels: np.ndarray, *, classes: int, seed: int) -> Any:  # noqa: ANN401 - Keras model
    """Returns the network, not compiled; its random numbers were seeded by the caller.

    Args:
        build: The space's model builder.
        config: Every training parameter, and what the builder reads.
        pixels: Images (count, height, width, channels), uint8 or float32 in [0, 1], for their shape and type.
        classes: Number of classes.
        seed: Of the augmentation.
    """
    scale = 1.0 / 255.0 if pixels.dtype == np.uint8 else 1.0
    inputs = keras.Input(pixels.shape[1:], name="pixels")
    images = keras.layers.Rescaling(scale, name="scale")(inputs)
    magnitudes = {name: config[name] for name in AUGMENTATION}
    if any(magnitudes.values()):
        images = RandomAffine(**magnitudes, seed=seed, name="augment")(images)
    return keras.Model(inputs, build(images, config, classes))


def without_augmentation(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the configuration of the same network, whose images stay as they are."""
    return {**config, **dict.fromkeys(AUGMENTATION, 0)}


def plain_network(build: Builder, config: Mapping[str, Any], pixels: np.ndarray, trained: Any) -> Any:  # noqa: ANN401 - Keras models
    """Returns a trained network by itself, from raw pixels to probabilities, of Keras's own layers.

    Args:
        build: The space's model builder.
        config: What the trained network was made from.
        pixels: As ``make_network`` takes them.
        trained: The network, with whatever augments its images.
    """
    weights = [layer.get_weights() for layer in trained.layers if not isinstance(layer, RandomAffine)]
    keras.utils.clear_session(free_memory=False)  # else its layers were numbered after those of the other
    plain = make_network(build, without_augmentation(config), pixels, classes=trained.output_shape[-1], seed=0)
    for layer, own in zip(plain.layers, weights, strict=True):
        layer.set_weights(own)
    return plain


def set_augmentation(model: Any, *, on: bool) -> None:  # noqa: ANN401 - Keras model
    """Switches a network's augmentation on or off, where it has one."""
    for layer in model.layers:
        if isinstance(layer, RandomAffine):
            layer.strength.assign(1.0 if on else 0.0)


def trainable_parameters(model: Any) -> int:  # noqa: ANN401 - Keras model
    """Returns how many numbers are trained."""
    return sum(math.prod(variable.shape) for variable in model.trainable_variables)
