"""The tutorial's multi-layer perceptron and what lies around it.

Baseline, 623,290 trainable parameters at 28 x 28 x 1 and ten classes::

    Flatten -> Dense 784 relu, normal -> Dense 10 softmax, normal
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spaces import layers
from spaces.domains import Condition, Domain, Float, Int, Value
from spaces.layers import Tensor
from spaces.space import Recipe, Space
from spaces.training import PORTFOLIO_SOURCE, TRAINING, TUTORIAL
from spaces.workload import LayerCounter, Workload

MAX_HIDDEN_LAYERS = 3
"""Most hidden layers."""
_DROPOUT_SOURCE = "Srivastava et al., JMLR 2014 (0.2 on inputs, 0.5 on hidden units)"


def build(images: Tensor, config: Mapping[str, Any], classes: int) -> Tensor:
    """Makes the perceptron; see ``spaces.space.Builder``."""
    import keras

    features = layers.dropout(keras.layers.Flatten()(images), config["dropout_input"])
    for layer in range(1, config["hidden_layers"] + 1):
        features = layers.dense(features, config, units=config[f"width_{layer}"])
        features = layers.dropout(features, config["dropout"])
    return layers.softmax_output(features, config, classes=classes)


def workload(config: Mapping[str, Any], image_shape: tuple[int, int, int], classes: int) -> Workload:
    """Counts the perceptron that ``build`` makes; see ``spaces.workload.WorkloadFunction``."""
    network = LayerCounter(config, image_shape)
    network.dropout(config["dropout_input"])
    for layer in range(1, config["hidden_layers"] + 1):
        network.dense(units=config[f"width_{layer}"])
        network.dropout(config["dropout"])
    return network.softmax_output(classes=classes)


def _width_domain(layer: int, baseline: int) -> Int:
    return Int(
        64,
        1024,
        baseline,
        log=True,
        when=Condition.between("hidden_layers", layer, MAX_HIDDEN_LAYERS) if layer > 1 else None,
        doc=f"Units of hidden layer {layer}.",
        unit="units",
        source=TUTORIAL if layer == 1 else "range: that of the first hidden layer",
        limits=(1, 65536),
    )


_PARAMETERS: Mapping[str, Domain] = {
    "hidden_layers": Int(1, MAX_HIDDEN_LAYERS, 1, doc="Hidden dense layers.", source=TUTORIAL),
    "width_1": _width_domain(1, 784),
    "width_2": _width_domain(2, 256),
    "width_3": _width_domain(3, 128),
    "dropout_input": Float(
        0.0,
        0.3,
        0.0,
        step=0.05,
        doc="Share of pixels dropped.",
        unit="fraction",
        source=_DROPOUT_SOURCE,
        limits=(0.0, 0.95),
    ),
    "dropout": Float(
        0.0,
        0.6,
        0.0,
        step=0.05,
        doc="Share of units dropped after each hidden layer.",
        unit="fraction",
        source=_DROPOUT_SOURCE,
        limits=(0.0, 0.95),
    ),
    **layers.style_parameters(initializer="random_normal"),
    **TRAINING,
}

_COMMON: dict[str, Value] = {"batch_norm": True, "shift": 1, "clean_epochs": 2}
_THREE_LAYERS: dict[str, Value] = {
    **_COMMON,
    "hidden_layers": 3,
    "initializer": "glorot_uniform",
    "learning_rate": 3e-3,
    "schedule": "cosine",
    "label_smoothing": 0.04,
}

SPACE = Space(
    name="mlp",
    doc="The tutorial's perceptron (623,290 trainable parameters on MNIST) and what lies around it",
    parameters=_PARAMETERS,
    recipes={
        "two layers + adamw": Recipe(
            values={
                **_COMMON,
                "hidden_layers": 2,
                "width_1": 767,
                "width_2": 176,
                "batch_size": 118,
                "optimizer": "adamw",
                "learning_rate": 0.00785,
                "weight_decay": 1e-4,
                "schedule": "one_cycle",
                "label_smoothing": 0.03,
                "rotation": 17.5,
                "zoom": 0.16,
            },
            doc="Two layers, AdamW with one cycle of the rate, label smoothing, rotations and zooms.",
            source=f"first of {PORTFOLIO_SOURCE}",
        ),
        "two layers + sgd": Recipe(
            values={
                **_COMMON,
                "hidden_layers": 2,
                "width_2": 256,
                "initializer": "glorot_uniform",
                "batch_size": 97,
                "optimizer": "sgd",
                "learning_rate_sgd": 0.1,
                "schedule": "cosine",
                "rotation": 10.0,
            },
            doc="Two layers, momentum with cosine decay from 0.1, rotations.",
            source=f"second of {PORTFOLIO_SOURCE}",
        ),
        "three layers + adam": Recipe(
            values={
                **_THREE_LAYERS,
                "width_2": 521,
                "width_3": 143,
                "activation": "gelu",
                "batch_size": 39,
                "rotation": 15.0,
                "zoom": 0.06,
            },
            doc="Three layers with GELU, Adam with cosine decay in small batches, label smoothing, rotations.",
            source=f"third of {PORTFOLIO_SOURCE}",
        ),
        "wide layers + adamw": Recipe(
            values={
                **_THREE_LAYERS,
                "width_2": 800,
                "width_3": 546,
                "batch_size": 120,
                "optimizer": "adamw",
                "weight_decay": 1e-4,
                "rotation": 10.0,
                "shear": 0.02,
                "elastic": 0.8,
            },
            doc="Three wide layers, AdamW with cosine decay, label smoothing, elastic displacements.",
            source=f"fourth of {PORTFOLIO_SOURCE}",
        ),
    },
    build=build,
    workload=workload,
)
"""The space named "mlp"."""
