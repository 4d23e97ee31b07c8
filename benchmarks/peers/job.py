"""The job of both peers: space cnn on data of 28 x 28 pixels and ten classes, with our split, and a log of every epoch.

A user of either tool has the same: arrays in memory, a function from values to a compiled model, callbacks. The images
are scaled once and stay floats in memory. Threads are TensorFlow's default, and determinism is off.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import psutil

from search.data.dataset import open_training, prepare
from search.data.split import default_split, make_split_indices
from search.training.augmentation import RandomAffine
from search.training.elastic import RandomElastic
from search.training.network import make_loss, make_optimizer
from search.training.tensorflow_cpu.layers import use_fast_layers
from spaces import registry
from spaces.training import AUGMENTATION_PARAMETERS

SPACE = registry.load("cnn")
EPOCHS = 10
_NUMBERS = itertools.count()
_STARTED = psutil.Process().create_time()


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """A peer's options.

    Args:
        seconds: Time limit of its search, from the start of the process.
        seed: Seed of its sampler, the models and the order of the images.
        log: File for its JSON lines.
        dataset: As ``search run --dataset`` takes it.
    """

    seconds: float
    seed: int
    log: Path
    dataset: str


def options() -> Options:
    """Reads the command line, and seeds weights, dropout, augmentation and the order of the images."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=900.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--dataset", default="mnist")
    given = Options(**vars(parser.parse_args()))
    keras.utils.set_random_seed(given.seed)
    return given


def images(dataset: str) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Returns images (count, 28, 28, 1) in [0, 1] and one-hot labels (count, 10), for training and for validation."""
    info = prepare(dataset)
    training = open_training(info)
    split = make_split_indices(training, split=default_split(info), seed=0)
    pixels = np.asarray(training.images, np.float32) / 255
    labels = keras.utils.to_categorical(training.labels)
    return (pixels[split.training], labels[split.training]), (pixels[split.validation], labels[split.validation])


def compiled(config: Mapping[str, Any], count: int) -> keras.Model:
    """Returns the compiled model of a configuration.

    Args:
        config: Active parameters and their values.
        count: Images an epoch; learning-rate schedules run over ten epochs.
    """
    inputs = keras.Input((28, 28, 1))
    magnitudes = {name: config[name] for name in AUGMENTATION_PARAMETERS if config[name]}
    layer = RandomElastic if "elastic" in magnitudes else RandomAffine
    augmented = layer(**magnitudes)(inputs) if magnitudes else inputs
    use_fast_layers(keras.Model(inputs, augmented))  # augmentation is ours, so it is as fast as in our trainer
    assert SPACE.build is not None
    model = keras.Model(inputs, SPACE.build(augmented, config, 10))
    steps = EPOCHS * math.ceil(count / config["batch_size"])
    model.compile(make_optimizer(config, steps), make_loss(config), metrics=["accuracy"])
    model.clean_epochs = config.get("clean_epochs", 0)
    return model


class Clean(keras.callbacks.Callback):
    """Switches the augmentation off in the last ``clean_epochs`` epochs."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Called by Keras."""
        for layer in self.model.layers:
            if isinstance(layer, RandomAffine):
                layer.strength.assign(1.0 if epoch < EPOCHS - self.model.clean_epochs else 0.0)


class Log(keras.callbacks.Callback):
    """Writes a line an epoch, and ends the search after its time limit.

    Args:
        given: The options.
        end: Raised in the first batch after the time limit.
    """

    def __init__(self, given: Options, end: type[Exception]) -> None:
        super().__init__()
        self.given, self.end = given, end
        self.number = -1

    def on_train_begin(self, logs: Any = None) -> None:
        """Called by Keras."""
        self.number = next(_NUMBERS)  # Keras Tuner copies its callbacks for each trial

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Called by Keras."""
        if elapsed() > self.given.seconds:
            self.write(state="stopped")
            raise self.end

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Called by Keras."""
        self.write(state="epoch", epoch=epoch + 1, error_percent=100 * (1 - logs["val_accuracy"]))

    def on_train_end(self, logs: Any = None) -> None:
        """Called by Keras."""
        self.write(state="ended")

    def write(self, **what: Any) -> None:
        """Adds a line."""
        write(self.given.log, trial=self.number, **what)


def write(log: Path, **what: Any) -> None:
    """Adds a line to a log."""
    with log.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"seconds": round(elapsed(), 3), **what}) + "\n")


def winner(log: Path, config: Mapping[str, Any], error_percent: float) -> None:
    """Writes the configuration that the peer names as its best, and its validation error."""
    write(log, state="winner", config=SPACE.active(config), error_percent=error_percent)


def elapsed() -> float:
    """Returns the seconds since this process started, imports included."""
    return time.time() - _STARTED
