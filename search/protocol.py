"""How a configuration is judged: which images train, which steer, which are kept for the end.

A protocol is recorded with every study. Results are ranked together only when their protocol's name and version and
the data's hash agree (the rule of the AlgoPerf benchmark).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

PROTOCOL_VERSION = "1.0"


class Split(StrEnum):
    """How the validation images are drawn from the training images.

    With a random draw every validation writer of MNIST also wrote training images, and the test set shares no writer
    with the training set, so a random draw flatters a model that knows the writer's hand. Whole groups
    (writers, patients) are the honest choice where the data carry them. The embedded MNIST does not; a writer's
    images lie near each other in it, so the last block shares fewer writers with the rest (41 % of the last 10,000
    images are by writers who also wrote earlier ones) than a random draw (every one of them).
    """

    GROUP = "group"
    BLOCK = "block"
    STRATIFIED = "stratified"


class ProtocolName(StrEnum):
    """The two ways of judging.

    ``holdout`` steers by validation images and opens the test images only for verification. ``tutorial`` trains on all
    training images and watches the test images each epoch, exactly as the tutorial does: fit for reproducing its
    figures, unfit for searching, because the search would then choose by the test set.
    """

    HOLDOUT = "holdout"
    TUTORIAL = "tutorial"


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationProtocol:
    """One way of judging configurations on one data set.

    Args:
        name: holdout or tutorial.
        version: Major.Minor; a change that moves results raises it.
        dataset: The data set's name as the user gave it, or the file's name.
        data_sha256: Hash over the decoded arrays, 64 hexadecimal digits.
        split: How validation images are drawn; ignored by the tutorial protocol.
        split_seed: Seed of that draw.
        epochs: Passes over the training images that a trial is given.
    """

    name: ProtocolName = ProtocolName.HOLDOUT
    version: str = PROTOCOL_VERSION
    dataset: str
    data_sha256: str
    split: Split
    split_seed: int = 0
    epochs: int = 10

    @property
    def ranking_key(self) -> tuple[str, str, str]:
        """What two results must share to stand in one ranking."""
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
            "epochs": self.epochs,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> EvaluationProtocol:
        """Returns the protocol that ``to_json`` described."""
        return cls(**{**document, "name": ProtocolName(document["name"]), "split": Split(document["split"])})
