"""The convolution methods agree, forward and backward."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import pytest

from search.training.vectorized.convolution import CONVOLUTIONS, ConvolutionMethod, fastest_convolution


@pytest.mark.parametrize("method", [ConvolutionMethod.PATCHES, ConvolutionMethod.SLICES])
@pytest.mark.parametrize(("padding", "side"), [("same", 3), ("valid", 5), ("same", 4)])
def test_a_method_agrees_with_the_plain_convolution(method: ConvolutionMethod, padding: str, side: int) -> None:
    random = np.random.default_rng(0)
    images = random.standard_normal((3, 2, 9, 8, 3), np.float32)
    kernels = random.standard_normal((3, side, side, 3, 4), np.float32)

    def both(method: ConvolutionMethod) -> tuple[jax.Array, jax.Array]:
        def loss(images: jax.Array, kernel: jax.Array) -> tuple[jax.Array, jax.Array]:
            convolved = CONVOLUTIONS[method](images, kernel, padding)
            return (convolved**2).mean(), convolved

        gradients, convolved = jax.vmap(jax.grad(loss, argnums=(0, 1), has_aux=True))(images, kernels)
        return convolved, gradients

    jax.tree.map(
        lambda one, plain: np.testing.assert_allclose(one, plain, atol=1e-4),
        both(method),
        both(ConvolutionMethod.GROUPED),
    )


def test_a_device_is_measured_once(tmp_path: Path) -> None:
    found = fastest_convolution(tmp_path)
    path = tmp_path / "convolution.json"
    before = path.read_text()
    assert fastest_convolution(tmp_path) is found
    assert path.read_text() == before
