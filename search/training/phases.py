"""Which images a phase trains on and is scored on; the only place that opens the test images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from search.protocol import ProtocolName
from search.training.data import Images, open_test, open_training
from search.training.split import assign_roles
from search.training.task import Task
from search.trial import Phase


@dataclass(frozen=True, slots=True, eq=False)
class PhaseImages:
    """The images of one phase.

    Args:
        fit: Trained on, (count, height, width, channels).
        fit_labels: (count,).
        score: Scored, (count, height, width, channels).
        score_labels: (count,).
        every_epoch: Whether they are scored every epoch, or only after the last.
        sources: Whatever these were taken from.
    """

    fit: np.ndarray
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
    is_holdout = phase is Phase.SEARCH and task.protocol.name is ProtocolName.HOLDOUT
    training = open_training(task.dataset)
    training.verify()
    sources: tuple[Images, ...] = (training,)
    if is_holdout:
        roles = assign_roles(training, split=task.protocol.split, seed=task.protocol.split_seed)
        fit, score = _pick(training, roles.training), _pick(training, roles.validation)
    else:
        fit, score = training, open_test(task.dataset)
        score.verify()
        sources = (fit, score)
    every_epoch = phase is not Phase.VERIFICATION
    return PhaseImages(fit.images, fit.labels, score.images, score.labels, every_epoch, sources)


def _pick(images: Images, indices: np.ndarray) -> Images:
    """Returns the images at sorted indices; a run of neighbours stays a view on the shared memory map."""
    if len(indices) == indices[-1] - indices[0] + 1:
        chosen = slice(int(indices[0]), int(indices[-1]) + 1)
        return Images(images.images[chosen], images.labels[chosen], None)
    return Images(images.images[indices], images.labels[indices], None)
