"""Optimizer, learning-rate schedule and loss from a configuration; Keras's own classes throughout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

NESTEROV_MOMENTUM = 0.9
"""Momentum of SGD, fixed as in most published recipes for small images."""
WARM_UP_SHARE = {"cosine": 0.05, "one_cycle": 0.30}
"""Share of all steps in which the rate rises linearly to its peak; 0.3 is the one-cycle policy's usual share.
Source: Smith and Topin, "Super-Convergence", 2018, arXiv:1708.07120, and the fastai library's default."""
EXPONENTIAL_FINAL_SHARE = 0.01
"""Share of the peak rate at which the exponential schedule ends."""


def make_schedule(name: str, peak: float, total_steps: int) -> Any:
    """Returns the learning rate over steps: a float for "constant", else a Keras schedule.

    Args:
        name: constant, cosine, one_cycle or exponential.
        peak: Highest learning rate.
        total_steps: Optimizer steps of the whole trial.
    """
    if name == "constant":
        return peak
    if name == "exponential":
        return keras.optimizers.schedules.ExponentialDecay(peak, max(total_steps, 1), EXPONENTIAL_FINAL_SHARE)
    warm_up = max(1, round(total_steps * WARM_UP_SHARE[name]))
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        decay_steps=max(1, total_steps - warm_up),
        warmup_target=peak,
        warmup_steps=warm_up,
    )


def make_optimizer(config: Mapping[str, Any], total_steps: int) -> Any:
    """Returns the optimizer that a configuration describes."""
    peak = config["learning_rate_sgd"] if config["optimizer"] == "sgd" else config["learning_rate"]
    schedule = make_schedule(config["schedule"], peak, total_steps)
    if config["optimizer"] == "sgd":
        return keras.optimizers.SGD(schedule, momentum=NESTEROV_MOMENTUM, nesterov=True)
    if config["optimizer"] == "adamw":
        return keras.optimizers.AdamW(schedule, weight_decay=config["weight_decay"])
    return keras.optimizers.Adam(schedule)


def make_loss(config: Mapping[str, Any]) -> Any:
    """Returns cross-entropy over one-hot labels, smoothed where the configuration says so."""
    return keras.losses.CategoricalCrossentropy(label_smoothing=config["label_smoothing"])
