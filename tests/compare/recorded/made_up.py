"""Recorded trainings that were made up: a smooth function of the configuration, and a little noise."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import numpy as np
from makers import TINY

from search.compare.recorded.recordings import Recording, Training, append_training, write_header
from search.trial import State

EPOCHS, SHORT = 10, 2
IMAGES, SEARCH_IMAGES, VALIDATION_IMAGES = 1000, 5000, 1000


def true_error(config: dict[str, Any]) -> float:
    """Error after a full training, in percent: least at a learning rate of 1e-2 and a width of 64, with Adam."""
    rate, width = math.log10(config["learning_rate"]) + 2, math.log(config["width"] / 64)
    return 2.0 + rate**2 + 0.2 * width**2 + (config["optimizer"] == "sgd")


def training(config: dict[str, Any], epochs: int, seed: int, noise: float = 0.0) -> Training:
    error = true_error(config) * math.exp(noise)
    curve = [[min(90.0, error * 10 / epoch), error / 50 * 10 / epoch, 0.1, 5.0] for epoch in range(1, epochs + 1)]
    return Training(
        config=config,
        epochs=epochs,
        seed=seed,
        state=State.COMPLETE if epochs == EPOCHS else State.SCREENED,
        curve=np.array(curve),
        seconds=10.0 + 5.0 * epochs,  # on a busy machine
        cpu_seconds=1.0 + 0.5 * epochs,
        parameters=10 * config["width"],
        kind="uniform",
    )


def recording() -> Recording:
    """One without trainings."""
    return Recording(
        space=TINY,
        dataset="made up",
        images=IMAGES,
        search_images=SEARCH_IMAGES,
        validation_images=VALIDATION_IMAGES,
        epochs=EPOCHS,
        image_shape=(8, 8, 1),
        classes=10,
    )


def write(path: Path, count: int = 40) -> Path:
    """Writes a recording of this many configurations, each fourth with two seeds."""
    generator = random.Random(1)
    write_header(path, recording())
    configs = [TINY.baseline, TINY.recipe("faster"), *(TINY.sample(generator) for _ in range(count - 2))]
    for number, config in enumerate(configs):
        for seed in (1, 2) if number % 4 == 0 else (1,):
            noise = generator.gauss(0, 0.02)
            for epochs in (SHORT, EPOCHS):
                append_training(path, training(config, epochs, seed, noise))
    return path
