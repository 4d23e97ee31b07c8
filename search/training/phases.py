"""Which images a phase trains on and is scored on; the only place that opens the test images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from search.protocol import ProtocolName
from search.training.data import Images, open_test, open_training
from search.training.split import assign_roles
from search.training.task import Task
from search.trial import Phase


@dataclass(frozen=True, slots=True, eq=False)
class Subset:
    """Some images of an array, which stays where it is: all workers share the pages of its memory map.

    Args:
        whole: (count, height, width, channels).
        indices: Of the images that belong to the subset, sorted.
    """

    whole: np.ndarray
    indices: np.ndarray

    def __len__(self) -> int:
        """Returns the number of images."""
        return len(self.indices)

    def __getitem__(self, places: np.ndarray) -> np.ndarray:
        """Returns a copy of the images at some places of the subset."""
        chosen: np.ndarray = self.whole[self.indices[places]]
        return chosen

    @property
    def shape(self) -> tuple[int, ...]:
        """As an array's."""
        return (len(self.indices), *self.whole.shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """As an array's."""
        return self.whole.dtype


@dataclass(frozen=True, slots=True, eq=False)
class PhaseImages:
    """The images of one phase.

    Args:
        fit: Trained on, an array (count, height, width, channels) or a ``Subset`` of one; batches are picked from it by
            an array of indices.
        fit_labels: (count,).
        score: Scored, (count, height, width, channels); none where the task is not scored.
        score_labels: (count,).
        every_epoch: Whether they are scored every epoch, or only after the last.
        sources: Whatever these were taken from.
    """

    fit: Any
    fit_labels: np.ndarray
    score: np.ndarray
    score_labels: np.ndarray
    every_epoch: bool
    sources: tuple[Images, ...]

    def verify(self) -> None:
        """Makes sure that these are still the images that were prepared; takes microseconds unless files were touched.

        Raises:
            FatalError: A file of the cache was damaged.
        """
        for source in self.sources:
            source.verify()


def open_phase(phase: Phase, task: Task) -> PhaseImages:
    """Opens the images of a phase, verified; under the holdout protocol the search never sees a test image.

    Raises:
        FatalError: The cache has lost or damaged them since they were prepared.
    """
    training = open_training(task.dataset)
    training.verify()
    if not task.is_scored:
        nothing = (training.images[:0], training.labels[:0])
        return PhaseImages(training.images, training.labels, *nothing, every_epoch=False, sources=(training,))
    every_epoch = phase is not Phase.VERIFICATION
    if phase is not Phase.SEARCH or task.protocol.name is not ProtocolName.HOLDOUT:
        test = open_test(task.dataset)
        test.verify()
        return PhaseImages(training.images, training.labels, test.images, test.labels, every_epoch, (training, test))
    roles = assign_roles(training, split=task.protocol.split, seed=task.protocol.split_seed)
    fit, score = _subset(training.images, roles.training), _subset(training.images, roles.validation)
    scored = score[np.arange(len(score))] if isinstance(score, Subset) else score
    fit_labels, score_labels = training.labels[roles.training], training.labels[roles.validation]
    return PhaseImages(fit, fit_labels, scored, score_labels, every_epoch, (training,))


def _subset(images: np.ndarray, indices: np.ndarray) -> np.ndarray | Subset:
    """Returns the images at sorted indices; a run of neighbours is a view on the memory map."""
    if len(indices) == indices[-1] - indices[0] + 1:
        return images[int(indices[0]) : int(indices[-1]) + 1]
    return Subset(images, indices)
