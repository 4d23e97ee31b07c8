"""Convolutions of many members at once, each with kernels of its own: the forms there are, and which is fastest here.

    grouped   as JAX maps it over members: one convolution whose channels are folded into a group a member
    patches   a product of patches and kernels, batched over members; patches come from a convolution with ones
    slices    the same; patches are shifted copies, laid side by side

All give the same up to rounding. Grouped convolutions are slow backwards on some devices (jax#13800), so the device is
measured; see ``yardsticks``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

import jax
import jax.numpy as jnp
import keras


class ConvolutionMethod(StrEnum):
    """How the convolutions of many members are computed."""

    GROUPED = "grouped"
    PATCHES = "patches"
    SLICES = "slices"


def convolve_grouped(images: Any, kernel: Any, padding: str) -> Any:
    """Convolves images (batch, height, width, channels) with a kernel (height, width, channels, filters), stride 1."""
    return jax.lax.conv_general_dilated(
        images, kernel, (1, 1), padding.upper(), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def convolve_patches(images: Any, kernel: Any, padding: str) -> Any:
    """The same as a product of patches, whose values lie channel by channel."""
    height, width, channels, filters = kernel.shape
    patches = jax.lax.conv_general_dilated_patches(
        images, (height, width), (1, 1), padding.upper(), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return patches @ kernel.transpose(2, 0, 1, 3).reshape(height * width * channels, filters)


def convolve_slices(images: Any, kernel: Any, padding: str) -> Any:
    """The same as a product of shifted copies."""
    height, width, channels, filters = kernel.shape
    if padding == "same":
        pads = [((side - 1) // 2, side // 2) for side in (height, width)]
        images = jnp.pad(images, [(0, 0), *pads, (0, 0)])
    rows, columns = images.shape[1] - height + 1, images.shape[2] - width + 1
    shifted = [images[:, y : y + rows, x : x + columns] for y in range(height) for x in range(width)]
    return jnp.concatenate(shifted, axis=-1) @ kernel.reshape(height * width * channels, filters)


CONVOLUTIONS: Mapping[ConvolutionMethod, Callable[[Any, Any, str], Any]] = {
    ConvolutionMethod.GROUPED: convolve_grouped,
    ConvolutionMethod.PATCHES: convolve_patches,
    ConvolutionMethod.SLICES: convolve_slices,
}


def is_supported_convolution(layer: Any) -> bool:
    """Says whether a layer is a convolution that the forms above can compute."""
    return (
        type(layer) is keras.layers.Conv2D
        and {*layer.strides, *layer.dilation_rate, layer.groups} == {1}
        and layer.data_format == "channels_last"
    )


class VectorizedConv2D(keras.layers.Conv2D):  # type: ignore[misc]
    """Keras's convolution in one of the forms.

    Args:
        method: The form.
    """

    def __init__(self, method: ConvolutionMethod, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.method = method

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """Keras's hook for another computation."""
        return CONVOLUTIONS[self.method](inputs, keras.ops.convert_to_tensor(kernel), self.padding)
