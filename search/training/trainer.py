"""One training run: a trial in, an outcome out.

Order of a run::

    open data (once a worker) -> seed -> build -> compile -> [restore] -> each epoch: order, fit, score, report

Knows Keras, the data and the space's model builder; knows no engine, executor or ledger. Called by the worker.
"""

from __future__ import annotations

import errno
import gc
import math
import resource
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from search.errors import SearchError
from search.protocol import ProtocolName
from search.training import checkpoint
from search.training.augmentation import RandomAffine
from search.training.data import Images, open_test, open_training
from search.training.optimizer import make_loss, make_optimizer
from search.training.split import assign_roles
from search.training.task import Task
from search.trial import Cause, EpochReport, Outcome, Phase, State, Trial
from spaces import registry
from spaces.training import TUTORIAL_TRAINING

STEPS_PER_EXECUTION = 10
"""Steps run between two returns to Python. Measured on two cores: an epoch of the tutorial's CNN takes 0.93 of its time
with single steps; a trial can still be stopped within ten steps."""
SCORING_BATCH = 1000
"""Images scored at once; moves no result."""


class Stopped(Exception):  # noqa: N818 - a signal to leave Keras's loop, not an error
    """The trial was asked to stop."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause.value)
        self.cause = cause


class NotFinite(Exception):  # noqa: N818 - see Stopped
    """The training loss became NaN or infinite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """How a run talks to whoever asked for it.

    Args:
        report: Receives every epoch's report.
        should_stop: Asked every few steps; returns the cause to stop for, or None.
    """

    report: Callable[[EpochReport], None] = lambda _: None
    should_stop: Callable[[], Cause | None] = lambda: None


@dataclass(frozen=True, slots=True)
class PhaseImages:
    """The images one phase trains on and is scored on.

    Args:
        fit: (count, height, width, channels).
        fit_labels: (count,).
        score: (count, height, width, channels).
        score_labels: (count,).
        every_epoch: Whether to score every epoch, or only after the last.
    """

    fit: np.ndarray
    fit_labels: np.ndarray
    score: np.ndarray
    score_labels: np.ndarray
    every_epoch: bool


@dataclass(slots=True)
class Progress:
    """What a run has reached; becomes its Outcome however it ends."""

    history: list[EpochReport] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=lambda: {"build": 0.0, "fit": 0.0, "evaluate": 0.0})
    parameters: int | None = None
    wrong: tuple[int, ...] = ()


class Trainer:
    """Runs the trials of one study in this process, one after the other.

    Args:
        task: What the trials share.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._environment = task.runtime.configure()
        build = registry.load(task.space_source).build
        assert build is not None, "a space that was loaded from its source has a builder"
        self._build = build
        self._phases: dict[Phase, PhaseImages] = {}

    def run(self, trial: Trial, hooks: Hooks | None = None) -> Outcome:
        """Trains and scores one trial; never raises: a failure is an outcome with its cause and traceback."""
        progress = Progress()
        try:
            self._train(trial, hooks or Hooks(), progress)
        except Stopped as stopped:
            return self._outcome(State.INTERRUPTED, progress, cause=stopped.cause, message=stopped.cause.value)
        except Exception as error:  # noqa: BLE001 - the one broad except: a trial's failure must not end the search
            return self._outcome(
                State.FAILED,
                progress,
                cause=_cause(error),
                message=_first_line(error),
                traceback=traceback.format_exc(),
            )
        finally:
            keras.utils.clear_session(free_memory=False)
            gc.collect()
        return self._outcome(State.COMPLETE, progress)

    def _train(self, trial: Trial, hooks: Hooks, progress: Progress) -> None:
        config = {**TUTORIAL_TRAINING, **trial.config}
        images = self._images(trial.phase)
        started = time.perf_counter()
        keras.utils.set_random_seed(trial.seed)
        model = self._compile(config, trial, images.fit)
        progress.parameters = sum(math.prod(variable.shape) for variable in model.trainable_variables)
        if trial.resume_from is not None:
            progress.history.extend(checkpoint.restore(model, Path(trial.resume_from)))
        progress.seconds["build"] += time.perf_counter() - started
        targets = np.eye(self._task.dataset.classes, dtype=np.float32)
        for epoch in range(len(progress.history), trial.epochs):
            began = time.perf_counter()
            _set_augmentation(model, on=epoch < trial.epochs - config["clean_epochs"])
            this = _Pass(trial.seed, epoch, config["batch_size"], hooks)
            training_loss = _fit_epoch(model, images, targets, this, progress)
            loss, error = None, None
            if images.every_epoch or epoch == trial.epochs - 1:
                loss, error = _score(model, images, progress)
            report = EpochReport(
                epoch=epoch + 1,
                training_loss=training_loss,
                loss=loss,
                error_percent=error,
                seconds=round(time.perf_counter() - began, 4),
            )
            progress.history.append(report)
            if trial.save_to is not None:
                checkpoint.save(model, progress.history, Path(trial.save_to))
            hooks.report(report)

    def _images(self, phase: Phase) -> PhaseImages:
        """Returns the images of a phase; the test images are opened only where the phase is scored on them."""
        if phase not in self._phases:
            self._phases[phase] = _assign(phase, self._task)
        return self._phases[phase]

    def _compile(self, config: dict[str, Any], trial: Trial, fit: np.ndarray) -> Any:  # noqa: ANN401 - Keras model
        scale = 1.0 / 255.0 if fit.dtype == np.uint8 else 1.0
        images = _pixels(config, fit.shape[1:], scale=scale, seed=trial.seed)
        model = keras.Model(images[0], self._build(images[1], config, self._task.dataset.classes))
        steps = math.ceil(len(fit) / config["batch_size"])
        model.compile(
            optimizer=make_optimizer(config, steps * trial.epochs),
            loss=make_loss(config),
            steps_per_execution=min(STEPS_PER_EXECUTION, steps),
            jit_compile=False if self._environment["device"] == "CPU" and keras.backend.backend() != "jax" else "auto",
        )
        return model

    def _outcome(
        self, state: State, progress: Progress, *, cause: Cause | None = None, message: str = "", traceback: str = ""
    ) -> Outcome:
        scored = [report for report in progress.history if report.error_percent is not None]
        return Outcome(
            state=state,
            error_percent=scored[-1].error_percent if scored else None,
            history=tuple(progress.history),
            seconds={part: round(value, 4) for part, value in progress.seconds.items()},
            parameters=progress.parameters,
            peak_memory_mib=_peak_memory_mib(),
            cause=cause,
            message=message,
            traceback=traceback,
            environment=self._environment,
            wrong=progress.wrong,
        )


def _pixels(config: Mapping[str, Any], shape: tuple[int, ...], *, scale: float, seed: int) -> tuple[Any, Any]:
    """Returns the model's input, raw pixels of a shape (height, width, channels), and them scaled and augmented."""
    inputs = keras.Input(shape, name="pixels")
    images = keras.layers.Rescaling(scale, name="scale")(inputs)
    magnitudes = {name: config[name] for name in ("shift", "rotation", "zoom", "shear")}
    if any(magnitudes.values()):
        images = RandomAffine(**magnitudes, seed=seed, name="augment")(images)
    return inputs, images


@dataclass(frozen=True, slots=True)
class _Pass:
    """One pass over the training images."""

    seed: int
    epoch: int
    batch_size: int
    hooks: Hooks


class _Watch(keras.callbacks.Callback):  # type: ignore[misc]
    """Notes when the first batch ended, and leaves the loop when asked to or when the loss is no number."""

    def __init__(self, should_stop: Callable[[], Cause | None]) -> None:
        super().__init__()
        self._should_stop = should_stop
        self.first_batch: float | None = None

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Called every ``STEPS_PER_EXECUTION`` steps."""
        self.first_batch = self.first_batch or time.perf_counter()
        if not math.isfinite(float((logs or {}).get("loss", 0.0))):
            raise NotFinite
        cause = self._should_stop()
        if cause is not None:
            raise Stopped(cause)


def _fit_epoch(
    model: Any,  # noqa: ANN401 - Keras model
    images: PhaseImages,
    targets: np.ndarray,
    this: _Pass,
    progress: Progress,
) -> float:
    """Trains one epoch in an order drawn from (seed, epoch) alone, so that a resumed trial sees the same batches.

    Adds its seconds to the progress: to "build" until the first batches of a run are through (tracing), else to "fit".

    Returns:
        The mean training loss.
    """
    started = time.perf_counter()
    order = np.random.default_rng((this.seed, this.epoch)).permutation(len(images.fit))
    watch = _Watch(this.hooks.should_stop)
    history = model.fit(
        images.fit[order],
        targets[images.fit_labels[order]],
        batch_size=this.batch_size,
        initial_epoch=this.epoch,
        epochs=this.epoch + 1,
        shuffle=False,
        verbose=0,
        callbacks=[watch],
    )
    is_first = progress.seconds["fit"] == 0.0 and watch.first_batch is not None
    traced = watch.first_batch if is_first and watch.first_batch else started
    progress.seconds["build"] += traced - started
    progress.seconds["fit"] += time.perf_counter() - traced
    return float(history.history["loss"][-1])


def _score(
    model: Any,  # noqa: ANN401 - Keras model
    images: PhaseImages,
    progress: Progress,
) -> tuple[float, float]:
    """Returns mean cross-entropy in nats and error in percent on the images to be scored."""
    started = time.perf_counter()
    probabilities = model.predict(images.score, batch_size=SCORING_BATCH, verbose=0)
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != images.score_labels)
    true = probabilities[np.arange(len(probabilities)), images.score_labels].astype(np.float64)
    progress.wrong = tuple(int(index) for index in wrong)
    progress.seconds["evaluate"] += time.perf_counter() - started
    return float(-np.log(np.clip(true, keras.config.epsilon(), 1.0)).mean()), 100.0 * len(wrong) / len(true)


def _set_augmentation(model: Any, *, on: bool) -> None:  # noqa: ANN401 - Keras model
    for layer in model.layers:
        if isinstance(layer, RandomAffine):
            layer.strength.assign(1.0 if on else 0.0)


def _assign(phase: Phase, task: Task) -> PhaseImages:
    training = open_training(task.dataset)
    if phase is Phase.SEARCH and task.protocol.name is ProtocolName.HOLDOUT:
        roles = assign_roles(training, split=task.protocol.split, seed=task.protocol.split_seed)
        fit, score = _pick(training, roles.training), _pick(training, roles.validation)
    else:
        fit, score = training, open_test(task.dataset)
    every_epoch = phase is not Phase.VERIFICATION
    return PhaseImages(fit.images, fit.labels, score.images, score.labels, every_epoch)


def _pick(images: Images, indices: np.ndarray) -> Images:
    """Returns the images at sorted indices; a run of neighbours stays a view on the shared memory map."""
    if len(indices) == indices[-1] - indices[0] + 1:
        chosen = slice(int(indices[0]), int(indices[-1]) + 1)
        return Images(images.images[chosen], images.labels[chosen], None)
    return Images(images.images[indices], images.labels[indices], None)


_CAUSES: tuple[tuple[type[BaseException], Cause], ...] = (
    (NotFinite, Cause.NOT_FINITE),
    (MemoryError, Cause.OUT_OF_MEMORY),
    (SearchError, Cause.DATA),
    (ValueError, Cause.INVALID),
)


def _cause(error: BaseException) -> Cause:
    if type(error).__name__ == "ResourceExhaustedError" or "RESOURCE_EXHAUSTED" in str(error):
        return Cause.OUT_OF_MEMORY
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return Cause.DISK_FULL
    return next((cause for kind, cause in _CAUSES if isinstance(error, kind)), Cause.ERROR)


def _first_line(error: BaseException) -> str:
    if isinstance(error, NotFinite):
        return "The training loss became NaN or infinite."
    if isinstance(error, SearchError):
        return error.message
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"


def _peak_memory_mib() -> float:
    """Returns the process's peak resident memory in MiB; Linux counts in KiB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)
