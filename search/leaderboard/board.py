"""The values of a leaderboard: board, sections, rows, ensembles.

``compute.compute`` makes them and the renderers show them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

from search.leaderboard.reference import Reference, tutorial_error_percent
from search.leaderboard.row_parts import Ensemble, Mutation, PooledTrial, RecipeComparison, Replicate, TrialSegment
from search.leaderboard.statistics import EQUIVALENCE_POINTS, Difference, Estimate, Interval, Verdict
from search.leaderboard.variance import RunErrors
from search.protocol import EvaluationProtocol, Objective
from search.records.failures import FailureGroup
from search.records.record import StudyHeader
from search.trial import BASELINE, RECIPE_PREFIX, Cause, Config, State

UNBALANCED_RATIO = 1.5
"""Classes are unbalanced if the largest has more than this many times its equal share of the test images. In MNIST the
ratio is 1.14."""
UNFINISHED = "unfinished"


def state_name(state: State | None) -> str:
    """Returns how a trial ended; "unfinished" while it runs, or when its coordinator died."""
    return state.value if state else UNFINISHED


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Row:
    """One configuration of one study, or of several whose test runs are pooled.

    Args:
        label: "baseline", "recipe: NAME", "found" or "baseline (tutorial protocol)".
        study: The study that it belongs to; of pooled ones the first.
        trial: Number of its search trial; None in a reproduction.
        state: How the search trial ended; None while it runs, or when its coordinator died.
        cause: Why it failed or was interrupted.
        config: Active parameters and their values.
        schedule_epochs: Epochs over which its schedule runs.
        is_short: Whether these are fewer than a full trial's.
        mutation: What the engine made it from; None where the engine did not record it.
        validation_error_percent: Validation error, in percent; the mean over pooled trials. None in a reproduction.
        validation_balanced_error_percent: Its mean over the classes; None in records of older versions.
        validation_log_loss: Mean cross-entropy on the validation images, in nats; None in a reproduction.
        objective: What its study's engine minimizes, on the validation images; None in a reproduction.
        segments: The search trials that trained it, in order; empty in a reproduction.
        replicates: Its test runs by number, failed ones included.
        run_errors: The complete replicates, for the statistics.
        pooled: The search trials whose test runs it pools; empty in a row of one study.
        chosen_in: Names of the studies whose verified row with the lowest validation figure it is.
        test_error: Mean test error in percent over the complete replicates; None without one.
        balanced_interval: Interval of the mean balanced test error; None where the images' classes are not known.
        baseline_difference: Test error minus that of the study's verified baseline of equal epochs, in percentage
            points.
        baseline_verdict: What its interval shows, given the section's region of practical equivalence.
        best_recipe: Comparison with the study's best verified recipe of equal epochs; None in that recipe's row.
        parameters: Trainable parameters.
        epochs: Epochs trained by the search trial; in a reproduction, by a repeat.
        seconds: Wall-clock seconds of the search trial; in a reproduction, of all repeats.
        environment: Versions and hardware of the run that gave its figure.
        caveat: Warning about the figure; empty where there is none.
        copied_from: Name of the study that all its runs were copied from; empty where one is its own.
        rank: Rank by mean test error, from 1; None unless verified. A short trial has none beside a full one.
        rank_range: Lowest and highest rank that the runs leave open; None without a rank.
        next_difference: Test error minus that of the row of the next rank; None unless there is one.
    """

    label: str
    study: StudyHeader
    trial: int | None
    state: State | None
    cause: Cause | None = None
    config: Config
    schedule_epochs: int
    is_short: bool = False
    mutation: Mutation | None = None
    validation_error_percent: float | None = None
    validation_balanced_error_percent: float | None = None
    validation_log_loss: float | None = None
    objective: float | None = None
    segments: tuple[TrialSegment, ...] = ()
    replicates: tuple[Replicate, ...] = ()
    run_errors: RunErrors = field(compare=False, repr=False)
    pooled: tuple[PooledTrial, ...] = ()
    chosen_in: tuple[str, ...] = ()
    test_error: Estimate | None = None
    balanced_interval: Interval | None = None
    baseline_difference: Difference | None = None
    baseline_verdict: Verdict | None = None
    best_recipe: RecipeComparison | None = None
    parameters: int | None = None
    epochs: int = 0
    seconds: float = 0.0
    environment: Mapping[str, Any] = field(default_factory=dict)
    caveat: str = ""
    copied_from: str = ""
    rank: int | None = None
    rank_range: tuple[int, int] | None = None
    next_difference: Difference | None = None

    def __repr__(self) -> str:
        """Returns the name, the study, the test error and the configuration."""
        test_error = "not verified" if self.test_error is None else f"test error {self.test_error.mean:.2f} %"
        return f"<Row {self.name} of {self.study.name}: {test_error}, {dict(self.config)}>"

    @property
    def name(self) -> str:
        """The label with the trial's number, and whether it is short: "found #12", "found #13 (short)"."""
        name = self.label if self.trial is None else f"{self.label} #{self.trial}"
        return f"{name} (short)" if self.is_short else name

    @property
    def is_recipe(self) -> bool:
        """Whether it is one of the space's recipes."""
        return self.label.startswith(RECIPE_PREFIX)

    @property
    def is_baseline(self) -> bool:
        """Whether it is its study's baseline, which rows of equal epochs are compared with."""
        return self.label == BASELINE

    @property
    def is_too_large(self) -> bool:
        """Whether it has more parameters than its study searches; such a baseline is compared with, and not chosen."""
        return not self.study.may_choose(self.parameters)

    @property
    def error_percent(self) -> float | None:
        """Mean test error in percent; None unless verified."""
        return self.test_error.mean if self.test_error else None

    @property
    def balanced_error_percent(self) -> float | None:
        """Mean balanced test error in percent; None unless every complete replicate recorded it."""
        errors = [run.balanced_error_percent for run in self.completed_replicates]
        known = [error for error in errors if error is not None]
        return fmean(known) if known and len(known) == len(errors) else None

    @property
    def balanced_error(self) -> Estimate | None:
        """Mean balanced test error with its interval; None where the mean is not known."""
        if (mean := self.balanced_error_percent) is None:
            return None
        return Estimate(mean=mean, interval=self.balanced_interval, n=len(self.completed_replicates))

    @property
    def log_loss(self) -> float | None:
        """Mean cross-entropy on the test images over the complete replicates, in nats; None unless all recorded it."""
        losses = [run.log_loss for run in self.completed_replicates]
        known = [loss for loss in losses if loss is not None]
        return fmean(known) if known and len(known) == len(losses) else None

    @property
    def constant_error_percent(self) -> float | None:
        """Test error in percent of the best constant answer; None where its study did not record the counts."""
        return constant_error_percent(self.study.test_class_counts)

    @property
    def interval(self) -> Interval | None:
        """Interval of the mean test error."""
        return self.test_error.interval if self.test_error else None

    @property
    def tutorial_difference(self) -> float | None:
        """Test error minus the tutorial's for the space, in percentage points; None where either is missing."""
        tutorial = tutorial_error_percent(self.study.protocol.data_sha256, self.study.space.name)
        return None if tutorial is None or self.error_percent is None else self.error_percent - tutorial

    @property
    def completed_replicates(self) -> tuple[Replicate, ...]:
        """The replicates that the mean test error is taken over."""
        return tuple(run for run in self.replicates if run.error_percent is not None)

    @property
    def study_names(self) -> tuple[str, ...]:
        """Names of the studies that its test runs come from."""
        return tuple(dict.fromkeys(trial.study for trial in self.pooled)) or (self.study.name,)

    @property
    def validation_test_gap(self) -> float | None:
        """Mean test error minus validation error, in percentage points; None where either is missing."""
        if self.error_percent is None or self.validation_error_percent is None:
            return None
        return self.error_percent - self.validation_error_percent

    @property
    def changed_parameters(self) -> dict[str, Any]:
        """Active parameters whose value is not the baseline's."""
        baseline = self.study.space.baseline
        return {name: value for name, value in self.config.items() if name not in baseline or baseline[name] != value}


def constant_error_percent(class_counts: Sequence[int]) -> float | None:
    """Returns the error in percent of always answering the class with the most images; None without counts."""
    return 100.0 * (1.0 - max(class_counts) / sum(class_counts)) if class_counts else None


BoardEntry = Row | Ensemble | Reference
"""A line of the leaderboard. Each has ``name``, ``error_percent`` (test error) and ``interval``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Rows that are ranked together: they share the protocol's name and version and the data's hash.

    Args:
        studies: The studies by name; at least one.
        rows: Verified rows by rank, then verified short trials without a rank, then the others by state and validation
            error.
        references: Published figures for the same data.
        ensembles: Ensembles of the studies' verification models, by test error; they have no rank.
        pooled_rows: The rows of one study each that are pooled in ``rows``.
        image_groups: Groups of the test images that the intervals count; None where images are taken as independent.
        equivalence_points: Half the width of the region of practical equivalence, in percentage points.
        states: Number of search trials by state.
        failures: Failed and interrupted trials and test runs, by study and cause.
        test_openings: How often the test images were opened, each run counted from its start.
        openings: The same by what opened them: verification, reproduction, search (under the tutorial protocol),
            ensemble, export, reproduce.
        searched_after_opening: Search trials that began after the first opening in their study.
        spent_seconds: Wall-clock seconds of all sessions of all studies together.
        hidden_rows: Number of rows left out of ``rows``.
    """

    studies: tuple[StudyHeader, ...]
    rows: tuple[Row, ...]
    references: tuple[Reference, ...]
    states: Mapping[str, int]
    test_openings: int
    spent_seconds: float
    openings: Mapping[str, int] = field(default_factory=dict)
    searched_after_opening: int = 0
    ensembles: tuple[Ensemble, ...] = ()
    pooled_rows: tuple[Row, ...] = ()
    image_groups: int | None = None
    equivalence_points: float = EQUIVALENCE_POINTS
    failures: tuple[FailureGroup, ...] = ()
    hidden_rows: int = 0

    @property
    def test_class_counts(self) -> tuple[int, ...]:
        """Number of test images of each class; empty where no study recorded them."""
        return next((study.test_class_counts for study in self.studies if study.test_class_counts), ())

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """What its studies minimize and choose by."""
        return tuple(dict.fromkeys(Objective.of_metric(study.objective) for study in self.studies))

    @property
    def is_unbalanced(self) -> bool:
        """Whether the largest class has more than ``UNBALANCED_RATIO`` times its equal share of the test images."""
        counts = self.test_class_counts
        return bool(counts) and max(counts) * len(counts) > UNBALANCED_RATIO * sum(counts)

    @property
    def protocol(self) -> EvaluationProtocol:
        """The first study's protocol; all studies share name, version and data hash, not split and epochs."""
        return self.studies[0].protocol

    @property
    def ranked(self) -> tuple[Row, ...]:
        """The rows with a rank, best first."""
        return tuple(row for row in self.rows if row.rank is not None)

    @property
    def chosen(self) -> tuple[Row, ...]:
        """The rows that studies chose by validation, by test error."""
        chosen = [row for row in self.rows if row.chosen_in]
        return tuple(sorted(chosen, key=lambda row: row.error_percent or 0.0))

    @property
    def headline(self) -> Row | None:
        """The row that its study chose by validation; of several studies' the lowest on the test images.

        None where nothing is verified.
        """
        return next(iter(self.chosen), None)

    @property
    def study_rows(self) -> tuple[Row, ...]:
        """Rows of one study each, for what is shown by study."""
        return (*self.pooled_rows, *(row for row in self.rows if not row.pooled))

    @property
    def ranked_entries(self) -> list[BoardEntry]:
        """The verified rows and published figures by test error, then the ensembles; short trials may have no rank."""
        verified = [row for row in self.rows if row.test_error]
        entries: list[BoardEntry] = [*verified, *self.references]
        return [*sorted(entries, key=lambda entry: entry.error_percent or 0.0), *self.ensembles]

    @property
    def unverified(self) -> tuple[Row, ...]:
        """The rows without a test error."""
        return tuple(row for row in self.rows if not row.test_error)


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """A leaderboard.

    Args:
        sections: One for each protocol and data set; figures of different sections are not comparable.
        notes: What is missing from the board, and why.
    """

    sections: tuple[Section, ...]
    notes: tuple[str, ...] = ()


MAX_SHOWN_ROWS = 500
"""Rows of a section in reports for people; CSV and JSON hold all."""


def top_rows(board: Board, count: int) -> Board:
    """Returns the board with the first ``count`` rows of each section, all baselines, and all chosen rows."""
    return replace(board, sections=tuple(_top(section, count) for section in board.sections))


def _top(section: Section, count: int) -> Section:
    kept = tuple(row for index, row in enumerate(section.rows) if index < count or row.is_baseline or row.chosen_in)
    return replace(section, rows=kept, hidden_rows=section.hidden_rows + len(section.rows) - len(kept))
