"""From recorded studies to the result of their comparison. Pure; called by ``store``, reported by ``report``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean
from types import MappingProxyType
from typing import Any

from search.compare.curves import CurveBand, expected_best_error
from search.compare.paired_tests import paired_t, rank
from search.compare.results import Comparison, Metric, PairedTest
from search.compare.spec import ComparisonSpec, RunKey
from search.leaderboard.board import UNFINISHED
from search.leaderboard.statistics import Difference, Estimate, paired_difference, t_estimate
from search.records.curves import CurvePoint, best_error_curve, search_outcomes
from search.records.record import StudyHeader, StudyRecord, TrialRecord
from search.study.verification import validation_order
from search.trial import BASELINE, RUN_KEYS, Phase, State

TEST_ERROR = Metric(
    name="mean verified test error",
    unit=" %",
    difference_unit=" percentage points",
    digits=2,
    sample="repeat",
    limits=(0.0, 100.0),
)
COSTS: Mapping[str, Callable[[CurvePoint], float]] = MappingProxyType(
    {
        "trials": lambda point: float(point.trials),
        "epochs": lambda point: float(point.epochs),
        "minutes": lambda point: point.seconds / 60,
    }
)
"""What a search costs, by name."""
PAIRED_T = PairedTest(
    name="paired t test over repeats, whose studies share all seeds",
    units="repeats",
    p_value=paired_t,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyResult:
    """One study of a comparison.

    Args:
        key: Its engine and repeat.
        header: What the study is.
        state_counts: Its search trials by how they ended.
        epochs: Epochs that its search trained.
        seconds: Seconds of the study's clock when its last search trial ended, before verification.
        curve: Its best-so-far curve.
        best: The complete search trial that is best by what its engine minimizes on the validation images, as
            verification chooses it; None without a complete one.
        test_runs: Verification runs of the best, failed ones included; empty until all have ended.
        baseline_runs: Those of the baseline, likewise.
    """

    key: RunKey
    header: StudyHeader
    state_counts: Mapping[str, int]
    epochs: int
    seconds: float
    curve: tuple[CurvePoint, ...]
    best: TrialRecord | None
    test_runs: tuple[TrialRecord, ...]
    baseline_runs: tuple[TrialRecord, ...]

    @property
    def test_errors(self) -> dict[int, float]:
        """Test errors of the best in percent, by seed, without runs that failed."""
        return _errors_by_seed(self.test_runs)

    @property
    def failed_test_runs(self) -> int:
        """How many runs of the best on the test images failed."""
        return len(self.test_runs) - len(self.test_errors)

    @property
    def trial_count(self) -> int:
        """Number of its search trials."""
        return sum(self.state_counts.values())

    @property
    def test_error_percent(self) -> float | None:
        """Mean verified test error of the best, in percent."""
        return _mean(self.test_errors.values())

    @property
    def baseline_error_percent(self) -> float | None:
        """Mean verified test error of the baseline, in percent."""
        return _mean(_errors_by_seed(self.baseline_runs).values())

    @property
    def validation_error_percent(self) -> float | None:
        """Validation error of the best, in percent."""
        return _error_percent(self.best) if self.best else None

    @property
    def best_label(self) -> str:
        """The best trial: "found #12", or "baseline"."""
        if self.best is None:
            return ""
        trial = self.best.trial
        return trial.origin if trial.origin == BASELINE else f"{trial.origin} #{trial.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedComparison:
    """The result of a comparison on real training.

    Args:
        spec: What its studies share.
        comparison: Engines by rank.
        studies: By the engine's rank and the repeat.
        expected_best: Expected best validation error, in percent, by a name in ``COSTS`` and by engine, without engines
            that have no complete trial.
        baseline_test: Mean over repeats of the baseline's test error, in percent.
        baseline_validation_percent: Mean over studies of its validation error, in percent.
        test_openings: How often the test images were scored; copied runs count once.
        environments: What the trials ran on, each combination of versions and hardware once.
    """

    spec: ComparisonSpec
    comparison: Comparison
    studies: tuple[StudyResult, ...]
    expected_best: Mapping[str, Mapping[str, CurveBand]]
    baseline_test: Estimate | None
    baseline_validation_percent: float | None
    test_openings: int
    environments: tuple[Mapping[str, Any], ...]

    @property
    def first_header(self) -> StudyHeader | None:
        """Header of one of the studies, for what all share; None if none has begun."""
        return self.studies[0].header if self.studies else None

    def studies_of(self, engine: str) -> list[StudyResult]:
        """Returns an engine's studies by repeat."""
        return [study for study in self.studies if study.key.engine == engine]

    def difference_to_baseline(self, engine: str) -> Difference | None:
        """Returns the engine's test error minus the baseline's, repeat by repeat, in percentage points."""
        differences = [
            study.test_error_percent - study.baseline_error_percent
            for study in self.studies_of(engine)
            if study.test_error_percent is not None and study.baseline_error_percent is not None
        ]
        return paired_difference(differences) if differences else None

    def validation_error_percent(self, engine: str) -> float | None:
        """Returns the mean over repeats of the best trial's validation error, in percent."""
        return _mean(study.validation_error_percent for study in self.studies_of(engine))


def compute(spec: ComparisonSpec, runs: Mapping[RunKey, StudyRecord]) -> TrainedComparison:
    """Returns the result of the studies that have begun."""
    keys = sorted(runs, key=lambda key: (key.repeat, spec.engines.index(key.engine)))
    studies = [_study_result(key, runs[key], spec.replicates) for key in keys]
    scores = {
        engine: {
            study.key.repeat: study.test_error_percent
            for study in studies
            if study.key.engine == engine and study.test_error_percent is not None
        }
        for engine in spec.engines
    }
    comparison = rank(scores, TEST_ERROR, PAIRED_T)
    order = [result.engine for result in comparison.engines]
    # The studies of a repeat verify the baseline with the same seeds.
    baselines = {
        study.key.repeat: study.baseline_error_percent for study in studies if study.baseline_error_percent is not None
    }
    return TrainedComparison(
        spec=spec,
        comparison=comparison,
        studies=tuple(sorted(studies, key=lambda study: order.index(study.key.engine))),
        expected_best={name: _expected_best(spec, studies, cost) for name, cost in COSTS.items()},
        baseline_test=t_estimate(list(baselines.values()), within=TEST_ERROR.limits) if baselines else None,
        baseline_validation_percent=_mean(_baseline_validation(runs[key]) for key in keys),
        test_openings=sum(record.test_evaluations for record in runs.values()),
        environments=_distinct_environments(runs[key] for key in keys),
    )


def _study_result(key: RunKey, record: StudyRecord, replicates: int) -> StudyResult:
    outcomes = search_outcomes(record)
    trials = record.trials_in_phase(Phase.SEARCH)
    verified = {run.trial.source_trial for run in record.trials_in_phase(Phase.VERIFICATION)}
    best = min(
        filter(_is_complete, trials),
        key=lambda trial: (*validation_order(record.header.objective, trial), trial.trial.number not in verified),
        default=None,
    )
    baseline = next((trial for trial in trials if trial.trial.origin == BASELINE and trial.is_finished), None)
    return StudyResult(
        key=key,
        header=record.header,
        state_counts=Counter(trial.outcome.state.value if trial.outcome else UNFINISHED for trial in trials),
        epochs=sum(outcome.epochs_trained for outcome in outcomes),
        seconds=max((outcome.elapsed_seconds or 0.0 for outcome in outcomes), default=0.0),
        curve=best_error_curve(record),
        best=best,
        test_runs=_test_runs(record, best, replicates),
        baseline_runs=_test_runs(record, baseline, replicates),
    )


def _expected_best(
    spec: ComparisonSpec, studies: Iterable[StudyResult], cost: Callable[[CurvePoint], float]
) -> dict[str, CurveBand]:
    curves = {engine: [study.curve for study in studies if study.key.engine == engine] for engine in spec.engines}
    bands = {engine: expected_best_error(each, cost, repeats=spec.repeats) for engine, each in curves.items()}
    return {engine: band for engine, band in bands.items() if band}


def _test_runs(record: StudyRecord, source: TrialRecord | None, replicates: int) -> tuple[TrialRecord, ...]:
    """Returns the verification runs of a search trial; none before all of them have ended."""
    ended = [
        run
        for run in record.trials_in_phase(Phase.VERIFICATION)
        if source is not None and run.trial.source_trial == source.trial.number and run.is_finished
    ]
    return tuple(ended) if len({run.trial.replicate for run in ended}) >= replicates else ()


def _is_complete(record: TrialRecord) -> bool:
    outcome = record.outcome
    return outcome is not None and outcome.state is State.COMPLETE and outcome.error_percent is not None


def _error_percent(record: TrialRecord) -> float:
    assert record.outcome is not None and record.outcome.error_percent is not None
    return record.outcome.error_percent


def _errors_by_seed(runs: Iterable[TrialRecord]) -> dict[int, float]:
    return {run.trial.seed: _error_percent(run) for run in runs if _is_complete(run)}


def _baseline_validation(record: StudyRecord) -> float | None:
    trials = record.trials_in_phase(Phase.SEARCH)
    complete = (trial for trial in trials if trial.trial.origin == BASELINE and _is_complete(trial))
    return next(map(_error_percent, complete), None)


def _mean(values: Iterable[float | None]) -> float | None:
    available = [value for value in values if value is not None]
    return fmean(available) if available else None


def _distinct_environments(records: Iterable[StudyRecord]) -> tuple[Mapping[str, Any], ...]:
    """Returns each combination once, without what must not be published or differs in every run."""
    distinct: list[Mapping[str, Any]] = []
    for outcome in (trial.outcome for record in records for trial in record.trials if trial.outcome):
        environment = {name: value for name, value in outcome.environment.items() if name not in RUN_KEYS}
        if environment and environment not in distinct:
            distinct.append(environment)
    return tuple(distinct)
