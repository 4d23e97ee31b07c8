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

from search.execution.base import Executor
from search.records.record import COPIED_FROM, StudyHeader, StudyRecord
from search.session.executors import Ties, make_executor
from search.session.planning import Plan
from search.session.progress import Progress
from search.session.run import Session, Shared, open_session
from search.study.budget import Interrupt
from search.study.loop import TICK_SECONDS
from search.study.verification import replicas
from search.tournament.plan import Bout, Tournament
from search.tournament.store import locked, records, write_rules
from search.trial import BASELINE, Cause, Outcome, Phase, State, Trial, identity

Watch = Callable[[Bout], Progress]
"""Returns who hears what happens in a bout."""


def run(tournament: Tournament, watch: Watch, *, executor: Executor | None = None) -> bool:
    """Plays every bout that is not finished; returns whether somebody asked to stop before the end.

    Args:
        tournament: What is done.
        watch: Called as a bout begins.
        executor: Runs the trials, and is closed at the end; None for workers on this machine.

    Raises:
        FatalError: A study cannot go on; what was recorded is kept.
    """
    folder, rules = tournament.folder, tournament.rules
    with locked(folder), Interrupt() as interrupt:
        write_rules(rules, folder)
        finished = {record.header.name for record in records(folder) if _is_finished(record, rules.replicates)}
        waiting = [bout for bout in tournament.bouts if bout.plan.header.name not in finished]
        if not waiting:
            return False
        ties = Ties(log_dir=folder / "logs", patience=interrupt.patience)
        with closing(executor or make_executor(waiting[0].plan, ties)) as workers:
            shared = Shared(executor=workers, interrupt=interrupt)
            _warm_up(shared, waiting[0].plan)
            for bout in waiting:
                if not interrupt.asked:
                    _play(bout, shared, watch(bout), rules.replicates)
        return interrupt.asked


def _is_finished(record: StudyRecord, replicates: int) -> bool:
    """Says whether a study is over: its verification, which begins after its search, has all ended."""
    return _is_searched(record) and not replicas(record, count=1, replicates=replicates)


def _is_searched(record: StudyRecord) -> bool:
    """Says whether verification has begun."""
    return bool(record.phase(Phase.VERIFICATION))


def _warm_up(shared: Shared, plan: Plan) -> None:
    """Has every worker train an epoch that nobody records, so that no engine pays for starting them."""
    executor = shared.executor
    for number in range(executor.slots):
        executor.submit(Trial(number=number, config=plan.header.space.baseline, seed=number, epochs=1, origin=BASELINE))
    while executor.running:
        if shared.interrupt.asked:
            for key in executor.running:
                executor.cancel(key, Cause.CANCELLED)
        executor.collect(TICK_SECONDS)


def _play(bout: Bout, shared: Shared, progress: Progress, replicates: int) -> None:
    """Searches and verifies; a study whose verification has begun is not searched on."""
    with open_session(bout.plan, progress, shared) as session:
        if not _is_searched(session.ledger.read()):
            session.search()
        if not shared.interrupt.asked:
            _take_over(session, replicates)
            session.replicate(replicas(session.ledger.read(), count=1, replicates=replicates))
            for part in ("checkpoints", "predictions"):  # it is not searched on, and forms no ensembles
                shutil.rmtree(session.ledger.folder / part, ignore_errors=True)


def _take_over(session: Session, replicates: int) -> None:
    """Records verification runs that another study of the same repeat has made, of the baseline mostly, as its own.

    With the same configuration and seed it would be the same run; the record says whose it was.
    """
    ledger = session.ledger
    known = _verified(session.plan.place.studies_dir, ledger.header)
    waiting = replicas(ledger.read(), count=1, replicates=replicates)
    made = [trial for trial in waiting if (identity(trial.config), trial.seed) in known]
    for offset, trial in enumerate(made):
        numbered = replace(trial, number=waiting[0].number + offset)
        ledger.begin(numbered)
        ledger.finish(numbered, known[identity(trial.config), trial.seed])


def _verified(folder: Path, header: StudyHeader) -> dict[tuple[str, int], Outcome]:
    """Returns the complete verification runs of studies with this one's seed and versions, by configuration and seed.

    Their environment names the study that made them.
    """
    known: dict[tuple[str, int], Outcome] = {}
    for record in records(folder):
        if (record.header.seed, record.header.versions) != (header.seed, header.versions):
            continue
        for run in record.phase(Phase.VERIFICATION):
            if run.outcome and run.outcome.state is State.COMPLETE:
                environment = {COPIED_FROM: record.header.name, **run.outcome.environment}
                outcome = replace(run.outcome, at_seconds=None, environment=environment)
                known[identity(run.trial.config), run.trial.seed] = outcome
    return known
