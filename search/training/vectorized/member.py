"""A member of a population: one trial, what it has reached, and its own values and state.

Built by Keras as the trial would be trained alone, so that it starts from the same weights and draws the same masks.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import keras
import numpy as np

from search.errors import TrialError
from search.training import checkpoint, storage_paths
from search.training.epochs import Hooks
from search.training.network import make_network, trainable_parameters
from search.training.optimizer import make_schedule
from search.training.phase_images import PhaseImages
from search.training.run_state import RunState
from search.training.task import Task
from search.training.vectorized.padding import PaddedLayout, ProgramShape, make_program_shape
from search.training.vectorized.program import Program, ProgramState
from search.training.vectorized.program_key import program_key, traced_values_of
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
        program_shape: What its program has room for.
        traced_values: What travels.
        learning_rates: The learning rate of each step of the whole trial, (steps,).
        run_state: What it has reached.
        layout: Where its own network lies in its program's; known when it has begun.
        state: Its variables while it is in no stack.
        error: Why it failed.
        cause: Why it must stop.
        largest_population: Most members that it was trained with at a time, itself among them.
        last_saved_at: When its state was last left.
    """

    trial: Trial
    hooks: Hooks
    config: Mapping[str, Any]
    key: str
    model: Any
    program_shape: ProgramShape
    traced_values: Mapping[str, Any]
    learning_rates: np.ndarray
    run_state: RunState
    layout: PaddedLayout = field(init=False)
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

    @property
    def _has_constant_rate(self) -> bool:
        """Whether its own optimizer keeps the rate as a variable."""
        return bool(self.config["schedule"] == "constant")

    @property
    def is_augmentation_free(self) -> bool:
        """Whether the next epoch is trained without augmentation."""
        return bool(self.epoch >= self.trial.epochs - self.config["clean_epochs"])

    def initialize(self, program: Program) -> None:
        """Takes the state to begin with: a checkpoint's, or the network's own; an unusable one means from the start."""
        self.layout = program.layout(self.model)
        self.traced_values = {**self.traced_values, "layers": traced_values_of(self.model, self.layout)}
        self.state, self.model = program.initial_state(self.model, self.layout), None
        if self.trial.resume_from is None:
            return
        with contextlib.suppress(TrialError):
            shapes = [np.shape(array) for array in self.checkpoint_arrays(program, self.state)]
            saved = checkpoint.load(storage_paths.as_path(self.trial.resume_from), shapes)
            self.state = program.from_arrays(saved.arrays, self.layout, has_rate=self._has_constant_rate)
            self.run_state.restore(saved.history, saved.seconds)
            for report in saved.history:
                self.hooks.report(report)

    def checkpoint_arrays(self, program: Program, state: ProgramState) -> list[Any]:
        """Returns a state of it as the trainer would keep it."""
        return program.to_arrays(state, self.layout, has_rate=self._has_constant_rate)


def make_member(
    trial: Trial, hooks: Hooks, build: Builder, images: PhaseImages, *, task: Task, should_pad: Callable[[Any], bool]
) -> Member:
    """Returns the member that a trial becomes.

    Args:
        trial: The trial.
        hooks: How it talks to whoever asked for it.
        build: The space's model builder.
        images: Those of its phase.
        task: What all trials share.
        should_pad: Says whether a network is trained with others of other widths and batch sizes.

    Raises:
        Exception: Whatever its builder raises.
    """
    began = time.perf_counter()
    config = {**TUTORIAL_TRAINING, **trial.config}
    keras.utils.set_random_seed(trial.seed)
    classes, precision = task.dataset.classes, task.runtime.precision
    model = make_network(build, config, images.training_images, classes=classes, seed=trial.seed, precision=precision)
    shape = make_program_shape(model, config["batch_size"], pads_to_share=should_pad(model))
    traced_values = {
        "label_smoothing": np.float32(config["label_smoothing"]),
        "weight_decay": np.float32(config["weight_decay"] if config["optimizer"] == "adamw" else 0.0),
    }
    member = Member(
        trial=trial,
        hooks=hooks,
        config=config,
        key=f"{trial.phase} {program_key(model, config, shape)}",
        model=model,
        program_shape=shape,
        traced_values=traced_values,
        learning_rates=_learning_rates(
            config, math.ceil(len(images.training_images) / config["batch_size"]) * trial.epochs
        ),
        run_state=RunState(parameters=trainable_parameters(model)),
    )
    member.run_state.seconds["build"] += time.perf_counter() - began
    return member


def _learning_rates(config: Mapping[str, Any], steps: int) -> np.ndarray:
    """Returns the learning rate of each step, as the trial's own schedule gives it."""
    peak = config["learning_rate_sgd"] if config["optimizer"] == "sgd" else config["learning_rate"]
    schedule = make_schedule(config["schedule"], peak, steps)
    if not callable(schedule):
        return np.full(steps, schedule, np.float32)
    return np.asarray(jax.jit(jax.vmap(schedule))(np.arange(steps, dtype=np.int32)))
