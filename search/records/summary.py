"""Overview: where a study stands, as values: what runs, what ended and how, the best so far, and what it cost.

Pure, from a ``StudyRecord`` alone; whether anybody runs the study now is not in it
(``search.records.storage.process_identity`` says so). Called by the commands ``status`` and ``ls``.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from search.records.failures import FailureGroup, continuations, group_failures
from search.records.record import StudyHeader, StudyRecord, TrialRecord
from search.trial import BASELINE, EpochReport, Phase, State, Trial

FIT = "fit"
"""The part of a trial's seconds that a killed worker's epochs are counted under: nobody recorded theirs apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningTrial:
    """A trial without an outcome: it runs, or its coordinator died.

    Args:
        trial: What is run.
        epoch: Epochs finished, those that it came with included.
        error_percent: After the last scored epoch, in percent; None before the first.
        started: ISO 8601, UTC.
    """

    trial: Trial
    epoch: int
    error_percent: float | None
    started: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BestTrial:
    """The complete search trial with the lowest validation error, the first of several.

    Args:
        trial: Which one.
        error_percent: Its validation error, in percent.
        baseline_difference: Its difference to the baseline's, in percentage points; None before the baseline is
            complete.
    """

    trial: Trial
    error_percent: float
    baseline_difference: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedRuns:
    """The runs of one configuration on the test images.

    Args:
        source_trial: Number of the search trial whose configuration it is; None in a reproduction.
        origin: Where that one came from.
        started: Runs, each repeat counted once.
        complete: Those that gave a figure.
        error_percent: Their mean test error, in percent; None where there is none yet.
    """

    source_trial: int | None
    origin: str
    started: int
    complete: int
    error_percent: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySummary:
    """Where a study stands.

    Args:
        header: What the study is.
        running: Trials without an outcome.
        states: Search trials by how they ended.
        continued_by: Of paused and pruned search trials, the number of the one that went on from it.
        failures: What failed or was interrupted, by cause.
        best: None before a search trial is complete.
        baseline_error_percent: The baseline's validation error; None before it is complete.
        verified_runs: Verification or reproduction so far, in the order it was begun.
        epochs: Epochs trained by all trials, of every phase.
        spent_seconds: Wall-clock seconds of all sessions.
        exhausted_seconds: The largest time budget that was used as far as it goes; 0 where none was.
        seconds_by_part: Seconds of the ended trials by part, such as "build", "fit" and "evaluate", over all workers.
        last_started: When the last trial was begun, or the study; ISO 8601, UTC.
    """

    header: StudyHeader
    running: tuple[RunningTrial, ...]
    states: Mapping[State, int]
    continued_by: Mapping[int, int]
    failures: tuple[FailureGroup, ...]
    best: BestTrial | None
    baseline_error_percent: float | None
    verified_runs: tuple[VerifiedRuns, ...]
    epochs: int
    spent_seconds: float
    exhausted_seconds: float
    seconds_by_part: Mapping[str, float]
    last_started: str

    @property
    def finished(self) -> int:
        """Search trials that came to their own end."""
        return sum(count for state, count in self.states.items() if state is not State.INTERRUPTED)


def summarize(study: StudyRecord) -> StudySummary:
    """Returns where a study stands."""
    search_records = study.trials_in_phase(Phase.SEARCH)
    outcomes = [known.outcome for known in study.trials if known.outcome]
    running_records = [known for known in study.trials if known.outcome is None]
    baseline_error = _baseline_error(study)
    return StudySummary(
        header=study.header,
        running=tuple(map(_running_trial, running_records)),
        states=Counter(known.outcome.state for known in search_records if known.outcome),
        continued_by=_continued_by(study),
        failures=group_failures([study]),
        best=_best_trial(study, baseline_error),
        baseline_error_percent=baseline_error,
        verified_runs=_verified_runs(study),
        epochs=sum(outcome.epochs_trained for outcome in outcomes) + sum(map(_trained_epochs, running_records)),
        spent_seconds=study.spent_seconds,
        exhausted_seconds=study.exhausted_seconds,
        seconds_by_part=_seconds_by_part(study),
        last_started=max([study.header.created, *(run.started for run in study.runs)]),
    )


def _running_trial(record: TrialRecord) -> RunningTrial:
    errors = [report.error_percent for report in record.reports if report.error_percent is not None]
    return RunningTrial(
        trial=record.trial,
        epoch=record.reports[-1].epoch if record.reports else 0,
        error_percent=errors[-1] if errors else None,
        started=record.started,
    )


def _trained_epochs(record: TrialRecord) -> int:
    return sum(not report.restored for report in record.reports)


def _continued_by(study: StudyRecord) -> dict[int, int]:
    continued_by = continuations(study)
    return {
        known.trial.number: continued_by[known.trial.key]
        for known in study.trials_in_phase(Phase.SEARCH)
        if known.outcome and known.outcome.state in (State.PAUSED, State.PRUNED) and known.trial.key in continued_by
    }


def _complete_trials(study: StudyRecord) -> list[tuple[float, Trial]]:
    return [
        (known.outcome.error_percent, known.trial)
        for known in study.trials_in_phase(Phase.SEARCH)
        if known.outcome and known.outcome.state is State.COMPLETE and known.outcome.error_percent is not None
    ]


def _baseline_error(study: StudyRecord) -> float | None:
    return next((error for error, trial in _complete_trials(study) if trial.origin == BASELINE), None)


def _best_trial(study: StudyRecord, baseline_error: float | None) -> BestTrial | None:
    complete = _complete_trials(study)
    if not complete:
        return None
    error, trial = min(complete, key=lambda one: one[0])
    return BestTrial(
        trial=trial, error_percent=error, baseline_difference=None if baseline_error is None else error - baseline_error
    )


def _verified_runs(study: StudyRecord) -> tuple[VerifiedRuns, ...]:
    groups: dict[tuple[Phase, int | None], list[TrialRecord]] = defaultdict(list)
    for record in (*study.trials_in_phase(Phase.VERIFICATION), *study.trials_in_phase(Phase.REPRODUCTION)):
        groups[record.trial.phase, record.trial.source_trial].append(record)
    return tuple(_summarize_runs(group) for group in groups.values())


def _summarize_runs(group: list[TrialRecord]) -> VerifiedRuns:
    errors = {
        known.trial.replicate: known.outcome.error_percent
        for known in group
        if known.outcome and known.outcome.state is State.COMPLETE
    }
    known_errors = [error for error in errors.values() if error is not None]
    return VerifiedRuns(
        source_trial=group[0].trial.source_trial,
        origin=group[0].trial.origin,
        started=len({known.trial.replicate for known in group}),
        complete=len(known_errors),
        error_percent=fmean(known_errors) if known_errors else None,
    )


def _seconds_by_part(study: StudyRecord) -> dict[str, float]:
    """Returns the seconds by part; what a trial came with from the one that it went on from is counted once."""
    previous_seconds: dict[tuple[Phase, tuple[str, int]], Mapping[str, float]] = {}
    total: dict[str, float] = defaultdict(float)
    for record in study.trials:
        if record.outcome is None:
            continue
        training_key = (record.trial.phase, record.trial.training_key)
        restored_seconds = (
            previous_seconds.get(training_key, {}) if _has_restored_epochs(record.outcome.history) else {}
        )
        # A killed worker takes its account along; its epochs are known, and they were its own.
        trained = restored_seconds.get(FIT, 0.0) + record.outcome.seconds_trained
        seconds = record.outcome.seconds or {**restored_seconds, FIT: trained}
        for part, value in seconds.items():
            total[part] += max(0.0, value - restored_seconds.get(part, 0.0))
        previous_seconds[training_key] = seconds
    return dict(total)


def _has_restored_epochs(history: tuple[EpochReport, ...]) -> bool:
    return any(report.restored for report in history)
