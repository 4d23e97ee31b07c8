"""A member of a population: one trial with its progress, per-member values and state.

Its network is built by Keras as for training alone, so it starts from the same weights and draws the same masks.
Called by the scheduler and populations.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import keras
import numpy as np

from search.errors import TrialError
from search.files import as_path
from search.training import checkpoint
from search.training.epochs import Hooks, augmented_images, steps_per_epoch
from search.training.network import make_network, make_schedule, trainable_parameters
from search.training.run_state import RunState
from search.training.task import PhaseImages, Task
from search.training.vectorized.program import Program, ProgramState
from search.training.vectorized.program_key import program_key, traced_values_of
from search.trial import Cause, Trial, TrialFiles
from spaces.space import Builder
from spaces.training import complete, peak_learning_rate


@dataclass(slots=True, kw_only=True, eq=False)
class Member:
    """One trial of a population.

    Args:
        trial: The trial.
        files: Its files.
        hooks: Receive its reports and return whether it must stop.
        config: Its complete configuration.
        key: Phase and program key; equal for all members of a population.
        model: Its own network before training; None once the state was taken from it.
        traced_values: Its values in the program's arguments.
        learning_rates: The learning rate of each step of the whole trial, (steps,).
        full_epochs: Epochs of a full trial.
        run_state: Its progress.
        state: Its variables; None while they are in a stack.
        error: Why it failed.
        cause: Why it must stop.
        largest_population: Most members that it was trained with at a time, itself included.
        last_saved_at: Time of its last checkpoint.
    """

    trial: Trial
    files: TrialFiles
    hooks: Hooks
    config: Mapping[str, Any]
    key: str
    model: Any
    traced_values: Mapping[str, Any]
    learning_rates: np.ndarray
    full_epochs: int
    run_state: RunState
    state: ProgramState | None = None
    error: Exception | None = None
    cause: Cause | None = None
    largest_population: int = 1
    last_saved_at: float = field(default_factory=time.perf_counter)

    @property
    def epoch(self) -> int:
        """Epochs finished."""
        return len(self.run_state.history)

    @property
    def is_finished(self) -> bool:
        """Whether it needs no further epoch."""
        return self.error is not None or self.cause is not None or self.epoch >= self.trial.last_epoch

    def augmented_steps(self, images: int) -> int:
        """Returns how many steps of the next epoch, the first ones, are trained with augmentation.

        Args:
            images: Of an epoch.
        """
        count = augmented_images(self.config, self.epoch, self.trial.epochs, images, full_epochs=self.full_epochs)
        return steps_per_epoch(count, self.config["batch_size"])

    @property
    def _has_constant_rate(self) -> bool:
        """Whether its own optimizer keeps the rate as a variable."""
        return bool(self.config["schedule"] == "constant")

    def initialize(self, program: Program) -> None:
        """Takes the initial state from the trial's checkpoint, or from the network if there is no usable one."""
        self.state, self.model = program.initial_state(self.model), None
        if self.files.resume_from is None:
            return
        with contextlib.suppress(TrialError):
            shapes = [np.shape(array) for array in self.checkpoint_arrays(program, self.state)]
            saved = checkpoint.load(as_path(self.files.resume_from), shapes)
            self.state = program.from_arrays(saved.arrays, has_rate=self._has_constant_rate)
            self.run_state.restore(saved.history, saved.seconds)
            for report in saved.history:
                self.hooks.report(report)

    def checkpoint_arrays(self, program: Program, state: ProgramState) -> list[Any]:
        """Returns a state of this member as the trainer would save it."""
        return program.to_arrays(state, has_rate=self._has_constant_rate)


def make_member(
    trial: Trial, files: TrialFiles, hooks: Hooks, build: Builder, images: PhaseImages, *, task: Task
) -> Member:
    """Returns the member for a trial.

    Args:
        trial: The trial.
        files: Its files.
        hooks: Receive its reports and return whether it must stop.
        build: The space's model builder.
        images: The images of its phase.
        task: What all trials share.

    Raises:
        Exception: The builder failed.
    """
    started = time.perf_counter()
    config = complete(trial.config)
    keras.utils.set_random_seed(trial.seed)
    classes, precision = task.dataset.classes, task.runtime.precision
    model = make_network(build, config, images.training_images, classes=classes, seed=trial.seed, precision=precision)
    steps = steps_per_epoch(len(images.training_images), config["batch_size"]) * trial.epochs
    member = Member(
        trial=trial,
        files=files,
        hooks=hooks,
        config=config,
        key=f"{trial.phase} {program_key(model, config)}",
        model=model,
        traced_values={
            "layers": traced_values_of(model),
            "label_smoothing": np.float32(config["label_smoothing"]),
            "weight_decay": np.float32(config["weight_decay"] if config["optimizer"] == "adamw" else 0.0),
        },
        learning_rates=_learning_rates(config, steps),
        full_epochs=task.protocol.epochs,
        run_state=RunState(parameter_count=trainable_parameters(model)),
    )
    member.run_state.seconds["build"] += time.perf_counter() - started
    return member


def _learning_rates(config: Mapping[str, Any], steps: int) -> np.ndarray:
    """Returns the learning rate of each step, as the trial's own schedule gives it."""
    schedule = make_schedule(config["schedule"], peak_learning_rate(config), steps)
    if not callable(schedule):
        return np.full(steps, schedule, np.float32)
    return np.asarray(jax.jit(jax.vmap(schedule))(np.arange(steps, dtype=np.int32)))
