"""Convolutions of many members at once, each with its own kernels: three methods, and which is fastest on this device.

    grouped   JAX's own rule for ``vmap``: one convolution whose channels form a group a member
    patches   a matrix product of patches and kernels; a convolution with ones extracts the patches
    slices    the same; the patches are shifted slices, concatenated

All methods agree up to rounding. The backward pass of grouped convolutions is slow on some devices (jax#13800), so the
fastest method is measured. Called by the scheduler and when a program's template is made.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from search.files import draft_of

MEMBERS, BATCH, SIDE, CHANNELS, KERNEL, FILTERS = 4, 32, 14, 16, 3, 64
"""Shapes of the measurement: the second stage of a network such as the tutorial's larger CNN."""
TIMING_ROUNDS = 3


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
    """Convolves by a product of patches, whose values are ordered by channel."""
    height, width, channels, filters = kernel.shape
    patches = jax.lax.conv_general_dilated_patches(
        images, (height, width), (1, 1), padding.upper(), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return patches @ kernel.transpose(2, 0, 1, 3).reshape(height * width * channels, filters)


def convolve_slices(images: Any, kernel: Any, padding: str) -> Any:
    """Convolves by a product of shifted slices."""
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
    """Returns whether the methods above can compute a layer."""
    return (
        type(layer) is keras.layers.Conv2D
        and {*layer.strides, *layer.dilation_rate, layer.groups} == {1}
        and layer.data_format == "channels_last"
    )


class VectorizedConv2D(keras.layers.Conv2D):  # type: ignore[misc]
    """Keras's convolution, computed by one of the methods.

    Args:
        method: The method.
    """

    def __init__(self, method: ConvolutionMethod, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.method = method

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """Overrides Keras's hook for the computation."""
        return CONVOLUTIONS[self.method](inputs, keras.ops.convert_to_tensor(kernel), self.padding)


def fastest_convolution(folder: Path) -> ConvolutionMethod:
    """Returns the fastest method on this device; measures a few seconds the first time.

    Args:
        folder: Where ``convolution.json`` keeps the seconds of each method by device and version of JAX.
    """
    path, device_kind = folder / "convolution.json", f"{jax.devices()[0].device_kind} {jax.__version__}"
    try:
        cached: dict[str, dict[str, float]] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        cached = {}
    if set(cached.get(device_kind, ())) != set(ConvolutionMethod):
        cached[device_kind] = {method.value: _time_convolution(method) for method in ConvolutionMethod}
        with draft_of(path) as draft:
            draft.write_text(json.dumps(cached, indent=1) + "\n", encoding="utf-8")
    timings = cached[device_kind]
    return min(ConvolutionMethod, key=lambda method: timings[method])


def _time_convolution(method: ConvolutionMethod) -> float:
    """Returns the seconds of two convolutions, forward and backward: the best of a few rounds."""
    convolve = CONVOLUTIONS[method]

    def loss(images: Any, first: Any, second: Any) -> Any:
        hidden = jax.nn.relu(convolve(images, first, "same"))
        return (convolve(hidden, second, "valid") ** 2).mean()

    shapes = ((BATCH, SIDE, SIDE, CHANNELS), (KERNEL, KERNEL, CHANNELS, FILTERS), (KERNEL, KERNEL, FILTERS, FILTERS))
    random = np.random.default_rng(0)
    arrays = [jnp.asarray(random.standard_normal((MEMBERS, *shape), np.float32)) for shape in shapes]
    step = jax.jit(jax.vmap(jax.grad(loss, argnums=(1, 2))))
    jax.block_until_ready(step(*arrays))
    seconds = []
    for _ in range(TIMING_ROUNDS):
        started = time.perf_counter()
        jax.block_until_ready(step(*arrays))
        seconds.append(time.perf_counter() - started)
    return min(seconds)
