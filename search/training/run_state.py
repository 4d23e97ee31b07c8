"""The progress of a run, and the outcome that it becomes, however it ends.

Uses no model and no data. Called by the trainer, and by vectorized training for each member.
"""

from __future__ import annotations

import errno
import resource
import sys
import traceback as tracebacks
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from search.errors import SearchError
from search.training.calibration import calibrated_cross_entropy
from search.training.predictions import SavedPredictions, balanced_error_percent, save
from search.trial import Cause, EpochReport, Outcome, State, Trial, completed_state, final_metrics


class NonFiniteLoss(Exception):  # noqa: N818 - a signal to leave Keras's loop, not an error
    """A loss became NaN or infinite."""


class ExceedsFreeMemory(Exception):  # noqa: N818 - a signal to train with fewer members, if possible
    """A training needs more memory than it can have; its text says how much."""


@dataclass(slots=True)
class RunState:
    """The progress of a run; ``finish`` makes its Outcome.

    Args:
        history: The reports of the epochs, restored ones included.
        seconds: Seconds by part: "build", "fit", "evaluate".
        parameter_count: Trainable parameters.
        scored_images: How many images were evaluated last.
        misclassified: Indices of the misclassified images, if they are kept.
        predicted_classes: Their predicted classes.
        predictions: The last predictions.
        save_error: Why a checkpoint or the predictions could not be written.
    """

    history: list[EpochReport] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=lambda: {"build": 0.0, "fit": 0.0, "evaluate": 0.0})
    parameter_count: int | None = None
    scored_images: int | None = None
    misclassified: tuple[int, ...] = ()
    predicted_classes: tuple[int, ...] = ()
    predictions: SavedPredictions | None = None
    save_error: str = ""

    def restore(self, history: Iterable[EpochReport], seconds: dict[str, float]) -> None:
        """Takes over the progress of the run whose checkpoint was loaded."""
        self.history.extend(history)
        self.seconds = dict(seconds)

    def record_evaluation(
        self, loss: float, probabilities: np.ndarray, labels: np.ndarray, *, keep_misclassified: bool
    ) -> dict[str, float]:
        """Returns an epoch's metrics; keeps the predictions and, if requested, the misclassified images."""
        predicted = probabilities.argmax(axis=1)
        wrong = np.flatnonzero(predicted != labels)
        self.scored_images, self.predictions = len(labels), SavedPredictions(probabilities, labels)
        if keep_misclassified:
            self.misclassified, self.predicted_classes = tuple(wrong.tolist()), tuple(predicted[wrong].tolist())
        return {
            "loss": loss,
            "calibrated_loss": calibrated_cross_entropy(probabilities, labels),
            "error_percent": 100.0 * len(wrong) / len(labels),
            "balanced_error_percent": balanced_error_percent(predicted, labels),
        }

    def save_predictions(self, path: Path) -> None:
        """Writes the last predictions. A failed write is noted and ignored; the trial then joins no ensemble."""
        try:
            if self.predictions is not None:
                save(path, self.predictions)
        except OSError as error:
            self.save_error = f"The predictions cannot be written: {error}."

    def finish(
        self,
        trial: Trial,
        environment: Mapping[str, Any],
        *,
        error: Exception | None = None,
        cause: Cause | None = None,
    ) -> Outcome:
        """Returns the outcome of a run.

        Args:
            trial: The trial.
            environment: What it ran on.
            error: The error that it failed with, or None.
            cause: Why it was interrupted, or None.
        """
        traceback = ""
        if error is not None:
            state, cause = State.FAILED, _classify_error(error, on_cpu=environment["device"] == "CPU")
            message, traceback = _error_message(error), "".join(tracebacks.format_exception(error))
        elif cause is not None:
            state, message = State.INTERRUPTED, self.save_error or cause.value
        else:
            state = completed_state(trial)
            message = self.save_error
        return Outcome(
            state=state,
            metrics=final_metrics(self.history),
            history=tuple(self.history),
            seconds={part: round(value, 4) for part, value in self.seconds.items()},
            parameter_count=self.parameter_count,
            peak_memory_mib=_peak_memory_mib(),
            cause=cause,
            message=message,
            traceback=traceback,
            environment=environment,
            scored_images=self.scored_images,
            misclassified=self.misclassified,
            predicted_classes=self.predicted_classes,
        )


def is_out_of_memory(error: Exception) -> bool:
    """Returns whether an error means that a backend has, or would have, too little memory."""
    is_memory_error = isinstance(error, ExceedsFreeMemory) or type(error).__name__ in (
        "ResourceExhaustedError",
        "OutOfMemoryError",
    )
    return is_memory_error or "RESOURCE_EXHAUSTED" in str(error)


_CAUSE_BY_ERROR: tuple[tuple[type[BaseException], Cause], ...] = (
    (NonFiniteLoss, Cause.NOT_FINITE),
    (MemoryError, Cause.OUT_OF_MEMORY),
    (SearchError, Cause.DATA),
    (ValueError, Cause.INVALID),
)


def _classify_error(error: Exception, *, on_cpu: bool) -> Cause:
    if is_out_of_memory(error):
        return Cause.OUT_OF_MEMORY if on_cpu else Cause.DEVICE_MEMORY
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
        return Cause.DISK_FULL
    return next((cause for kind, cause in _CAUSE_BY_ERROR if isinstance(error, kind)), Cause.ERROR)


def _error_message(error: Exception) -> str:
    if isinstance(error, NonFiniteLoss):
        return "A loss became NaN or infinite."
    if isinstance(error, SearchError):
        return error.message
    if isinstance(error, ExceedsFreeMemory):
        return str(error)
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


def _peak_memory_mib() -> float:
    """Returns the process's peak resident memory in MiB; Linux counts in KiB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)
