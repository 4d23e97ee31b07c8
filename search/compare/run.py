"""Runs a tournament: each study is an ordinary one, searched and verified, on an executor that all of them share.

run             warms the workers up, then plays each bout that is not finished
  _play           search; take over what another study of the repeat verified; verify the rest
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from search.compare.plan import ComparisonPlan, StudyRun
from search.compare.store import comparison_lock, study_records, write_spec
from search.execution.base import Executor
from search.records.record import COPIED_FROM_KEY, StudyHeader, StudyRecord
from search.session.callbacks import Callback
from search.session.executors import make_executor
from search.session.plan import Plan
from search.session.session import Session, open_session
from search.study.loop import TICK_SECONDS
from search.study.time_budget import InterruptHandler
from search.study.verification import verification_trials
from search.trial import BASELINE, Cause, Outcome, Phase, State, Trial, config_key

CallbackFactory = Callable[[StudyRun], Callback]
"""Returns who hears what happens in a bout."""


def run_studies(
    comparison_plan: ComparisonPlan, make_callback: CallbackFactory, *, executor: Executor | None = None
) -> bool:
    """Plays every bout that is not finished; returns whether somebody asked to stop before the end.

    Args:
        comparison_plan: What is done.
        make_callback: Called as a bout begins.
        executor: Runs the trials, and is closed at the end; None for workers on this machine.

    Raises:
        FatalError: A study cannot go on; what was recorded is kept.
    """
    folder, spec = comparison_plan.folder, comparison_plan.spec
    with comparison_lock(folder), InterruptHandler() as interrupt:
        write_spec(spec, folder)
        finished = {record.header.name for record in study_records(folder) if _is_finished(record, spec.replicates)}
        pending = [bout for bout in comparison_plan.study_runs if bout.plan.header.name not in finished]
        if not pending:
            return False
        plan = pending[0].plan
        if executor is None:
            executor = make_executor(
                plan, plan.parallelism, log_dir=folder / "logs", grace_seconds=interrupt.grace_seconds
            )
        with closing(executor):
            _warm_up(executor, interrupt, plan)
            for study_run in pending:
                if not interrupt.is_requested:
                    _run_study(study_run, executor, interrupt, make_callback(study_run), spec.replicates)
        return interrupt.is_requested


def _is_finished(record: StudyRecord, replicates: int) -> bool:
    """Says whether a study is over: its verification, which begins after its search, has all ended."""
    return _is_search_finished(record) and not verification_trials(record, count=1, replicates=replicates)


def _is_search_finished(record: StudyRecord) -> bool:
    """Says whether verification has begun."""
    return bool(record.trials_in_phase(Phase.VERIFICATION))


def _warm_up(executor: Executor, interrupt: InterruptHandler, plan: Plan) -> None:
    """Has every worker train an epoch that nobody records, so that no engine pays for starting them."""
    for number in range(executor.slots):
        executor.submit(Trial(number=number, config=plan.header.space.baseline, seed=number, epochs=1, origin=BASELINE))
    while executor.running:
        if interrupt.is_requested:
            for key in executor.running:
                executor.cancel(key, Cause.CANCELLED)
        executor.collect(TICK_SECONDS)


def _run_study(
    study_run: StudyRun, executor: Executor, interrupt: InterruptHandler, callback: Callback, replicates: int
) -> None:
    """Searches and verifies; a study whose verification has begun is not searched on."""
    with open_session(study_run.plan, callback, executor=executor, interrupt=interrupt) as session:
        if not _is_search_finished(session.ledger.read()):
            session.search()
        if not interrupt.is_requested:
            _copy_verification_runs(session, replicates)
            session.run_trials(verification_trials(session.ledger.read(), count=1, replicates=replicates))
            for subfolder in ("checkpoints", "predictions"):  # it is not searched on, and forms no ensembles
                shutil.rmtree(session.ledger.folder / subfolder, ignore_errors=True)


def _copy_verification_runs(session: Session, replicates: int) -> None:
    """Records verification runs that another study of the same repeat has made, of the baseline mostly, as its own.

    With the same configuration and seed it would be the same run; the record says whose it was.
    """
    ledger = session.ledger
    completed = _completed_verification_outcomes(session.plan.location.studies_dir, ledger.header)
    pending = verification_trials(ledger.read(), count=1, replicates=replicates)
    copied = [trial for trial in pending if (config_key(trial.config), trial.seed) in completed]
    for offset, trial in enumerate(copied):
        numbered = replace(trial, number=pending[0].number + offset)
        ledger.begin(numbered)
        ledger.finish(numbered, completed[config_key(trial.config), trial.seed])


def _completed_verification_outcomes(folder: Path, header: StudyHeader) -> dict[tuple[str, int], Outcome]:
    """Returns the complete verification runs of studies with this one's seed and versions, by configuration and seed.

    Their environment names the study that made them.
    """
    outcomes: dict[tuple[str, int], Outcome] = {}
    for record in study_records(folder):
        if (record.header.seed, record.header.versions) != (header.seed, header.versions):
            continue
        for run in record.trials_in_phase(Phase.VERIFICATION):
            if run.outcome and run.outcome.state is State.COMPLETE:
                environment = {COPIED_FROM_KEY: record.header.name, **run.outcome.environment}
                outcome = replace(run.outcome, elapsed_seconds=None, environment=environment)
                outcomes[config_key(run.trial.config), run.trial.seed] = outcome
    return outcomes
