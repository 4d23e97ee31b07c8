"""Augmentation by smooth random displacements besides the random affine map, in one resampling.

After Simard, Steinkraus and Platt, "Best Practices for Convolutional Neural Networks Applied to Visual Document
Analysis", ICDAR 2003: noise, smoothed by a Gaussian, moves each pixel. Here the noise lies on a grid as coarse as the
Gaussian is wide. Keras's ``RandomElasticTransform`` filters noise of full size, resamples image by image, and takes
longer than training a small network. Called when a network is built.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from search.training.augmentation import RandomAffine

SIDES_PER_WIDTH = 7
"""The side of an image over the standard deviation of the Gaussian: 4 px of 28, as in the source."""


@keras.saving.register_keras_serializable("keras_image_search")
class RandomElastic(RandomAffine):
    """Moves each pixel of an image by a smooth random displacement, besides a random affine map.

    Args:
        elastic: Standard deviation of the displacement along each axis, in pixels.
        kwargs: As ``RandomAffine`` takes them.
    """

    def __init__(self, elastic: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.elastic = elastic

    def build(self, input_shape: Any) -> None:
        """Adds the weight ``strength`` and the smoothing of noise along rows and columns."""
        super().build(input_shape)
        self._row_smoothing, self._column_smoothing = (smoothing(side) for side in input_shape[1:3])

    def _displacements(self, batch_size: Any) -> Any:
        """Returns displacements to the right and down in pixels, (batch, 2, height, width)."""
        rows, columns = self._row_smoothing, self._column_smoothing
        noise = keras.random.normal((batch_size, 2, rows.shape[1], columns.shape[1]), seed=self.seed_generator)
        return self.strength * self.elastic * ops.matmul(ops.matmul(rows, noise), columns.T)

    def _resample(self, images: Any, transforms: Any) -> Any:
        return resample(images, transforms, self._displacements(ops.shape(images)[0]))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "elastic": self.elastic}


def smoothing(side: int) -> np.ndarray:
    """Returns the Gaussian weights (side, nodes) of a coarse grid's noise at each pixel along a side.

    The squares of a pixel's weights add up to 1, so that standard normal noise stays so at every pixel.
    """
    width = side / SIDES_PER_WIDTH
    nodes = width * np.arange(-1, SIDES_PER_WIDTH + 2)  # one beyond each end
    weights = np.exp(-0.5 * ((np.arange(side)[:, None] - nodes) / width) ** 2)
    smooth: np.ndarray = (weights / np.linalg.norm(weights, axis=1, keepdims=True)).astype(np.float32)
    return smooth


def resample(images: Any, transforms: Any, displacements: Any) -> Any:
    """Returns the images at mapped and displaced coordinates, bilinearly; what lies outside an image is 0.

    Args:
        images: (batch, height, width, channels).
        transforms: Projective transforms from output to input coordinates, (batch, 8); the last two are 0.
        displacements: Added to the coordinates, in pixels to the right and down, (batch, 2, height, width).
    """
    _, height, width, channels = images.shape
    down, right = np.meshgrid(np.arange(height, dtype=np.float32), np.arange(width, dtype=np.float32), indexing="ij")
    # Not transforms[:, place, None, None]: TensorFlow 2.21's graph optimizer loses the new axes of a slice of a stack
    a, b, c, d, e, f = ops.unstack(ops.reshape(transforms, (-1, 8, 1, 1)), axis=1)[:6]
    # A margin of one pixel of zeros, to which all coordinates outside are clipped
    x = ops.clip(a * right + b * down + c + displacements[:, 0], -1.0, float(width)) + 1.0
    y = ops.clip(d * right + e * down + f + displacements[:, 1], -1.0, float(height)) + 1.0
    left, top = ops.minimum(ops.floor(x), float(width)), ops.minimum(ops.floor(y), float(height))
    stride = width + 2
    pixels = ops.reshape(ops.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0))), (-1, (height + 2) * stride, channels))
    first = ops.reshape(ops.cast(top * stride + left, "int32"), (-1, height * width, 1))

    def corner(offset: int) -> Any:
        values = ops.take_along_axis(pixels, first + offset, axis=1)
        return ops.reshape(values, (-1, height, width, channels))

    x_share, y_share = (x - left)[..., None], (y - top)[..., None]
    upper = corner(0) * (1.0 - x_share) + corner(1) * x_share
    lower = corner(stride) * (1.0 - x_share) + corner(stride + 1) * x_share
    return upper * (1.0 - y_share) + lower * y_share
