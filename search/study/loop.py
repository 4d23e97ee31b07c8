"""The loop: gets a trial from the source, submits it, collects and records its events, and updates the source.

Called by ``search.session.run`` with a search or a fixed list of trials as the source, and by
``search.compare.tabular.simulate``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field

from search.errors import FatalError
from search.execution.base import Event, Executor, Finished, TrialKey
from search.records.ledger import Ledger
from search.study.checkpoint_store import trial_files
from search.study.interfaces import LoopCallback, TrialSource
from search.study.peers import PeerSync
from search.study.retries import RetryPolicy
from search.trial import Cause, EpochReport, Outcome, State, Trial, final_metrics

TICK_SECONDS = 0.2
"""Longest wait for an event before ``stop_cause`` is called again."""


@dataclass(slots=True)
class _ActiveTrial:
    """A running trial."""

    trial: Trial
    reports: list[EpochReport] = field(default_factory=list)
    is_pruned: bool = False


def run_loop(
    source: TrialSource,
    *,
    executor: Executor,
    ledger: Ledger,
    callback: LoopCallback,
    stop_cause: Callable[[], Cause | None] = lambda: None,
    elapsed_seconds: Callable[[], float] | None = None,
) -> None:
    """Runs trials until the source has no more, or until the loop must stop.

    When it must stop, running trials are cancelled and recorded as interrupted, and no trial is started any more.

    Args:
        source: Chooses the trials.
        executor: Runs them.
        ledger: Records them.
        callback: Observes them.
        stop_cause: Returns why to stop now, or None.
        elapsed_seconds: Returns the seconds of all sessions of the study; None if they are not measured.

    Raises:
        FatalError: The study cannot continue; the trials that ran were recorded.
    """
    loop = _Loop(source, executor, ledger, callback, elapsed_seconds)
    while True:
        loop.cause = loop.cause or stop_cause()
        loop.start_trials()
        loop.cancel_trials()
        if loop.is_over():
            break
        for event in executor.collect(TICK_SECONDS):
            loop.handle(event)
        loop.sync()
        ledger.flush()
        callback.on_tick()
    if loop.fatal_error is not None:
        raise loop.fatal_error


class _Loop:
    """The steps of the loop, and what it knows from one to the next; see ``run_loop``.

    ``cause`` is why it must stop, or None; ``fatal_error`` is the first error that ends the study, or None.
    """

    def __init__(
        self,
        source: TrialSource,
        executor: Executor,
        ledger: Ledger,
        callback: LoopCallback,
        elapsed_seconds: Callable[[], float] | None,
    ) -> None:
        self._source, self._executor, self._ledger, self._callback = source, executor, ledger, callback
        self._elapsed_seconds = elapsed_seconds
        record = ledger.read()
        self._retries = {phase: RetryPolicy(record.trials_in_phase(phase)) for phase in source.phases}
        self._peers = PeerSync(source, self._retries, ledger, callback)
        self._active: dict[TrialKey, _ActiveTrial] = {}
        self._is_idle = False  # the source has no trial until something happens
        self.cause: Cause | None = None
        self.fatal_error: FatalError | None = None

    def start_trials(self) -> None:
        """Submits trials to the free workers, unless the loop must stop."""
        while self.cause is None and not self._is_idle and len(self._executor.running) < self._executor.slots:
            if (trial := self._peers.next()) is None:
                self._is_idle = True
            else:
                self._callback.on_trial_start(trial)
                self._active[trial.key] = _ActiveTrial(trial)
                self._executor.submit(trial, trial_files(trial, self._ledger.folder, self._source.checkpoints))

    def cancel_trials(self) -> None:
        """Cancels the running trials that must stop."""
        for key, trial in self._executor.running.items():
            if (cause := self.cause or self._source.cancel_cause(trial)) is not None:
                self._executor.cancel(key, cause)

    def is_over(self) -> bool:
        """Returns whether nothing runs and nothing will; waits a moment for other coordinators otherwise."""
        return not self._executor.running and (self.cause is not None or not self._peers.wait_for_peers())

    def handle(self, event: Event) -> None:
        """Records what happened to a trial, and tells the source."""
        self._is_idle = False
        if isinstance(event, Finished):
            self._finish(self._active.pop(event.key), event.outcome)
        elif not self._active[event.key].is_pruned:
            self._report(self._active[event.key], event.report)

    def sync(self) -> None:
        """Observes other coordinators."""
        self._is_idle = not self._peers.sync() and self._is_idle

    def _finish(self, run: _ActiveTrial, outcome: Outcome) -> None:
        outcome = _make_outcome(run, outcome, self._elapsed_seconds)
        try:
            policy = self._retries[run.trial.phase]
            outcome = self._ledger.finish(run.trial, policy.classify(run.trial, outcome))
            self._callback.on_trial_end(run.trial, outcome)
            self._source.tell(run.trial, outcome)
            policy.raise_if_fatal(run.trial, outcome)
        except FatalError as error:
            self.fatal_error, self.cause = self.fatal_error or error, Cause.CANCELLED

    def _report(self, run: _ActiveTrial, report: EpochReport) -> None:
        """Records an epoch; cancels the trial if the source prunes it, or if another coordinator has taken it over."""
        run.reports.append(report)
        is_owner = self._ledger.report(run.trial, report)
        self._callback.on_epoch_end(run.trial, report)
        is_pruned = self._source.report(run.trial, report) and report.epoch < run.trial.last_epoch
        if is_pruned or not is_owner:
            run.is_pruned = True
            self._executor.cancel(run.trial.key, Cause.CANCELLED)


def _make_outcome(run: _ActiveTrial, outcome: Outcome, elapsed_seconds: Callable[[], float] | None) -> Outcome:
    """Returns an executor's outcome as it is recorded.

    The history holds the reports that were delivered: a worker may run on after its trial was pruned, and a killed
    worker returns no history.
    """
    outcome = dataclasses.replace(
        outcome,
        history=tuple(run.reports),
        metrics=final_metrics(run.reports),
        elapsed_seconds=None if elapsed_seconds is None else round(elapsed_seconds(), 3),
    )
    if not run.is_pruned:
        return outcome
    message = "" if outcome.message == Cause.CANCELLED.value else outcome.message
    return dataclasses.replace(outcome, state=State.PRUNED, cause=None, message=message, traceback="")
