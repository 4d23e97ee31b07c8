"""Comparison: what a tournament gave, as values. ``compute.compute`` makes it, the renderers show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from search.compare.terms import ComparisonSpec
from search.leaderboard.statistics import Difference, Estimate
from search.records.curves import CurvePoint
from search.records.record import StudyHeader
from search.trial import BASELINE, Config

ALPHA = 0.05
"""An adjusted p below this counts as a difference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyResult:
    """One study of one engine.

    Args:
        repeat: Which of the engine's studies it is, from 0.
        header: What the study is.
        state_counts: Its search trials by how they ended.
        epochs: Epochs that its search trained.
        seconds: Seconds of the study's clock when its last search trial ended; verification comes after it.
        curve: Its best-so-far curve.
        best_trial: Number of the complete search trial with the least validation error; None where none is complete.
        best_origin: Where the winner comes from: "baseline", or "found".
        best_config: The winner's parameters.
        validation_error_percent: The winner's, in percent.
        is_verified: Whether all runs of the winner on the test images have ended, well or not.
        test_errors: The winner's test errors in percent, by seed, without runs that failed; empty unless verified.
        test_failures: How many of its runs failed.
        baseline_errors: The baseline's test errors in percent, by seed; likewise.
    """

    repeat: int
    header: StudyHeader
    state_counts: Mapping[str, int]
    epochs: int
    seconds: float
    curve: tuple[CurvePoint, ...] = ()
    best_trial: int | None = None
    best_origin: str = ""
    best_config: Config = field(default_factory=dict)
    validation_error_percent: float | None = None
    is_verified: bool = False
    test_errors: Mapping[int, float] = field(default_factory=dict)
    test_failures: int = 0
    baseline_errors: Mapping[int, float] = field(default_factory=dict)

    @property
    def test_error_percent(self) -> float | None:
        """Mean verified test error of the winner, in percent."""
        return fmean(self.test_errors.values()) if self.test_errors else None

    @property
    def baseline_error_percent(self) -> float | None:
        """Mean verified test error of the baseline, in percent."""
        return fmean(self.baseline_errors.values()) if self.baseline_errors else None

    @property
    def best_label(self) -> str:
        """The winner in words: "found #12"."""
        return (
            ""
            if self.best_trial is None
            else self.best_origin
            if self.best_origin == BASELINE
            else f"{self.best_origin} #{self.best_trial}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EnginePair:
    """Two engines set against each other, repeat by repeat.

    Args:
        first: Engine with the lower mean test error.
        second: The other one.
        repeats: How many repeats both have finished.
        difference: Test error of the first minus that of the second, in percentage points.
        p: Of the paired t test; None with fewer than two repeats, or without spread.
        p_adjusted: The same, adjusted for the number of pairs.
    """

    first: str
    second: str
    repeats: int
    difference: Difference
    p: float | None = None
    p_adjusted: float | None = None

    @property
    def is_tie(self) -> bool:
        """Whether these repeats do not show the first to be better.

        Its own mean may be the lower and yet not that over the repeats which both have.
        """
        return self.p_adjusted is None or self.p_adjusted >= ALPHA or self.difference.mean >= 0

    @property
    def engines(self) -> frozenset[str]:
        """Both engines, in no order."""
        return frozenset((self.first, self.second))


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineResult:
    """One engine and its studies.

    Args:
        engine: Such as "optuna:tpe".
        studies: Its studies by repeat.
        test: Mean over repeats of the winners' test errors, in percent; None where no repeat is verified.
        difference_to_baseline: The same minus the baseline's, repeat by repeat, in percentage points.
        rank: Place by mean test error, from 1; None without one.
        ties: Other engines that share its rank, because no difference to the first of that rank is shown.
        pair_with_best: It against the engine with the lowest mean; None for that engine itself, and where there is no
            figure.
    """

    engine: str
    studies: tuple[StudyResult, ...]
    test: Estimate | None = None
    difference_to_baseline: Difference | None = None
    rank: int | None = None
    ties: int = 0
    pair_with_best: EnginePair | None = None

    @property
    def errors_by_repeat(self) -> dict[int, float]:
        """Mean test error of each verified repeat, in percent."""
        return {run.repeat: run.test_error_percent for run in self.studies if run.test_error_percent is not None}

    @property
    def validation_error_percent(self) -> float | None:
        """Mean over repeats of the least validation error, in percent."""
        found = [run.validation_error_percent for run in self.studies if run.validation_error_percent is not None]
        return fmean(found) if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What a tournament gave.

    Args:
        spec: What its studies share.
        engine_results: Engines by rank; then those without a test error, in the order of their turns.
        pairs: Every two engines that have repeats in common.
        baseline_test: Mean over repeats of the baseline's test error, in percent.
        baseline_validation_percent: Mean over studies of its validation error, in percent.
        test_openings: How often the test images were scored; what one study took over from another counts once.
        environments: What the trials ran on, each combination of versions and hardware once.
    """

    spec: ComparisonSpec
    engine_results: tuple[EngineResult, ...]
    pairs: tuple[EnginePair, ...]
    baseline_test: Estimate | None = None
    baseline_validation_percent: float | None = None
    test_openings: int = 0
    environments: tuple[Mapping[str, Any], ...] = ()

    @property
    def ranked_engines(self) -> tuple[EngineResult, ...]:
        """The engines that have a test error, best first."""
        return tuple(entrant for entrant in self.engine_results if entrant.rank is not None)

    @property
    def studies(self) -> tuple[tuple[EngineResult, StudyResult], ...]:
        """Every study with its engine, by rank and repeat."""
        return tuple((entrant, run) for entrant in self.engine_results for run in entrant.studies)

    @property
    def first_header(self) -> StudyHeader | None:
        """One of the studies, for what all share; None where none has begun."""
        return next((run.header for _, run in self.studies), None)
