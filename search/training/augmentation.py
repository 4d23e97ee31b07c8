"""Augmentation by one random affine map an image: shift, rotation, zoom and shear in a single resampling.

Stacked, Keras's four layers resample and blur the image four times, and take half as long as the training step of a
small network on a CPU. Called when a network is built.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_image_search")
class RandomAffine(keras.layers.Layer):  # type: ignore[misc]
    """Shifts, rotates, zooms and shears each image of a batch at random in training; the identity otherwise.

    Pixels that come from outside the image are 0. Shifts are whole pixels, so that a shift alone does not blur.

    Args:
        shift: Largest shift in pixels, either way along each axis.
        rotation: Largest angle in degrees, either way.
        zoom: Largest relative change of size, in [0, 1), either way.
        shear: Largest shear as a slope, either way.
        seed: Of the layer's random numbers.
    """

    def __init__(
        self,
        shift: int = 0,
        rotation: float = 0.0,
        zoom: float = 0.0,
        shear: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.shift, self.rotation, self.zoom, self.shear, self.seed = shift, rotation, zoom, shear, seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape: Any) -> None:
        """Adds the weight ``strength``, 1 by default; 0 switches the layer off without a new trace."""
        self.strength = self.add_weight(name="strength", shape=(), initializer="ones", trainable=False)

    def call(self, images: Any, training: bool = False) -> Any:
        """Maps images (batch, height, width, channels) to the same shape."""
        if not training:
            return images
        shape = ops.shape(images)
        transforms = self._projective_transforms(shape[0], float(images.shape[1]), float(images.shape[2]))
        return self._resample(images, transforms)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Returns the shape of the images; otherwise Keras traces the layer whenever a network is built."""
        return input_shape

    def _resample(self, images: Any, transforms: Any) -> Any:
        return ops.image.affine_transform(
            images, transforms, interpolation="bilinear", fill_mode="constant", data_format="channels_last"
        )

    def _uniform_samples(self, batch_size: Any, bound: float) -> Any:
        return self.strength * keras.random.uniform((batch_size,), -bound, bound, seed=self.seed_generator)

    def _projective_transforms(self, batch_size: Any, height: float, width: float) -> Any:
        """Returns (count, 8) projective transforms from output to input coordinates, about the image's centre."""
        angle = self._uniform_samples(batch_size, self.rotation * math.pi / 180.0)
        scale = 1.0 + self._uniform_samples(batch_size, self.zoom)
        slope = self._uniform_samples(batch_size, self.shear)
        max_shift = ops.where(self.shift > 0, self.shift + 0.5, 0.0)  # arrays in vectorized training
        # The lower bound of a uniform sample can be drawn, and 1.5 is rounded to 2.
        right, down = (
            ops.clip(ops.round(self._uniform_samples(batch_size, max_shift)), -self.shift, self.shift) for _ in range(2)
        )
        cosine, sine = scale * ops.cos(angle), scale * ops.sin(angle)
        # Shear along x, then rotate and zoom: [[cos, -sin], [sin, cos]] @ [[1, slope], [0, 1]].
        xx, xy, yx, yy = cosine, cosine * slope - sine, sine, sine * slope + cosine
        centre_x, centre_y = (width - 1.0) / 2.0, (height - 1.0) / 2.0
        offset_x = centre_x - xx * centre_x - xy * centre_y + right
        offset_y = centre_y - yx * centre_x - yy * centre_y + down
        zeros = ops.zeros_like(xx)
        return ops.stack([xx, xy, offset_x, yx, yy, offset_y, zeros, zeros], axis=1)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        parameters = {"shift": self.shift, "rotation": self.rotation, "zoom": self.zoom, "shear": self.shear}
        return {**super().get_config(), **parameters, "seed": self.seed}
