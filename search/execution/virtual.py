"""An executor on a virtual clock: it trains nothing, and plays what a function says of each trial, in order of time.

For engines that are compared on tables of finished trainings (``search.arena``), for studies played again
(``search.execution.replay``), and for tests of what stands above executors: a thousand workers cost no more than their
events. It never sleeps, and events at the same instant come in the order of submission, so the same trials give the
same events at every run. Knows no engine, no table and no record.
"""

from __future__ import annotations

import dataclasses
import heapq
import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from search.execution.base import Capabilities, Event, Executor, Finished, Key, Reported
from search.trial import Cause, EpochReport, Outcome, Phase, State, Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One epoch of a course.

    Args:
        error_percent: Error after it, in percent; None where the epoch is not scored.
        seconds: Virtual seconds that it takes, 0 or more.
    """

    error_percent: float | None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What happens to a trial that nothing stops.

    Args:
        steps: One an epoch, from the first; those beyond the trial's last epoch do not happen.
        failure: Why it fails in the epoch after its steps; None where there are steps enough.
        message: The failure in words.
    """

    steps: tuple[Step, ...]
    failure: Cause | None = None
    message: str = ""


@dataclass(slots=True, kw_only=True)
class _Run:
    """A running trial: its reports to come, each with the seconds before it, and those that came."""

    trial: Trial
    course: Course
    order: int
    coming: deque[tuple[float, EpochReport]]
    history: list[EpochReport] = field(default_factory=list)
    ticket: int = 0
    cancelled: Cause | None = None


class VirtualExecutor(Executor):
    """Plays trials on a clock of its own.

    Args:
        course: Says what happens to a trial; asked once for each, when it is submitted.
        slots: Trials at a time.
    """

    capabilities = Capabilities(survives_worker_death=True, ordered=True, real_time=False)

    def __init__(self, course: Callable[[Trial], Course], *, slots: int = 1) -> None:
        self._course, self._slots = course, slots
        self._runs: dict[Key, _Run] = {}
        self._trials: dict[Key, Trial] = {}
        self._paused: dict[Key, tuple[EpochReport, ...]] = {}
        self._queue: list[tuple[float, int, int, Key]] = []  # due, order of submission, ticket, trial
        self._tickets = self._submitted = 0
        self._now = 0.0
        self._is_closed = False

    @property
    def now(self) -> float:
        """The virtual time, in seconds since the executor was made."""
        return self._now

    @property
    def slots(self) -> int:
        """How many trials may run at once."""
        return self._slots

    @property
    def running(self) -> Mapping[Key, Trial]:
        """The trials that were submitted and have not finished."""
        return MappingProxyType(self._trials)

    def submit(self, trial: Trial) -> None:
        """Starts a trial now; a child goes on from its parent, if the parent paused here, and else begins anew."""
        assert not self._is_closed, "submitted to a closed executor"
        assert len(self._runs) < self._slots, f"all {self._slots} slots are taken"
        assert trial.key not in self._runs, f"{trial.key} runs already"
        course = self._course(trial)
        assert course.failure or len(course.steps) >= trial.last_epoch, f"the course of {trial.key} ends too early"
        coming = deque(self._reports(trial, course))
        run = _Run(trial=trial, course=course, order=self._submitted, coming=coming)
        self._runs[trial.key], self._trials[trial.key] = run, trial
        self._submitted += 1
        self._schedule(run, self._now + self._delay(run))

    def work(self, seconds: float) -> None:
        """Lets time pass in which whoever drives the executor is at work: what is due meanwhile is collected late.

        Trials go on all the while; a place whose trial has ended stands empty until another is submitted.
        """
        self._now += seconds

    def collect(self, timeout: float) -> list[Event]:
        """Moves the clock to what happens next and returns that one event; nothing where nothing runs."""
        while self._queue:
            due, _, ticket, key = heapq.heappop(self._queue)
            run = self._runs.get(key)
            if run is not None and run.ticket == ticket:  # else it was cancelled, and this will not happen any more
                self._now = max(self._now, due)
                return [self._happen(run, due)]
        return []

    def cancel(self, key: Key, cause: Cause) -> None:
        """Stops a running trial at this instant; the first cause counts."""
        run = self._runs[key]
        if run.cancelled is None:
            run.cancelled = cause
            self._schedule(run, self._now)

    def close(self) -> None:
        """Forgets everything; nothing can be submitted any more."""
        self._is_closed = True
        for known in (self._runs, self._trials, self._paused):
            known.clear()
        self._queue.clear()

    def _reports(self, trial: Trial, course: Course) -> list[tuple[float, EpochReport]]:
        """Returns the reports of a trial, each with the seconds before it; what a child restores takes none."""
        history = () if trial.parent is None else self._paused.get((Phase.SEARCH, trial.parent), ())
        restored = [(0.0, dataclasses.replace(report, restored=True)) for report in history]
        steps = enumerate(course.steps[: trial.last_epoch], start=1)
        return restored + [(step.seconds, _report(epoch, step)) for epoch, step in steps if epoch > len(restored)]

    def _delay(self, run: _Run) -> float:
        return run.coming[0][0] if run.coming else 0.0

    def _schedule(self, run: _Run, due: float) -> None:
        """Sets when the trial's next event is due, instead of what was set before."""
        self._tickets += 1
        run.ticket = self._tickets
        heapq.heappush(self._queue, (due, run.order, run.ticket, run.trial.key))

    def _happen(self, run: _Run, due: float) -> Event:
        """Returns the event that was due then, which may be earlier than now."""
        key = run.trial.key
        if run.coming and run.cancelled is None:
            _, report = run.coming.popleft()
            run.history.append(report)
            self._schedule(run, due + self._delay(run))
            return Reported(key, report)
        del self._runs[key], self._trials[key]
        outcome = _outcome(run)
        if outcome.state is State.PAUSED or len(outcome.history) in run.trial.rungs:
            self._paused[key] = outcome.history
        return Finished(key, outcome)


def _report(epoch: int, step: Step) -> EpochReport:
    # A course tells of errors only, and a loss of 0 would be a claim.
    return EpochReport(epoch=epoch, training_loss=math.nan, error_percent=step.error_percent, seconds=step.seconds)


def _outcome(run: _Run) -> Outcome:
    state, cause, message = State.COMPLETE, run.cancelled, ""
    if run.cancelled is not None:
        state, message = State.INTERRUPTED, run.cancelled.value
    elif len(run.history) < run.trial.last_epoch:
        state, cause, message = State.FAILED, run.course.failure, run.course.message
    elif run.trial.last_epoch < run.trial.epochs:
        state = State.PAUSED
    scored = (report.error_percent for report in reversed(run.history) if report.error_percent is not None)
    return Outcome(
        state=state,
        error_percent=next(scored, None),
        history=tuple(run.history),
        seconds={"fit": sum(report.seconds for report in run.history)},
        cause=cause,
        message=message,
    )
