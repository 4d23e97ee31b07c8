"""Checkpoints: every variable of the model and its optimizer in one file, so that a trial resumes bit for bit.

Keras's own formats leave out the states of seed generators (keras#19796) and, for a model not yet trained, the
optimizer's slots; a trial resumed from them diverges. Here the variables are saved flat and assigned back to a model
that was rebuilt from the same configuration.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from search.errors import TrialError
from search.files import as_path, draft_of
from search.training.run_state import RunState
from search.trial import EpochReport, Trial, TrialFiles, epoch_checkpoint_path


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A trial's state after some epochs.

    Args:
        arrays: Weights, batch statistics, seed states and optimizer state, always in the same order; with folds, of
            one network after the other.
        history: The reports of these epochs, marked as restored.
        seconds: What they took, by part.
    """

    arrays: tuple[np.ndarray, ...]
    history: tuple[EpochReport, ...]
    seconds: dict[str, float]


def due_checkpoint_path(trial: Trial, files: TrialFiles, epoch: int, *, is_interval_over: bool) -> Path | None:
    """Returns where to save the state after an epoch: at rungs and pauses a file of its own, else the latest; or None.

    Args:
        trial: The trial.
        files: Its files.
        epoch: Epochs finished.
        is_interval_over: Whether the latest state was saved long enough ago.
    """
    if files.checkpoint is None or epoch == trial.epochs:
        return None
    if epoch in trial.rungs or epoch == trial.last_epoch:
        return as_path(epoch_checkpoint_path(files.checkpoint, epoch))
    return as_path(files.checkpoint) if is_interval_over else None


def save(arrays: Iterable[Any], run_state: RunState, path: Path) -> None:
    """Writes the state of a run. A failed write is noted in ``run_state`` and ignored; resuming then starts over.

    Args:
        arrays: As ``Checkpoint`` has them, of any backend.
        run_state: History and seconds of the run.
        path: The file; written atomically.
    """
    named_arrays = {str(index): keras.ops.convert_to_numpy(array) for index, array in enumerate(arrays)}
    progress = {"history": [report.to_json() for report in run_state.history], "seconds": run_state.seconds}
    try:
        with draft_of(path) as draft, draft.open("wb") as file:
            np.savez(file, reached=json.dumps(progress), **named_arrays)
    except OSError as error:
        run_state.save_error = f"The checkpoint cannot be written: {error}."


def load(path: Path, shapes: Sequence[tuple[int, ...]]) -> Checkpoint:
    """Returns the checkpoint at a path.

    Args:
        path: The file.
        shapes: The expected shapes of the arrays.

    Raises:
        TrialError: The file is missing, damaged, or belongs to another configuration.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            progress = json.loads(str(archive["reached"]))
            arrays = tuple(archive[str(index)] for index in range(len(archive.files) - 1))
        reports = [EpochReport.from_json({**report, "restored": True}) for report in progress["history"]]
        checkpoint = Checkpoint(arrays=arrays, history=tuple(reports), seconds=dict(progress["seconds"]))
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise TrialError(f"The checkpoint is missing or damaged. Received: {path}.") from error
    if [array.shape for array in arrays] != list(shapes):
        raise TrialError(f"The checkpoint belongs to another configuration. Received: {path}.")
    return checkpoint


class NetworkStates:
    """The states of the networks of a trial, one a fold, which begin alike.

    They share one compiled model, so that it is built, traced and compiled once. The model is in the state of one of
    them, the selected one; the states of the others are kept as arrays.

    Args:
        model: A compiled model.
        folds: Number of networks.

    Raises:
        ValueError: Several networks cannot share the model, since a layer makes variables in the first step.
    """

    def __init__(self, model: Any, folds: int) -> None:
        if folds > 1 and not model.optimizer.built:
            raise ValueError("A layer of the network is built in its first step only, which --folds does not support.")
        self._model, self._selected = model, 0
        self._stored = [self._read()] * folds if folds > 1 else []

    def select(self, fold: int) -> None:
        """Puts the model into the state of a fold's network."""
        if fold != self._selected:
            self._stored[self._selected] = self._read()
            self._write(self._stored[fold])
            self._selected = fold

    def arrays(self) -> list[Any]:
        """Returns the states of all networks, one after the other, as a checkpoint has them."""
        if not self._stored:
            return self._variables()
        self._stored[self._selected] = self._read()
        return [array for state in self._stored for array in state]

    def restore(self, path: Path) -> Checkpoint:
        """Sets all networks to their saved states and returns these; all or nothing.

        Raises:
            TrialError: The file is missing, damaged, or belongs to another configuration.
        """
        self._model.optimizer.build(self._model.trainable_variables)
        shapes = [tuple(variable.shape) for variable in self._variables()]
        checkpoint = load(path, shapes * max(1, len(self._stored)))
        starts = range(0, len(checkpoint.arrays), len(shapes))
        states = [list(checkpoint.arrays[start : start + len(shapes)]) for start in starts]
        self._write(states[self._selected])
        self._stored = states if self._stored else []
        return checkpoint

    def _variables(self) -> list[Any]:
        """Returns weights, batch statistics, seed states and optimizer state, always in the same order."""
        return [*self._model.variables, *self._model.optimizer.variables]

    def _read(self) -> list[np.ndarray]:
        # Copied, as PyTorch's arrays share their memory with the variables.
        return [np.array(keras.ops.convert_to_numpy(variable)) for variable in self._variables()]

    def _write(self, state: Iterable[np.ndarray]) -> None:
        for variable, array in zip(self._variables(), state, strict=True):
            variable.assign(array)
