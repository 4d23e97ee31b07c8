"""Keras's layers as a population has them: what the plain ones hold as numbers, these take as arrays.

Each gives what the layer it stands for gives to a member alone, mask for mask, also where the member's units lie among
those of a wider network and its images in a larger batch: what is not its own changes nothing. Made by ``sharing``.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import keras
from jax.extend.random import threefry_2x32

MANTISSA_BITS = 23
"""Bits of the uniform float32 that JAX compares with a probability."""


class PerMemberDropout(keras.layers.Layer):  # type: ignore[misc]
    """Keras's dropout, with a rate that may be an array, and of a member's own values among those of a wider network.

    JAX's random bits are a function of the key and of a value's place in the batch alone (``threefry_partitionable``).
    So the member's own places give its own mask, wherever its values lie.

    Args:
        keep: Share of the values that is kept, in (0, 1].

    Attributes:
        places: Where the member alone would have each value of an image, (...) as an image's values, uint32; None
            where it has all that there are.
        size: How many values of an image the member has.
    """

    places: Any = None
    size: Any = None

    def __init__(self, keep: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.keep = keep
        self.seed_generator = keras.random.SeedGenerator(0)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Maps inputs to the same shape."""
        if not training:
            return inputs
        key = self.seed_generator.next()
        if self.places is None:
            is_kept = jax.random.bernoulli(key, self.keep, inputs.shape)
        else:
            images = jnp.arange(inputs.shape[0], dtype=jnp.uint32).reshape(-1, *[1] * (inputs.ndim - 1))
            is_kept = _uniform_at(key, images * self.size + self.places) < self.keep
        return jnp.where(is_kept, inputs / jnp.asarray(self.keep, inputs.dtype), 0.0)  # bfloat16 stays what it is

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Returns the shape of the inputs."""
        return input_shape


def _uniform_at(key: Any, positions: Any) -> Any:
    """Returns those of JAX's uniform numbers that stand at these places of an array."""
    high, low = threefry_2x32(tuple(key), jnp.stack([jnp.zeros_like(positions), positions]))
    return ((high ^ low) >> (32 - MANTISSA_BITS)).astype(jnp.float32) * 2.0**-MANTISSA_BITS


class MaskedBatchNorm(keras.layers.BatchNormalization):  # type: ignore[misc]
    """Keras's batch normalization by the images that are present in a batch.

    Attributes:
        present: Which images are, (batch,) bool; None for all.
    """

    present: Any = None

    def call(self, inputs: Any, training: bool = False, mask: Any = None) -> Any:
        """Maps inputs (batch, ..., features) to the same shape."""
        if training and self.present is not None:
            mask = jnp.broadcast_to(self.present.reshape(-1, *[1] * (inputs.ndim - 2)), inputs.shape[:-1])
        return super().call(inputs, training=training, mask=mask)


def is_supported_dropout(layer: Any) -> bool:
    """Says whether a layer is a dropout that the one above can stand for."""
    return type(layer) is keras.layers.Dropout and layer.noise_shape is None and layer.rate > 0


def is_supported_batch_norm(layer: Any) -> bool:
    """Says whether a layer is a batch normalization that the one above can stand for."""
    return (
        type(layer) is keras.layers.BatchNormalization
        and layer.axis in (-1, len(layer.input.shape) - 1)
        and not layer.renorm
    )
