"""The Python API, on which the command line is a thin layer.

Example::

    import search

    study = search.run(space="cnn", trials=20)
    study.leaderboard()
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.budget import Budget, Interrupt
from search.execution.base import Executor
from search.execution.local import LocalExecutor
from search.execution.ordered import OrderedExecutor
from search.leaderboard.files import write_reports
from search.leaderboard.rows import compute
from search.ledger import Ledger, Place, read
from search.planning import NO_ENGINE, Plan, engine_for, make_plan
from search.progress import Progress
from search.protocol import ProtocolName
from search.record import StudyRecord
from search.settings import from_mapping
from search.study import Crew, ReplicateSource, SearchSource, drive, reclaim
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
    with Ledger.open(plan.place, plan.header) as ledger, Interrupt() as interrupt:
        reclaim(ledger)
        with closing(make_executor(plan, ledger.folder / "logs")) as executor:
            budget = _budget(plan, ledger, executor, interrupt)
            progress.opened(plan, ledger.read(), budget)
            _search(plan, Crew(executor=executor, ledger=ledger, listener=progress, stop=budget.stop_search))
            if not interrupt.asked:
                crew = Crew(executor=executor, ledger=ledger, listener=progress, stop=budget.stop_verification)
                _verify(plan, crew, progress)
            ledger.spend(budget.spent())
        progress.closed()
        reports = write_reports(compute([ledger.read()]), Path(plan.settings.reports_dir) / plan.header.name)
    return Study(name=plan.header.name, place=plan.place, interrupted=interrupt.asked, reports=tuple(reports))


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
    progress = progress or Progress()
    with Ledger.open(plan.place, plan.header) as ledger, Interrupt() as interrupt:
        reclaim(ledger)
        with closing(make_executor(plan, ledger.folder / "logs")) as executor:
            budget = _budget(plan, ledger, executor, interrupt)
            progress.opened(plan, ledger.read(), budget)
            crew = Crew(executor=executor, ledger=ledger, listener=progress, stop=budget.stop_verification)
            drive(ReplicateSource(repetitions(ledger.read(), repeats=repeats)), crew)
            ledger.spend(budget.spent())
        progress.closed()
        folder = Path(plan.settings.reports_dir) / "baselines" / plan.header.name.removesuffix("-baseline")
        reports = write_reports(compute([ledger.read()]), folder)
    return Study(name=plan.header.name, place=plan.place, interrupted=interrupt.asked, reports=tuple(reports))


def make_executor(plan: Plan, log_dir: Path) -> Executor:
    """Returns the executor a plan asks for."""
    local = LocalExecutor(plan.task, workers=plan.workers, log_dir=log_dir)
    return OrderedExecutor(local) if plan.settings.ordered else local


def _search(plan: Plan, crew: Crew) -> None:
    settings = plan.settings
    source = SearchSource(engine_for(crew.ledger.header), crew.ledger, trials=settings.trials, recipes=settings.recipes)
    drive(source, crew)


def _verify(plan: Plan, crew: Crew, progress: Progress) -> None:
    """Verifies the finalists; a search that the test images steered has nothing left to verify them with."""
    if _is_verified(plan):
        settings = plan.settings
        waiting = replicas(crew.ledger.read(), count=settings.finalists, replicates=settings.replicates)
        progress.verifying(len(waiting))
        drive(ReplicateSource(waiting), crew)


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
