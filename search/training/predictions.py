"""The predictions of a trained model for all evaluated images, a small file beside the ledger, and their errors.

Written by the trainer, read by ensembles. About 30 kB a model of MNIST's test images.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from search.files import draft_of
from search.trial import Phase


@dataclass(frozen=True, slots=True, eq=False)
class SavedPredictions:
    """One model's predictions.

    Args:
        probabilities: (images, classes), float16: a class's probability to three digits.
        labels: (images,), the true classes.
    """

    probabilities: np.ndarray
    labels: np.ndarray


def balanced_error_percent(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Returns the mean over the classes of the share of their images that are classified wrongly, in percent.

    Args:
        predicted: Predicted classes, (images,).
        labels: True classes, (images,); classes without an image do not count.
    """
    counts, wrong = np.bincount(labels), np.bincount(labels, weights=predicted != labels)
    return float(100.0 * np.mean(wrong[counts > 0] / counts[counts > 0]))


def file_path(folder: Path, phase: Phase, number: int) -> Path:
    """Returns where a trial's predictions are kept in a study's folder."""
    return folder / "predictions" / f"{phase.value}-{number}.npz"


def save(file: Path, predictions: SavedPredictions) -> None:
    """Writes predictions atomically.

    Raises:
        OSError: They cannot be written.
    """
    labels = predictions.labels.astype(np.min_scalar_type(int(predictions.labels.max(initial=0))))
    with draft_of(file) as draft, draft.open("wb") as stream:
        np.savez_compressed(stream, probabilities=predictions.probabilities.astype(np.float16), labels=labels)


def load(file: Path) -> SavedPredictions | None:
    """Returns what ``save`` wrote; None if it cannot be read."""
    try:
        with file.open("rb") as stream, np.load(stream) as arrays:
            return SavedPredictions(arrays["probabilities"], arrays["labels"])
    except (OSError, EOFError, KeyError, ValueError, TypeError, AttributeError, zipfile.BadZipFile):
        return None
