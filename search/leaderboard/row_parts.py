"""The values that a leaderboard's rows consist of, and ensembles, which stand beside the rows.

``compute`` and its neighbours make them; ``board`` holds them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from search.leaderboard.statistics import Difference, Interval
from search.records.record import StudyHeader
from search.trial import Cause, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicate:
    """One test run: a training on all training images, scored on the test images.

    Args:
        number: Index of the repeat in its study, from 0.
        study: Name of the study that it ran in.
        seed: Of weights, dropout, data order and augmentation.
        state: How it ended; None while it runs, or when its coordinator died.
        cause: Why it failed or was interrupted.
        error_percent: Test error in percent; None unless complete.
        balanced_error_percent: Its mean over the classes; None unless complete, and in records of older versions.
        log_loss: Mean cross-entropy on the test images, in nats; None unless complete.
        seconds: Wall-clock seconds of all its parts.
        scored: Number of test images; None where it was not recorded.
        wrong: Indices of the misclassified test images.
        predicted: Predicted class of each of these; empty where it was not recorded.
        copied_from: Name of the study that it was taken over from; empty if it is the study's own.
    """

    number: int
    study: str
    seed: int
    state: State | None
    cause: Cause | None = None
    error_percent: float | None = None
    balanced_error_percent: float | None = None
    log_loss: float | None = None
    seconds: float = 0.0
    scored: int | None = None
    wrong: tuple[int, ...] = ()
    predicted: tuple[int, ...] = ()
    copied_from: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialSegment:
    """One of the search trials that trained a row's configuration, each continuing the one before.

    Args:
        trial: Number of the search trial.
        state: How it ended; None while it runs, or when its coordinator died.
        first_epoch: First epoch that it trained itself, from 1.
        last_epoch: Last epoch that it trained; less than the first where it trained none.
        parent: Number of the trial that it continued; None where it started from new weights.
        engine_metadata: The engine's notes, such as bracket and round.
        validation_error_percent: Validation error after its last epoch, in percent.
        validation_balanced_error_percent: Its mean over the classes; None in records of older versions.
        seconds: Wall-clock seconds of the epochs that it trained.
        node: Node of the cluster that it ran on; empty without a cluster.
    """

    trial: int
    state: State | None
    first_epoch: int
    last_epoch: int
    parent: int | None = None
    engine_metadata: Mapping[str, Any] = field(default_factory=dict)
    validation_error_percent: float | None = None
    validation_balanced_error_percent: float | None = None
    seconds: float = 0.0
    node: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """What an engine made a row's configuration from.

    Args:
        trial: Number of the search trial that it is a mutation of.
        is_short: Whether that was a short trial.
        changes: Value there and here of each parameter that differs; None where the parameter is not active. Empty for
            a shorter or a longer training of the same configuration.
    """

    trial: int
    is_short: bool
    changes: Mapping[str, tuple[Any, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeComparison:
    """A row compared with the best recipe of its study.

    Args:
        recipe: Name of the recipe's row.
        difference: The row's test error minus the recipe's.
    """

    recipe: str
    difference: Difference


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledTrial:
    """A search trial whose test runs a row pools with those of other studies.

    Args:
        study: Name of its study.
        trial: Its number; None in a reproduction.
        validation_error_percent: Validation error, in percent; None in a reproduction.
        test_error_percent: Mean test error over its complete test runs, in percent.
    """

    study: str
    trial: int | None
    validation_error_percent: float | None
    test_error_percent: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ensemble:
    """The mean prediction of several verification models of one study.

    Args:
        label: "ensemble: mean" of all verified models but the baseline's, or "ensemble: greedy" of a selection.
        study: The study that its models belong to.
        error_percent: Test error, in percent.
        interval: Of the error, over the choice of test images alone; None where their number was not recorded.
        members: Share of the mean that the models of each search trial have, by its number.
        models: Number of its models.
        parameters: Trainable parameters of all its models together.
        compared_with: Name of the row that its study chose by validation; empty where none is verified.
        difference: Its test error minus that row's, paired by image; None without such a row.
        balanced_error_percent: Balanced test error in percent; None in records of older versions.
    """

    label: str
    study: StudyHeader
    error_percent: float
    interval: Interval | None
    members: Mapping[int, float]
    models: int
    parameters: int | None = None
    compared_with: str = ""
    difference: Difference | None = None
    balanced_error_percent: float | None = None

    @property
    def name(self) -> str:
        """The label."""
        return self.label
