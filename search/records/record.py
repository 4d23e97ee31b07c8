"""Recorded studies as values: header, trials and ensembles.

The leaderboard computes from these alone, so it needs no Keras.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from search.errors import UserError
from search.protocol import EvaluationProtocol, Objective, ProtocolName
from search.trial import COPIED_FROM_KEY, EpochReport, Outcome, Phase, State, Trial
from spaces.domains import Condition, Domain
from spaces.space import Space

JOURNAL_NAME = "ledger.journal"
"""Name of the journal file in a study's folder."""

NO_ENGINE = "none"
"""Engine, sampler and pruner of a study that proposes nothing: the baseline's repeats."""

LEGACY_DEFAULTS = {"precision": "tf32"}
"""Values of environment keys that records of older versions lack."""

OPENING_COMMANDS = ("export", "reproduce")
"""Commands that score models on the test images beside the runs of a study."""

MAX_DIFFERENCES = 4
"""Differences between two studies that an error lists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyHeader:
    """The settings of a study, which do not change once written.

    Args:
        name: The study's name, ``[A-Za-z0-9._-]+``.
        space: The space as searched, restricted by --fix and --range.
        space_source: Registered name of the space, or path of its file; workers load the model builder from it.
        protocol: How configurations are judged.
        engine: Such as "optuna".
        sampler: Such as "tpe".
        pruner: Such as "asha".
        seed: The study's seed, from which every other seed is derived.
        created: ISO 8601 time, UTC.
        versions: Library versions at creation.
        command: The command that made the study.
        objective: The metric of the last epoch that the engine minimizes, a name in ``search.metrics.METRICS``.
        builder_sha256: Hash of the file that defines the model builder and of the modules from its folder that it
            imports, 64 hexadecimal digits; empty for a shipped space, and in records of older versions.
        max_parameters: Most trainable parameters of a network that is searched; the baseline may have more, and is then
            not chosen. None for no limit.
        equal_images: Number of test images that equal a training image to the bit; older versions did not count them.
        test_class_counts: Number of test images of each class; empty in records of older versions.
    """

    name: str
    space: Space
    space_source: str
    protocol: EvaluationProtocol
    engine: str
    sampler: str
    pruner: str
    seed: int
    created: str
    versions: Mapping[str, str] = field(default_factory=dict)
    command: str = ""
    objective: str = "error_percent"
    builder_sha256: str = ""
    max_parameters: int | None = None
    equal_images: int = 0
    test_class_counts: tuple[int, ...] = ()

    def may_choose(self, parameters: int | None) -> bool:
        """Returns whether a network of so many trainable parameters may be the study's winner; None is not known."""
        return self.max_parameters is None or parameters is None or parameters <= self.max_parameters

    def to_json(self) -> dict[str, Any]:
        """Returns the header as a plain dict."""
        return {
            "name": self.name,
            "space": self.space.to_json(),
            "space_source": self.space_source,
            "protocol": self.protocol.to_json(),
            "engine": self.engine,
            "sampler": self.sampler,
            "pruner": self.pruner,
            "seed": self.seed,
            "created": self.created,
            "versions": dict(self.versions),
            "command": self.command,
            "objective": self.objective,
            "builder_sha256": self.builder_sha256,
            "max_parameters": self.max_parameters,
            "equal_images": self.equal_images,
            "test_class_counts": list(self.test_class_counts),
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> StudyHeader:
        """Returns the header that ``to_json`` described; its space has no model builder."""
        space, protocol = Space.from_json(document["space"]), EvaluationProtocol.from_json(document["protocol"])
        counts = tuple(document.get("test_class_counts", ()))
        return cls(**{**document, "space": space, "protocol": protocol, "test_class_counts": counts})


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecord:
    """One recorded trial.

    Args:
        trial: What was run.
        outcome: How it ended; None while it runs, or if its coordinator died.
        started: ISO 8601 time, UTC.
        reports: Its epochs while it has no outcome; afterwards they are the outcome's history.
    """

    trial: Trial
    outcome: Outcome | None
    started: str = ""
    reports: tuple[EpochReport, ...] = ()

    @property
    def state(self) -> State | None:
        """How it ended; None without an outcome."""
        return self.outcome.state if self.outcome else None

    @property
    def error_percent(self) -> float | None:
        """The outcome's error, in percent; None without one."""
        return self.outcome.error_percent if self.outcome else None

    @property
    def history(self) -> tuple[EpochReport, ...]:
        """The outcome's epochs; empty without an outcome."""
        return self.outcome.history if self.outcome else ()

    @property
    def environment(self) -> Mapping[str, Any]:
        """The outcome's versions and hardware; empty without an outcome."""
        return self.outcome.environment if self.outcome else {}

    @property
    def is_finished(self) -> bool:
        """Whether it has ended and will not be continued."""
        return self.outcome is not None and self.outcome.is_final

    @property
    def epochs_so_far(self) -> tuple[EpochReport, ...]:
        """The history of its outcome, or its reports while it has none."""
        return self.outcome.history if self.outcome else self.reports

    @property
    def complete_error_percent(self) -> float | None:
        """Error of a complete trial, in percent; None if it is not complete."""
        return self.error_percent if self.state is State.COMPLETE else None

    @property
    def copied_from(self) -> str:
        """Name of the study that it was copied from and counts in; empty if it is the study's own."""
        return str(self.environment.get(COPIED_FROM_KEY, ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleRecord:
    """An ensemble of verification runs: the weighted mean of their models' predictions of the test images.

    Args:
        origin: "mean" of all finalists' models, or "greedy" of a selection.
        weights: Weight of each model, by the number of its verification run; their sum is 1.
        error_percent: Test error, in percent.
        balanced_error_percent: Its mean over the classes; None in records of older versions.
        scored_images: Number of test images.
        parameter_count: Trainable parameters of all its models together.
        misclassified: Indices of the test images classified wrongly.
        predicted_classes: The class predicted for each of them.
        started: ISO 8601 time, UTC.
        copied_from: Name of the study that the ensemble was copied from and counts in; empty if it is the study's own.
    """

    origin: str
    weights: Mapping[int, float]
    error_percent: float
    balanced_error_percent: float | None = None
    scored_images: int
    parameter_count: int
    misclassified: tuple[int, ...] = ()
    predicted_classes: tuple[int, ...] = ()
    started: str = ""
    copied_from: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRecord:
    """A whole study as recorded.

    Args:
        header: What the study is.
        trials: Every recorded trial, by phase, in the order of their starts.
        ensembles: Every recorded ensemble, in order.
        spent_seconds: Wall-clock seconds of all its sessions together.
        exhausted_seconds: The largest time budget that was used up; 0 if none was.
        arithmetic: What its trials compute with, as its first coordinator chose it; empty if only its trials tell. See
            ``search.records.arithmetic``.
        opened_by: How often commands have scored models on the test images beside its own runs, by command; see
            ``search.records.openings``.
        test_groups: Number of the group that each test image belongs to, such as its writer; empty if the data do not
            say. Not needed for the embedded MNIST, whose writers are known.
        test_labels: Class of each test image; empty in records of older versions. Not needed for the embedded MNIST.
    """

    header: StudyHeader
    trials: tuple[TrialRecord, ...]
    ensembles: tuple[EnsembleRecord, ...] = ()
    spent_seconds: float = 0.0
    exhausted_seconds: float = 0.0
    arithmetic: Mapping[str, Any] = field(default_factory=dict)
    opened_by: Mapping[str, int] = field(default_factory=dict)
    test_groups: tuple[int, ...] = ()
    test_labels: tuple[int, ...] = ()

    @property
    def runs(self) -> tuple[TrialRecord | EnsembleRecord, ...]:
        """The trials and the ensembles."""
        return (*self.trials, *self.ensembles)

    def trials_in_phase(self, phase: Phase) -> tuple[TrialRecord, ...]:
        """Returns the trials of one phase."""
        return tuple(record for record in self.trials if record.trial.phase is phase)

    @property
    def test_openings(self) -> Mapping[str, int]:
        """Number of evaluations on the test images, by what made them; what made none is left out.

        One per verification run and ensemble, and one per epoch under the tutorial protocol. A verification run counts
        from its start, since its end may not be recorded; a run copied from another study counts there.
        """
        counts = {phase.value: self._evaluations_in(phase) for phase in Phase}
        counts |= {"ensemble": sum(not ensemble.copied_from for ensemble in self.ensembles), **self.opened_by}
        return {name: count for name, count in counts.items() if count}

    @property
    def test_evaluations(self) -> int:
        """Number of evaluations on the test images; see ``test_openings``."""
        return sum(self.test_openings.values())

    def evaluations_of(self, trial: Trial, epochs: int | None = None) -> int:
        """Returns how often a trial of this study's protocol is scored on the test images.

        Args:
            trial: The trial.
            epochs: Epochs that it was trained for; None for all.
        """
        if trial.phase is Phase.VERIFICATION:
            return 1
        is_scored = trial.phase is Phase.REPRODUCTION or self.header.protocol.name is ProtocolName.TUTORIAL
        return (trial.last_epoch if epochs is None else epochs) if is_scored else 0

    def _evaluations_in(self, phase: Phase) -> int:
        own = (record for record in self.trials_in_phase(phase) if not record.copied_from)
        return sum(self.evaluations_of(run.trial, len(run.history) if run.outcome else None) for run in own)

    @property
    def searched_after_opening(self) -> int:
        """Search trials that began when the test images had been opened, or in the same second.

        The baseline and the best recipe are verified beside the search. No test error reaches an engine: it is told of
        search trials alone.
        """
        opened = [run.started for run in self.trials_in_phase(Phase.VERIFICATION) if not run.copied_from]
        if not opened:
            return 0
        return sum(entry.started >= min(opened) for entry in self.trials_in_phase(Phase.SEARCH))


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns a nested mapping as one level, keys joined by dots."""
    level: dict[str, Any] = {}
    for key, value in values.items():
        level |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return level


def describe_differences(recorded: Mapping[str, Any], requested: Mapping[str, Any]) -> list[str]:
    """Returns the differences between two mappings of one level, in words, by name; None counts as nothing."""

    def show(value: object) -> str:
        return "nothing" if value is None else str(value)

    return [
        f"{name} (recorded {show(recorded.get(name))}, received {show(requested.get(name))})"
        for name in sorted(recorded.keys() | requested.keys())
        if recorded.get(name) != requested.get(name)
    ]


def require_same_study(
    recorded: StudyHeader, requested: StudyHeader, *, accept_recorded_seed: bool = False
) -> StudyHeader:
    """Returns the recorded header if the requested one describes the same study.

    Args:
        recorded: As recorded.
        requested: As requested.
        accept_recorded_seed: Whether the seeds may differ.

    Raises:
        UserError: The studies differ; the message names the differences.
    """
    requested = replace(requested, seed=recorded.seed) if accept_recorded_seed else requested
    if not recorded.builder_sha256:  # an older version recorded none
        requested = replace(requested, builder_sha256="")
    if differences := study_differences(recorded, requested):
        more = f"; and {len(differences) - MAX_DIFFERENCES} more" if len(differences) > MAX_DIFFERENCES else ""
        again = f" Continue the recorded one with: {recorded.command}" if recorded.command else ""
        raise UserError(
            f"Study {recorded.name!r} exists and is another one. "
            f"It differs in {'; '.join(differences[:MAX_DIFFERENCES])}{more}.",
            hint=f"Give this one a name of its own with --study NAME, or repeat the recorded options.{again}",
        )
    return recorded


_OPTIONS = {
    "protocol.name": "--protocol",
    "protocol.version": "the version of the protocol",
    "protocol.data_sha256": "--dataset",
    "protocol.split": "--split",
    "protocol.split_seed": "--split-seed",
    "protocol.folds": "--folds",
    "protocol.epochs": "--epochs",
    "protocol.class_weight": "--class-weight",
    "space_source": "--space",
    "builder_sha256": "the file of --space",
    "max_parameters": "--max-parameters",
    "objective": "--objective",
}
"""What defines a study, by its name in the record, in the words of the command line."""


def study_differences(recorded: StudyHeader, requested: StudyHeader) -> list[str]:
    """Returns what differs between two studies, in the words of the options."""
    both = [_study_settings(header) for header in (recorded, requested)]
    differences = describe_differences(both[0], both[1])
    parameters = [
        {name: _describe_domain(domain) for name, domain in header.space.parameters.items()}
        for header in (recorded, requested)
    ]
    differences += describe_differences(parameters[0], parameters[1])
    if _recipes(recorded) != _recipes(requested):
        differences.append("the recipes of the space (--from)")
    return differences


def _describe_domain(domain: Domain) -> str:
    """Returns what a parameter is searched over, such as "32..1024 log, baseline 200", or its only value.

    That it is left out where it does nothing makes no other study: older ones varied it there, and go on so.
    """
    values = domain.values()
    if values is not None and len(values) == 1:
        return str(values[0])
    condition = f", active when {domain.when.describe()}" if isinstance(domain.when, Condition) else ""
    return f"{domain.describe()}, baseline {domain.baseline}{condition}"


def _recipes(header: StudyHeader) -> dict[str, Any]:
    return {name: dict(recipe.values) for name, recipe in header.space.recipes.items()}


def _study_settings(header: StudyHeader) -> dict[str, Any]:
    """Returns the settings that define a study beside its parameters and recipes, in the words of the options.

    Names, time, versions and command are left out; the data are known by their hash.
    """
    document = header.to_json()
    parts = ("space_source", "builder_sha256", "max_parameters", "protocol", "engine", "sampler", "pruner", "seed")
    settings = flatten({part: document[part] for part in parts})
    settings["objective"] = Objective.of_metric(header.objective).value
    del settings["protocol.dataset"]
    return {_OPTIONS.get(name, f"--{name}"): value for name, value in settings.items()} | {
        "the name of the space": header.space.name
    }


def utc_now() -> str:
    """Returns the present time, ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
