"""The loop: ask, submit, collect, judge, record, tell.

A source says which trial comes next and hears how it went: the search itself, or a fixed list
(``search.study.sources``). ``drive`` keeps an executor busy with it and records everything.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from search.errors import FatalError
from search.execution.base import Executor, Finished, Key
from search.records.ledger import Ledger
from search.records.record import TrialRecord
from search.study.company import Company
from search.trial import Cause, EpochReport, Outcome, Phase, State, Trial

TICK_SECONDS = 0.2
"""Longest wait for an event before the clock is looked at."""


class Listener(Protocol):
    """Hears what happens; a progress display, mostly."""

    def began(self, trial: Trial) -> None:
        """A trial was handed to the executor."""

    def reported(self, trial: Trial, report: EpochReport) -> None:
        """A trial finished an epoch."""

    def finished(self, trial: Trial, outcome: Outcome) -> None:
        """A trial ended."""

    def heard(self, trial: Trial, outcome: Outcome) -> None:
        """A trial that another coordinator ran ended."""

    def waiting(self, count: int) -> None:
        """Nothing is left to begin; so many trials that other coordinators run are waited for."""

    def tick(self) -> None:
        """Some time passed."""


class Source(Protocol):
    """Says which trial comes next, and hears how it went."""

    @property
    def phase(self) -> Phase:
        """What its trials are run for."""

    @property
    def elsewhere(self) -> int:
        """How many trials other coordinators run, as far as it has heard."""

    def next(self) -> Trial | None:
        """Returns the next trial, or None when there is none before something happens."""

    def withdraw(self, trial: Trial) -> None:
        """Takes the next trial back: it could not be recorded, and another coordinator may have begun one instead."""

    def hear(self, known: TrialRecord) -> bool:
        """Notes what another coordinator has recorded of a trial; returns whether one that is new began or ended."""

    def report(self, trial: Trial, report: EpochReport) -> bool:
        """Notes an epoch; returns whether to prune the trial."""

    def settle(self, trial: Trial, outcome: Outcome) -> Outcome:
        """Returns the outcome as it counts and is recorded: a failure may be an interruption, and be tried again."""

    def finished(self, trial: Trial, outcome: Outcome) -> None:
        """Notes how a trial ended.

        Raises:
            FatalError: The study cannot go on.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """What a loop works with.

    Args:
        executor: Runs the trials.
        ledger: Records them.
        listener: Hears of them.
        stop: Returns the cause for which everything must stop now, or None; asked every ``TICK_SECONDS``.
        clock: Returns the seconds that the study has taken so far, over all its sessions; None where nobody counts.
    """

    executor: Executor
    ledger: Ledger
    listener: Listener
    stop: Callable[[], Cause | None]
    clock: Callable[[], float] | None = None


@dataclass(slots=True)
class _Run:
    """What the loop remembers of a running trial."""

    trial: Trial
    reports: list[EpochReport] = field(default_factory=list)
    is_pruned: bool = False


def drive(source: Source, crew: Crew) -> None:
    """Keeps the executor busy until the source has no more trials and none runs, or until it must stop.

    Running trials are then cancelled and recorded as interrupted. A wish to stop is not taken back.

    Raises:
        FatalError: The source says that the study cannot go on; what ran beside was recorded.
    """
    runs: dict[Key, _Run] = {}
    executor, cause = crew.executor, None
    company, is_idle = Company(source, crew.ledger, crew.listener), False  # idle: the source has nothing for now
    fault: FatalError | None = None
    while True:
        cause = cause or crew.stop()
        while cause is None and not is_idle and len(executor.running) < executor.slots:
            if (trial := company.next()) is None:
                is_idle = True
                break
            crew.listener.began(trial)
            runs[trial.key] = _Run(trial)
            executor.submit(trial)
        if cause is not None:
            for key in executor.running:
                executor.cancel(key, cause)
        if not executor.running and (cause is not None or not company.wait()):
            break
        for event in executor.collect(TICK_SECONDS):
            is_idle = False
            if isinstance(event, Finished):
                try:
                    _finished(event.outcome, runs.pop(event.key), source, crew)
                except FatalError as error:
                    fault, cause = fault or error, Cause.CANCELLED
            elif not runs[event.key].is_pruned:
                _reported(event.report, runs[event.key], source, crew)
        is_idle = not company.hear() and is_idle
        crew.ledger.keep_up()
        crew.listener.tick()
    if fault is not None:
        raise fault


def _reported(report: EpochReport, run: _Run, source: Source, crew: Crew) -> None:
    """Records an epoch, and cancels the trial where the source prunes it, or another coordinator has taken it over."""
    run.reports.append(report)
    is_ours = crew.ledger.report(run.trial, report)
    crew.listener.reported(run.trial, report)
    is_bad = source.report(run.trial, report) and report.epoch < run.trial.last_epoch
    if is_bad or not is_ours:
        run.is_pruned = True
        crew.executor.cancel(run.trial.key, Cause.CANCELLED)


def _finished(outcome: Outcome, run: _Run, source: Source, crew: Crew) -> None:
    """Records how a trial ended, and tells the source.

    The history is what was reported: a pruned trial's worker may have run on a little, and one that was killed takes
    its own account along.
    """
    error = next((report.error_percent for report in reversed(run.reports)), None)
    at = None if crew.clock is None else round(crew.clock(), 3)
    outcome = dataclasses.replace(outcome, history=tuple(run.reports), error_percent=error, at_seconds=at)
    if run.is_pruned:
        message = "" if outcome.message == Cause.CANCELLED.value else outcome.message
        outcome = dataclasses.replace(outcome, state=State.PRUNED, cause=None, message=message, traceback="")
    outcome = crew.ledger.finish(run.trial, source.settle(run.trial, outcome))
    crew.listener.finished(run.trial, outcome)
    source.finished(run.trial, outcome)
