"""One training run: a trial in, an outcome out.

Order of a run::

    open data (once a worker) -> seed -> build -> compile -> [restore] -> each epoch: order, fit, score, save, report

Knows Keras, the data and the space's model builder; knows no engine, executor or ledger. Called by the worker.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import math
import resource
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from search.errors import SearchError, TrialError
from search.records.predictions import Predictions, save
from search.training import checkpoint, places
from search.training.augmentation import RandomAffine
from search.training.epochs import Hooks, NotFinite, Pass, Stopped, fit_epoch, score, steps_per_execution
from search.training.network import make_network, set_augmentation, trainable_parameters, without_augmentation
from search.training.optimizer import make_loss, make_optimizer
from search.training.phases import PhaseImages, open_phase
from search.training.task import Task
from search.trial import Cause, EpochReport, Outcome, Phase, State, Trial, kept_path
from spaces import registry
from spaces.training import TUTORIAL_TRAINING

CHECKPOINT_SECONDS = 10.0
"""Least time between two checkpoints of a trial: what a killed one loses at most, beside its unfinished epoch."""


@dataclass(slots=True)
class Attempt:
    """What a run has reached; becomes its Outcome however it ends."""

    history: list[EpochReport] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=lambda: {"build": 0.0, "fit": 0.0, "evaluate": 0.0})
    parameters: int | None = None
    scored: int | None = None
    wrong: tuple[int, ...] = ()
    predicted: tuple[int, ...] = ()
    predictions: Predictions | None = None
    unsaved: str = ""

    def judge(self, probabilities: np.ndarray, labels: np.ndarray, *, is_kept: bool) -> float:
        """Returns the error in percent, and remembers which images were taken for what, where that is kept."""
        predicted = probabilities.argmax(axis=1)
        wrong = np.flatnonzero(predicted != labels)
        self.scored, self.predictions = len(labels), Predictions(probabilities, labels)
        if is_kept:
            self.wrong, self.predicted = tuple(wrong.tolist()), tuple(predicted[wrong].tolist())
        return 100.0 * len(wrong) / len(labels)


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
            return self._outcome(State.INTERRUPTED, attempt, cause=stopped.cause, message=message)
        except Exception as error:  # noqa: BLE001 - the one broad except: a trial's failure must not end the search
            return self._outcome(
                State.FAILED,
                attempt,
                cause=_cause(error, on_cpu=self._environment["device"] == "CPU"),
                message=_first_line(error),
                traceback=traceback.format_exc(),
            )
        state = State.PAUSED if trial.last_epoch < trial.epochs else State.COMPLETE
        return self._outcome(state, attempt, message=attempt.unsaved)

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
            if (path := self._save_path(trial, epoch + 1, saved)) is not None:
                _save(model, attempt, path)
                saved = time.perf_counter()
            hooks.report(report)
        if trial.model_to is not None:
            self._without_augmentation(model, config, images.fit).save(trial.model_to)
        if trial.predictions_to is not None and trial.last_epoch == trial.epochs:
            _keep(attempt, Path(trial.predictions_to))

    def _save_path(self, trial: Trial, epoch: int, saved: float) -> Path | None:
        """Returns where to leave the state after an epoch: beside the latest where another trial may go on from it."""
        if trial.save_to is None or epoch == trial.epochs:
            return None
        if epoch in trial.rungs or epoch == trial.last_epoch:
            return places.at(kept_path(trial.save_to, epoch))
        return places.at(trial.save_to) if time.perf_counter() - saved >= self._checkpoint_seconds else None

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
        model = self._network(config, fit, trial.seed)
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
        if trial.resume_from is not None:
            with contextlib.suppress(TrialError):
                history, attempt.seconds = checkpoint.restore(model, places.at(trial.resume_from))
                attempt.history.extend(history)
        attempt.seconds["build"] += time.perf_counter() - started
        return model

    def _network(self, config: Mapping[str, Any], fit: np.ndarray, seed: int) -> Any:  # noqa: ANN401 - Keras model
        return make_network(self._build, config, fit, classes=self._task.dataset.classes, seed=seed)

    def _without_augmentation(self, model: Any, config: Mapping[str, Any], fit: np.ndarray) -> Any:  # noqa: ANN401
        """Returns the trained network by itself, from raw pixels to probabilities, of Keras's own layers."""
        trained = [layer.get_weights() for layer in model.layers if not isinstance(layer, RandomAffine)]
        keras.utils.clear_session(free_memory=False)  # else its layers were numbered after those of the other
        plain = self._network(without_augmentation(config), fit, seed=0)
        for layer, weights in zip(plain.layers, trained, strict=True):
            layer.set_weights(weights)
        return plain

    def _outcome(
        self, state: State, attempt: Attempt, *, cause: Cause | None = None, message: str = "", traceback: str = ""
    ) -> Outcome:
        scored = [report for report in attempt.history if report.error_percent is not None]
        return Outcome(
            state=state,
            error_percent=scored[-1].error_percent if scored else None,
            history=tuple(attempt.history),
            seconds={part: round(value, 4) for part, value in attempt.seconds.items()},
            parameters=attempt.parameters,
            peak_memory_mib=_peak_memory_mib(),
            cause=cause,
            message=message,
            traceback=traceback,
            environment=self._environment,
            scored=attempt.scored,
            wrong=attempt.wrong,
            predicted=attempt.predicted,
        )


def _save(model: Any, attempt: Attempt, path: Path) -> None:  # noqa: ANN401 - Keras model
    """Leaves the state at a path; a trial that cannot is no worse for it, until it is to go on from there."""
    try:
        checkpoint.save(model, attempt.history, attempt.seconds, path)
    except OSError as error:
        attempt.unsaved = f"No state could be kept: {error}."


def _keep(attempt: Attempt, path: Path) -> None:
    """Leaves the last predictions at a path; a trial that cannot is no worse for it, but joins no ensemble."""
    try:
        if attempt.predictions is not None:
            save(path, attempt.predictions)
    except OSError as error:
        attempt.unsaved = f"No predictions could be kept: {error}."


_CAUSES: tuple[tuple[type[BaseException], Cause], ...] = (
    (NotFinite, Cause.NOT_FINITE),
    (MemoryError, Cause.OUT_OF_MEMORY),
    (SearchError, Cause.DATA),
    (ValueError, Cause.INVALID),
)


def _cause(error: BaseException, *, on_cpu: bool) -> Cause:
    if type(error).__name__ in ("ResourceExhaustedError", "OutOfMemoryError") or "RESOURCE_EXHAUSTED" in str(error):
        return Cause.OUT_OF_MEMORY if on_cpu else Cause.DEVICE_MEMORY
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
        return Cause.DISK_FULL
    return next((cause for kind, cause in _CAUSES if isinstance(error, kind)), Cause.ERROR)


def _first_line(error: BaseException) -> str:
    if isinstance(error, NotFinite):
        return "A loss became NaN or infinite."
    if isinstance(error, SearchError):
        return error.message
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


def _peak_memory_mib() -> float:
    """Returns the process's peak resident memory in MiB; Linux counts in KiB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)
