"""One training run: a trial in, an outcome out.

Order of a run::

    open data (once a worker) -> seed -> build -> compile -> [restore] -> each epoch: order, fit, evaluate, save, report

With folds a trial has one network for each. All go through an epoch before the next begins, so the epoch's validation
figures are over the images of all folds, and pruning, pauses and checkpoints are those of any trial.

Called by workers.
"""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import keras
import numpy as np

from search.errors import TrialError
from search.files import as_path
from search.records.arithmetic import Layers
from search.training import checkpoint
from search.training.backends import configure_backend
from search.training.epochs import (
    Hooks,
    TrialStopped,
    augmented_images,
    cross_entropy,
    evaluate,
    fit_epoch,
    steps_per_epoch,
)
from search.training.loops import KerasLoops, Loops, evaluation_batch_size, steps_per_call
from search.training.memory import (
    Batches,
    MemoryLimit,
    MemoryNeed,
    build_without_values,
    optimizer_slots,
    predict_memory,
)
from search.training.network import (
    make_inference_network,
    make_loss,
    make_network,
    make_optimizer,
    require_savable,
    set_augmentation,
    trainable_parameters,
)
from search.training.own_compile import OwnLoss, copy_optimizer, find_compiled
from search.training.run_state import RunState
from search.training.task import PhaseImages, Task, open_phase_images
from search.trial import NO_FILES, EpochReport, Outcome, Phase, Trial, TrialFiles
from spaces import registry
from spaces.space import Builder
from spaces.training import complete

CHECKPOINT_SECONDS = 10.0
"""Least seconds between two checkpoints of a trial: a killed trial loses at most these and its unfinished epoch."""


class Trainer:
    """Runs the trials of one study in this process, one after the other.

    Args:
        task: What the trials share.
        checkpoint_seconds: Least seconds between two checkpoints of a trial.
    """

    def __init__(self, task: Task, *, checkpoint_seconds: float = CHECKPOINT_SECONDS) -> None:
        self._task, self._checkpoint_seconds = task, checkpoint_seconds
        self._environment = configure_backend(task.runtime)
        self._is_tensorflow_on_cpu = keras.backend.backend() == "tensorflow" and self._environment["device"] == "CPU"
        self._build = registry.load_builder(task.space_source)
        self._phases: dict[Phase, tuple[PhaseImages, ...]] = {}
        self.free_memory()
        self._memory_limit = MemoryLimit(task, on_cpu=self._environment["device"] == "CPU")

    def run(self, trial: Trial, hooks: Hooks | None = None, files: TrialFiles = NO_FILES) -> Outcome:
        """Trains and evaluates one trial; never raises: a failure is an outcome with its cause and traceback."""
        run_state = RunState()
        try:
            self._train(trial, files, hooks or Hooks(), run_state)
        except TrialStopped as stopped:
            return run_state.finish(trial, self._environment, cause=stopped.cause)
        except Exception as error:  # noqa: BLE001 - a trial's failure must not end the search
            return run_state.finish(trial, self._environment, error=error)
        return run_state.finish(trial, self._environment)

    def free_memory(self) -> None:
        """Frees the memory of the last trial; to be called between trials.

        Objects that survive the collection (mostly TensorFlow's) are excluded from later ones, which saves 0.2 to 0.3
        seconds after every trial.
        """
        keras.utils.clear_session(free_memory=False)
        gc.collect()
        gc.freeze()

    def _train(self, trial: Trial, files: TrialFiles, hooks: Hooks, run_state: RunState) -> None:
        config = complete(trial.config)
        folds = self._phase_images(trial.phase)
        model, states = self._compiled_model(config, trial, files, folds, run_state)
        if files.model is not None:
            require_savable(model)
        loops = self._loops(model, config["batch_size"], folds[0].training_images)
        for report in run_state.history:
            hooks.report(report)
        checkpoint_saved_at = time.perf_counter()
        for epoch in range(len(run_state.history), trial.last_epoch):
            epoch_started = time.perf_counter()
            losses, scored = list[float](), list[np.ndarray]()
            for fold, images in enumerate(folds):
                states.select(fold)
                losses.append(self._fit_epoch(config, trial, epoch, model, loops, images, hooks, run_state.seconds))
                if len(images.evaluation_images) and (images.evaluate_every_epoch or epoch == trial.epochs - 1):
                    scored.append(evaluate(loops, images, hooks, run_state.seconds))
            metrics = _record_evaluation(run_state, scored, folds, trial.phase) if scored else {}
            for images in folds:
                images.verify()  # before the epoch is reported
            seconds = round(time.perf_counter() - epoch_started, 4)
            report = EpochReport(epoch=epoch + 1, training_loss=fmean(losses), metrics=metrics, seconds=seconds)
            run_state.history.append(report)
            is_interval_over = time.perf_counter() - checkpoint_saved_at >= self._checkpoint_seconds
            if (
                path := checkpoint.due_checkpoint_path(trial, files, epoch + 1, is_interval_over=is_interval_over)
            ) is not None:
                checkpoint.save(states.arrays(), run_state, path)
                checkpoint_saved_at = time.perf_counter()
            hooks.report(report)
        save_results(trial, files, run_state, self._task, self._build, folds[0].training_images, lambda: model)

    def _fit_epoch(
        self,
        config: Mapping[str, Any],
        trial: Trial,
        epoch: int,
        model: Any,
        loops: Loops,
        images: PhaseImages,
        hooks: Hooks,
        seconds: dict[str, float],
    ) -> float:
        """Trains the model for an epoch; returns the mean training loss."""
        count = len(images.training_images)
        return fit_epoch(
            loops,
            images,
            np.eye(self._task.dataset.classes, dtype=np.float32),
            seed=trial.seed,
            epoch=epoch,
            augmented_images=augmented_images(
                config, epoch, trial.epochs, count, full_epochs=self._task.protocol.epochs
            ),
            set_augmentation=partial(set_augmentation, model),
            hooks=hooks,
            seconds=seconds,
        )

    def _phase_images(self, phase: Phase) -> tuple[PhaseImages, ...]:
        """Returns the images of a phase, by fold, opened the first time and verified each time."""
        if phase not in self._phases:
            self._phases[phase] = open_phase_images(phase, self._task)
        for images in self._phases[phase]:
            images.verify()
        return self._phases[phase]

    def _compiled_model(
        self,
        config: Mapping[str, Any],
        trial: Trial,
        files: TrialFiles,
        folds: Sequence[PhaseImages],
        run_state: RunState,
    ) -> tuple[Any, checkpoint.NetworkStates]:
        """Returns the compiled model, in the state of the trial's checkpoint if there is a usable one, and its states.

        Raises:
            ExceedsFreeMemory: Its training cannot fit into the memory.
        """
        started = time.perf_counter()
        model = self._make_model(config, trial, folds)
        self._compile(model, config, trial, folds)
        run_state.parameter_count = trainable_parameters(model)
        states = checkpoint.NetworkStates(model, len(folds))
        if files.resume_from is not None:
            with contextlib.suppress(TrialError):
                loaded = states.restore(as_path(files.resume_from))
                run_state.restore(loaded.history, loaded.seconds)
        run_state.seconds["build"] += time.perf_counter() - started
        return model, states

    def _make_model(self, config: Mapping[str, Any], trial: Trial, folds: Sequence[PhaseImages]) -> Any:
        """Returns the network with its first values.

        Raises:
            ExceedsFreeMemory: Its training cannot fit into the memory.
        """
        images, on_cpu = folds[0], self._environment["device"] == "CPU"
        make_model = partial(
            make_network,
            self._build,
            config,
            images.training_images,
            classes=self._task.dataset.classes,
            seed=trial.seed,
            precision=self._task.runtime.precision,
        )

        def need(network: Any) -> MemoryNeed:
            own = find_compiled(network)
            optimizer = make_optimizer(config, 1) if own is None else copy_optimizer(own.optimizer)
            batches = Batches(
                batch_size=min(config["batch_size"], len(images.training_images)),
                evaluation_batch_size=evaluation_batch_size(images.evaluation_images.shape),
                optimizer_slots=optimizer_slots(optimizer),
                stored_states=len(folds) if len(folds) > 1 and on_cpu else 0,
            )
            return predict_memory(network, batches)

        # A model with an optimizer of its own is built with values: the optimizer's settings are among them.
        outline = build_without_values(make_model)
        is_checked = outline is not None and find_compiled(outline) is None
        if is_checked:
            self._memory_limit.require(need(outline))
        keras.utils.set_random_seed(trial.seed)
        model = make_model()
        if not is_checked:
            self._memory_limit.require(need(model))
        return model

    def _compile(self, model: Any, config: Mapping[str, Any], trial: Trial, folds: Sequence[PhaseImages]) -> None:
        """Compiles a network with the optimizer and the loss of its configuration, or with its own."""
        # Folds differ by few images, so one schedule is right for all, to a step an epoch.
        steps = max(steps_per_epoch(len(fold.training_images), config["batch_size"]) for fold in folds)
        own, class_weights = find_compiled(model), folds[0].class_weights
        optimizer = make_optimizer(config, steps * trial.epochs) if own is None else own.optimizer
        loss = make_loss(config, class_weights) if own is None else OwnLoss(own.loss, class_weights)
        if self._is_tensorflow_on_cpu and self._task.runtime.layers is not Layers.KERAS:
            from search.training.tensorflow_cpu.adam import use_fused_update
            from search.training.tensorflow_cpu.layers import use_fast_layers

            is_compiled = self._task.runtime.layers is Layers.COMPILED
            use_fast_layers(model, compile_for=steps * config["batch_size"] if is_compiled else 0)
            use_fused_update(optimizer)
        model.compile(
            optimizer=optimizer,
            loss=loss,
            steps_per_execution=steps_per_call(config["batch_size"], steps),
            # XLA's convolutions on a CPU take 18 times as long as TensorFlow's own.
            jit_compile=False if self._is_tensorflow_on_cpu else "auto",
        )
        # Variables made while TensorFlow traces the first step cause a second tracing. Layers that only training calls
        # are built in that step, and the optimizer must be built after them.
        if all(layer.built for layer in model._flatten_layers()):
            model.optimizer.build(model.trainable_variables)

    def _loops(self, model: Any, batch_size: int, training_images: Any) -> Loops:
        """Returns the loops of a compiled model."""
        if not self._is_tensorflow_on_cpu:
            return KerasLoops(model, batch_size)
        from search.training.tensorflow_cpu.loops import CompiledLoops

        return CompiledLoops(model, batch_size, training_images.dtype)


def _record_evaluation(
    run_state: RunState, scored: Sequence[np.ndarray], folds: Sequence[PhaseImages], phase: Phase
) -> dict[str, float]:
    """Returns the metrics of an epoch, over the evaluation images of all folds.

    Args:
        run_state: Keeps the predictions.
        scored: The probabilities of each fold, (images, classes).
        folds: The images.
        phase: Decides whether the misclassified images are kept.

    Raises:
        NonFiniteLoss: The probabilities are not finite.
    """
    probabilities = np.concatenate(scored)
    labels = np.concatenate([images.evaluation_labels for images in folds])
    loss = cross_entropy(probabilities, labels)
    return run_state.record_evaluation(loss, probabilities, labels, keep_misclassified=phase is not Phase.SEARCH)


def save_results(
    trial: Trial,
    files: TrialFiles,
    run_state: RunState,
    task: Task,
    build: Builder,
    training_images: Any,
    trained_model: Callable[[], Any],
) -> None:
    """Writes the model and the predictions of a trial that reached its last epoch, if they are requested.

    Args:
        trial: The trial.
        files: Where to.
        run_state: Its progress.
        task: What the trials share.
        build: The space's model builder.
        training_images: For their shape and type.
        trained_model: Returns the trained model.
    """
    if files.model is not None:
        make_inference_network(
            build,
            complete(trial.config),
            training_images,
            trained_model=trained_model(),
            precision=task.runtime.precision,
            white=task.dataset.white,
        ).save(files.model)
    if files.predictions is not None and trial.last_epoch == trial.epochs:
        run_state.save_predictions(Path(files.predictions))
