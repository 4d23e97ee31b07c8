"""What loading an exported model needs besides Keras."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import pytest

from search.export.model import find_custom_layers, holds_lambda


class Own(keras.layers.Layer):
    """A layer of the user."""

    def call(self, images: Any) -> Any:
        return images


@pytest.mark.parametrize(
    ("layer", "custom", "has_lambda"),
    [
        (keras.layers.Flatten(), (), False),
        (Own(), ("Own",), False),
        (keras.layers.Lambda(lambda images: images, output_shape=(4,)), (), True),
    ],
)
def test_a_file_tells_what_loading_it_needs(
    tmp_path: Path, layer: Any, custom: tuple[str, ...], has_lambda: bool
) -> None:
    inner = keras.Sequential([keras.Input((4,)), layer])
    inputs = keras.Input((4,))
    keras.Model(inputs, inner(inputs)).save(file := tmp_path / "model.keras")
    assert find_custom_layers(file) == custom
    assert holds_lambda(file) == has_lambda
