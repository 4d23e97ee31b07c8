"""Memory of one process in which plain Keras Tuner runs many small trials: prints "MiB 812.5" or the like after each.

    python benchmarks/peers/keras_tuner_memory.py --dataset small.npz --trials 200

A random search over the space cnn, one epoch a trial, used as Keras Tuner's "Getting started" uses it. Needs the extra
``bench``. Called by ``memory.py``.
"""

from __future__ import annotations

import argparse
import tempfile
from typing import Any

import keras
import keras_tuner as kt
import numpy as np
import psutil
from keras_tuner_hyperband import Network


class Tuner(kt.RandomSearch):
    """A random search that prints the memory after each trial."""

    def on_trial_end(self, trial: Any) -> None:
        """Called by Keras Tuner."""
        super().on_trial_end(trial)
        print("MiB", psutil.Process().memory_info().rss / 2**20, flush=True)


def main() -> None:
    """Runs the trials."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--trials", type=int, default=200)
    options = parser.parse_args()
    with np.load(options.dataset) as arrays:
        pixels = arrays["x_train"][..., np.newaxis].astype("float32") / 255
        labels = keras.utils.to_categorical(arrays["y_train"])
    count = len(pixels) * 5 // 6
    with tempfile.TemporaryDirectory() as folder:
        tuner = Tuner(
            Network(count), objective="val_accuracy", max_trials=options.trials, seed=1, directory=folder,
            project_name="memory",
        )  # fmt: skip
        validation = (pixels[count:], labels[count:])
        tuner.search(pixels[:count], labels[:count], epochs=1, validation_data=validation, verbose=0)


if __name__ == "__main__":
    main()
