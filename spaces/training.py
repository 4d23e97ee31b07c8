"""The training parameters of every shipped space; a space file may use them as they are.

The trainer reads them, and takes the tutorial's values for those that a space leaves out.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from spaces.domains import AnyNonzero, Choice, Condition, Domain, Float, Int, Value

TUTORIAL = "Brownlee's tutorial (Machine Learning Mastery)"
"""Source of the baselines: Jason Brownlee, "Handwritten Digit Recognition Using Convolutional Neural Networks in Python
with Keras"; its models, batch size, optimizer and loss."""
RECIPE_SOURCE = (
    "validation error in percent after 10 epochs on the first 50,000 training images of MNIST, one seed, judged on the "
    "last 10,000 training images"
)
"""Meaning of the figures in the sources of the shipped recipes: our own runs, which used no test images."""
PORTFOLIO_SOURCE = (
    "a greedy portfolio over recorded trainings of several data sets (benchmarks/portfolio.py, "
    "reports/published/recordings)"
)
"""Where a recipe comes from that was chosen by measurement, on training images alone."""
OWN_RATES = {"sgd": "learning_rate_sgd", "lion": "learning_rate_lion"}
"""The parameter that holds the learning rate of an optimizer; ``learning_rate`` of all others."""
_LEARNING_RATE_SOURCE = "github.com/tuomaso/train_mnist_fast (Adam at 1e-2 with one-cycle)"
_AUGMENTATION_SOURCE = (
    "range: around github.com/Matuzas77/MNIST-0.17 (rotation 10 degrees, shift 0.1, shear 10 degrees, zoom 0.2) and "
    "github.com/cdeotte/MNIST-CNN-99.75 (rotation 15, shift 0.1, zoom 0.15)"
)

AUGMENTATION_PARAMETERS = ("shift", "rotation", "zoom", "shear", "elastic")
"""The training parameters that augment images; all zero for none."""

TRAINING: Mapping[str, Domain] = MappingProxyType(
    {
        "batch_size": Int(
            32,
            1024,
            200,
            log=True,
            doc="Images an optimizer step.",
            unit="images",
            source=f"baseline: {TUTORIAL}; from Keras's default of 32 up",
            limits=(1, 65536),
        ),
        "optimizer": Choice(
            ("adam", "adamw", "sgd"),
            "adam",
            doc="Adam, AdamW (decoupled weight decay), or SGD with Nesterov momentum 0.9; others at Keras's defaults.",
            source=f"baseline: {TUTORIAL}; AdamW: Loshchilov and Hutter, arXiv:1711.05101",
            beyond=("rmsprop", "nadam", "lion"),
        ),
        "learning_rate": Float(
            2e-4,
            2e-2,
            1e-3,
            log=True,
            when=Condition(parameter="optimizer", values=("adam", "adamw"), beyond=("rmsprop", "nadam")),
            doc="Highest learning rate of the schedule.",
            source=f"baseline: Keras's default, as in the tutorial; range: around {_LEARNING_RATE_SOURCE}",
            limits=(1e-8, 10.0),
        ),
        "learning_rate_sgd": Float(
            5e-3,
            0.5,
            0.1,
            log=True,
            when=Condition(parameter="optimizer", values=("sgd",)),
            doc="Highest learning rate of the schedule; SGD takes larger ones than Adam.",
            source="baseline: He et al., arXiv:1512.03385, section 4.2 (0.1 with momentum 0.9 on small images)",
            limits=(1e-8, 100.0),
        ),
        "learning_rate_lion": Float(
            2e-5,
            2e-3,
            1e-4,
            log=True,
            when=Condition(parameter="optimizer", values=(), beyond=("lion",)),
            doc="Highest learning rate of the schedule; Lion takes smaller ones than Adam.",
            source="a tenth of Adam's, as in Chen et al., arXiv:2302.06675, section 5",
            limits=(1e-8, 10.0),
        ),
        "schedule": Choice(
            ("constant", "cosine", "one_cycle", "exponential"),
            "constant",
            doc=(
                "constant; cosine: 5 % linear warm-up, then cosine decay to 0; one_cycle: 30 % warm-up, then cosine "
                "decay to 0; exponential: decay to 1 % at the end."
            ),
            source=(
                f"baseline: {TUTORIAL}; cosine: Loshchilov and Hutter, arXiv:1608.03983; one-cycle: Smith and Topin, "
                "arXiv:1708.07120"
            ),
        ),
        "weight_decay": Float(
            1e-5,
            1e-2,
            1e-4,
            log=True,
            when=Condition(parameter="optimizer", values=("adamw",)),
            doc="Share of each weight taken off a step, times the learning rate.",
            source="Loshchilov and Hutter, arXiv:1711.05101; up from a value too small to matter",
            limits=(1e-8, 1.0),
        ),
        "label_smoothing": Float(
            0.0,
            0.1,
            0.0,
            step=0.01,
            doc="Share of a label spread evenly over all classes.",
            source="Szegedy et al., arXiv:1512.00567, section 7 (0.1)",
            limits=(0.0, 0.9),
        ),
        "shift": Int(
            0, 4, 0, doc="Largest random shift along each axis.", unit="px", source=_AUGMENTATION_SOURCE, limits=(0, 64)
        ),
        "rotation": Float(
            0.0,
            25.0,
            0.0,
            step=2.5,
            doc="Largest random rotation, either way.",
            unit="degrees",
            source=_AUGMENTATION_SOURCE,
            limits=(0.0, 180.0),
        ),
        "zoom": Float(
            0.0,
            0.2,
            0.0,
            step=0.02,
            doc="Largest random change of size.",
            unit="fraction",
            source=_AUGMENTATION_SOURCE,
            limits=(0.0, 0.9),
        ),
        "shear": Float(
            0.0,
            0.2,
            0.0,
            step=0.02,
            doc="Largest random shear.",
            unit="slope",
            source=_AUGMENTATION_SOURCE,
            limits=(0.0, 1.0),
        ),
        "elastic": Float(
            0.0,
            1.6,
            0.0,
            step=0.2,
            doc="Standard deviation of smooth random displacements; a seventh of the side is about their length.",
            unit="px",
            source="Simard, Steinkraus and Platt, ICDAR 2003 (sigma 4 and alpha 34, which is 1.4 px on MNIST)",
            limits=(0.0, 16.0),
        ),
        "clean_epochs": Int(
            0,
            2,
            0,
            when=AnyNonzero(parameters=AUGMENTATION_PARAMETERS),
            doc="Last epochs trained without shift, rotation, zoom, shear and elastic displacements.",
            unit="epochs",
            source="He et al., arXiv:1909.09148; one in github.com/Matuzas77/MNIST-0.17",
            limits=(0, 10_000),
        ),
    }
)
"""Training parameters by name, in order; at their baselines they train as the tutorial does."""

TUTORIAL_TRAINING: Mapping[str, Value] = MappingProxyType({name: domain.baseline for name, domain in TRAINING.items()})
"""The tutorial's value of every training parameter, inactive ones included."""


def complete(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a configuration with every training parameter; the tutorial's values for those that it leaves out."""
    return {**TUTORIAL_TRAINING, **config}


def peak_learning_rate(config: Mapping[str, Any]) -> float:
    """Returns the highest learning rate of a complete configuration: that of its optimizer."""
    return float(config[OWN_RATES.get(config["optimizer"], "learning_rate")])
