"""The tutorial's CNN and its surroundings.

Baseline, 592,074 trainable parameters at 28 x 28 x 1 and ten classes::

    Conv 32 5x5 relu -> MaxPool 2x2 -> Dropout 0.2 -> Flatten -> Dense 128 relu -> Dense 10 softmax
"""

from __future__ import annotations

from spaces import convolutional
from spaces.domains import Value
from spaces.space import Recipe, Space
from spaces.training import RECIPE_SOURCE

_SCHEDULE: dict[str, Value] = {"schedule": "cosine", "learning_rate": 3e-3}
_SHIFT: dict[str, Value] = {**_SCHEDULE, "shift": 2, "clean_epochs": 1}

SPACE = Space(
    name="cnn",
    doc="The tutorial's CNN (592,074 trainable parameters on MNIST) and what lies around it",
    parameters=convolutional.parameters(stages=1, filters=(32, 64, 128), kernels=(5, 3, 3), hidden=1, units=(128, 64)),
    recipes={
        "schedule": Recipe(
            values=_SCHEDULE,
            doc="Warm-up and cosine decay, from three times the rate.",
            source=f"1.06 where the baseline has 1.17; {RECIPE_SOURCE}",
        ),
        "schedule + shift": Recipe(
            values=_SHIFT,
            doc="Also shifted by up to 2 px, but for a clean last epoch.",
            source=f"0.75; {RECIPE_SOURCE}",
        ),
        "two stages": Recipe(
            values={**_SHIFT, "conv_stages": 2, "filters_2": 64, "kernel_2": 3, "batch_norm": True},
            doc="Also a second stage, and batch normalization; 225,770 trainable parameters on MNIST.",
            source=f"0.47; {RECIPE_SOURCE}",
        ),
    },
    build=convolutional.build,
)
"""The space named "cnn"."""
