"""The tutorial's two CNNs and what lies around them: one model builder, one parameter table, two baselines.

A network, with the most common choices in brackets::

    stages: Conv [relu] -> Pool [max] -> Dropout     one to three; dropout_conv, after the last stage dropout_flatten
            or Conv -> Conv -> Pool -> Dropout
    Flatten, or the average of each feature map
    hidden: Dense [relu] -> Dropout [0]              none to two; dropout_dense
    Dense softmax

The baselines at 28 x 28 x 1 and ten classes, 592,074 and 59,933 trainable parameters::

    cnn         Conv 32 5x5 -> MaxPool 2x2 -> Dropout 0.2 -> Flatten -> Dense 128 -> Dense 10 softmax
    cnn-large   Conv 30 5x5 -> MaxPool 2x2 -> Conv 15 3x3 -> MaxPool 2x2 -> Dropout 0.2
                -> Flatten -> Dense 128 -> Dense 50 -> Dense 10 softmax
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spaces import layers
from spaces.domains import Choice, Condition, Domain, Float, Int, Value
from spaces.layers import Tensor
from spaces.space import Recipe, Space
from spaces.training import PORTFOLIO_SOURCE, RECIPE_SOURCE, TRAINING, TUTORIAL
from spaces.workload import LayerCounter, Workload

MAX_STAGES = 3
"""Most convolutional stages; little is left of 28 x 28 pixels after them."""
MAX_HIDDEN_LAYERS = 2
"""Most hidden dense layers, as in the tutorial's larger CNN."""
_SIZE_SOURCE = (
    f"baseline: {TUTORIAL}, where it has the layer; range: around its sizes, from a quarter to a few times them"
)
_DROPOUT_SOURCE = "past the 0.5 of Srivastava et al., JMLR 2014"


_STAGES: Mapping[str, Domain] = {
    "convolutions": Int(
        1,
        2,
        1,
        doc="Convolutions in a row in each stage.",
        source=f"1: {TUTORIAL}; 2: Simonyan and Zisserman, arXiv:1409.1556",
        limits=(1, 8),
    ),
    "padding": Choice(
        ("valid", "same"),
        "valid",
        doc="Whether convolutions keep the size of their images, with zeros around them (same).",
        source=f"valid: {TUTORIAL}; same: Simonyan and Zisserman, arXiv:1409.1556",
    ),
    "pooling": Choice(
        ("max", "average"),
        "max",
        doc="How each stage halves its images.",
        source=f"max: {TUTORIAL}; average: github.com/Matuzas77/MNIST-0.17",
    ),
    "global_average": Choice(
        (False, True),
        False,
        doc="Whether each feature map of the last stage is averaged in place of flattening, which needs fewer weights.",
        source="Lin, Chen and Yan, arXiv:1312.4400",
    ),
}
_LATER = {name: _STAGES[name].baseline for name in ("convolutions", "padding", "global_average")}
"""Parameters that studies of version 0.1.0 lack, at values that change nothing."""


def build(images: Tensor, config: Mapping[str, Any], classes: int) -> Tensor:
    """Makes the network; see ``spaces.space.Builder``."""
    import keras

    config = {**_LATER, **config}
    stages = config["conv_stages"]
    for stage in range(1, stages + 1):
        for _ in range(config["convolutions"]):
            images = layers.convolution(images, config, **_convolution(config, stage))
        images = layers.pool(images, config["pooling"])
        images = layers.dropout(images, config["dropout_conv" if stage < stages else "dropout_flatten"])
    flatten = keras.layers.GlobalAveragePooling2D if config["global_average"] else keras.layers.Flatten
    features = flatten()(images)
    for layer in range(1, config["dense_layers"] + 1):
        features = layers.dense(features, config, units=config[f"dense_{layer}"])
        features = layers.dropout(features, config["dropout_dense"])
    return layers.softmax_output(features, config, classes=classes)


def workload(config: Mapping[str, Any], image_shape: tuple[int, int, int], classes: int) -> Workload:
    """Counts the network that ``build`` makes; see ``spaces.workload.WorkloadFunction``."""
    config = {**_LATER, **config}
    network, stages = LayerCounter(config, image_shape), config["conv_stages"]
    for stage in range(1, stages + 1):
        for _ in range(config["convolutions"]):
            network.convolution(**_convolution(config, stage))
        network.pool()
        network.dropout(config["dropout_conv" if stage < stages else "dropout_flatten"])
    if config["global_average"]:
        network.global_average()
    for layer in range(1, config["dense_layers"] + 1):
        network.dense(units=config[f"dense_{layer}"])
        network.dropout(config["dropout_dense"])
    return network.softmax_output(classes=classes)


def _convolution(config: Mapping[str, Any], stage: int) -> dict[str, Any]:
    """Returns what makes a convolution of a stage, besides the style."""
    return {
        "filters": config[f"filters_{stage}"],
        "kernel": config[f"kernel_{stage}"],
        "padding": config["padding"],
    }


_DROPOUT: Mapping[str, Domain] = {
    "dropout_conv": Float(
        0.0,
        0.4,
        0.0,
        step=0.05,
        when=Condition.between("conv_stages", 2, MAX_STAGES),
        doc="Share of values dropped after each stage but the last.",
        unit="fraction",
        source="range: up to 0.4 as in github.com/cdeotte/MNIST-CNN-99.75",
        limits=(0.0, 0.95),
    ),
    "dropout_flatten": Float(
        0.0,
        0.6,
        0.2,
        step=0.05,
        doc="Share of values dropped after the last stage.",
        unit="fraction",
        source=f"baseline: {TUTORIAL}; range: {_DROPOUT_SOURCE}",
        limits=(0.0, 0.95),
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
        limits=(0.0, 0.95),
    ),
}


def _parameters(
    *, stages: int, filters: tuple[int, int, int], kernels: tuple[int, int, int], hidden: int, units: tuple[int, int]
) -> dict[str, Domain]:
    """Returns the parameters around a baseline.

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
        when = Condition.between("conv_stages", stage, MAX_STAGES) if stage > 1 else None
        low, high = (8, 64) if stage == 1 else (15, 128)
        text = f"Filters of stage {stage}."
        domains[f"filters_{stage}"] = Int(
            low, high, count, log=True, when=when, doc=text, unit="filters", source=_SIZE_SOURCE, limits=(1, 4096)
        )
        text = f"Side of the kernel of stage {stage}."
        domains[f"kernel_{stage}"] = Int(
            3, 7, side, step=2, when=when, doc=text, unit="px", source=_SIZE_SOURCE, limits=(1, 31)
        )
    domains |= _STAGES
    domains["dense_layers"] = Int(
        0, MAX_HIDDEN_LAYERS, hidden, doc="Hidden dense layers after the stages.", source=TUTORIAL
    )
    for layer, count in enumerate(units, start=1):
        when = Condition.between("dense_layers", layer, MAX_HIDDEN_LAYERS)
        text = f"Units of hidden dense layer {layer}."
        domains[f"dense_{layer}"] = Int(
            32, 512, count, log=True, when=when, doc=text, unit="units", source=_SIZE_SOURCE, limits=(1, 65536)
        )
    return {**domains, **_DROPOUT, **layers.style_parameters(initializer="glorot_uniform"), **TRAINING}


_SCHEDULE: dict[str, Value] = {"schedule": "cosine", "learning_rate": 3e-3}
_SHIFT: dict[str, Value] = {**_SCHEDULE, "shift": 2, "clean_epochs": 1}
_SGD: dict[str, Value] = {
    "batch_norm": True,
    "optimizer": "sgd",
    "schedule": "cosine",
    "shift": 1,
    "rotation": 10.0,
    "clean_epochs": 2,
}
_DOUBLE_STAGES: dict[str, Value] = {
    **_SGD,
    "conv_stages": 3,
    "convolutions": 2,
    "padding": "same",
    "filters_1": 16,
    "filters_2": 32,
    "filters_3": 64,
    "kernel_1": 3,
    "kernel_2": 3,
    "dropout_flatten": 0.0,
    "learning_rate_sgd": 0.2,
    "elastic": 0.6,
}

SPACE = Space(
    name="cnn",
    doc="The tutorial's CNN (592,074 trainable parameters on MNIST) and what lies around it",
    parameters=_parameters(stages=1, filters=(32, 64, 128), kernels=(5, 3, 3), hidden=1, units=(128, 64)),
    # The costly ones first: a search takes the first that its time can buy.
    recipes={
        "double stages + gelu": Recipe(
            values={
                **_DOUBLE_STAGES,
                "kernel_3": 5,
                "pooling": "average",
                "dropout_conv": 0.2,
                "activation": "gelu",
            },
            doc="Three stages of two padded convolutions with GELU, averaging in place of max pooling, a dense layer; "
            "245,594 trainable parameters on MNIST.",
            source=f"second of {PORTFOLIO_SOURCE}",
        ),
        "double stages": Recipe(
            values={**_DOUBLE_STAGES, "kernel_3": 3, "global_average": True, "dense_layers": 0, "dropout_conv": 0.0},
            doc="Three stages of two padded convolutions, then the averages of their maps; 72,666 trainable parameters "
            "on MNIST; half the time.",
            source=f"third of {PORTFOLIO_SOURCE}; after Simonyan and Zisserman, arXiv:1409.1556, and Lin, Chen and "
            "Yan, arXiv:1312.4400",
        ),
        "two stages + sgd": Recipe(
            values={**_SGD, "conv_stages": 2, "filters_2": 64, "kernel_2": 3, "learning_rate_sgd": 0.1},
            doc="A second stage, batch normalization, momentum with cosine decay from 0.1, shifts and rotations; "
            "225,770 trainable parameters on MNIST; a quarter of the time.",
            source=f"first of {PORTFOLIO_SOURCE}",
        ),
    },
    build=build,
    workload=workload,
)
"""The space named "cnn"."""

LARGE = Space(
    name="cnn-large",
    doc="The tutorial's larger CNN (59,933 trainable parameters on MNIST) and what lies around it",
    parameters=_parameters(stages=2, filters=(30, 15, 64), kernels=(5, 3, 3), hidden=2, units=(128, 50)),
    recipes={
        "wide stages": Recipe(
            values={**_SHIFT, "filters_2": 64, "batch_norm": True},
            doc="Wider stage 2, batch normalization, cosine decay and shifts; 230,284 trainable parameters on MNIST.",
            source=f"0.54; {RECIPE_SOURCE}",
        ),
        "schedule + shift": Recipe(
            values=_SHIFT,
            doc="Cosine decay, and shifts of up to 2 px but for a clean last epoch.",
            source=f"0.62; {RECIPE_SOURCE}",
        ),
        "schedule": Recipe(
            values=_SCHEDULE,
            doc="Warm-up and cosine decay, from three times the rate.",
            source="taken over from the space cnn; not measured here",
        ),
    },
    build=build,
    workload=workload,
)
"""The space named "cnn-large"."""
