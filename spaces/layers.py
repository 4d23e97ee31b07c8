"""Building blocks of the shipped models: layers for images of any size, in the style that a configuration sets.

The style is three parameters: activation, batch_norm and initializer. Keras is imported inside the functions, so that
declaring a space does not import it. Called by the model builders.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from spaces.domains import Choice, Domain
from spaces.training import TUTORIAL

BATCH_NORM_MOMENTUM = 0.9
"""Weight of the past in the running mean and variance. With Keras's 0.99 the initial values still count after the few
hundred steps of a short trial. Source: PyTorch's default (its 0.1 is the weight of the present)."""

Tensor = Any
"""A Keras tensor; Keras has no types."""


def style_parameters(initializer: str) -> dict[str, Domain]:
    """Returns the parameters that set the style.

    Args:
        initializer: Baseline of the initializer.
    """
    return {
        "activation": Choice(
            ("relu", "gelu", "silu", "leaky_relu"),
            "relu",
            doc="Activation of every hidden layer.",
            source=(
                f"relu: {TUTORIAL}; gelu: Hendrycks and Gimpel, arXiv:1606.08415; silu: Ramachandran et al., "
                "arXiv:1710.05941; leaky_relu: Maas et al., ICML 2013"
            ),
            beyond=("elu", "selu", "tanh", "sigmoid", "softplus", "softsign", "mish", "hard_silu", "relu6"),
        ),
        "batch_norm": Choice(
            (False, True),
            False,
            doc="Whether batch normalization takes the place of each hidden layer's bias.",
            source="Ioffe and Szegedy, arXiv:1502.03167",
        ),
        "initializer": Choice(
            ("glorot_uniform", "he_normal", "random_normal"),
            initializer,
            doc="Initial weights of every layer; random_normal has a standard deviation of 0.05.",
            source=(
                "glorot_uniform: Keras's default; he_normal: He et al., arXiv:1502.01852; "
                f'random_normal: "normal" in {TUTORIAL}'
            ),
            beyond=("he_uniform", "glorot_normal", "lecun_normal", "lecun_uniform"),
        ),
    }


def convolution(
    images: Tensor, config: Mapping[str, Any], *, filters: int, kernel: int, padding: str = "valid"
) -> Tensor:
    """Convolves images (batch, height, width, channels); pads them if less than 2 x 2 pixels would remain."""
    import keras

    padding = padding if min(images.shape[1:3]) - kernel + 1 >= 2 else "same"
    initializer = config["initializer"]
    layer = partial(keras.layers.Conv2D, filters, kernel, padding=padding, kernel_initializer=initializer)
    return _with_activation(layer, images, config)


def pool(images: Tensor, kind: str) -> Tensor:
    """Halves images (batch, height, width, channels) by maxima or averages, unless a side has 1 pixel."""
    import keras

    layers = {"max": keras.layers.MaxPooling2D, "average": keras.layers.AveragePooling2D}
    return layers[kind](2)(images) if min(images.shape[1:3]) >= 2 else images


def dense(features: Tensor, config: Mapping[str, Any], *, units: int) -> Tensor:
    """Adds a hidden dense layer to features (batch, count)."""
    import keras

    return _with_activation(
        partial(keras.layers.Dense, units, kernel_initializer=config["initializer"]), features, config
    )


def dropout(features: Tensor, rate: float) -> Tensor:
    """Drops a share of the features while training; a rate of 0 adds no layer."""
    import keras

    return keras.layers.Dropout(rate)(features) if rate else features


def softmax_output(features: Tensor, config: Mapping[str, Any], *, classes: int) -> Tensor:
    """Returns class probabilities (batch, classes) from features (batch, count)."""
    import keras

    return keras.layers.Dense(classes, activation="softmax", kernel_initializer=config["initializer"])(features)


def _with_activation(layer: Callable[..., Any], inputs: Tensor, config: Mapping[str, Any]) -> Tensor:
    """Applies a layer, batch normalization if the configuration sets it, and the activation."""
    import keras

    if not config["batch_norm"]:
        return layer(activation=config["activation"])(inputs)
    normalize = keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM)
    return keras.layers.Activation(config["activation"])(normalize(layer(use_bias=False)(inputs)))
