"""Overview: where a study stands, as values: what runs, what ended and how, the best so far, and what it cost.

Pure, from a ``StudyRecord`` alone; whether anybody runs the study now is not in it
(``search.records.coordinator`` says so). Called by the commands ``status`` and ``ls``.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from search.records.failures import Failure, failures, taken_up
from search.records.record import StudyHeader, StudyRecord, TrialRecord
from search.trial import BASELINE, EpochReport, Phase, State, Trial, identity

FIT = "fit"
"""The part of a trial's seconds that a killed worker's epochs are counted under: nobody recorded theirs apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
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
class Best:
    """The complete search trial with the lowest validation error, the first of several.

    Args:
        trial: Which one.
        error_percent: Its validation error, in percent.
        to_baseline: Its difference to the baseline's, in percentage points; None before the baseline is complete.
    """

    trial: Trial
    error_percent: float
    to_baseline: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """The runs of one configuration on the test images.

    Args:
        of: Number of the search trial whose configuration it is; None in a reproduction.
        origin: Where that one came from.
        begun: Runs, each repeat counted once.
        complete: Those that gave a figure.
        error_percent: Their mean test error, in percent; None where there is none yet.
    """

    of: int | None
    origin: str
    begun: int
    complete: int
    error_percent: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """Where a study stands.

    Args:
        header: What the study is.
        begun: Trials without an outcome.
        states: Search trials by how they ended.
        gone_on: Of paused and pruned search trials, the number of the one that went on from it.
        failures: What failed or was interrupted, by cause.
        best: None before a search trial is complete.
        baseline_percent: The baseline's validation error; None before it is complete.
        tested: Verification or reproduction so far, in the order it was begun.
        epochs: Epochs trained by all trials, of every phase.
        spent_seconds: Wall-clock seconds of all sessions.
        exhausted_seconds: The largest time budget that was used as far as it goes; 0 where none was.
        parts: Seconds of the ended trials by part, such as "build", "fit" and "evaluate", over all workers.
        last_begun: When the last trial was begun, or the study; ISO 8601, UTC.
    """

    header: StudyHeader
    begun: tuple[Begun, ...]
    states: Mapping[State, int]
    gone_on: Mapping[int, int]
    failures: tuple[Failure, ...]
    best: Best | None
    baseline_percent: float | None
    tested: tuple[Tested, ...]
    epochs: int
    spent_seconds: float
    exhausted_seconds: float
    parts: Mapping[str, float]
    last_begun: str

    @property
    def settled(self) -> int:
        """Search trials that came to their own end."""
        return sum(count for state, count in self.states.items() if state is not State.INTERRUPTED)


def overview(study: StudyRecord) -> Overview:
    """Returns where a study stands."""
    searched = study.phase(Phase.SEARCH)
    outcomes = [known.outcome for known in study.trials if known.outcome]
    running = [known for known in study.trials if known.outcome is None]
    baseline = _baseline(study)
    return Overview(
        header=study.header,
        begun=tuple(map(_begun, running)),
        states=Counter(known.outcome.state for known in searched if known.outcome),
        gone_on=_gone_on(study),
        failures=failures([study]),
        best=_best(study, baseline),
        baseline_percent=baseline,
        tested=_tested(study),
        epochs=sum(outcome.epochs_trained for outcome in outcomes) + sum(map(_trained, running)),
        spent_seconds=study.spent_seconds,
        exhausted_seconds=study.exhausted_seconds,
        parts=_parts(study),
        last_begun=max([study.header.created, *(known.started for known in study.trials)]),
    )


def _begun(known: TrialRecord) -> Begun:
    scored = [report.error_percent for report in known.reports if report.error_percent is not None]
    return Begun(
        trial=known.trial,
        epoch=known.reports[-1].epoch if known.reports else 0,
        error_percent=scored[-1] if scored else None,
        started=known.started,
    )


def _trained(known: TrialRecord) -> int:
    return sum(not report.restored for report in known.reports)


def _gone_on(study: StudyRecord) -> dict[int, int]:
    again = taken_up(study)
    return {
        known.trial.number: again[known.trial.key]
        for known in study.phase(Phase.SEARCH)
        if known.outcome and known.outcome.state in (State.PAUSED, State.PRUNED) and known.trial.key in again
    }


def _complete(study: StudyRecord) -> list[tuple[float, Trial]]:
    return [
        (known.outcome.error_percent, known.trial)
        for known in study.phase(Phase.SEARCH)
        if known.outcome and known.outcome.state is State.COMPLETE and known.outcome.error_percent is not None
    ]


def _baseline(study: StudyRecord) -> float | None:
    return next((error for error, trial in _complete(study) if trial.origin == BASELINE), None)


def _best(study: StudyRecord, baseline: float | None) -> Best | None:
    complete = _complete(study)
    if not complete:
        return None
    error, trial = min(complete, key=lambda one: one[0])
    return Best(trial=trial, error_percent=error, to_baseline=None if baseline is None else error - baseline)


def _tested(study: StudyRecord) -> tuple[Tested, ...]:
    groups: dict[tuple[Phase, int | None], list[TrialRecord]] = defaultdict(list)
    for known in (*study.phase(Phase.VERIFICATION), *study.phase(Phase.REPRODUCTION)):
        groups[known.trial.phase, known.trial.of].append(known)
    return tuple(_tested_one(group) for group in groups.values())


def _tested_one(group: list[TrialRecord]) -> Tested:
    errors = {
        known.trial.replicate: known.outcome.error_percent
        for known in group
        if known.outcome and known.outcome.state is State.COMPLETE
    }
    figures = [error for error in errors.values() if error is not None]
    return Tested(
        of=group[0].trial.of,
        origin=group[0].trial.origin,
        begun=len({known.trial.replicate for known in group}),
        complete=len(figures),
        error_percent=fmean(figures) if figures else None,
    )


def _parts(study: StudyRecord) -> dict[str, float]:
    """Returns the seconds by part; what a trial came with from the one that it went on from is counted once."""
    before: dict[tuple[Phase, int, str], Mapping[str, float]] = {}
    total: dict[str, float] = defaultdict(float)
    for known in study.trials:
        if known.outcome is None:
            continue
        training = (known.trial.phase, known.trial.seed, identity(known.trial.config))
        came_with = before.get(training, {}) if _is_restored(known.outcome.history) else {}
        # A killed worker takes its account along; its epochs are known, and they were its own.
        trained = came_with.get(FIT, 0.0) + known.outcome.seconds_trained
        seconds = known.outcome.seconds or {**came_with, FIT: trained}
        for part, value in seconds.items():
            total[part] += max(0.0, value - came_with.get(part, 0.0))
        before[training] = seconds
    return dict(total)


def _is_restored(history: tuple[EpochReport, ...]) -> bool:
    return any(report.restored for report in history)
