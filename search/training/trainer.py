"""One training run: a trial in, an outcome out.

Order of a run::

    open data (once a worker) -> seed -> build -> compile -> [restore] -> each epoch: order, fit, score, save, report

Knows Keras, the data and the space's model builder; knows no engine, executor or ledger. Called by the worker.
"""

from __future__ import annotations

import contextlib
import gc
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from search.errors import TrialError
from search.training import checkpoint, places
from search.training.attempt import Attempt
from search.training.epochs import Hooks, Pass, Stopped, fit_epoch, score, steps_per_execution
from search.training.network import make_network, plain_network, set_augmentation, trainable_parameters
from search.training.optimizer import make_loss, make_optimizer
from search.training.phases import PhaseImages, open_phase
from search.training.task import Task
from search.trial import EpochReport, Outcome, Phase, State, Trial
from spaces import registry
from spaces.training import TUTORIAL_TRAINING

CHECKPOINT_SECONDS = 10.0
"""Least time between two checkpoints of a trial: what a killed one loses at most, beside its unfinished epoch."""


class Trainer:
    """Runs the trials of one study in this process, one after the other.

    Args:
        task: What the trials share.
        checkpoint_seconds: Least time between two checkpoints of a trial.
    """

    def __init__(self, task: Task, *, checkpoint_seconds: float = CHECKPOINT_SECONDS) -> None:
        self._task, self._checkpoint_seconds = task, checkpoint_seconds
        self._environment = task.runtime.configure()
        build = registry.load(task.space_source).build
        assert build is not None, "a space that was loaded from its source has a builder"
        self._build = build
        self._phases: dict[Phase, PhaseImages] = {}
        self.clean()

    def run(self, trial: Trial, hooks: Hooks | None = None) -> Outcome:
        """Trains and scores one trial; never raises: a failure is an outcome with its cause and traceback."""
        attempt = Attempt()
        try:
            self._train(trial, hooks or Hooks(), attempt)
        except Stopped as stopped:
            message = attempt.unsaved or stopped.cause.value
            return attempt.outcome(State.INTERRUPTED, self._environment, cause=stopped.cause, message=message)
        except Exception as error:  # noqa: BLE001 - the one broad except: a trial's failure must not end the search
            return attempt.failed(error, self._environment)
        state = State.PAUSED if trial.last_epoch < trial.epochs else State.COMPLETE
        return attempt.outcome(state, self._environment, message=attempt.unsaved)

    def clean(self) -> None:
        """Gives back what the last trial left in memory; to be called between trials.

        What survives a collection (TensorFlow itself, mostly) is taken out of the next ones: to look through it again
        would take 0.2 to 0.3 seconds after every trial.
        """
        keras.utils.clear_session(free_memory=False)
        gc.collect()
        gc.freeze()

    def _train(self, trial: Trial, hooks: Hooks, attempt: Attempt) -> None:
        config = {**TUTORIAL_TRAINING, **trial.config}
        images = self._images(trial.phase)
        model = self._model(config, trial, images.fit, attempt)
        for report in attempt.history:
            hooks.report(report)
        targets = np.eye(self._task.dataset.classes, dtype=np.float32)
        saved = time.perf_counter()
        for epoch in range(len(attempt.history), trial.last_epoch):
            began = time.perf_counter()
            set_augmentation(model, on=epoch < trial.epochs - config["clean_epochs"])
            this = Pass(trial.seed, epoch, config["batch_size"], hooks)
            training_loss = fit_epoch(model, images, targets, this, attempt.seconds)
            loss, error = None, None
            if len(images.score) and (images.every_epoch or epoch == trial.epochs - 1):
                loss, probabilities = score(model, images, hooks, attempt.seconds)
                error = attempt.judge(probabilities, images.score_labels, is_kept=trial.phase is not Phase.SEARCH)
            images.verify()  # before anybody hears of the epoch
            seconds = round(time.perf_counter() - began, 4)
            report = EpochReport(
                epoch=epoch + 1, training_loss=training_loss, loss=loss, error_percent=error, seconds=seconds
            )
            attempt.history.append(report)
            is_due = time.perf_counter() - saved >= self._checkpoint_seconds
            if (path := checkpoint.place(trial, epoch + 1, is_due=is_due)) is not None:
                checkpoint.leave(checkpoint.variables(model), attempt, path)
                saved = time.perf_counter()
            hooks.report(report)
        if trial.model_to is not None:
            plain = plain_network(
                self._build, config, images.fit, trained=model, precision=self._task.runtime.precision
            )
            plain.save(trial.model_to)
        if trial.predictions_to is not None and trial.last_epoch == trial.epochs:
            attempt.keep_predictions(Path(trial.predictions_to))

    def _images(self, phase: Phase) -> PhaseImages:
        """Returns the images of a phase, opened when the phase first comes, and verified each time."""
        if phase not in self._phases:
            self._phases[phase] = open_phase(phase, self._task)
        self._phases[phase].verify()
        return self._phases[phase]

    def _model(self, config: Mapping[str, Any], trial: Trial, fit: np.ndarray, attempt: Attempt) -> Any:  # noqa: ANN401
        """Returns the compiled model, brought to where a checkpoint left it; an unusable one means from the start."""
        started = time.perf_counter()
        keras.utils.set_random_seed(trial.seed)
        model = make_network(
            self._build,
            config,
            fit,
            classes=self._task.dataset.classes,
            seed=trial.seed,
            precision=self._task.runtime.precision,
        )
        steps = math.ceil(len(fit) / config["batch_size"])
        on_cpu = self._environment["device"] == "CPU"
        model.compile(
            optimizer=make_optimizer(config, steps * trial.epochs),
            loss=make_loss(config),
            steps_per_execution=steps_per_execution(config["batch_size"], steps),
            # XLA's convolutions on a CPU take 18 times as long as TensorFlow's own.
            jit_compile=False if on_cpu and keras.backend.backend() == "tensorflow" else "auto",
        )
        attempt.parameters = trainable_parameters(model)
        # Variables that are made while TensorFlow traces the first step have it traced once more; those of a layer that
        # only training calls are made there all the same, before the optimizer's.
        if all(layer.built for layer in model._flatten_layers()):
            model.optimizer.build(model.trainable_variables)
        if trial.resume_from is not None:
            with contextlib.suppress(TrialError):
                saved = checkpoint.restore(model, places.at(trial.resume_from))
                attempt.resume(saved.history, saved.seconds)
        attempt.seconds["build"] += time.perf_counter() - started
        return model
