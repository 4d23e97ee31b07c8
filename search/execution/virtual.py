"""An executor on a virtual clock: it trains nothing; a function returns the course of each trial.

Used to compare engines on tables of finished trainings (``search.compare.tabular``) and in tests of the loop. It never
sleeps, so a thousand workers cost no more than their events. Events at the same instant come in the order of
submission, so the same trials give the same events at every run.
"""

from __future__ import annotations

import dataclasses
import heapq
import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from search.execution.base import Event, Executor, Finished, Reported, TrialKey
from search.trial import (
    NO_FILES,
    Cause,
    EpochReport,
    Outcome,
    Phase,
    State,
    Trial,
    TrialFiles,
    completed_state,
    final_metrics,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedEpoch:
    """One epoch of a simulated trial.

    Args:
        error_percent: Error after it, in percent; None if the epoch is not scored.
        calibrated_loss: Calibrated loss after it; None if it is not known.
        seconds: Virtual seconds that it takes, 0 or more.
    """

    error_percent: float | None
    calibrated_loss: float | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedTrial:
    """The course of a trial that is not stopped.

    Args:
        epochs: Its epochs from the first; those beyond the trial's last epoch do not happen.
        failure_cause: Why it fails after these epochs; None if they reach the trial's last epoch.
        message: The failure in words.
    """

    epochs: tuple[SimulatedEpoch, ...]
    failure_cause: Cause | None = None
    message: str = ""


@dataclass(slots=True, kw_only=True)
class _RunningSimulation:
    """A running trial.

    Args:
        trial: The trial.
        simulation: Its course.
        submission_index: Breaks ties between trials at the same time.
        upcoming: Reports to come, each with the seconds before it.
        history: Reports delivered.
        event_id: The scheduled event that counts; others were cancelled.
        cancel_cause: Why it must stop; None if it was not cancelled.
    """

    trial: Trial
    simulation: SimulatedTrial
    submission_index: int
    upcoming: deque[tuple[float, EpochReport]]
    history: list[EpochReport] = field(default_factory=list)
    event_id: int = 0
    cancel_cause: Cause | None = None


class VirtualExecutor(Executor):
    """Simulates trials on a virtual clock.

    Args:
        simulate: Returns the course of a trial; called when the trial is submitted.
        slots: Trials at a time.
    """

    def __init__(self, simulate: Callable[[Trial], SimulatedTrial], *, slots: int = 1) -> None:
        self._simulate, self._slots = simulate, slots
        self._runs: dict[TrialKey, _RunningSimulation] = {}
        self._trials: dict[TrialKey, Trial] = {}
        self._paused_histories: dict[TrialKey, tuple[EpochReport, ...]] = {}
        self._queue: list[tuple[float, int, int, TrialKey]] = []  # due, submission index, event id, trial
        self._event_count = self._submission_count = 0
        self._now = 0.0
        self._is_closed = False

    @property
    def now(self) -> float:
        """The virtual time in seconds, from 0."""
        return self._now

    @property
    def slots(self) -> int:
        """How many trials may run at once."""
        return self._slots

    @property
    def running(self) -> Mapping[TrialKey, Trial]:
        """The trials that were submitted and have not finished."""
        return MappingProxyType(self._trials)

    def submit(self, trial: Trial, files: TrialFiles = NO_FILES) -> None:
        """Starts a trial now; a child resumes from its parent if the parent paused here, and otherwise starts over."""
        assert not self._is_closed, "submitted to a closed executor"
        assert len(self._runs) < self._slots, f"all {self._slots} slots are taken"
        assert trial.key not in self._runs, f"{trial.key} runs already"
        simulation = self._simulate(trial)
        assert simulation.failure_cause or len(simulation.epochs) >= trial.last_epoch, (
            f"the simulation of {trial.key} ends too early"
        )
        run = _RunningSimulation(
            trial=trial,
            simulation=simulation,
            submission_index=self._submission_count,
            upcoming=deque(self._reports_of(trial, simulation)),
        )
        self._runs[trial.key], self._trials[trial.key] = run, trial
        self._submission_count += 1
        self._schedule(run, self._now + self._seconds_to_next(run))

    def advance(self, seconds: float) -> None:
        """Moves the clock by the caller's own time, in which trials continue and slots may be empty.

        Args:
            seconds: Virtual seconds; events due in them are collected late.
        """
        self._now += seconds

    def collect(self, timeout: float) -> list[Event]:
        """Moves the clock to the next event and returns it; returns nothing if no trial runs."""
        while self._queue:
            due, _, event_id, key = heapq.heappop(self._queue)
            run = self._runs.get(key)
            if run is not None and run.event_id == event_id:  # else it was rescheduled
                self._now = max(self._now, due)
                return [self._deliver(run, due)]
        return []

    def cancel(self, key: TrialKey, cause: Cause) -> None:
        """Stops a running trial now; the first cause counts."""
        run = self._runs[key]
        if run.cancel_cause is None:
            run.cancel_cause = cause
            self._schedule(run, self._now)

    def close(self) -> None:
        """Drops all trials; nothing can be submitted any more."""
        self._is_closed = True
        for container in (self._runs, self._trials, self._paused_histories):
            container.clear()
        self._queue.clear()

    def _reports_of(self, trial: Trial, simulation: SimulatedTrial) -> list[tuple[float, EpochReport]]:
        """Returns the reports of a trial, each with the seconds before it: none before those that a child restores."""
        history = () if trial.parent is None else self._paused_histories.get((Phase.SEARCH, trial.parent), ())
        restored = [(0.0, dataclasses.replace(report, restored=True)) for report in history]
        epochs = list(enumerate(simulation.epochs[: trial.last_epoch], start=1))[len(restored) :]
        return restored + [(epoch.seconds, _report_of(number, epoch)) for number, epoch in epochs]

    def _seconds_to_next(self, run: _RunningSimulation) -> float:
        return run.upcoming[0][0] if run.upcoming else 0.0

    def _schedule(self, run: _RunningSimulation, due: float) -> None:
        """Schedules the trial's next event, in place of one that was scheduled before."""
        self._event_count += 1
        run.event_id = self._event_count
        heapq.heappush(self._queue, (due, run.submission_index, run.event_id, run.trial.key))

    def _deliver(self, run: _RunningSimulation, due: float) -> Event:
        """Returns the trial's event that was due at a time, now or earlier."""
        key = run.trial.key
        if run.upcoming and run.cancel_cause is None:
            _, report = run.upcoming.popleft()
            run.history.append(report)
            self._schedule(run, due + self._seconds_to_next(run))
            return Reported(key, report)
        del self._runs[key], self._trials[key]
        outcome = _outcome_of(run)
        if outcome.state is State.PAUSED or len(outcome.history) in run.trial.rungs:
            self._paused_histories[key] = outcome.history
        return Finished(key, outcome)


def _report_of(epoch: int, epoch_result: SimulatedEpoch) -> EpochReport:
    simulated = {"error_percent": epoch_result.error_percent, "calibrated_loss": epoch_result.calibrated_loss}
    metrics = {name: value for name, value in simulated.items() if value is not None}
    # A simulated trial has no training loss; 0 would be a claim.
    return EpochReport(epoch=epoch, training_loss=math.nan, metrics=metrics, seconds=epoch_result.seconds)


def _outcome_of(run: _RunningSimulation) -> Outcome:
    state, cause, message = completed_state(run.trial), run.cancel_cause, ""
    if run.cancel_cause is not None:
        state, message = State.INTERRUPTED, run.cancel_cause.value
    elif len(run.history) < run.trial.last_epoch:
        state, cause, message = State.FAILED, run.simulation.failure_cause, run.simulation.message
    return Outcome(
        state=state,
        metrics=final_metrics(run.history),
        history=tuple(run.history),
        seconds={"fit": sum(report.seconds for report in run.history)},
        cause=cause,
        message=message,
    )
