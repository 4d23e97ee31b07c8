"""The Python API, on which the command line is a thin layer.

Example::

    import search

    study = search.run(space="cnn", trials=20)
    study.leaderboard()
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.leaderboard.compute import compute
from search.records.reader import read_study
from search.records.record import StudyRecord
from search.records.storage.locations import StudyLocation
from search.session.callbacks import Callback, CallbackList
from search.session.plan import NO_ENGINE, Plan, make_plan
from search.session.run import Session, has_verification, open_session
from search.session.settings import from_mapping
from search.session.tensorboard import TensorBoardCallback
from search.study import ensembles
from search.study.verification import baseline_trials, verification_trials
from search.trial import Trial

if TYPE_CHECKING:
    import pandas as pd

    from search.leaderboard.board import Board


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A study as recorded.

    Args:
        name: Its name.
        place: Where it is kept.
        interrupted: Whether the session that returned this was asked to stop.
        goal: Which goal its search has reached, in words; empty where none.
        missing: Verification runs that the time did not suffice for.
        reports: The report files that were written.
    """

    name: str
    place: StudyLocation
    interrupted: bool = False
    goal: str = ""
    missing: int = 0
    reports: tuple[Path, ...] = ()

    @property
    def record(self) -> StudyRecord:
        """The record, read anew."""
        return read_study(self.place, self.name)

    @property
    def board(self) -> Board:
        """The leaderboard as values."""
        return compute([self.record])

    def leaderboard(self) -> pd.DataFrame:
        """Returns the leaderboard, a row a trial, best first."""
        from search.leaderboard.tabular import dataframe

        return dataframe(self.board)


def run(*, progress: Callback | None = None, **options: Any) -> Study:
    """Searches, verifies, writes the reports, and returns the study.

    Args:
        progress: Hears what happens; silent by default.
        **options: The options of ``python -m search run``, with underscores, such as ``batch_size`` in ``fix``.

    Raises:
        UserError: An option cannot be used as given.
        FatalError: The study cannot go on; what was recorded is kept.
    """
    began = time.monotonic()
    return run_plan(make_plan(from_mapping(options)), progress or Callback(), started_at=began)


def run_plan(plan: Plan, progress: Callback, *, started_at: float | None = None) -> Study:
    """Runs a plan: search, then verification, then the reports.

    Args:
        plan: What is done.
        progress: Hears what happens.
        started_at: When somebody asked for it, on the monotonic clock; a time budget counts from there. Now if None.
    """
    from search.session.publish import (
        publish_study,  # draws: whoever is refused need not wait for it, nor a deadline
    )

    if plan.settings.tensorboard is not None:
        progress = CallbackList(progress, TensorBoardCallback(Path(plan.settings.tensorboard)))
    with open_session(plan, progress, started_at=started_at) as session:
        goal, missing = session.search() or "", 0
        if not session.interrupt.is_requested:
            missing = _verify(session)
        if session.budget.has_cut_session and plan.settings.timeout is not None and not session.interrupt.is_requested:
            session.ledger.record_exhausted_seconds(plan.settings.timeout)
    study = _publish(session, publish_study, Path(plan.settings.reports_dir) / plan.header.name)
    return replace(study, goal=goal, missing=missing)


def baseline(*, repeats: int = 5, progress: Callback | None = None, **options: Any) -> Study:
    """Trains a space's baseline under the tutorial protocol, with a fresh seed each time, and returns the study.

    Args:
        repeats: Repeats in all; those recorded already are not run again.
        progress: Hears what happens; silent by default.
        **options: As in ``run``, where they apply.

    Raises:
        UserError: An option cannot be used as given.
    """
    fixed = {"protocol": "tutorial", "engine": NO_ENGINE, "sampler": NO_ENGINE, "pruner": NO_ENGINE, "finalists": 0}
    plan = make_plan(from_mapping({**options, **fixed, "trials": repeats}))
    from search.session.publish import publish_study

    with open_session(plan, progress or Callback()) as session:
        session.run_trials(baseline_trials(session.ledger.read(), repeats=repeats))
    folder = plan.header.name.removesuffix("-baseline")
    return _publish(session, publish_study, Path(plan.settings.reports_dir) / "baselines" / folder)


def _publish(session: Session, report: Callable[[StudyRecord, Path, Path | None], list[Path]], folder: Path) -> Study:
    """Returns a session's study, with its reports written into a folder."""
    plan = session.plan
    study = Study(name=plan.header.name, place=plan.location, interrupted=session.interrupt.is_requested)
    cache_dir = Path(plan.settings.cache_dir) if plan.settings.cache_dir else None
    return replace(study, reports=tuple(report(study.record, folder, cache_dir)))


def _verify(session: Session) -> int:
    """Verifies the finalists; returns how many runs the time did not suffice for.

    A search that the test images steered has nothing left to verify them with.
    """
    settings = session.plan.settings

    def pending_trials() -> list[Trial]:
        return verification_trials(session.ledger.read(), count=settings.finalists, replicates=settings.replicates)

    if not has_verification(session.plan):
        return 0
    if not session.budget.is_exhausted or not pending_trials():
        session.run_trials(pending_trials())
    session.ledger.run_exclusive(lambda: ensembles.record_ensembles(session.ledger, count=settings.finalists))
    missing = 0 if session.interrupt.is_requested or not session.budget.is_exhausted else len(pending_trials())
    if missing:
        session.callback.on_verification_incomplete(missing, session.budget.sufficient_timeout())
    return missing
