"""Summary of a study: running and ended trials, the best so far, and the cost.

Pure, from a ``StudyRecord``; ``search.records.status`` adds which processes run the study. Called by the commands
``status`` and ``ls``.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from search.records.failures import FailureGroup, continuations, group_failures
from search.records.record import StudyHeader, StudyRecord, TrialRecord
from search.trial import BASELINE, Phase, State, Trial

FIT = "fit"
"""Part of a trial's seconds that the epochs of a killed worker count as."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnfinishedTrial:
    """A trial without an outcome: it runs, or its coordinator died.

    Args:
        trial: The trial.
        epoch: Epochs finished, restored ones included.
        error_percent: Error of the last scored epoch, in percent; None before the first.
        started: ISO 8601, UTC.
    """

    trial: Trial
    epoch: int
    error_percent: float | None
    started: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BestTrial:
    """The complete search trial with the lowest validation error that may be chosen; the first if several have it.

    Args:
        trial: The trial.
        error_percent: Its validation error, in percent.
        baseline_difference: Its difference to the baseline's, in percentage points; None before the baseline is
            complete.
    """

    trial: Trial
    error_percent: float
    baseline_difference: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedRuns:
    """The verification or reproduction runs of one configuration.

    Args:
        source_trial: Number of the search trial with its configuration; None in a reproduction.
        origin: Origin of that trial.
        is_short: Whether they are short trainings, as that trial.
        started: Number of runs; repeated attempts count once.
        complete: Number of complete runs.
        error_percent: Their mean test error, in percent; None if none is complete.
    """

    source_trial: int | None
    origin: str
    is_short: bool
    started: int
    complete: int
    error_percent: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySummary:
    """Summary of a study.

    Args:
        header: What the study is.
        running: Trials without an outcome.
        states: Search trials by how they ended.
        finished_short: Short search trials that have ended and will not be continued.
        continued_by: For paused and pruned search trials, the number of the trial that continued it.
        failures: Failed and interrupted trials, by cause.
        best: Best trial; None before a search trial is complete.
        baseline_error_percent: The baseline's validation error; None before it is complete.
        verified_runs: Verification and reproduction runs by configuration, in the order of their starts.
        test_openings: Evaluations on the test images, by what made them; see ``StudyRecord``.
        searched_after_opening: Search trials that began after the first of them; see ``StudyRecord``.
        epochs: Epochs trained by all trials, of every phase.
        spent_seconds: Wall-clock seconds of all sessions.
        exhausted_seconds: The largest time budget that was used up; 0 if none was.
        seconds_by_part: Seconds of the ended trials by part, such as "build", "fit" and "evaluate", over all workers.
        last_started: Start of the last trial, or of the study; ISO 8601, UTC.
    """

    header: StudyHeader
    running: tuple[UnfinishedTrial, ...]
    states: Mapping[State, int]
    finished_short: int
    continued_by: Mapping[int, int]
    failures: tuple[FailureGroup, ...]
    best: BestTrial | None
    baseline_error_percent: float | None
    verified_runs: tuple[VerifiedRuns, ...]
    test_openings: Mapping[str, int]
    searched_after_opening: int
    epochs: int
    spent_seconds: float
    exhausted_seconds: float
    seconds_by_part: Mapping[str, float]
    last_started: str

    @property
    def finished(self) -> int:
        """Number of search trials that have ended and will not be continued."""
        return sum(count for state, count in self.states.items() if state is not State.INTERRUPTED)


def summarize(study: StudyRecord) -> StudySummary:
    """Returns the summary of a study."""
    search_records = study.trials_in_phase(Phase.SEARCH)
    baseline_errors = [record.complete_error_percent for record in search_records if record.trial.origin == BASELINE]
    baseline_error = next((error for error in baseline_errors if error is not None), None)
    return StudySummary(
        header=study.header,
        running=tuple(_unfinished_trial(record) for record in study.trials if record.outcome is None),
        states=Counter(record.outcome.state for record in search_records if record.outcome),
        finished_short=sum(record.is_finished and record.trial.is_short for record in search_records),
        continued_by=_continued_by(study),
        failures=group_failures([study]),
        best=_best_trial(study, baseline_error),
        baseline_error_percent=baseline_error,
        verified_runs=_verified_runs(study),
        test_openings=study.test_openings,
        searched_after_opening=study.searched_after_opening,
        epochs=sum(not report.restored for record in study.trials for report in record.epochs_so_far),
        spent_seconds=study.spent_seconds,
        exhausted_seconds=study.exhausted_seconds,
        seconds_by_part=_seconds_by_part(study),
        last_started=max([study.header.created, *(run.started for run in study.runs)]),
    )


def _unfinished_trial(record: TrialRecord) -> UnfinishedTrial:
    errors = [report.error_percent for report in record.reports if report.error_percent is not None]
    return UnfinishedTrial(
        trial=record.trial,
        epoch=record.reports[-1].epoch if record.reports else 0,
        error_percent=errors[-1] if errors else None,
        started=record.started,
    )


def _continued_by(study: StudyRecord) -> dict[int, int]:
    continued_by = continuations(study)
    return {
        record.trial.number: continued_by[record.trial.key]
        for record in study.trials_in_phase(Phase.SEARCH)
        if record.outcome and record.outcome.state in (State.PAUSED, State.PRUNED) and record.trial.key in continued_by
    }


def _best_trial(study: StudyRecord, baseline_error: float | None) -> BestTrial | None:
    complete = [
        (error, record.trial)
        for record in study.trials_in_phase(Phase.SEARCH)
        if (error := record.complete_error_percent) is not None
        and record.outcome is not None
        and study.header.may_choose(record.outcome.parameter_count)
    ]
    if not complete:
        return None
    error, trial = min(complete, key=lambda pair: pair[0])
    return BestTrial(
        trial=trial, error_percent=error, baseline_difference=None if baseline_error is None else error - baseline_error
    )


def _verified_runs(study: StudyRecord) -> tuple[VerifiedRuns, ...]:
    groups: dict[tuple[Phase, int | None], list[TrialRecord]] = defaultdict(list)
    for record in (*study.trials_in_phase(Phase.VERIFICATION), *study.trials_in_phase(Phase.REPRODUCTION)):
        groups[record.trial.phase, record.trial.source_trial].append(record)
    return tuple(_summarize_runs(group) for group in groups.values())


def _summarize_runs(group: list[TrialRecord]) -> VerifiedRuns:
    errors = {record.trial.replicate: error for record in group if (error := record.complete_error_percent) is not None}
    return VerifiedRuns(
        source_trial=group[0].trial.source_trial,
        origin=group[0].trial.origin,
        is_short=group[0].trial.is_short,
        started=len({record.trial.replicate for record in group}),
        complete=len(errors),
        error_percent=fmean(errors.values()) if errors else None,
    )


def _seconds_by_part(study: StudyRecord) -> dict[str, float]:
    """Returns the seconds by part; the seconds of restored epochs count once."""
    previous_seconds: dict[tuple[Phase, str], Mapping[str, float]] = {}
    total: dict[str, float] = defaultdict(float)
    for record in study.trials:
        if record.outcome is None:
            continue
        training_key = (record.trial.phase, record.trial.training_key)
        is_continued = any(report.restored for report in record.epochs_so_far)
        restored_seconds = previous_seconds.get(training_key, {}) if is_continued else {}
        # A killed worker reports no seconds by part, but its epochs are recorded.
        trained = restored_seconds.get(FIT, 0.0) + record.outcome.seconds_trained
        seconds = record.outcome.seconds or {**restored_seconds, FIT: trained}
        for part, value in seconds.items():
            total[part] += max(0.0, value - restored_seconds.get(part, 0.0))
        previous_seconds[training_key] = seconds
    return dict(total)
