"""The loop: gets a trial from the source, submits it, collects and records its events, and updates the source.

Called by ``search.session.run`` with a search or a fixed list of trials as the source, and by
``search.compare.tabular.simulate``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field

from search.errors import FatalError
from search.execution.base import Executor, Finished, TrialKey
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
    record = ledger.read()
    retries = {phase: RetryPolicy(record.trials_in_phase(phase)) for phase in source.phases}
    peers = PeerSync(source, retries, ledger, callback)
    active: dict[TrialKey, _ActiveTrial] = {}
    cause: Cause | None = None
    fatal_error: FatalError | None = None
    is_idle = False  # the source has no trial until something happens
    while True:
        cause = cause or stop_cause()
        while cause is None and not is_idle and len(executor.running) < executor.slots:
            if (trial := peers.next()) is None:
                is_idle = True
            else:
                callback.on_trial_start(trial)
                active[trial.key] = _ActiveTrial(trial)
                executor.submit(trial, trial_files(trial, ledger.folder, source.checkpoints))
        for key, trial in executor.running.items():
            if (own_cause := cause or source.cancel_cause(trial)) is not None:
                executor.cancel(key, own_cause)
        if not executor.running and (cause is not None or not peers.wait_for_peers()):
            break
        for event in executor.collect(TICK_SECONDS):
            is_idle = False
            if isinstance(event, Finished):
                run = active.pop(event.key)
                outcome = _make_outcome(run, event.outcome, elapsed_seconds)
                try:
                    policy = retries[run.trial.phase]
                    outcome = ledger.finish(run.trial, policy.classify(run.trial, outcome))
                    callback.on_trial_end(run.trial, outcome)
                    source.tell(run.trial, outcome)
                    policy.raise_if_fatal(run.trial, outcome)
                except FatalError as error:
                    fatal_error, cause = fatal_error or error, Cause.CANCELLED
            elif not active[event.key].is_pruned:
                _handle_report(active[event.key], event.report, source, executor, ledger, callback)
        is_idle = not peers.sync() and is_idle
        ledger.flush()
        callback.on_tick()
    if fatal_error is not None:
        raise fatal_error


def _handle_report(
    run: _ActiveTrial,
    report: EpochReport,
    source: TrialSource,
    executor: Executor,
    ledger: Ledger,
    callback: LoopCallback,
) -> None:
    """Records an epoch; cancels the trial if the source prunes it, or if another coordinator has taken it over."""
    run.reports.append(report)
    is_owner = ledger.report(run.trial, report)
    callback.on_epoch_end(run.trial, report)
    is_pruned = source.report(run.trial, report) and report.epoch < run.trial.last_epoch
    if is_pruned or not is_owner:
        run.is_pruned = True
        executor.cancel(run.trial.key, Cause.CANCELLED)


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
