"""Convolutional networks as in the tutorial: the one builder and the one parameter table of both its CNNs.

A network, baseline choices in brackets::

    stages: Conv [relu] -> Pool [max] -> Dropout     one to three; dropout_conv, after the last stage dropout_flatten
    Flatten
    hidden: Dense [relu] -> Dropout [0]              none to two; dropout_dense
    Dense softmax

Called by ``cnn`` and ``cnn_large``, which differ in their baselines.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spaces import layers
from spaces.domains import Choice, Condition, Domain, Float, Int
from spaces.layers import Tensor
from spaces.training import TRAINING, TUTORIAL

MAX_STAGES = 3
"""Most convolutional stages; little is left of 28 x 28 pixels after them."""
MAX_HIDDEN_LAYERS = 2
"""Most hidden dense layers, as in the tutorial's larger CNN."""
_SIZE_SOURCE = (
    f"baseline: {TUTORIAL}, where it has the layer; range: around its sizes, from a quarter to a few times them"
)
_DROPOUT_SOURCE = "past the 0.5 of Srivastava et al., JMLR 2014"


def build(images: Tensor, config: Mapping[str, Any], classes: int) -> Tensor:
    """Makes the network; see ``spaces.space.Builder``."""
    import keras

    stages = config["conv_stages"]
    for stage in range(1, stages + 1):
        images = layers.convolution(
            images, config, filters=config[f"filters_{stage}"], kernel=config[f"kernel_{stage}"]
        )
        images = layers.pool(images, config["pooling"])
        images = layers.dropout(images, config["dropout_conv" if stage < stages else "dropout_flatten"])
    features = keras.layers.Flatten()(images)
    for layer in range(1, config["dense_layers"] + 1):
        features = layers.dense(features, config, units=config[f"dense_{layer}"])
        features = layers.dropout(features, config["dropout_dense"])
    return layers.softmax_output(features, config, classes=classes)


def parameters(
    *,
    stages: int,
    filters: tuple[int, int, int],
    kernels: tuple[int, int, int],
    hidden: int,
    units: tuple[int, int],
) -> dict[str, Domain]:
    """Returns the parameters of a convolutional space around its baseline.

    Args:
        stages: Baseline of the convolutional stages.
        filters: Baseline of each stage's filters.
        kernels: Baseline of each stage's kernel, in pixels.
        hidden: Baseline of the hidden dense layers.
        units: Baseline of each hidden dense layer's units.
    """
    domains: dict[str, Domain] = {
        "conv_stages": Int(1, MAX_STAGES, stages, doc="Stages of convolution, pooling and dropout.", source=TUTORIAL)
    }
    for stage, (count, side) in enumerate(zip(filters, kernels, strict=True), start=1):
        domains[f"filters_{stage}"] = _filters_domain(stage, count)
        domains[f"kernel_{stage}"] = _kernel_domain(stage, side)
    domains["pooling"] = Choice(
        ("max", "average"),
        "max",
        doc="How each stage halves its images.",
        source=f"max: {TUTORIAL}; average: github.com/Matuzas77/MNIST-0.17",
    )
    domains["dense_layers"] = Int(
        0, MAX_HIDDEN_LAYERS, hidden, doc="Hidden dense layers after the stages.", source=TUTORIAL
    )
    for layer, count in enumerate(units, start=1):
        domains[f"dense_{layer}"] = _units_domain(layer, count)
    return {**domains, **_dropout_domains(), **layers.style_parameters(initializer="glorot_uniform"), **TRAINING}


def _filters_domain(stage: int, baseline: int) -> Int:
    low, high = (8, 64) if stage == 1 else (15, 128)
    return Int(
        low,
        high,
        baseline,
        log=True,
        when=_stage_condition(stage),
        doc=f"Filters of stage {stage}.",
        unit="filters",
        source=_SIZE_SOURCE,
    )


def _kernel_domain(stage: int, baseline: int) -> Int:
    return Int(
        3,
        7,
        baseline,
        step=2,
        when=_stage_condition(stage),
        doc=f"Side of the kernel of stage {stage}.",
        unit="px",
        source=_SIZE_SOURCE,
    )


def _stage_condition(stage: int) -> Condition | None:
    return Condition.between("conv_stages", stage, MAX_STAGES) if stage > 1 else None


def _units_domain(layer: int, baseline: int) -> Int:
    return Int(
        32,
        512,
        baseline,
        log=True,
        when=Condition.between("dense_layers", layer, MAX_HIDDEN_LAYERS),
        doc=f"Units of hidden dense layer {layer}.",
        unit="units",
        source=_SIZE_SOURCE,
    )


def _dropout_domains() -> dict[str, Domain]:
    return {
        "dropout_conv": Float(
            0.0,
            0.4,
            0.0,
            step=0.05,
            when=Condition.between("conv_stages", 2, MAX_STAGES),
            doc="Share of values dropped after each stage but the last.",
            unit="fraction",
            source="range: up to 0.4 as in github.com/cdeotte/MNIST-CNN-99.75",
        ),
        "dropout_flatten": Float(
            0.0,
            0.6,
            0.2,
            step=0.05,
            doc="Share of values dropped after the last stage.",
            unit="fraction",
            source=f"baseline: {TUTORIAL}; range: {_DROPOUT_SOURCE}",
        ),
        "dropout_dense": Float(
            0.0,
            0.6,
            0.0,
            step=0.05,
            when=Condition.between("dense_layers", 1, MAX_HIDDEN_LAYERS),
            doc="Share of units dropped after each hidden dense layer.",
            unit="fraction",
            source=f"range: {_DROPOUT_SOURCE}",
        ),
    }
