"""Runs a comparison: each study is an ordinary one, searched and verified, on an executor that all of them share.

Called by the command line with a ``ComparisonPlan``.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

from search.compare.plan import ComparisonPlan
from search.compare.spec import RunKey
from search.compare.store import StudyStore, folder_lock, is_search_finished
from search.execution.base import Executor
from search.records.record import StudyHeader
from search.session.callbacks import Callback
from search.session.executors import make_executor
from search.session.plan import Plan
from search.session.session import Session, open_session
from search.study.loop import TICK_SECONDS
from search.study.time_budget import InterruptHandler
from search.study.verification import verification_trials
from search.trial import BASELINE, COPIED_FROM_KEY, Cause, Outcome, Phase, State, Trial


def run_studies(
    comparison_plan: ComparisonPlan,
    make_callback: Callable[[RunKey], Callback],
    *,
    executor: Executor | None = None,
) -> bool:
    """Runs every study that is not finished; returns whether it was interrupted.

    Args:
        comparison_plan: What is done.
        make_callback: Called as a study begins.
        executor: Runs the trials, and is closed at the end; None for workers on this machine.

    Raises:
        FatalError: A study cannot continue; what was recorded is kept.
    """
    spec, store = comparison_plan.spec, StudyStore(comparison_plan.folder)
    with folder_lock(store.folder), InterruptHandler() as interrupt:
        store.write_spec(spec)
        finished = store.finished()
        pending = {key: plan for key, plan in comparison_plan.studies.items() if key not in finished}
        if not pending:
            return False
        first = next(iter(pending.values()))
        if executor is None:
            executor = make_executor(
                first, first.parallelism, log_dir=store.folder / "logs", grace_seconds=interrupt.grace_seconds
            )
        with closing(executor):
            _warm_up(executor, interrupt, first)
            for key, plan in pending.items():
                if not interrupt.is_requested:
                    _run_study(plan, executor, interrupt, make_callback(key), store, spec.replicates)
        return interrupt.is_requested


def _warm_up(executor: Executor, interrupt: InterruptHandler, plan: Plan) -> None:
    """Trains an unrecorded epoch on every worker, so that the first engine does not pay for starting them."""
    for number in range(executor.slots):
        executor.submit(Trial(number=number, config=plan.header.space.baseline, seed=number, epochs=1, origin=BASELINE))
    while executor.running:
        if interrupt.is_requested:
            for key in executor.running:
                executor.cancel(key, Cause.CANCELLED)
        executor.collect(TICK_SECONDS)


def _run_study(
    plan: Plan,
    executor: Executor,
    interrupt: InterruptHandler,
    callback: Callback,
    store: StudyStore,
    replicates: int,
) -> None:
    """Searches and verifies; a study whose verification has begun is not searched further."""
    with open_session(plan, callback, executor=executor, interrupt=interrupt) as session:
        if not is_search_finished(session.ledger.read()):
            # All engines have the whole time, whatever they would train last, and seeds of their own study.
            session.search(begins_what_ends=False, takes_over_runs=False)
        if not interrupt.is_requested:
            _copy_verification_runs(session, store, replicates)
            session.run_trials(verification_trials(session.ledger.read(), count=1, replicates=replicates))
            for subfolder in ("checkpoints", "predictions"):  # needed by a further search and by ensembles only
                shutil.rmtree(session.ledger.folder / subfolder, ignore_errors=True)


def _copy_verification_runs(session: Session, store: StudyStore, replicates: int) -> None:
    """Records verification runs of other studies, mostly of the baseline, as the study's own.

    Training the same configuration with the same seed would repeat the run. The record names the study that ran it.
    """
    ledger = session.ledger
    completed = _completed_verification_outcomes(store, ledger.header)
    pending = verification_trials(ledger.read(), count=1, replicates=replicates)
    copied = [trial for trial in pending if trial.training_key in completed]
    for offset, trial in enumerate(copied):
        numbered = replace(trial, number=pending[0].number + offset)
        ledger.begin(numbered)
        ledger.finish(numbered, completed[trial.training_key])


def _completed_verification_outcomes(store: StudyStore, header: StudyHeader) -> dict[str, Outcome]:
    """Returns the complete verification runs of studies with this seed and versions, by configuration and seed."""
    outcomes: dict[str, Outcome] = {}
    for record in store.studies():
        if (record.header.seed, record.header.versions) != (header.seed, header.versions):
            continue
        for run in record.trials_in_phase(Phase.VERIFICATION):
            if run.outcome and run.outcome.state is State.COMPLETE:
                environment = {COPIED_FROM_KEY: record.header.name, **run.outcome.environment}
                outcome = replace(run.outcome, elapsed_seconds=None, environment=environment)
                outcomes[run.trial.training_key] = outcome
    return outcomes
