"""What all trials of a study share, and the images of each phase and fold; the only module that opens the test images.

``Task`` holds plain values, so that a coordinator can make one without importing Keras. Called by coordinators, the
trainer and vectorized training.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from search.data.dataset import DatasetInfo, LabeledImages, open_test, open_training
from search.data.split import SplitIndices, make_folds
from search.protocol import ClassWeight, EvaluationProtocol, ProtocolName
from search.records.arithmetic import Kernels
from search.training.runtime import Runtime
from search.trial import Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What all trials of a study share; sent to each worker once.

    Args:
        protocol: How configurations are judged.
        dataset: The prepared data.
        space_source: Registered name or absolute path of the space's file.
        runtime: What the worker runs on.
        trial_seconds: Seconds that a trial may take, from when its worker begins it; None for no bound.
        trial_memory_mib: Resident memory of a worker in MiB that a trial may need at most; None for no bound.
        is_scored: Whether anything is scored; a model that is only to be exported trains on all training images and
            leaves the test images closed.
    """

    protocol: EvaluationProtocol
    dataset: DatasetInfo
    space_source: str
    runtime: Runtime
    trial_seconds: float | None = None
    trial_memory_mib: float | None = None
    is_scored: bool = True

    def time_limit_seconds(self, phase: Phase) -> float | None:
        """Returns the seconds that a trial of a phase may take, or None.

        Verification has no bound of its own: its runs repeat trials that kept theirs, on more images.
        """
        return None if phase is Phase.VERIFICATION else self.trial_seconds

    def with_arithmetic(self, *, threads: int, kernels: Kernels | None) -> Task:
        """Returns the same task for workers with a number of threads and TensorFlow's kernels."""
        return replace(self, runtime=replace(self.runtime, threads=threads, kernels=kernels))


@dataclass(frozen=True, slots=True, eq=False)
class Subset:
    """Some images of an array, not copied: all workers share the pages of its memory map.

    Args:
        images: (count, height, width, channels).
        indices: Sorted indices of the images that belong to the subset.
    """

    images: np.ndarray
    indices: np.ndarray

    def __len__(self) -> int:
        """Returns the number of images."""
        return len(self.indices)

    def __getitem__(self, positions: np.ndarray) -> np.ndarray:
        """Returns a copy of the images at some positions of the subset."""
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
    """The images of one phase, or of one fold of the search.

    Args:
        training_images: An array (count, height, width, channels) or a ``Subset``; indexed by arrays of positions.
        training_labels: (count,).
        evaluation_images: (count, height, width, channels); empty if the task is not scored.
        evaluation_labels: (count,).
        evaluate_every_epoch: Whether they are evaluated every epoch, or only after the last.
        verified_images: The data sets' images that these were taken from.
        class_weights: Factor of the training loss of an image of each class, (classes,) float32; None for 1.
    """

    training_images: Any
    training_labels: np.ndarray
    evaluation_images: np.ndarray
    evaluation_labels: np.ndarray
    evaluate_every_epoch: bool
    verified_images: tuple[LabeledImages, ...]
    class_weights: np.ndarray | None = None

    def verify(self) -> None:
        """Checks that the images are those that were prepared; takes microseconds unless files were touched.

        Raises:
            FatalError: A file of the cache is damaged.
        """
        for source in self.verified_images:
            source.verify()


def open_phase_images(phase: Phase, task: Task) -> tuple[PhaseImages, ...]:
    """Opens and verifies the images of a phase; under the holdout protocol the search never sees a test image.

    Returns:
        The images of each fold in the search phase; else one for all.

    Raises:
        FatalError: They are missing or damaged in the cache.
    """
    training = open_training(task.dataset)
    training.verify()
    weights = class_weights(training.labels, task.dataset.classes, task.protocol.class_weight)
    if not task.is_scored:
        no_images = (training.images[:0], training.labels[:0])
        return (PhaseImages(training.images, training.labels, *no_images, False, (training,), weights),)
    every_epoch = phase is not Phase.VERIFICATION
    if phase is not Phase.SEARCH or task.protocol.name is not ProtocolName.HOLDOUT:
        test = open_test(task.dataset)
        test.verify()
        scored = PhaseImages(
            training.images, training.labels, test.images, test.labels, every_epoch, (training, test), weights
        )
        return (scored,)
    protocol = task.protocol
    folds = make_folds(training, split=protocol.split, seed=protocol.split_seed, folds=protocol.folds)
    return tuple(_fold_images(training, indices, weights) for indices in folds)


def _fold_images(training: LabeledImages, indices: SplitIndices, weights: np.ndarray | None) -> PhaseImages:
    """Returns the images of a fold, which are scored every epoch."""
    fit, score = _select_images(training.images, indices.training), _select_images(training.images, indices.validation)
    scored = score[np.arange(len(score))] if isinstance(score, Subset) else score
    fit_labels, score_labels = training.labels[indices.training], training.labels[indices.validation]
    return PhaseImages(fit, fit_labels, scored, score_labels, True, (training,), weights)


def class_weights(labels: np.ndarray, classes: int, kind: ClassWeight) -> np.ndarray | None:
    """Returns the factor of the loss of an image of each class, (classes,) float32; None for 1.

    Args:
        labels: Of all training images, (count,), so that all phases have equal weights.
        classes: Number of classes.
        kind: How they are weighted.
    """
    if kind is ClassWeight.NONE:
        return None
    counts = np.maximum(np.bincount(labels, minlength=classes), 1)  # a class may have test images alone
    return (len(labels) / (classes * counts)).astype(np.float32)


def _select_images(images: np.ndarray, indices: np.ndarray) -> np.ndarray | Subset:
    """Returns the images at sorted indices; consecutive ones as a view on the memory map."""
    if len(indices) == indices[-1] - indices[0] + 1:
        return images[int(indices[0]) : int(indices[-1]) + 1]
    return Subset(images, indices)
