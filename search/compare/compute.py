"""From a tournament's recorded studies to a comparison.

Pure: reads ``ComparisonSpec`` and ``StudyRecord`` values and nothing else. Called by the command line; what it returns
goes to a
renderer.

    compute         engines by rank, pairs, what they ran on
      _run          one study: its winner, what it cost, its curve
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from search.compare.paired_tests import group_ties, paired_tests, rank_engines
from search.compare.results import Comparison, EnginePair, EngineResult, StudyResult
from search.compare.terms import ComparisonSpec, RepeatRecord
from search.leaderboard.board import UNFINISHED
from search.leaderboard.statistics import Difference, paired_difference, t_estimate
from search.records.curves import best_error_curve, search_outcomes
from search.records.record import COPIED_FROM_KEY, StudyRecord, TrialRecord
from search.trial import BASELINE, Phase, State

_PER_RUN_ENVIRONMENT_KEYS = frozenset({"host", "node", "pid", COPIED_FROM_KEY})
"""What a report, made to be published, does not repeat of a run's environment, or what says nothing of the rest."""


def compute(spec: ComparisonSpec, entries: Iterable[RepeatRecord]) -> Comparison:
    """Returns the comparison of the studies that have begun."""
    entries = sorted(entries, key=lambda entry: entry.repeat)
    studies = {
        engine: tuple(_study_result(entry, spec.replicates) for entry in entries if entry.engine == engine)
        for engine in spec.engines
    }
    test_errors = {engine: _test_errors_by_repeat(of_engine) for engine, of_engine in studies.items()}
    paired, ranked_engines = paired_tests(test_errors), rank_engines(test_errors)
    tie_groups = group_ties(ranked_engines, paired)
    unranked = [engine for engine in spec.engines if engine not in ranked_engines]
    baselines = _baseline_errors_by_repeat(run for of_engine in studies.values() for run in of_engine)
    return Comparison(
        spec=spec,
        engine_results=tuple(
            _engine_result(engine, studies[engine], tie_groups, paired) for engine in (*ranked_engines, *unranked)
        ),
        pairs=paired,
        baseline_test=t_estimate(list(baselines.values())) if baselines else None,
        baseline_validation_percent=_mean_of_available(_baseline_validation(entry.record) for entry in entries),
        test_openings=sum(entry.record.test_evaluations for entry in entries),
        environments=tuple(_distinct_environments(entry.record for entry in entries)),
    )


def _study_result(entry: RepeatRecord, replicates: int) -> StudyResult:
    record = entry.record
    outcomes = search_outcomes(record)
    completed = [
        known
        for known in record.trials_in_phase(Phase.SEARCH)
        if known.outcome and known.outcome.state is State.COMPLETE and known.outcome.error_percent is not None
    ]
    verified = {
        known.trial.source_trial for known in record.trials_in_phase(Phase.VERIFICATION)
    }  # decides between equal errors
    best = min(
        completed, key=lambda known: (_validation_error(known), known.trial.number not in verified), default=None
    )
    baseline = next((known for known in _search_trials(record, BASELINE) if known.is_finished), None)
    best_runs, baseline_runs = (_test_runs(record, known, replicates) for known in (best, baseline))
    return StudyResult(
        repeat=entry.repeat,
        header=record.header,
        state_counts=Counter(
            known.outcome.state.value if known.outcome else UNFINISHED for known in record.trials_in_phase(Phase.SEARCH)
        ),
        epochs=sum(outcome.epochs_trained for outcome in outcomes),
        seconds=max((outcome.elapsed_seconds or 0.0 for outcome in outcomes), default=0.0),
        curve=best_error_curve(record),
        best_trial=best.trial.number if best else None,
        best_origin=best.trial.origin if best else "",
        best_config=best.trial.config if best else {},
        validation_error_percent=_validation_error(best) if best else None,
        is_verified=bool(best_runs),
        test_errors=_test_errors_by_seed(best_runs),
        test_failures=len(best_runs) - len(_test_errors_by_seed(best_runs)),
        baseline_errors=_test_errors_by_seed(baseline_runs),
    )


def _test_runs(record: StudyRecord, source: TrialRecord | None, replicates: int) -> list[TrialRecord]:
    """Returns the verification runs of a search trial; none before all of them have ended."""
    if source is None:
        return []
    runs = [
        known for known in record.trials_in_phase(Phase.VERIFICATION) if known.trial.source_trial == source.trial.number
    ]
    ended = [known for known in runs if known.is_finished]
    return ended if len({known.trial.replicate for known in ended}) >= replicates else []


def _test_errors_by_seed(runs: Iterable[TrialRecord]) -> dict[int, float]:
    return {
        known.trial.seed: known.outcome.error_percent
        for known in runs
        if known.outcome and known.outcome.state is State.COMPLETE and known.outcome.error_percent is not None
    }


def _engine_result(
    engine: str, studies: tuple[StudyResult, ...], tie_groups: Sequence[Sequence[str]], paired: Sequence[EnginePair]
) -> EngineResult:
    errors = _test_errors_by_repeat(studies)
    tie_group = next((group for group in tie_groups if engine in group), None)
    best = tie_groups[0][0] if tie_groups else None
    return EngineResult(
        engine=engine,
        studies=studies,
        test=t_estimate(list(errors.values())) if errors else None,
        difference_to_baseline=_difference_to_baseline(studies),
        rank=1 + sum(len(before) for before in tie_groups[: tie_groups.index(tie_group)])
        if tie_group is not None
        else None,
        ties=len(tie_group) - 1 if tie_group is not None else 0,
        pair_with_best=next((pair for pair in paired if pair.first == best and pair.second == engine), None),
    )


def _difference_to_baseline(studies: Iterable[StudyResult]) -> Difference | None:
    differences = [
        run.test_error_percent - run.baseline_error_percent
        for run in studies
        if run.test_error_percent is not None and run.baseline_error_percent is not None
    ]
    return paired_difference(differences) if differences else None


def _test_errors_by_repeat(studies: Iterable[StudyResult]) -> dict[int, float]:
    return {run.repeat: run.test_error_percent for run in studies if run.test_error_percent is not None}


def _baseline_errors_by_repeat(studies: Iterable[StudyResult]) -> dict[int, float]:
    """Returns the baseline's mean test error by repeat; the studies of a repeat give it the same seeds."""
    return {run.repeat: run.baseline_error_percent for run in studies if run.baseline_error_percent is not None}


def _search_trials(record: StudyRecord, origin: str) -> list[TrialRecord]:
    return [known for known in record.trials_in_phase(Phase.SEARCH) if known.trial.origin == origin]


def _baseline_validation(record: StudyRecord) -> float | None:
    complete = (known.outcome for known in _search_trials(record, BASELINE) if known.outcome)
    return next((outcome.error_percent for outcome in complete if outcome.state is State.COMPLETE), None)


def _mean_of_available(values: Iterable[float | None]) -> float | None:
    available = [value for value in values if value is not None]
    return fmean(available) if available else None


def _validation_error(record: TrialRecord) -> float:
    assert record.outcome is not None and record.outcome.error_percent is not None
    return record.outcome.error_percent


def _distinct_environments(records: Iterable[StudyRecord]) -> Iterator[Mapping[str, Any]]:
    seen: list[Mapping[str, Any]] = []
    for record in records:
        for known in record.trials:
            whole = known.outcome.environment if known.outcome else {}
            public = {name: value for name, value in whole.items() if name not in _PER_RUN_ENVIRONMENT_KEYS}
            if public and public not in seen:
                seen.append(public)
                yield public
