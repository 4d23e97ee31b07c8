"""The Python API, on which the command line is a thin layer.

Example::

    import search

    study = search.run(space="cnn", trials=20)
    study.leaderboard()
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.budget import Budget, Interrupt
from search.execution.base import Executor
from search.execution.local import LocalExecutor
from search.execution.ordered import OrderedExecutor
from search.execution.packing import Basis
from search.leaderboard.files import write_reports
from search.leaderboard.rows import compute
from search.ledger import Ledger, read
from search.packing import Watch, pack
from search.planning import NO_ENGINE, Plan, engine_for, make_plan
from search.progress import Progress
from search.protocol import ProtocolName
from search.record import StudyRecord
from search.settings import from_mapping
from search.sources import Limits, ReplicateSource, SearchSource, reclaim
from search.storage import Place
from search.study import Crew, drive
from search.trial import Cause, Trial
from search.verification import estimate_seconds, repetitions, replicas

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
        reports: The report files that were written.
    """

    name: str
    place: Place
    interrupted: bool = False
    reports: tuple[Path, ...] = ()

    @property
    def record(self) -> StudyRecord:
        """The record, read anew."""
        return read(self.place, self.name)

    @property
    def board(self) -> Board:
        """The leaderboard as values."""
        return compute([self.record])

    def leaderboard(self) -> pd.DataFrame:
        """Returns the leaderboard, a row a trial, best first."""
        from search.leaderboard.frame import dataframe

        return dataframe(self.board)


def run(*, progress: Progress | None = None, **options: Any) -> Study:  # noqa: ANN401 - values of the options
    """Searches, verifies, writes the reports, and returns the study.

    Args:
        progress: Hears what happens; silent by default.
        **options: The options of ``python -m search run``, with underscores, such as ``batch_size`` in ``fix``.

    Raises:
        UserError: An option cannot be used as given.
        FatalError: The study cannot go on; what was recorded is kept.
    """
    return execute(make_plan(from_mapping(options)), progress or Progress())


def execute(plan: Plan, progress: Progress) -> Study:
    """Runs a plan: search, then verification, then the reports."""
    with open_session(plan, progress) as session:
        session.search()
        if not session.interrupt.asked:
            _verify(session)
        if plan.settings.timeout is not None and not session.interrupt.asked:
            session.ledger.exhaust(plan.settings.timeout)
    return _report(session, Path(plan.settings.reports_dir) / plan.header.name)


def baseline(*, repeats: int = 5, progress: Progress | None = None, **options: Any) -> Study:  # noqa: ANN401 - see run
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
    with open_session(plan, progress or Progress()) as session:
        session.replicate(repetitions(session.ledger.read(), repeats=repeats))
    folder = plan.header.name.removesuffix("-baseline")
    return _report(session, Path(plan.settings.reports_dir) / "baselines" / folder)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What several studies that run one after the other have in common.

    Args:
        executor: Runs their trials, on workers that stay warm between studies; whoever made it closes it.
        interrupt: The wish to stop, of all of them.
    """

    executor: Executor
    interrupt: Interrupt


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One run of a plan: what it works with, and its two stages.

    Args:
        plan: What is done.
        ledger: Of its study, open for writing.
        executor: Runs the trials.
        budget: The time account.
        interrupt: The wish to stop.
        progress: Hears what happens.
    """

    plan: Plan
    ledger: Ledger
    executor: Executor
    budget: Budget
    interrupt: Interrupt
    progress: Progress

    def search(self) -> None:
        """Searches until the study's limits are reached, or nothing is left to try."""
        settings = self.plan.settings
        bounds = {"trials": settings.trials, "epochs": settings.total_epochs}
        limits = Limits(**{name: bound for name, bound in bounds.items() if bound is not None})
        engine = engine_for(self.ledger.header)
        source = SearchSource(engine, self.ledger, limits=limits, recipes=settings.recipes)
        drive(source, self._crew(self.budget.stop_search))
        if source.exhausted:
            self.progress.exhausted()

    def replicate(self, trials: Sequence[Trial]) -> None:
        """Runs the trials of a fixed list."""
        self.progress.replicating(len(trials))
        drive(ReplicateSource(trials), self._crew(self.budget.stop_verification))

    def _crew(self, stop: Callable[[], Cause | None]) -> Crew:
        return Crew(
            executor=self.executor,
            ledger=self.ledger,
            listener=self.progress,
            stop=stop,
            clock=self.budget.spent,
        )


@contextmanager
def open_session(plan: Plan, progress: Progress, shared: Shared | None = None) -> Iterator[Session]:
    """Opens ledger, executor and display, and closes them however the session ends; not what it only shares."""
    with Ledger.open(plan.place, plan.header) as ledger, ExitStack() as own:
        interrupt = shared.interrupt if shared else own.enter_context(Interrupt())
        reclaim(ledger)
        if shared is None:
            plan = _packed(plan, ledger, progress, interrupt)
        executor = shared.executor if shared else make_executor(plan, ledger.folder / "logs")
        if shared is None:
            own.enter_context(closing(executor))
        own.enter_context(closing(progress))
        budget = _budget(plan, ledger, executor, interrupt)
        progress.opened(plan, ledger.read(), budget)
        yield Session(
            plan=plan, ledger=ledger, executor=executor, budget=budget, interrupt=interrupt, progress=progress
        )
        ledger.spend(budget.spent())


def _packed(plan: Plan, ledger: Ledger, progress: Progress, interrupt: Interrupt) -> Plan:
    """Returns the plan with its packing decided; a measurement counts as the study's time."""
    record, began = ledger.read(), time.monotonic()
    plan = pack(plan, record, Watch(measuring=progress.measuring, should_stop=lambda: interrupt.asked))
    if plan.packing.basis is Basis.MEASURED:
        ledger.spend(record.spent_seconds + time.monotonic() - began)
    return plan


def _report(session: Session, folder: Path) -> Study:
    plan = session.plan
    study = Study(name=plan.header.name, place=plan.place, interrupted=session.interrupt.asked)
    return replace(study, reports=tuple(write_reports(study.board, folder)))


def make_executor(plan: Plan, log_dir: Path) -> Executor:
    """Returns the executor a plan asks for."""
    local = LocalExecutor(plan.task, workers=plan.workers, log_dir=log_dir)
    return OrderedExecutor(local) if plan.settings.ordered else local


def _verify(session: Session) -> None:
    """Verifies the finalists; a search that the test images steered has nothing left to verify them with."""
    settings = session.plan.settings
    if _is_verified(session.plan):
        record = session.ledger.read()
        session.replicate(replicas(record, count=settings.finalists, replicates=settings.replicates))


def _is_verified(plan: Plan) -> bool:
    return plan.settings.finalists > 0 and plan.header.protocol.name is ProtocolName.HOLDOUT


def _budget(plan: Plan, ledger: Ledger, executor: Executor, interrupt: Interrupt) -> Budget:
    settings = plan.settings

    def reserve() -> float:
        if settings.timeout is None or not _is_verified(plan):
            return 0.0
        count, replicates = settings.finalists, settings.replicates
        return estimate_seconds(ledger.read(), count=count, replicates=replicates, slots=executor.slots)

    return Budget(ledger, timeout=settings.timeout, reserve=reserve, interrupt=interrupt)
