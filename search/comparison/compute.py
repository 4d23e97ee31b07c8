"""From a tournament's recorded studies to a comparison.

Pure: reads ``Rules`` and ``StudyRecord`` values and nothing else. Called by the command line; what it returns goes to a
renderer.

    compute         engines by rank, pairs, what they ran on
      _run          one study: its winner, what it cost, its curve
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from search.comparison.curves import best_so_far, ended
from search.comparison.pairs import groups, pairs, ranking
from search.comparison.results import Comparison, Entrant, Pair, Run
from search.comparison.rules import Entry, Rules
from search.leaderboard.board import UNFINISHED
from search.leaderboard.statistics import Difference, estimate, paired_difference
from search.records.record import COPIED_FROM, StudyRecord, TrialRecord
from search.trial import BASELINE, Phase, State

_OF_ONE_RUN = frozenset({"host", "node", "pid", COPIED_FROM})
"""What a report, made to be published, does not repeat of a run's environment, or what says nothing of the rest."""


def compute(rules: Rules, entries: Iterable[Entry]) -> Comparison:
    """Returns the comparison of the studies that have begun."""
    entries = sorted(entries, key=lambda entry: entry.repeat)
    runs = {
        engine: tuple(_run(entry, rules.replicates) for entry in entries if entry.engine == engine)
        for engine in rules.engines
    }
    errors = {engine: _errors(of_engine) for engine, of_engine in runs.items()}
    tested, order = pairs(errors), ranking(errors)
    places = groups(order, tested)
    unranked = [engine for engine in rules.engines if engine not in order]
    baselines = _baselines(run for of_engine in runs.values() for run in of_engine)
    return Comparison(
        rules=rules,
        entrants=tuple(_entrant(engine, runs[engine], places, tested) for engine in (*order, *unranked)),
        pairs=tested,
        baseline=estimate(list(baselines.values())) if baselines else None,
        baseline_validation_percent=_mean(_baseline_validation(entry.record) for entry in entries),
        test_openings=sum(entry.record.test_openings for entry in entries),
        environments=tuple(_environments(entry.record for entry in entries)),
    )


def _run(entry: Entry, replicates: int) -> Run:
    record = entry.record
    outcomes = ended(record)
    complete = [
        known
        for known in record.phase(Phase.SEARCH)
        if known.outcome and known.outcome.state is State.COMPLETE and known.outcome.error_percent is not None
    ]
    verified = {known.trial.of for known in record.phase(Phase.VERIFICATION)}  # decides between equal errors
    winner = min(
        complete, key=lambda known: (_validation_error(known), known.trial.number not in verified), default=None
    )
    baseline = next((known for known in _searched(record, BASELINE) if known.is_settled), None)
    tested, of_baseline = (_test_runs(record, known, replicates) for known in (winner, baseline))
    return Run(
        repeat=entry.repeat,
        study=record.header,
        states=Counter(
            known.outcome.state.value if known.outcome else UNFINISHED for known in record.phase(Phase.SEARCH)
        ),
        epochs=sum(outcome.epochs_trained for outcome in outcomes),
        seconds=max((outcome.at_seconds or 0.0 for outcome in outcomes), default=0.0),
        curve=best_so_far(record),
        winner=winner.trial.number if winner else None,
        origin=winner.trial.origin if winner else "",
        config=winner.trial.config if winner else {},
        validation_error_percent=_validation_error(winner) if winner else None,
        is_verified=bool(tested),
        test_errors=_errors_by_seed(tested),
        test_failures=len(tested) - len(_errors_by_seed(tested)),
        baseline_errors=_errors_by_seed(of_baseline),
    )


def _test_runs(record: StudyRecord, of: TrialRecord | None, replicates: int) -> list[TrialRecord]:
    """Returns the verification runs of a search trial; none before all of them have ended."""
    if of is None:
        return []
    runs = [known for known in record.phase(Phase.VERIFICATION) if known.trial.of == of.trial.number]
    over = [known for known in runs if known.is_settled]
    return over if len({known.trial.replicate for known in over}) >= replicates else []


def _errors_by_seed(runs: Iterable[TrialRecord]) -> dict[int, float]:
    return {
        known.trial.seed: known.outcome.error_percent
        for known in runs
        if known.outcome and known.outcome.state is State.COMPLETE and known.outcome.error_percent is not None
    }


def _entrant(engine: str, runs: tuple[Run, ...], places: Sequence[Sequence[str]], tested: Sequence[Pair]) -> Entrant:
    errors = _errors(runs)
    group = next((group for group in places if engine in group), None)
    best = places[0][0] if places else None
    return Entrant(
        engine=engine,
        runs=runs,
        test=estimate(list(errors.values())) if errors else None,
        to_baseline=_to_baseline(runs),
        rank=1 + sum(len(before) for before in places[: places.index(group)]) if group is not None else None,
        ties=len(group) - 1 if group is not None else 0,
        to_best=next((pair for pair in tested if pair.first == best and pair.second == engine), None),
    )


def _to_baseline(runs: Iterable[Run]) -> Difference | None:
    gaps = [
        run.test_error_percent - run.baseline_error_percent
        for run in runs
        if run.test_error_percent is not None and run.baseline_error_percent is not None
    ]
    return paired_difference(gaps) if gaps else None


def _errors(runs: Iterable[Run]) -> dict[int, float]:
    return {run.repeat: run.test_error_percent for run in runs if run.test_error_percent is not None}


def _baselines(runs: Iterable[Run]) -> dict[int, float]:
    """Returns the baseline's mean test error by repeat; the studies of a repeat give it the same seeds."""
    return {run.repeat: run.baseline_error_percent for run in runs if run.baseline_error_percent is not None}


def _searched(record: StudyRecord, origin: str) -> list[TrialRecord]:
    return [known for known in record.phase(Phase.SEARCH) if known.trial.origin == origin]


def _baseline_validation(record: StudyRecord) -> float | None:
    complete = (known.outcome for known in _searched(record, BASELINE) if known.outcome)
    return next((outcome.error_percent for outcome in complete if outcome.state is State.COMPLETE), None)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _validation_error(known: TrialRecord) -> float:
    assert known.outcome is not None and known.outcome.error_percent is not None
    return known.outcome.error_percent


def _environments(records: Iterable[StudyRecord]) -> Iterator[Mapping[str, Any]]:
    seen: list[Mapping[str, Any]] = []
    for record in records:
        for known in record.trials:
            whole = known.outcome.environment if known.outcome else {}
            shown = {name: value for name, value in whole.items() if name not in _OF_ONE_RUN}
            if shown and shown not in seen:
                seen.append(shown)
                yield shown
