"""Trials an hour: the local executor's two workers, beside one plain ``model.fit`` loop over the same configurations.

    python benchmarks/throughput.py [--trials 6] [--epochs 2]

The plain loop is what a user writes: one process, all cores, TensorFlow's default threads, the same models, optimizer,
data, batch sizes and epochs, scored each epoch. Both are timed once TensorFlow is imported; compiling counts.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from common import table, task

from search.execution.base import Finished
from search.execution.local import LocalExecutor
from search.trial import State, Trial
from spaces import registry


def trials(count: int, epochs: int) -> list[Trial]:
    """Returns the baseline and random configurations without augmentation, the same at every call."""
    space, draw = registry.load("cnn"), random.Random(1)
    configs = [space.baseline]
    plain = {"shift": 0, "rotation": 0.0, "zoom": 0.0, "shear": 0.0}
    while len(configs) < count:
        configs.append({**space.sample(draw), **plain})
    return [Trial(number=n, config=config, seed=n, epochs=epochs) for n, config in enumerate(configs)]


def ours(work: list[Trial], epochs: int) -> float:
    """Returns the seconds that two workers take, once warm."""
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(LocalExecutor(task(epochs=epochs), workers=2, log_dir=Path(folder))) as executor,
    ):
        for number in range(2):  # warms the workers up
            executor.submit(Trial(number=-1 - number, config=work[0].config, seed=0, epochs=1))
        while executor.running:
            executor.collect(1.0)
        started, waiting = time.perf_counter(), list(work)
        while waiting or executor.running:
            while waiting and len(executor.running) < executor.slots:
                executor.submit(waiting.pop(0))
            ended = [event for event in executor.collect(1.0) if isinstance(event, Finished)]
            assert all(event.outcome.state is State.COMPLETE for event in ended)
        return time.perf_counter() - started


def plain(count: int, epochs: int) -> float:
    """Returns the seconds that a loop of ``model.fit`` takes, in a process of its own."""
    command = [sys.executable, __file__, "--plain", "--trials", str(count), "--epochs", str(epochs)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def plain_loop(work: list[Trial]) -> float:
    """Trains each configuration with ``model.fit`` and returns the seconds."""
    import keras
    import numpy as np

    from search.training.data import open_training
    from search.training.optimizer import make_loss, make_optimizer

    images = open_training(task().dataset)
    pixels = np.asarray(images.images, np.float32) / 255
    labels = keras.utils.to_categorical(images.labels)
    build = registry.load("cnn").build

    def one(trial: Trial, epochs: int) -> None:
        inputs = keras.Input((28, 28, 1))
        model = keras.Model(inputs, build(inputs, trial.config, 10))
        steps = -(-50_000 // trial.config["batch_size"])
        model.compile(make_optimizer(trial.config, steps * epochs), make_loss(trial.config), metrics=["accuracy"])
        validation = (pixels[50_000:], labels[50_000:])
        model.fit(
            pixels[:50_000],
            labels[:50_000],
            batch_size=trial.config["batch_size"],
            epochs=epochs,
            validation_data=validation,
            verbose=0,
        )
        keras.utils.clear_session()

    one(work[0], 1)
    started = time.perf_counter()
    for trial in work:
        one(trial, trial.epochs)
    return time.perf_counter() - started


def main() -> None:
    """Runs both, one after the other, and prints trials an hour."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--plain", action="store_true")
    options = parser.parse_args()
    work = trials(options.trials, options.epochs)
    if options.plain:
        print(plain_loop(work))
        return
    theirs, mine = plain(options.trials, options.epochs), ours(work, options.epochs)
    rows = [(name, s, 3600 * len(work) / s, theirs / s) for name, s in (("plain loop", theirs), ("two workers", mine))]
    table([f"{len(work)} trials of {options.epochs} epochs", "seconds", "trials an hour", "ratio"], rows)


if __name__ == "__main__":
    main()
