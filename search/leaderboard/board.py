"""Board: what a leaderboard holds, as values. ``rows.compute`` makes it, the renderers show it.

Frozen values without behaviour beyond what follows from their own fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from search.leaderboard.reference import Reference
from search.leaderboard.statistics import Difference, Estimate, Interval
from search.leaderboard.variance import RunErrors
from search.protocol import EvaluationProtocol
from search.records.failures import FailureGroup
from search.records.record import StudyHeader
from search.trial import BASELINE, Cause, Config, State

UNFINISHED = "unfinished"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicate:
    """One run that was scored on the test images.

    Args:
        number: Which repeat, from 0.
        seed: Of weights, dropout, data order and augmentation.
        state: How it ended; None while it runs, or when its coordinator died.
        cause: Why it failed or was interrupted.
        error_percent: Test error in percent; None unless complete.
        seconds: Wall-clock seconds, all parts together.
        scored: Test images; None where the record lacks it.
        wrong: Indices of those classified wrongly.
        predicted: The class that each of these was given; empty where the record lacks it.
    """

    number: int
    seed: int
    state: State | None
    cause: Cause | None = None
    error_percent: float | None = None
    seconds: float = 0.0
    scored: int | None = None
    wrong: tuple[int, ...] = ()
    predicted: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialSegment:
    """One search trial of a row's configuration: the only one, or a part of it that others went on from.

    Args:
        trial: Its number.
        state: How it ended; None while it runs, or when its coordinator died.
        first_epoch: First epoch that it trained itself, from 1.
        last_epoch: Last epoch that it trained; less than the first where it trained none.
        parent: Number of the trial that it went on from; None where it began anew.
        engine_metadata: What the engine noted of it, such as its bracket and round.
        validation_error_percent: After its last epoch, in percent.
        seconds: Wall-clock seconds of the epochs that it trained.
        node: Node of the cluster that it ran on; empty where it was this machine.
    """

    trial: int
    state: State | None
    first_epoch: int
    last_epoch: int
    parent: int | None = None
    engine_metadata: Mapping[str, Any] = field(default_factory=dict)
    validation_error_percent: float | None = None
    seconds: float = 0.0
    node: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NextRankComparison:
    """How a row stands to the next one.

    Args:
        difference: Its error minus the next one's.
        p_value: How often models that err alike would differ as much on these images; see ``runs.p_value``.
    """

    difference: Difference
    p_value: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ensemble:
    """The mean prediction of several verification models of one study.

    Args:
        label: "ensemble: mean", of all finalists' models, or "ensemble: greedy", of a selection of them.
        study: The study that its models belong to.
        error_percent: Test error, in percent.
        interval: Of the error, over the choice of test images alone; None where the record lacks their number.
        members: How many models it has of each search trial's configuration.
        parameters: Trainable parameters of all its models.
    """

    label: str
    study: StudyHeader
    error_percent: float
    interval: Interval | None
    members: Mapping[int, int]
    parameters: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionBias:
    """What choosing by validation error did: the figure that wins a choice among many is too good.

    Args:
        study: The study's name.
        tried: Search trials that were chosen from, to their end or to a pause.
        chosen: Name of the verified row with the lowest validation error.
        validation_error_percent: Its validation error.
        test_error_percent: Its mean test error.
        baseline_shift: The baseline's test minus validation error, in percentage points, for what both have in common:
            other images, and a fifth more of them to train on; None where there is none.
    """

    study: str
    tried: int
    chosen: str
    validation_error_percent: float
    test_error_percent: float
    baseline_shift: float | None

    @property
    def validation_test_gap(self) -> float:
        """Test minus validation error of the chosen row, in percentage points."""
        return self.test_error_percent - self.validation_error_percent


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One configuration of one study.

    Args:
        label: What it is: "baseline", "recipe: NAME", "found" or "baseline (tutorial protocol)".
        study: The study that it belongs to.
        trial: Number of its search trial; None in a reproduction.
        state: How the search trial ended; None while it runs, or when its coordinator died.
        cause: Why it failed or was interrupted.
        config: Active parameters and their values.
        validation_error_percent: What steered the search, in percent; see ``caveat`` for the tutorial protocol.
        segments: The search trials that trained it, in order; empty in a reproduction.
        replicates: Its runs on the test images, by number, failed ones included.
        test_error: Mean test error in percent over the complete replicates; None where there is none.
        baseline_difference: Test error minus that of the study's verified baseline, in percentage points.
        tutorial_difference: Test error minus the tutorial's figure for the space, in percentage points.
        parameters: Trainable parameters.
        epochs: Epochs trained by the search trial (in a reproduction, by a repeat).
        seconds: Wall-clock seconds of the search trial, all parts together (in a reproduction, of all repeats).
        environment: Versions and hardware of the run that gave its figure.
        caveat: What its figure must not be taken for; empty where there is nothing to warn of.
        copied_from: Name of the study that all its runs were taken over from; empty where one is its own.
        rank: Place by mean test error, from 1; None unless verified.
        rank_range: First and last place that it may have, for all that the runs show; None unless verified.
        next_rank: How it stands to the row of the next place; None unless there is one.
    """

    label: str
    study: StudyHeader
    trial: int | None
    state: State | None
    cause: Cause | None = None
    config: Config
    validation_error_percent: float | None = None
    segments: tuple[TrialSegment, ...] = ()
    replicates: tuple[Replicate, ...] = ()
    test_error: Estimate | None = None
    baseline_difference: Difference | None = None
    tutorial_difference: float | None = None
    parameters: int | None = None
    epochs: int = 0
    seconds: float = 0.0
    environment: Mapping[str, Any] = field(default_factory=dict)
    caveat: str = ""
    copied_from: str = ""
    rank: int | None = None
    rank_range: tuple[int, int] | None = None
    next_rank: NextRankComparison | None = None

    @property
    def name(self) -> str:
        """What it is, with its trial's number: "found #12"."""
        return self.label if self.trial is None else f"{self.label} #{self.trial}"

    @property
    def is_baseline(self) -> bool:
        """Whether it is the configuration that the others of its study are measured against."""
        return self.label == BASELINE

    @property
    def completed_replicates(self) -> tuple[Replicate, ...]:
        """The replicates that the mean test error is taken over."""
        return tuple(replicate for replicate in self.replicates if replicate.error_percent is not None)

    @property
    def errors_by_seed(self) -> dict[int, float]:
        """Test errors in percent of the complete replicates, by seed."""
        return {run.seed: run.error_percent for run in self.replicates if run.error_percent is not None}

    @property
    def run_errors(self) -> RunErrors:
        """The complete replicates as the statistics take them."""
        scored = {run.scored for run in self.completed_replicates}
        wrong_by_seed = {run.seed: run.wrong for run in self.completed_replicates if run.scored}
        images = scored.pop() if len(scored) == 1 else None
        return RunErrors(errors_percent=self.errors_by_seed, wrong_indices=wrong_by_seed, image_count=images)

    @property
    def validation_test_gap(self) -> float | None:
        """Mean test error minus validation error, in percentage points; None where either is missing."""
        if self.test_error is None or self.validation_error_percent is None:
            return None
        return self.test_error.mean - self.validation_error_percent

    @property
    def changed_parameters(self) -> dict[str, Any]:
        """Parameters whose value is not the baseline's; what a changed parent switched off is not listed."""
        baseline = self.study.space.baseline
        return {name: value for name, value in self.config.items() if name not in baseline or baseline[name] != value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """The rows that share a protocol's name and version and the data's hash, and so may be ranked together.

    Args:
        studies: The studies it was made from, by name; at least one.
        rows: Verified rows by rank, then the others by state and validation error.
        references: Published figures for the same data.
        ensembles: Of the studies' verification models, by test error; they have no rank.
        selections: What choosing by validation error did, a study each that has verified something.
        states: Search trials by how they ended.
        failures: What failed or was interrupted, by study and cause; test runs too.
        test_openings: How often the test images were scored.
        spent_seconds: Wall-clock seconds of all sessions of all studies together.
        hidden_rows: Rows that ``top`` left out.
    """

    studies: tuple[StudyHeader, ...]
    rows: tuple[Row, ...]
    references: tuple[Reference, ...]
    states: Mapping[str, int]
    test_openings: int
    spent_seconds: float
    ensembles: tuple[Ensemble, ...] = ()
    selections: tuple[SelectionBias, ...] = ()
    failures: tuple[FailureGroup, ...] = ()
    hidden_rows: int = 0

    @property
    def protocol(self) -> EvaluationProtocol:
        """The first study's protocol; name, version and data hash are those of all, split and epochs need not be."""
        return self.studies[0].protocol

    @property
    def ranked(self) -> tuple[Row, ...]:
        """The verified rows, best first."""
        return tuple(row for row in self.rows if row.rank is not None)

    @property
    def unverified(self) -> tuple[Row, ...]:
        """The rows without a test error."""
        return tuple(row for row in self.rows if row.rank is None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """A leaderboard.

    Args:
        sections: One for each way of judging; never compared with each other.
        notes: What is missing from it, and why.
    """

    sections: tuple[Section, ...]
    notes: tuple[str, ...] = ()


def top_rows(board: Board, count: int) -> Board:
    """Returns the board with the first ``count`` rows of each section; baselines stay whatever their place."""
    return replace(board, sections=tuple(_top(section, count) for section in board.sections))


def _top(section: Section, count: int) -> Section:
    kept = tuple(row for place, row in enumerate(section.rows) if place < count or row.is_baseline)
    return replace(section, rows=kept, hidden_rows=section.hidden_rows + len(section.rows) - len(kept))
