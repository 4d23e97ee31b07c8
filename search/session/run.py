"""A session: one run of a plan, with what it works with opened and closed around it.

open_session    ledger, time account, executor, display; closed however the session ends
  Session.search      the search, until its limits or a goal are reached
  Session.replicate   a fixed list of trials: verification, or the baseline's repeats

Called by ``search.api``, and by ``search.tournament`` for many studies on one executor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace

from search.errors import UserError
from search.execution.base import Executor
from search.protocol import ProtocolName
from search.records.ledger import Ledger
from search.records.record import UNSAID, StudyRecord
from search.session.executors import Ties, make_executor
from search.session.packing import Watch, pack
from search.session.planning import Plan, engine_for, states_folder
from search.session.progress import Progress
from search.study import goals
from search.study.budget import Budget, Interrupt, stopwatch
from search.study.checkpoints import Checkpoints
from search.study.loop import Crew, drive
from search.study.replicates import ReplicateSource
from search.study.sources import Limits, SearchSource, reclaim
from search.study.verification import estimate_seconds
from search.trial import BASELINE, Cause, Outcome, Phase, Trial


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

    def search(self) -> str | None:
        """Searches until the study's limits are reached, or a goal, or nothing is left to try; returns which goal."""
        settings = self.plan.settings
        bounds = {"trials": settings.trials, "epochs": settings.total_epochs, "weights": settings.keep_weights}
        limits = Limits(**{name: bound for name, bound in bounds.items() if bound is not None})
        engine = engine_for(self.ledger.header)
        checkpoints = Checkpoints(states_folder(self.plan, self.ledger.folder), most=limits.weights)
        source = SearchSource(engine, self.ledger, limits=limits, recipes=settings.recipes, checkpoints=checkpoints)
        watch = GoalWatch(settings.stop_when, self.ledger.read(), self.progress)
        drive(source, replace(self._crew(lambda: watch.stop() or self.budget.stop_search()), listener=watch))
        if watch.reason:
            self.progress.reached(watch.reason)
        elif source.exhausted:
            self.progress.exhausted()
        return watch.reason

    def replicate(self, trials: Sequence[Trial]) -> None:
        """Runs the trials of a fixed list."""
        self.progress.replicating(len(trials))
        recorded = self.ledger.read().phase(trials[0].phase) if trials else ()
        source = ReplicateSource(trials, recorded, folder=self.ledger.folder)
        drive(source, self._crew(self.budget.stop_verification))

    def _crew(self, stop: Callable[[], Cause | None]) -> Crew:
        return Crew(
            executor=self.executor,
            ledger=self.ledger,
            listener=self.progress,
            stop=stop,
            clock=self.budget.spent,
        )


class GoalWatch:
    """Listens to a search for another listener, and says when a goal is reached.

    Args:
        texts: The goals as they were given.
        record: What earlier sessions found, which counts.
        listener: Hears the same.
    """

    def __init__(self, texts: Sequence[str], record: StudyRecord, listener: Progress) -> None:
        self._goals = [goals.parse(text) for text in texts]
        self._has_baseline = any(
            known.trial.origin == BASELINE and known.is_settled for known in record.phase(Phase.SEARCH)
        )
        self._errors = goals.settled_errors(record)
        self.began, self.reported, self.tick = listener.began, listener.reported, listener.tick
        self.waiting, self._finished, self._heard = listener.waiting, listener.finished, listener.heard
        self.reason = goals.reason(self._goals, self._errors)

    def finished(self, trial: Trial, outcome: Outcome) -> None:
        """Passes it on and looks at the goals."""
        self._finished(trial, outcome)
        self._note(trial, outcome)

    def heard(self, trial: Trial, outcome: Outcome) -> None:
        """Passes it on and looks at the goals."""
        self._heard(trial, outcome)
        self._note(trial, outcome)

    def stop(self) -> Cause | None:
        """Returns the cause for which the search must end, or None; never before the baseline, which rows refer to."""
        return Cause.GOAL if self.reason and self._has_baseline else None

    def _note(self, trial: Trial, outcome: Outcome) -> None:
        if outcome.is_settled:
            self._has_baseline = self._has_baseline or trial.origin == BASELINE
            self._errors.append(goals.error_of(outcome))
            self.reason = self.reason or goals.reason(self._goals, self._errors)


@contextmanager
def open_session(
    plan: Plan, progress: Progress, shared: Shared | None = None, *, began: float | None = None
) -> Iterator[Session]:
    """Opens ledger, executor and display, and closes them however the session ends; not what it only shares."""
    any_seed = plan.settings.seed is None
    with Ledger.open(plan.place, plan.header, any_seed=any_seed) as ledger, ExitStack() as own:
        plan = replace(plan, header=ledger.header)
        interrupt = shared.interrupt if shared else own.enter_context(Interrupt())
        reclaim(ledger)
        _check_arithmetic(plan, ledger.read())
        # What is measured first takes of the study's time as well; behind a clock that others keep, it would be added.
        elapsed = stopwatch(None if ledger.is_shared else began)
        if shared is None:
            early = _budget(plan, ledger, interrupt, elapsed)
            watch = Watch(measuring=progress.measuring, should_stop=lambda: interrupt.asked or early.is_over)
            plan = pack(plan, ledger.read(), watch)
            ties = Ties(log_dir=ledger.log_dir, patience=early.patience, tell=progress.note)
            executor = own.enter_context(closing(make_executor(plan, ties)))
            plan = plan.spread(executor.slots)
        else:
            executor = shared.executor
        budget = _budget(plan, ledger, interrupt, elapsed)
        own.enter_context(closing(progress))
        progress.opened(plan, ledger.read(), budget)
        yield Session(
            plan=plan, ledger=ledger, executor=executor, budget=budget, interrupt=interrupt, progress=progress
        )
        ledger.spend(budget.spent())


def _check_arithmetic(plan: Plan, record: StudyRecord) -> None:
    """Refuses to go on with a study on another backend or in another precision: errors at an equal seed are others.

    Raises:
        UserError: Its trials ran on another, or in another.
    """
    runtime = plan.task.runtime
    for name, wanted in (("backend", runtime.backend.value), ("precision", runtime.precision.value)):
        places = [known.outcome.environment for known in record.trials if known.outcome and known.outcome.environment]
        known = {{**UNSAID, **one}.get(name, wanted) for one in places}
        if others := sorted(known - {wanted}):
            raise UserError(
                f"Study {record.header.name!r} was run with another {name}. Recorded: {', '.join(others)}. "
                f"Received: --{name} {wanted}.",
                hint=f"Go on with --{name} {others[0]}, or start another study with --study NAME.",
            )


def is_verified(plan: Plan) -> bool:
    """Says whether verification follows the search; where the test images steer it there is nothing to verify with."""
    return plan.settings.finalists > 0 and plan.header.protocol.name is ProtocolName.HOLDOUT


def _budget(plan: Plan, ledger: Ledger, interrupt: Interrupt, elapsed: Callable[[], float]) -> Budget:
    count, replicates = plan.settings.finalists, plan.settings.replicates

    def verification() -> float:
        return estimate_seconds(ledger.read(), count=count, replicates=replicates, slots=plan.abreast)

    return Budget(
        ledger,
        timeout=plan.settings.timeout,
        verification=verification if is_verified(plan) else None,
        interrupt=interrupt,
        elapsed=elapsed,
    )
