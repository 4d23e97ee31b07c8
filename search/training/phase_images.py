"""Which images a phase trains on and is scored on; the only place that opens the test images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from search.data.dataset import LabeledImages, open_test, open_training
from search.data.split import make_split_indices
from search.protocol import ProtocolName
from search.training.task import Task
from search.trial import Phase


@dataclass(frozen=True, slots=True, eq=False)
class Subset:
    """Some images of an array, which stays where it is: all workers share the pages of its memory map.

    Args:
        images: (count, height, width, channels).
        indices: Of the images that belong to the subset, sorted.
    """

    images: np.ndarray
    indices: np.ndarray

    def __len__(self) -> int:
        """Returns the number of images."""
        return len(self.indices)

    def __getitem__(self, positions: np.ndarray) -> np.ndarray:
        """Returns a copy of the images at some places of the subset."""
        chosen: np.ndarray = self.images[self.indices[positions]]
        return chosen

    @property
    def shape(self) -> tuple[int, ...]:
        """As an array's."""
        return (len(self.indices), *self.images.shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """As an array's."""
        return self.images.dtype


@dataclass(frozen=True, slots=True, eq=False)
class PhaseImages:
    """The images of one phase.

    Args:
        training_images: Trained on, an array (count, height, width, channels) or a ``Subset`` of one; batches are
            picked from it by
            an array of indices.
        training_labels: (count,).
        evaluation_images: Scored, (count, height, width, channels); none where the task is not scored.
        evaluation_labels: (count,).
        evaluate_every_epoch: Whether they are scored every epoch, or only after the last.
        verified_images: Whatever these were taken from.
    """

    training_images: Any
    training_labels: np.ndarray
    evaluation_images: np.ndarray
    evaluation_labels: np.ndarray
    evaluate_every_epoch: bool
    verified_images: tuple[LabeledImages, ...]

    def verify(self) -> None:
        """Makes sure that these are still the images that were prepared; takes microseconds unless files were touched.

        Raises:
            FatalError: A file of the cache was damaged.
        """
        for source in self.verified_images:
            source.verify()


def open_phase_images(phase: Phase, task: Task) -> PhaseImages:
    """Opens the images of a phase, verified; under the holdout protocol the search never sees a test image.

    Raises:
        FatalError: The cache has lost or damaged them since they were prepared.
    """
    training = open_training(task.dataset)
    training.verify()
    if not task.is_scored:
        no_images = (training.images[:0], training.labels[:0])
        return PhaseImages(
            training.images, training.labels, *no_images, evaluate_every_epoch=False, verified_images=(training,)
        )
    every_epoch = phase is not Phase.VERIFICATION
    if phase is not Phase.SEARCH or task.protocol.name is not ProtocolName.HOLDOUT:
        test = open_test(task.dataset)
        test.verify()
        return PhaseImages(training.images, training.labels, test.images, test.labels, every_epoch, (training, test))
    indices = make_split_indices(training, split=task.protocol.split, seed=task.protocol.split_seed)
    fit, score = _select_images(training.images, indices.training), _select_images(training.images, indices.validation)
    scored = score[np.arange(len(score))] if isinstance(score, Subset) else score
    fit_labels, score_labels = training.labels[indices.training], training.labels[indices.validation]
    return PhaseImages(fit, fit_labels, scored, score_labels, every_epoch, (training,))


def _select_images(images: np.ndarray, indices: np.ndarray) -> np.ndarray | Subset:
    """Returns the images at sorted indices; a run of neighbours is a view on the memory map."""
    if len(indices) == indices[-1] - indices[0] + 1:
        return images[int(indices[0]) : int(indices[-1]) + 1]
    return Subset(images, indices)
