"""The baseline trial through the tool, beside the tutorial's plain ``model.fit``, in turn in one process.

    python benchmarks/training.py [--epochs 3] [--rounds 3] [--threads 1]

Both train on all 60,000 images and score the 10,000 test images each epoch. The seconds exclude building, and the first
epoch of each, in which TensorFlow traces.
"""

from __future__ import annotations

import argparse
import os
import time
from statistics import median

from common import table, task

from search.trial import Phase, Trial
from spaces import registry


def plain(epochs: int, task_: object) -> list[float]:
    """Trains as the tutorial's script does and returns the seconds of each epoch, scoring included."""
    import keras

    from search.data.dataset import open_test, open_training

    training, testing = open_training(task_.dataset), open_test(task_.dataset)  # type: ignore[attr-defined]
    x_train = training.images.astype("float32") / 255
    x_test = testing.images.astype("float32") / 255
    y_train = keras.utils.to_categorical(training.labels)
    y_test = keras.utils.to_categorical(testing.labels)
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            keras.layers.Conv2D(32, (5, 5), activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Dropout(0.2),
            keras.layers.Flatten(),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
    seconds: list[float] = []

    class Clock(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
            self.started = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: object = None) -> None:
            seconds.append(time.perf_counter() - self.started)

    model.fit(
        x_train,
        y_train,
        validation_data=(x_test, y_test),
        epochs=epochs,
        batch_size=200,
        verbose=0,
        callbacks=[Clock()],
    )
    keras.utils.clear_session()
    return seconds[1:]


def main() -> None:
    """Runs both in turn and prints the median seconds of an epoch and their ratio."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    shared = task(epochs=options.epochs, threads=options.threads)
    os.environ.update(shared.runtime.environment_variables())
    from search.training.trainer import Trainer

    trainer, baseline = Trainer(shared), registry.load("cnn").baseline
    ours: list[float] = []
    theirs: list[float] = []
    for number in range(options.rounds):
        trial = Trial(number=number, config=baseline, seed=number, epochs=options.epochs, phase=Phase.REPRODUCTION)
        ours += [report.seconds for report in trainer.run(trial).history[1:]]
        theirs += plain(options.epochs, shared)
    print("plain:", *(f"{s:.1f}" for s in theirs), " tool:", *(f"{s:.1f}" for s in ours))
    rows = [
        ("plain model.fit", min(theirs), median(theirs), 1.0),
        ("through the tool", min(ours), median(ours), median(ours) / median(theirs)),
    ]
    table(["baseline of cnn", "least, s an epoch", "median, s an epoch", "ratio"], rows)


if __name__ == "__main__":
    main()
