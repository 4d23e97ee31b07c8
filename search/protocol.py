"""The evaluation protocol: which images train, with which weights, which validate, and which test.

It is recorded with every study. Results are ranked together only if name and version of their protocols and the hashes
of the data agree, as in the AlgoPerf benchmark.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

PROTOCOL_VERSION = "1.0"


class Split(StrEnum):
    """How the validation images are drawn from the training images.

    MNIST's test set shares no writer with its training set. In a random draw every writer of a validation image also
    wrote training images, so validation error underestimates test error. Whole groups (writers, patients) avoid this
    if the data have them, as the embedded MNIST does. The images of its writers are near each other: 41 % of the
    last 10,000 training images are by writers of earlier ones, so a block overlaps less than a random draw. It was the
    default for MNIST up to version 0.1.

    ``given`` takes the validation images that came with the data.
    """

    GIVEN = "given"
    GROUP = "group"
    BLOCK = "block"
    STRATIFIED = "stratified"


class ClassWeight(StrEnum):
    """How much a training image of each class counts in the loss.

    ``balanced`` weights an image by the number of all training images, divided by the number of classes and by the
    number of images of its class: each class counts as much as any other, and the weights have a mean of 1 over the
    images. Source: ``class_weight="balanced"`` of scikit-learn.
    """

    NONE = "none"
    BALANCED = "balanced"


class Objective(StrEnum):
    """What a search minimizes on the validation images, and chooses its winner by.

    ``error`` is the share of wrong images; engines that compare short trials take the calibrated cross-entropy for it,
    which orders them better. ``balanced-error`` is its mean over the classes, ``log-loss`` the cross-entropy.
    """

    ERROR = "error"
    BALANCED_ERROR = "balanced-error"
    LOG_LOSS = "log-loss"

    @property
    def metric(self) -> str:
        """Its name in ``search.metrics.METRICS``."""
        return {"error": "error_percent", "balanced-error": "balanced_error_percent", "log-loss": "loss"}[self.value]

    @classmethod
    def of_metric(cls, metric: str) -> Objective:
        """Returns the objective that a metric stands for."""
        return next((objective for objective in cls if objective.metric == metric), cls.ERROR)


class ProtocolName(StrEnum):
    """The two protocols.

    ``holdout`` selects by validation images and opens the test images only for verification. ``tutorial`` trains on all
    training images and scores the test images each epoch, as the tutorial does. It reproduces the tutorial's results;
    a search under it would select by the test set.
    """

    HOLDOUT = "holdout"
    TUTORIAL = "tutorial"


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationProtocol:
    """A protocol on one data set.

    Args:
        name: holdout or tutorial.
        version: Major.Minor; raised by a change that changes results.
        dataset: The data set's name as the user gave it, or the file's name.
        data_sha256: Hash over the decoded arrays, 64 hexadecimal digits.
        split: How validation images are drawn; ignored by the tutorial protocol.
        split_seed: Seed of that draw.
        folds: Networks that a search trial trains, each validated on another part of the training images; 1 for one
            network, validated on a sixth of them.
        epochs: Passes over the training images of a full trial.
        class_weight: Weights of the classes in the loss of every training, also in verification.
    """

    name: ProtocolName = ProtocolName.HOLDOUT
    version: str = PROTOCOL_VERSION
    dataset: str
    data_sha256: str
    split: Split
    split_seed: int = 0
    folds: int = 1
    epochs: int = 10
    class_weight: ClassWeight = ClassWeight.NONE

    @property
    def ranking_key(self) -> tuple[str, str, str]:
        """Equal for results that may be ranked together."""
        return (self.name.value, self.version, self.data_sha256)

    def to_json(self) -> dict[str, Any]:
        """Returns the protocol as a plain dict."""
        return {
            "name": self.name.value,
            "version": self.version,
            "dataset": self.dataset,
            "data_sha256": self.data_sha256,
            "split": self.split.value,
            "split_seed": self.split_seed,
            "folds": self.folds,
            "epochs": self.epochs,
            "class_weight": self.class_weight.value,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> EvaluationProtocol:
        """Returns the protocol that ``to_json`` described, or a version without folds and class weights."""
        enums = {
            "name": ProtocolName(document["name"]),
            "split": Split(document["split"]),
            "class_weight": ClassWeight(document.get("class_weight", ClassWeight.NONE)),
        }
        return cls(**{**document, **enums})
