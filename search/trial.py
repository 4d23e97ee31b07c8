"""Proposal, Trial and Outcome: frozen values that all packages exchange.

An engine's proposal becomes a trial, an executor runs the trial and returns its outcome, the ledger records both.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

from search.json_fields import FIELD_NAMES, field_names, fields_from_json, fields_to_json, parse_number
from search.metrics import METRICS, OUTCOME_METRICS

Config = Mapping[str, Any]
"""One point of a space: active parameter names to plain JSON values."""

BASELINE = "baseline"
PROPOSED = "found"
RECIPE_PREFIX = "recipe: "
"""Origins of trials; a recipe's name follows the prefix."""

HOST_KEY, PID_KEY, NODE_KEY, COPIED_FROM_KEY = "host", "pid", "node", "copied_from"
THREADS_KEY, DETERMINISTIC_KEY, POPULATION_KEY = "threads", "deterministic", "population"
"""Keys of ``Outcome.environment`` that the code reads: where a trial ran (``node`` is the node of a cluster), the study
that a verification run was copied from, the worker's threads, and how many trials were trained with it at most."""
PRIVATE_KEYS = frozenset({HOST_KEY, PID_KEY})
"""Those that are left out of what is published."""
RUN_KEYS = PRIVATE_KEYS | {NODE_KEY, COPIED_FROM_KEY}
"""Those that may differ between comparable trials."""

MUTATION_KEY = "mutation of"
"""Key of ``Trial.engine_metadata``: the number of the trial of which it is a mutation, or a longer training."""

LEGACY_TRIAL_KEYS = frozenset({"resume_from", "save_to", "model_to", "predictions_to"})
"""Keys of a trial in ledgers of version 0.1.0 that are ignored: they held paths."""
TRAINING_KEY_DIGITS = 16
"""Hexadecimal digits of a training key."""


class Phase(StrEnum):
    """What a trial is run for.

    SEARCH trains on the training share and scores every epoch on validation images. VERIFICATION trains on all
    training images with a fresh seed and scores once, at the end, on the test images. REPRODUCTION is the tutorial
    protocol: all training images, scored every epoch on the test images.
    """

    SEARCH = "search"
    VERIFICATION = "verification"
    REPRODUCTION = "reproduction"


class State(StrEnum):
    """How a trial ended. A failure is a state, not a cost.

    PAUSED means that it reached its target epoch before the last epoch of a full trial; a later trial may resume it.
    SCREENED means that a short trial reached its last epoch; it is never ranked with full trials.
    """

    COMPLETE = "complete"
    SCREENED = "screened"
    PAUSED = "paused"
    PRUNED = "pruned"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class Cause(StrEnum):
    """Why a trial failed or was interrupted; ``docs/development.md`` names the files that set each cause."""

    OUT_OF_MEMORY = "out of memory"
    DEVICE_MEMORY = "out of device memory"
    NOT_FINITE = "loss not finite"
    INVALID = "invalid configuration"
    KILLED = "worker killed"
    CRASHED = "worker crashed"
    HUNG = "worker hung"
    NODE_LOST = "node lost"
    DISK_FULL = "disk full"
    DATA = "data error"
    ERROR = "error"
    TRIAL_TIMEOUT = "trial time limit"
    CANCELLED = "cancelled"
    GOAL = "goal reached"
    TIMEOUT = "time budget spent"
    TOO_SLOW = "slower than predicted"
    COORDINATOR_DIED = "coordinator died"


MEMORY_CAUSES = frozenset({Cause.OUT_OF_MEMORY, Cause.DEVICE_MEMORY})
"""Why a trial failed whose configuration is too large."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A request of an engine.

    Args:
        config: Active parameters and their values.
        short_epochs: Epochs of a short trial, over which its schedule runs to the end; None for a full trial's.
        target_epoch: Epoch after which to pause, before the last epoch of a full trial; None for a full trial.
        parent: Number of the search trial, of the same configuration, to resume; None to start from scratch.
        engine_metadata: Values that the engine records with the trial, as JSON, such as a bracket and a round.
    """

    config: Config
    short_epochs: int | None = None
    target_epoch: int | None = None
    parent: int | None = None
    engine_metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, int | None, int | None, int | None]:
        """Identifies what is asked for: the configuration, and from where to where it is trained."""
        return (config_key(self.config), self.short_epochs, self.target_epoch, self.parent)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One configuration to be run once.

    Args:
        number: Position in its phase of the study, from 0.
        config: Active parameters and their values.
        seed: Seeds weights, dropout, data order and augmentation.
        epochs: Passes over the training images over which its schedule runs.
        is_short: Whether these are fewer than a full trial's; see ``Proposal``.
        target_epoch: Epoch after which it pauses; see ``Proposal``.
        parent: Number of the search trial that it resumes; see ``Proposal``.
        engine_metadata: See ``Proposal``.
        rungs: Epochs after which it may be pruned and resumed by a later trial, so that its checkpoint is kept.
        origin: "baseline", "recipe: NAME" or "found".
        phase: Its purpose.
        source_trial: In verification, the number of the search trial with this configuration.
        replicate: In verification and reproduction, which repeat this is, from 0.
    """

    number: int
    config: Config
    seed: int
    epochs: int
    is_short: bool = False
    target_epoch: int | None = None
    parent: int | None = None
    engine_metadata: Mapping[str, Any] = field(default_factory=dict)
    rungs: tuple[int, ...] = ()
    origin: str = PROPOSED
    phase: Phase = Phase.SEARCH
    source_trial: int | None = None
    replicate: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns the trial as a plain dict."""
        return fields_to_json(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Trial:
        """Returns the trial that ``to_json`` described."""
        fields = {FIELD_NAMES.get(key, key): value for key, value in document.items() if key not in LEGACY_TRIAL_KEYS}
        return cls(**{**fields, "phase": Phase(fields["phase"]), "rungs": tuple(fields.get("rungs", ()))})

    @property
    def key(self) -> tuple[Phase, int]:
        """Identifies the trial within its study."""
        return (self.phase, self.number)

    @cached_property
    def training_key(self) -> str:
        """Identifies the training; see ``training_key``."""
        return training_key(self.config, self.seed, self.epochs)

    @property
    def replicate_key(self) -> tuple[int | None, int | None]:
        """Identifies a replicate within its phase: which repeat of which search trial."""
        return (self.source_trial, self.replicate)

    @property
    def last_epoch(self) -> int:
        """The epoch after which it ends, unless it is stopped."""
        return self.epochs if self.target_epoch is None else min(self.target_epoch, self.epochs)

    @property
    def is_recipe(self) -> bool:
        """Whether it is one of the space's recipes."""
        return self.origin.startswith(RECIPE_PREFIX)

    @property
    def proposal(self) -> Proposal:
        """The proposal that it was made from."""
        return Proposal(
            config=self.config,
            short_epochs=self.epochs if self.is_short else None,
            target_epoch=self.target_epoch,
            parent=self.parent,
            engine_metadata=self.engine_metadata,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialFiles:
    """The files that a trial reads and writes while it runs; None for each that it does without.

    Args:
        resume_from: Path or URL of the checkpoint to resume from.
        checkpoint: Path or URL of its latest checkpoint; checkpoints to keep are written beside it, see
            ``epoch_checkpoint_path``.
        model: Path of the trained model, a ``.keras`` file.
        predictions: Path of its predictions of the scored images, written when it is complete.
    """

    resume_from: str | None = None
    checkpoint: str | None = None
    model: str | None = None
    predictions: str | None = None


NO_FILES = TrialFiles()


def epoch_checkpoint_path(path: str, epoch: int) -> str:
    """Returns the path of the checkpoint after an epoch, beside the latest checkpoint at a path."""
    stem, dot, suffix = path.rpartition(".")
    return f"{stem}-{epoch}{dot}{suffix}"


def config_key(config: Config) -> str:
    """Returns a text that is equal for equal configurations, whatever the order of their parameters."""
    return json.dumps(dict(config), sort_keys=True)


def training_key(config: Config, seed: int, epochs: int) -> str:
    """Returns what identifies a training: it is shared by a trial, its retries, and the trials that resume it.

    Args:
        config: The configuration.
        seed: The trial's.
        epochs: Epochs over which its schedule runs.
    """
    text = f"{config_key(config)} {seed} {epochs}"
    return hashlib.sha256(text.encode()).hexdigest()[:TRAINING_KEY_DIGITS]


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochReport:
    """The result of one epoch.

    Args:
        epoch: Epochs finished, from 1.
        training_loss: Mean cross-entropy over the epoch's batches, with augmentation, dropout and label smoothing.
        metrics: Of the scored images, by their names in ``METRICS``; empty where the epoch was not scored.
        seconds: Wall-clock seconds of the epoch, scoring included.
        restored: Whether the epoch came with the checkpoint that the trial resumed from.
    """

    epoch: int
    training_loss: float
    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    restored: bool = False

    @property
    def loss(self) -> float | None:
        """The metric of this name, if scored."""
        return self.metrics.get("loss")

    @property
    def error_percent(self) -> float | None:
        """The metric of this name, if scored."""
        return self.metrics.get("error_percent")

    def to_json(self) -> dict[str, Any]:
        """Returns the report as a plain dict, in which each metric is a key of its own."""
        return fields_to_json(self, *METRICS)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> EpochReport:
        """Returns the report that ``to_json`` described; a study has many, so it does without ``fields_from_json``."""
        names = field_names(cls)  # type: ignore[arg-type]
        return cls(
            epoch=document["epoch"],
            training_loss=parse_number(document["training_loss"]),
            metrics={
                name: parse_number(value) for name, value in document.items() if value is not None and name not in names
            },
            seconds=document.get("seconds", 0.0),
            restored=document.get("restored", False),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a trial ended.

    Args:
        state: Complete, screened, paused, pruned, failed or interrupted.
        metrics: Of the last scored epoch, as ``final_metrics`` has them; empty unless an epoch was scored. Of
            validation images in the search phase, of test images in the other phases.
        history: One report an epoch.
        seconds: Wall-clock seconds by part: "build" (model, and tracing until the first batch ends), "fit", "evaluate";
            those of restored epochs included.
        elapsed_seconds: Seconds of all sessions of the study when it ended; None if they were not measured.
        parameter_count: Trainable parameters.
        peak_memory_mib: The worker process's peak resident memory so far, in MiB.
        cause: Why it failed or was interrupted.
        message: The cause in words.
        traceback: Traceback of an error in the trial.
        environment: Versions, backend, device, threads, determinism and process that ran it.
        scored_images: Number of images of the last scored epoch; None if none was scored.
        misclassified: Indices of the test images classified wrongly at the end; empty in the search phase.
        predicted_classes: Predicted class of each misclassified image.
    """

    state: State
    metrics: Mapping[str, float] = field(default_factory=dict)
    history: tuple[EpochReport, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    elapsed_seconds: float | None = None
    parameter_count: int | None = None
    peak_memory_mib: float | None = None
    cause: Cause | None = None
    message: str = ""
    traceback: str = ""
    environment: Mapping[str, Any] = field(default_factory=dict)
    scored_images: int | None = None
    misclassified: tuple[int, ...] = ()
    predicted_classes: tuple[int, ...] = ()

    @property
    def error_percent(self) -> float | None:
        """The metric of this name. None unless an epoch was scored."""
        return self.metrics.get("error_percent")

    @property
    def balanced_error_percent(self) -> float | None:
        """The metric of this name. None unless an epoch was scored, and in studies of older versions."""
        return self.metrics.get("balanced_error_percent")

    @property
    def calibrated_loss(self) -> float | None:
        """The metric of this name. None unless an epoch was scored, and in studies of version 0.1.0."""
        return self.metrics.get("calibrated_loss")

    def value_of(self, metric: str) -> float | None:
        """Returns a metric of the last scored epoch, a name in ``METRICS``; None unless it was recorded."""
        if metric == "loss":  # it stands in the history alone
            return next((report.loss for report in reversed(self.history) if report.metrics), None)
        return self.metrics.get(metric)

    @property
    def is_final(self) -> bool:
        """Whether the trial is over; an interrupted trial will run again."""
        return self.state is not State.INTERRUPTED

    @property
    def epochs_trained(self) -> int:
        """Epochs that this trial trained itself, without restored epochs."""
        return sum(not report.restored for report in self.history)

    @property
    def seconds_trained(self) -> float:
        """Wall-clock seconds of these epochs, scoring included."""
        return sum(report.seconds for report in self.history if not report.restored)

    def to_json(self) -> dict[str, Any]:
        """Returns the outcome as a plain dict, in which each metric is a key of its own."""
        return {**fields_to_json(self, *OUTCOME_METRICS), "history": [report.to_json() for report in self.history]}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Outcome:
        """Returns the outcome that ``to_json`` described."""
        fields = fields_from_json(cls, document)
        fields["state"] = State(fields["state"])
        fields["cause"] = Cause(fields["cause"]) if fields.get("cause") else None
        fields["history"] = tuple(EpochReport.from_json(report) for report in fields.get("history", ()))
        fields["misclassified"] = tuple(fields.get("misclassified", ()))
        fields["predicted_classes"] = tuple(fields.get("predicted_classes", ()))
        return cls(**fields)


def completed_state(trial: Trial) -> State:
    """Returns the state of a trial that reached its last epoch."""
    if trial.last_epoch < trial.epochs:
        return State.PAUSED
    return State.SCREENED if trial.is_short and trial.phase is Phase.SEARCH else State.COMPLETE


def final_metrics(history: Sequence[EpochReport]) -> Mapping[str, float]:
    """Returns the metrics of the last scored epoch for a trial's outcome; its loss stands in the history alone."""
    scored = [report.metrics for report in history if report.metrics]
    return {name: value for name, value in scored[-1].items() if name != "loss"} if scored else {}
