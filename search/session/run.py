"""Runs a study from a plan to its reports. Called by the API and the commands ``run`` and ``baseline``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from search.records.record import NO_ENGINE
from search.reproduction.restore import ReproductionOptions
from search.session.callbacks import Callback, CallbackList
from search.session.forecast import MAX_REPLICATES, uses_all_time
from search.session.mlflow_runs import MlflowCallback
from search.session.plan import Plan, make_plan
from search.session.session import Session, open_session
from search.session.settings import Settings
from search.session.study import Study
from search.session.tensorboard import TensorBoardCallback
from search.study import ensembles
from search.study.verification import baseline_trials, verification_trials
from search.trial import Trial


def run_plan(plan: Plan, callback: Callback, *, started_at: float | None = None) -> Study:
    """Searches, verifies the finalists, and writes the reports.

    Args:
        plan: The run.
        callback: Receives the events.
        started_at: When the run was requested, on the monotonic clock; the time budget counts from then. None for now.
    """
    import search.session.publish  # noqa: F401 - imports matplotlib: after the checks of the plan, before the deadline

    settings = plan.settings
    if settings.tensorboard is not None:
        callback = CallbackList(callback, TensorBoardCallback(Path(settings.tensorboard)))
    if settings.mlflow is not None:
        callback = CallbackList(callback, MlflowCallback(settings.mlflow, callback.on_message))
    with open_session(plan, callback, started_at=started_at) as session:
        goal, missing = session.search() or "", 0
        if not session.interrupt.is_requested and plan.has_verification:
            missing = _verify(session)
        if session.budget.has_cut_session and settings.timeout is not None and not session.interrupt.is_requested:
            session.ledger.record_exhausted_seconds(settings.timeout)
    return replace(_publish(session, Path(plan.header.name)), goal=goal, missing=missing)


def run_baseline(settings: Settings, callback: Callback, *, repeats: int) -> Study:
    """Trains a space's baseline under the tutorial protocol, with a fresh seed each time, and writes the reports.

    Args:
        settings: The settings; those of engine, protocol and budget are ignored.
        callback: Receives the events.
        repeats: Repeats in all, those recorded already included.
    """
    import search.session.publish  # noqa: F401 - as in ``run_plan``

    plan = make_plan(
        replace(
            settings,
            protocol="tutorial",
            engine=NO_ENGINE,
            sampler=NO_ENGINE,
            pruner=NO_ENGINE,
            finalists=0,
            trials=repeats,
        )
    )
    with open_session(plan, callback) as session:
        session.run_trials(baseline_trials(session.ledger.read(), repeats=repeats))
    return _publish(session, Path("baselines", plan.header.name.removesuffix("-baseline")))


def _verify(session: Session) -> int:
    """Verifies the finalists and records ensembles of them; returns the runs for which the time did not suffice."""
    settings, ledger = session.plan.settings, session.ledger
    replicates = session.timetable.replicates

    def pending_trials(replicates: int = replicates) -> list[Trial]:
        return verification_trials(ledger.read(), count=settings.finalists, replicates=replicates)

    if not session.budget.is_exhausted or not pending_trials():
        needed = pending_trials()
        session.run_trials(
            needed, further=pending_trials(MAX_REPLICATES)[len(needed) :] if uses_all_time(settings) else ()
        )
    ledger.run_exclusive(lambda: ensembles.record_ensembles(ledger, count=settings.finalists))
    missing = 0 if session.interrupt.is_requested or settings.timeout is None else len(pending_trials())
    if missing:
        session.callback.on_verification_incomplete(missing, session.budget.sufficient_timeout())
    return missing


def _publish(session: Session, folder: Path) -> Study:
    """Writes the reports into a folder of the reports' folder and returns the study."""
    from search.session.publish import publish_study

    plan = session.plan
    study = Study(
        name=plan.header.name,
        place=plan.location,
        interrupted=session.interrupt.is_requested,
        equivalence_points=plan.settings.equivalence,
        reproduction_options=ReproductionOptions(dataset=plan.settings.dataset, cache_dir=plan.settings.cache_dir),
    )
    cache_dir = Path(plan.settings.cache_dir) if plan.settings.cache_dir else None
    target = Path(plan.settings.reports_dir) / folder
    written = publish_study(study.record, target, cache_dir, plan.settings.equivalence)
    return replace(study, reports=written.paths, messages=written.messages)
