"""Counts the operations of a network from its layers' sizes, without Keras.

A space's ``workload`` function calls a ``LayerCounter`` as its builder calls ``spaces.layers``; tests compare the
counts with the built model. The cost model, ``search.study.cost``, predicts seconds from them.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from numbers import Real
from typing import Any

from spaces.training import complete

SMOOTH_ACTIVATIONS = ("gelu", "silu", "elu", "selu", "tanh", "sigmoid", "softplus", "mish")
"""Activations that compute an exponential or error function for each value."""
MAX_COUNT = 2**63
"""More than any network that can be trained counts of one kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """The operations of a network's forward pass for one image, and the size of its weights.

    Layers that read the images are counted apart: training computes no gradient of the images.

    Args:
        image_convolution_macs: Multiply-adds of the convolutions that read the images.
        convolution_macs: Multiply-adds of all other convolutions.
        image_dense_macs: Multiply-adds of the dense layers that read the images.
        dense_macs: Multiply-adds of all other dense layers.
        convolved_values: Output values of all convolutions.
        gelu_map_values: Output values of GELU on feature maps.
        smooth_values: Output values of all other activations in ``SMOOTH_ACTIVATIONS``.
        normalized_values: Output values of batch normalization.
        pooled_values: Input values of pooling.
        dropped_values: Output values of dropout.
        pixels: Values of one image.
        parameters: Trainable parameters.
        layers: Layers with trainable parameters.
    """

    image_convolution_macs: int = 0
    convolution_macs: int = 0
    image_dense_macs: int = 0
    dense_macs: int = 0
    convolved_values: int = 0
    gelu_map_values: int = 0
    smooth_values: int = 0
    normalized_values: int = 0
    pooled_values: int = 0
    dropped_values: int = 0
    pixels: int
    parameters: int = 0
    layers: int = 0

    @property
    def is_valid(self) -> bool:
        """Whether all counts are numbers in [0, ``MAX_COUNT``]; a user's function may return others."""
        counts = [getattr(self, each.name) for each in fields(self)]
        return all(isinstance(count, Real) for count in counts) and all(0 <= count <= MAX_COUNT for count in counts)


WorkloadFunction = Callable[[Mapping[str, Any], tuple[int, int, int], int], Workload]
"""``workload(config, image_shape, classes)``: the counts of the network that ``build`` makes of the configuration."""


def try_count(
    workload: WorkloadFunction, config: Mapping[str, Any], image_shape: tuple[int, int, int], classes: int
) -> Workload | None:
    """Returns the counts of a configuration's network; None if the function raises or returns others than valid ones.

    Args:
        workload: A space's function.
        config: Training parameters that it leaves out are the tutorial's.
        image_shape: (height, width, channels).
        classes: Number of classes.
    """
    counted: object = None
    with contextlib.suppress(Exception):  # a user's function may raise anything; a prediction ends no run
        counted = workload(complete(config), image_shape, classes)
    return counted if isinstance(counted, Workload) and counted.is_valid else None


class LayerCounter:
    """Follows the shape of one image through a network's layers, and adds up what they compute.

    Args:
        config: Sets the style, as in ``spaces.layers``: activation and batch_norm.
        image_shape: (height, width, channels).
    """

    def __init__(self, config: Mapping[str, Any], image_shape: tuple[int, int, int]) -> None:
        self._activation, self._has_batch_norm = config["activation"], config["batch_norm"]
        self._height, self._width, self._channels = image_shape
        self._features: int | None = None
        self._reads_images = True
        self._counts = {"pixels": math.prod(image_shape)}

    def convolution(self, *, filters: int, kernel: int, padding: str = "valid") -> None:
        """Counts ``layers.convolution``."""
        weights = kernel * kernel * self._channels * filters
        if padding == "valid" and min(self._height, self._width) - kernel + 1 >= 2:  # else padded
            self._height, self._width = self._height - kernel + 1, self._width - kernel + 1
        self._add_macs("convolution_macs", self._height * self._width * weights)
        self._channels = filters
        self._add("convolved_values", self._values)
        self._add_weights(weights, outputs=filters)
        self._add_activation()

    def pool(self) -> None:
        """Counts ``layers.pool``."""
        if min(self._height, self._width) >= 2:
            self._add("pooled_values", self._values)
            self._height, self._width = self._height // 2, self._width // 2

    def global_average(self) -> None:
        """Counts averages of each feature map as a pooling."""
        self._add("pooled_values", self._values)
        self._height = self._width = 1

    def dense(self, *, units: int) -> None:
        """Counts ``layers.dense``; the first one flattens the images."""
        self._add_dense(units)
        self._add_activation()

    def dropout(self, rate: float) -> None:
        """Counts ``layers.dropout``."""
        if rate:
            self._add("dropped_values", self._values)

    def softmax_output(self, *, classes: int) -> Workload:
        """Counts ``layers.softmax_output``, which has no batch normalization, and returns all counts."""
        self._has_batch_norm = False
        self._add_dense(classes)
        return Workload(**self._counts)

    @property
    def _values(self) -> int:
        """Values of an image after the layers so far."""
        return self._height * self._width * self._channels if self._features is None else self._features

    def _add(self, name: str, count: int) -> None:
        self._counts[name] = self._counts.get(name, 0) + count

    def _add_dense(self, units: int) -> None:
        weights = self._values * units
        self._add_macs("dense_macs", weights)
        self._features = units
        self._add_weights(weights, outputs=units)

    def _add_macs(self, name: str, count: int) -> None:
        self._add(f"image_{name}" if self._reads_images else name, count)
        self._reads_images = False

    def _add_weights(self, weights: int, *, outputs: int) -> None:
        # Batch normalization has a scale and an offset for each output and takes the place of the bias.
        self._add("parameters", weights + outputs * (2 if self._has_batch_norm else 1))
        self._add("layers", 2 if self._has_batch_norm else 1)

    def _add_activation(self) -> None:
        if self._has_batch_norm:
            self._add("normalized_values", self._values)
        if self._activation == "gelu" and self._features is None:
            self._add("gelu_map_values", self._values)
        elif self._activation in SMOOTH_ACTIVATIONS:
            self._add("smooth_values", self._values)
