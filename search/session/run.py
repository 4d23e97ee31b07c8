"""A session: one run of a plan, with what it works with opened and closed around it.

open_session    ledger, time account, executor, display; closed however the session ends
  Session.search      the search, until its limits or a goal are reached
  Session.replicate   a fixed list of trials: verification, or the baseline's repeats

Called by ``search.api``, and by ``search.compare`` for many studies on one executor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace

from search.errors import UserError
from search.execution.base import Executor
from search.protocol import ProtocolName
from search.records.ledger import Ledger, open_ledger
from search.records.record import LEGACY_DEFAULTS, StudyRecord
from search.session.callbacks import Callback
from search.session.executors import ExecutorContext, make_executor
from search.session.parallelism.choose import ProbeCallbacks, choose_parallelism
from search.session.plan import Plan, checkpoint_folder, engine_for
from search.study import stopping
from search.study.checkpoint_store import CheckpointStore
from search.study.loop import LoopContext, run_loop
from search.study.replicate_source import ReplicateSource
from search.study.search_source import SearchLimits, SearchSource, interrupt_orphans
from search.study.time_budget import InterruptHandler, TimeBudget, stopwatch
from search.study.verification import estimate_verification_seconds
from search.trial import BASELINE, Cause, Outcome, Phase, Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedResources:
    """What several studies that run one after the other have in common.

    Args:
        executor: Runs their trials, on workers that stay warm between studies; whoever made it closes it.
        interrupt: The wish to stop, of all of them.
    """

    executor: Executor
    interrupt: InterruptHandler


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One run of a plan: what it works with, and its two stages.

    Args:
        plan: What is done.
        ledger: Of its study, open for writing.
        executor: Runs the trials.
        budget: The time account.
        interrupt: The wish to stop.
        callback: Hears what happens.
    """

    plan: Plan
    ledger: Ledger
    executor: Executor
    budget: TimeBudget
    interrupt: InterruptHandler
    callback: Callback

    def search(self) -> str | None:
        """Searches until the study's limits are reached, or a goal, or nothing is left to try; returns which goal."""
        settings = self.plan.settings
        limits_by_name = {
            "trials": settings.trials,
            "epochs": settings.total_epochs,
            "checkpoints": settings.keep_weights,
        }
        limits = SearchLimits(**{name: bound for name, bound in limits_by_name.items() if bound is not None})
        engine = engine_for(self.ledger.header)
        checkpoints = CheckpointStore(checkpoint_folder(self.plan, self.ledger.folder), max_kept=limits.checkpoints)
        source = SearchSource(engine, self.ledger, limits=limits, recipes=settings.recipes, checkpoints=checkpoints)
        goal_callback = StoppingCallback(settings.stop_when, self.ledger.read(), self.callback)
        run_loop(
            source,
            replace(
                self._loop_context(lambda: goal_callback.stop_cause() or self.budget.search_stop_cause()),
                callback=goal_callback,
            ),
        )
        if goal_callback.reason:
            self.callback.on_goal_reached(goal_callback.reason)
        elif source.is_exhausted:
            self.callback.on_space_exhausted()
        return goal_callback.reason

    def run_trials(self, trials: Sequence[Trial]) -> None:
        """Runs the trials of a fixed list."""
        self.callback.on_replication_start(len(trials))
        recorded = self.ledger.read().trials_in_phase(trials[0].phase) if trials else ()
        source = ReplicateSource(trials, recorded, folder=self.ledger.folder)
        run_loop(source, self._loop_context(self.budget.verification_stop_cause))

    def _loop_context(self, stop_cause: Callable[[], Cause | None]) -> LoopContext:
        return LoopContext(
            executor=self.executor,
            ledger=self.ledger,
            callback=self.callback,
            stop_cause=stop_cause,
            elapsed_seconds=self.budget.elapsed_seconds,
        )


class StoppingCallback:
    """Listens to a search for another listener, and says when a goal is reached.

    Args:
        texts: The goals as they were given.
        record: What earlier sessions found, which counts.
        callback: Hears the same.
    """

    def __init__(self, texts: Sequence[str], record: StudyRecord, callback: Callback) -> None:
        self._goals = [stopping.parse(text) for text in texts]
        self._has_baseline = any(
            known.trial.origin == BASELINE and known.is_finished for known in record.trials_in_phase(Phase.SEARCH)
        )
        self._errors = stopping.final_errors(record)
        self.on_trial_start, self.on_epoch_end, self.on_tick = (
            callback.on_trial_start,
            callback.on_epoch_end,
            callback.on_tick,
        )
        self.on_waiting_for_peers, self._on_trial_end, self._on_trial_end_elsewhere = (
            callback.on_waiting_for_peers,
            callback.on_trial_end,
            callback.on_trial_end_elsewhere,
        )
        self.reason = stopping.reason(self._goals, self._errors)

    def on_trial_end(self, trial: Trial, outcome: Outcome) -> None:
        """Passes it on and looks at the goals."""
        self._on_trial_end(trial, outcome)
        self._update(trial, outcome)

    def on_trial_end_elsewhere(self, trial: Trial, outcome: Outcome) -> None:
        """Passes it on and looks at the goals."""
        self._on_trial_end_elsewhere(trial, outcome)
        self._update(trial, outcome)

    def stop_cause(self) -> Cause | None:
        """Returns the cause for which the search must end, or None; never before the baseline, which rows refer to."""
        return Cause.GOAL if self.reason and self._has_baseline else None

    def _update(self, trial: Trial, outcome: Outcome) -> None:
        if outcome.is_final:
            self._has_baseline = self._has_baseline or trial.origin == BASELINE
            self._errors.append(stopping.complete_error(outcome))
            self.reason = self.reason or stopping.reason(self._goals, self._errors)


@contextmanager
def open_session(
    plan: Plan, callback: Callback, shared: SharedResources | None = None, *, started_at: float | None = None
) -> Iterator[Session]:
    """Opens ledger, executor and display, and closes them however the session ends; not what it only shares."""
    any_seed = plan.settings.seed is None
    with open_ledger(plan.location, plan.header, accept_recorded_seed=any_seed) as ledger, ExitStack() as stack:
        plan = replace(plan, header=ledger.header)
        interrupt = shared.interrupt if shared else stack.enter_context(InterruptHandler())
        interrupt_orphans(ledger)
        _check_backend_and_precision(plan, ledger.read())
        # What is measured first takes of the study's time as well; behind a clock that others keep, it would be added.
        elapsed = stopwatch(None if ledger.is_shared else started_at)
        if shared is None:
            probe_budget = _time_budget(plan, ledger, interrupt, elapsed)
            probe_callbacks = ProbeCallbacks(
                on_probe_start=callback.on_probe_start,
                should_stop=lambda: interrupt.is_requested or probe_budget.is_exhausted,
            )
            plan = choose_parallelism(plan, ledger.read(), probe_callbacks)
            context = ExecutorContext(
                log_dir=ledger.log_dir, grace_seconds=probe_budget.grace_seconds, notify=callback.on_message
            )
            executor = stack.enter_context(closing(make_executor(plan, context)))
            plan = plan.with_workers(executor.slots)
        else:
            executor = shared.executor
        budget = _time_budget(plan, ledger, interrupt, elapsed)
        stack.enter_context(closing(callback))
        callback.on_session_start(plan, ledger.read(), budget)
        yield Session(
            plan=plan, ledger=ledger, executor=executor, budget=budget, interrupt=interrupt, callback=callback
        )
        ledger.record_spent_seconds(budget.elapsed_seconds())


def _check_backend_and_precision(plan: Plan, record: StudyRecord) -> None:
    """Refuses to go on with a study on another backend or in another precision: errors at an equal seed are others.

    Raises:
        UserError: Its trials ran on another, or in another.
    """
    runtime = plan.task.runtime
    for name, expected in (("backend", runtime.backend.value), ("precision", runtime.precision.value)):
        environments = [
            known.outcome.environment for known in record.trials if known.outcome and known.outcome.environment
        ]
        known = {{**LEGACY_DEFAULTS, **one}.get(name, expected) for one in environments}
        if others := sorted(known - {expected}):
            raise UserError(
                f"Study {record.header.name!r} was run with another {name}. Recorded: {', '.join(others)}. "
                f"Received: --{name} {expected}.",
                hint=f"Go on with --{name} {others[0]}, or start another study with --study NAME.",
            )


def has_verification(plan: Plan) -> bool:
    """Says whether verification follows the search; where the test images steer it there is nothing to verify with."""
    return plan.settings.finalists > 0 and plan.header.protocol.name is ProtocolName.HOLDOUT


def _time_budget(plan: Plan, ledger: Ledger, interrupt: InterruptHandler, elapsed: Callable[[], float]) -> TimeBudget:
    count, replicates = plan.settings.finalists, plan.settings.replicates

    def estimate_verification() -> float:
        return estimate_verification_seconds(
            ledger.read(), count=count, replicates=replicates, slots=plan.concurrent_trials
        )

    return TimeBudget(
        ledger,
        timeout=plan.settings.timeout,
        estimate_verification=estimate_verification if has_verification(plan) else None,
        interrupt=interrupt,
        session_seconds=elapsed,
    )
