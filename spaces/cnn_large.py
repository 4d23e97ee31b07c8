"""The tutorial's larger CNN and its surroundings.

Baseline, 59,933 trainable parameters at 28 x 28 x 1 and ten classes::

    Conv 30 5x5 relu -> MaxPool 2x2 -> Conv 15 3x3 relu -> MaxPool 2x2 -> Dropout 0.2
    -> Flatten -> Dense 128 relu -> Dense 50 relu -> Dense 10 softmax
"""

from __future__ import annotations

from spaces import convolutional
from spaces.domains import Value
from spaces.space import Recipe, Space
from spaces.training import RECIPE_SOURCE

_SCHEDULE: dict[str, Value] = {"schedule": "cosine", "learning_rate": 3e-3}
_SHIFT: dict[str, Value] = {**_SCHEDULE, "shift": 2, "clean_epochs": 1}

SPACE = Space(
    name="cnn-large",
    doc="The tutorial's larger CNN (59,933 trainable parameters on MNIST) and what lies around it",
    parameters=convolutional.parameters(stages=2, filters=(30, 15, 64), kernels=(5, 3, 3), hidden=2, units=(128, 50)),
    recipes={
        "schedule": Recipe(
            values=_SCHEDULE,
            doc="Warm-up and cosine decay, from three times the rate.",
            source="taken over from the space cnn; not measured here",
        ),
        "schedule + shift": Recipe(
            values=_SHIFT,
            doc="Also shifted by up to 2 px, but for a clean last epoch.",
            source=f"0.62; {RECIPE_SOURCE}",
        ),
        "wide stages": Recipe(
            values={**_SHIFT, "filters_2": 64, "batch_norm": True},
            doc="Also 64 filters in the second stage, and batch normalization; 230,284 trainable parameters on MNIST.",
            source=f"0.54; {RECIPE_SOURCE}",
        ),
    },
    build=convolutional.build,
)
"""The space named "cnn-large"."""
