"""A member of a population: one trial, what it has reached, and its own values and state.

Built by Keras as the trial would be trained alone, so that it starts from the same weights and draws the same masks.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import keras
import numpy as np

from search.errors import TrialError
from search.training import checkpoint, places
from search.training.attempt import Attempt
from search.training.epochs import Hooks
from search.training.network import make_network, trainable_parameters
from search.training.optimizer import make_schedule
from search.training.phases import PhaseImages
from search.training.population.program import Program, State
from search.training.population.sharing import program_key, values_of
from search.training.task import Task
from search.trial import Cause, Trial
from spaces.space import Builder
from spaces.training import TUTORIAL_TRAINING


@dataclass(slots=True, kw_only=True, eq=False)
class Member:
    """One trial among others.

    Args:
        trial: The trial.
        hooks: How it talks to whoever asked for it.
        config: Its configuration, every training parameter among it.
        key: What it shares with the members of the same program.
        model: Its own network, before it was trained; None once its state was taken.
        values: What travels.
        rates: The learning rate of each step of the whole trial, (steps,).
        attempt: What it has reached.
        state: Its variables while it is in no stack.
        error: Why it failed.
        cause: Why it must stop.
        together: Most members that it was trained with at a time, itself among them.
        saved: When its state was last left.
    """

    trial: Trial
    hooks: Hooks
    config: Mapping[str, Any]
    key: str
    model: Any
    values: Mapping[str, Any]
    rates: np.ndarray
    attempt: Attempt
    state: State | None = None
    error: Exception | None = None
    cause: Cause | None = None
    together: int = 1
    saved: float = field(default_factory=time.perf_counter)

    @property
    def epoch(self) -> int:
        """Epochs finished."""
        return len(self.attempt.history)

    @property
    def is_over(self) -> bool:
        """Whether it needs no further epoch."""
        return self.error is not None or self.cause is not None or self.epoch >= self.trial.last_epoch

    @property
    def has_rate(self) -> bool:
        """Whether its own optimizer keeps the rate as a variable."""
        return bool(self.config["schedule"] == "constant")

    @property
    def is_clean(self) -> bool:
        """Whether the next epoch is trained without augmentation."""
        return bool(self.epoch >= self.trial.epochs - self.config["clean_epochs"])

    def begin(self, program: Program) -> None:
        """Takes the state to begin with: a checkpoint's, or the network's own; an unusable one means from the start."""
        self.state, self.model = program.fresh(self.model), None
        if self.trial.resume_from is None:
            return
        with contextlib.suppress(TrialError):
            shapes = [np.shape(array) for array in program.to_arrays(self.state, has_rate=self.has_rate)]
            saved = checkpoint.read(places.at(self.trial.resume_from), shapes)
            self.state = program.from_arrays(saved.arrays, has_rate=self.has_rate)
            self.attempt.resume(saved.history, saved.seconds)
            for report in saved.history:
                self.hooks.report(report)


def make_member(trial: Trial, hooks: Hooks, build: Builder, images: PhaseImages, task: Task) -> Member:
    """Returns the member that a trial becomes.

    Raises:
        Exception: Whatever its builder raises.
    """
    began = time.perf_counter()
    config = {**TUTORIAL_TRAINING, **trial.config}
    keras.utils.set_random_seed(trial.seed)
    classes, precision = task.dataset.classes, task.runtime.precision
    model = make_network(build, config, images.fit, classes=classes, seed=trial.seed, precision=precision)
    values = {
        "layers": values_of(model),
        "label_smoothing": np.float32(config["label_smoothing"]),
        "weight_decay": np.float32(config["weight_decay"] if config["optimizer"] == "adamw" else 0.0),
    }
    attempt = Attempt(parameters=trainable_parameters(model))
    steps = math.ceil(len(images.fit) / config["batch_size"])
    rates = _rates(config, steps * trial.epochs)
    key = f"{trial.phase} {program_key(model, config)}"
    attempt.seconds["build"] += time.perf_counter() - began
    return Member(
        trial=trial, hooks=hooks, config=config, key=key, model=model, values=values, rates=rates, attempt=attempt
    )


def _rates(config: Mapping[str, Any], steps: int) -> np.ndarray:
    """Returns the learning rate of each step, as the trial's own schedule gives it."""
    peak = config["learning_rate_sgd"] if config["optimizer"] == "sgd" else config["learning_rate"]
    schedule = make_schedule(config["schedule"], peak, steps)
    if not callable(schedule):
        return np.full(steps, schedule, np.float32)
    return np.asarray(jax.jit(jax.vmap(schedule))(np.arange(steps, dtype=np.int32)))
