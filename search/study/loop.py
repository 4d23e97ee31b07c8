"""The loop: ask, submit, collect, judge, record, tell.

A source says which trial comes next and hears how it went: the search itself, or a fixed list
(``search.study.search_source``). ``drive`` keeps an executor busy with it and records everything.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from search.errors import FatalError
from search.execution.base import Executor, Finished, TrialKey
from search.records.ledger import Ledger
from search.records.record import TrialRecord
from search.study.peers import PeerSync
from search.trial import Cause, EpochReport, Outcome, Phase, State, Trial, final_metrics

TICK_SECONDS = 0.2
"""Longest wait for an event before the clock is looked at."""


class LoopCallback(Protocol):
    """Hears what happens; a progress display, mostly."""

    def on_trial_start(self, trial: Trial) -> None:
        """A trial was handed to the executor."""

    def on_epoch_end(self, trial: Trial, report: EpochReport) -> None:
        """A trial finished an epoch."""

    def on_trial_end(self, trial: Trial, outcome: Outcome) -> None:
        """A trial ended."""

    def on_trial_end_elsewhere(self, trial: Trial, outcome: Outcome) -> None:
        """A trial that another coordinator ran ended."""

    def on_waiting_for_peers(self, count: int) -> None:
        """Nothing is left to begin; so many trials that other coordinators run are waited for."""

    def on_tick(self) -> None:
        """Some time passed."""


class TrialSource(Protocol):
    """Says which trial comes next, and hears how it went."""

    @property
    def phase(self) -> Phase:
        """What its trials are run for."""

    @property
    def running_elsewhere(self) -> int:
        """How many trials other coordinators run, as far as it has heard."""

    def next(self) -> Trial | None:
        """Returns the next trial, or None when there is none before something happens."""

    def undo_next(self, trial: Trial) -> None:
        """Takes the next trial back: it could not be recorded, and another coordinator may have begun one instead."""

    def observe(self, record: TrialRecord) -> bool:
        """Notes what another coordinator has recorded of a trial; returns whether one that is new began or ended."""

    def report(self, trial: Trial, report: EpochReport) -> bool:
        """Notes an epoch; returns whether to prune the trial."""

    def classify(self, trial: Trial, outcome: Outcome) -> Outcome:
        """Returns the outcome as it counts and is recorded: a failure may be an interruption, and be tried again."""

    def tell(self, trial: Trial, outcome: Outcome) -> None:
        """Notes how a trial ended.

        Raises:
            FatalError: The study cannot go on.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopContext:
    """What a loop works with.

    Args:
        executor: Runs the trials.
        ledger: Records them.
        callback: Hears of them.
        stop_cause: Returns the cause for which everything must stop now, or None; asked every ``TICK_SECONDS``.
        elapsed_seconds: Returns the seconds that the study has taken so far, over all its sessions; None where nobody
            counts.
    """

    executor: Executor
    ledger: Ledger
    callback: LoopCallback
    stop_cause: Callable[[], Cause | None]
    elapsed_seconds: Callable[[], float] | None = None


@dataclass(slots=True)
class _ActiveTrial:
    """What the loop remembers of a running trial."""

    trial: Trial
    reports: list[EpochReport] = field(default_factory=list)
    is_pruned: bool = False


def run_loop(source: TrialSource, context: LoopContext) -> None:
    """Keeps the executor busy until the source has no more trials and none runs, or until it must stop.

    Running trials are then cancelled and recorded as interrupted. A wish to stop is not taken back.

    Raises:
        FatalError: The source says that the study cannot go on; what ran beside was recorded.
    """
    active: dict[TrialKey, _ActiveTrial] = {}
    executor, cause = context.executor, None
    peers, is_idle = PeerSync(source, context.ledger, context.callback), False  # idle: the source has nothing for now
    fatal_error: FatalError | None = None
    while True:
        cause = cause or context.stop_cause()
        while cause is None and not is_idle and len(executor.running) < executor.slots:
            if (trial := peers.next()) is None:
                is_idle = True
                break
            context.callback.on_trial_start(trial)
            active[trial.key] = _ActiveTrial(trial)
            executor.submit(trial)
        if cause is not None:
            for key in executor.running:
                executor.cancel(key, cause)
        if not executor.running and (cause is not None or not peers.wait_for_peers()):
            break
        for event in executor.collect(TICK_SECONDS):
            is_idle = False
            if isinstance(event, Finished):
                try:
                    _handle_outcome(event.outcome, active.pop(event.key), source, context)
                except FatalError as error:
                    fatal_error, cause = fatal_error or error, Cause.CANCELLED
            elif not active[event.key].is_pruned:
                _handle_report(event.report, active[event.key], source, context)
        is_idle = not peers.sync() and is_idle
        context.ledger.flush()
        context.callback.on_tick()
    if fatal_error is not None:
        raise fatal_error


def _handle_report(report: EpochReport, run: _ActiveTrial, source: TrialSource, context: LoopContext) -> None:
    """Records an epoch, and cancels the trial where the source prunes it, or another coordinator has taken it over."""
    run.reports.append(report)
    is_owner = context.ledger.report(run.trial, report)
    context.callback.on_epoch_end(run.trial, report)
    is_pruned = source.report(run.trial, report) and report.epoch < run.trial.last_epoch
    if is_pruned or not is_owner:
        run.is_pruned = True
        context.executor.cancel(run.trial.key, Cause.CANCELLED)


def _handle_outcome(outcome: Outcome, run: _ActiveTrial, source: TrialSource, context: LoopContext) -> None:
    """Records how a trial ended, and tells the source.

    The history is what was reported: a pruned trial's worker may have run on a little, and one that was killed takes
    its own account along.
    """
    elapsed_seconds = None if context.elapsed_seconds is None else round(context.elapsed_seconds(), 3)
    outcome = dataclasses.replace(
        outcome,
        history=tuple(run.reports),
        metrics=final_metrics(run.reports),
        elapsed_seconds=elapsed_seconds,
    )
    if run.is_pruned:
        message = "" if outcome.message == Cause.CANCELLED.value else outcome.message
        outcome = dataclasses.replace(outcome, state=State.PRUNED, cause=None, message=message, traceback="")
    outcome = context.ledger.finish(run.trial, source.classify(run.trial, outcome))
    context.callback.on_trial_end(run.trial, outcome)
    source.tell(run.trial, outcome)
