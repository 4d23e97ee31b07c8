"""A session: opens the ledger, time budget and executor of a plan, runs trials with them, and closes them.

Called by ``search.session.run`` for one study, and by ``search.compare`` for many studies on one executor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, replace

from search.data.dataset import describe_test_images
from search.engines.base import Engine
from search.engines.limited import LimitedEngine
from search.engines.limits import Bound, Limit
from search.execution.base import Executor
from search.records.arithmetic import require_same_arithmetic, study_arithmetic
from search.records.ledger import Ledger
from search.records.opening import open_ledger
from search.session.callbacks import Callback, CallbackList, StoppingCallback
from search.session.earlier_runs import EarlierRuns
from search.session.executors import make_executor
from search.session.forecast import MAX_REPLICATES, uses_all_time
from search.session.parallelism.choose import choose_parallelism
from search.session.parallelism.policy import Parallelism
from search.session.plan import Plan, checkpoint_folder, engine_for
from search.session.settings import ExecutorName
from search.session.timetable import Timetable
from search.study.checkpoint_store import CheckpointStore
from search.study.combined_source import CombinedSource
from search.study.interfaces import TrialSource
from search.study.loop import run_loop
from search.study.memory_bound import MemoryBound
from search.study.peers import interrupt_orphans
from search.study.search_source import SearchSource
from search.study.time_budget import InterruptHandler, TimeBudget, stopwatch
from search.study.verification import (
    ReplicateSource,
    early_verification_trials,
    running_recipe,
    verification_trials,
)
from search.training.cgroup import total_memory
from search.training.runtime import Device, Precision
from search.trial import Cause, Config, Phase, Trial

PREDICTION_LEEWAY = 1.25
"""Factor of ``--max-seconds`` up to which an engine learns from a trial: its predicted seconds change as others end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One run of a plan.

    Args:
        plan: The plan, with workers, threads and kernels.
        ledger: The study's ledger, open for writing.
        executor: Runs the trials.
        budget: The time budget.
        interrupt: Whether the user asked to stop.
        timetable: Decides what can be begun.
        callback: Receives the events.
    """

    plan: Plan
    ledger: Ledger
    executor: Executor
    budget: TimeBudget
    interrupt: InterruptHandler
    timetable: Timetable
    callback: Callback

    def search(self, *, begins_what_ends: bool = True, takes_over_runs: bool = True) -> str | None:
        """Searches until a limit or a goal is reached or no configuration is left; returns the goal, in words.

        Args:
            begins_what_ends: Whether no trial is begun that is predicted to end after the time.
            takes_over_runs: Whether the baseline's test runs of other studies are taken over; see ``EarlierRuns``.
        """
        settings, timetable = self.plan.settings, self.timetable
        checkpoints = CheckpointStore(checkpoint_folder(self.plan, self.ledger.folder), max_kept=settings.keep_weights)
        search = SearchSource(
            self._engine(),
            self.ledger,
            recipes=timetable.recipes,
            tries=timetable.is_worth_screening,
            trials=settings.trials,
            epochs=self.plan.total_epochs,
            has_time=timetable.has_time if begins_what_ends and settings.timeout is not None else None,
            fits=_fits(self.plan),
            first_epochs=timetable.first_epochs if begins_what_ends else None,
            checkpoints=checkpoints,
        )
        stopping = StoppingCallback(settings.stop_when, self.ledger.read())

        def stop_cause() -> Cause | None:
            return stopping.stop_cause() or self.budget.search_stop_cause()

        callback = CallbackList(self.callback, stopping)
        if self.plan.has_verification:
            source = self._with_verification(search, stop_cause, takes_over_runs=takes_over_runs)
            self._run_loop(source, callback, self.budget.verification_stop_cause)
        else:
            self._run_loop(search, callback, stop_cause)
        if search.is_out_of_time:
            self.budget.has_cut_session = True
        if stopping.reason:
            self.callback.on_goal_reached(stopping.reason)
        elif search.is_exhausted:
            self.callback.on_space_exhausted()
        return stopping.reason

    def _engine(self) -> Engine:
        """Returns a fresh engine that proposes within the limits."""
        engine, limit, most = engine_for(self.ledger.header), self.plan.parameter_limit, self.plan.settings.max_seconds
        bounds = limit.bounds if limit else ()
        if most is not None:
            bounds += (Bound(measure=self.timetable.trial_seconds, most=most, leeway=PREDICTION_LEEWAY),)
        return LimitedEngine(engine, Limit(space=self.ledger.header.space, bounds=bounds)) if bounds else engine

    def _with_verification(
        self, search: SearchSource, stop_cause: Callable[[], Cause | None], *, takes_over_runs: bool
    ) -> CombinedSource:
        """Returns the search with its early verification."""
        recorded = self.ledger.read().trials_in_phase(Phase.VERIFICATION)
        verification = ReplicateSource((), recorded, can_end=self.timetable.has_time_for_run)
        earlier = EarlierRuns(self.plan, self.ledger, self.callback)

        def early_trials(replicates: int = 1) -> list[Trial]:
            if takes_over_runs:
                earlier.take_over(verification)
            record = self.ledger.read()
            recipe = running_recipe(record)
            # Begun in time, on a worker that is free; after its search trial the time might not suffice any more.
            running = () if recipe is None or self.timetable.can_wait(recipe) else (recipe,)
            return early_verification_trials(record, replicates, running=running)

        def further_trials() -> list[Trial]:
            record, settings = self.ledger.read(), self.plan.settings
            is_searching = any(known.outcome is None for known in record.trials_in_phase(Phase.SEARCH))
            if not is_searching and uses_all_time(settings):
                # Nothing can win any more: all test runs, as after the search.
                runs = verification_trials(record, count=settings.finalists, replicates=MAX_REPLICATES)
            else:
                runs = early_trials(self.timetable.replicates)
            return [run for run in runs if self.timetable.has_time_for_run(run)]

        return CombinedSource(
            search,
            verification,
            early_trials=early_trials,
            further_trials=further_trials,
            stop_cause=stop_cause,
            restart_cause=self.timetable.restart_cause,
        )

    def run_trials(self, trials: Sequence[Trial], *, further: Sequence[Trial] = ()) -> None:
        """Runs a fixed list of trials: verification, or the baseline's repeats.

        Args:
            trials: Those that are needed.
            further: Those that follow while the time lasts.
        """
        self.callback.on_replication_start(len(trials))
        listed = [*trials, *further]
        recorded = self.ledger.read().trials_in_phase(listed[0].phase) if listed else ()
        source = ReplicateSource(listed, recorded, can_end=self.timetable.has_time_for_run)
        self._run_loop(source, self.callback, self.budget.verification_stop_cause)

    def _run_loop(self, source: TrialSource, callback: Callback, stop_cause: Callable[[], Cause | None]) -> None:
        run_loop(
            source,
            executor=self.executor,
            ledger=self.ledger,
            callback=CallbackList(self.timetable, callback),
            stop_cause=stop_cause,
            elapsed_seconds=self.budget.elapsed_seconds,
        )


@contextmanager
def open_session(
    plan: Plan,
    callback: Callback,
    *,
    executor: Executor | None = None,
    interrupt: InterruptHandler | None = None,
    started_at: float | None = None,
) -> Iterator[Session]:
    """Opens what a plan needs, and closes it however the session ends.

    Args:
        plan: The run.
        callback: Receives the events; closed at the end.
        executor: Runs the trials of a plan whose parallelism is chosen, and stays open; None to choose the parallelism
            and make an executor.
        interrupt: Shared by several sessions; None for one of its own.
        started_at: When the run was requested, on the monotonic clock; the time budget counts from then. None for now.
    """
    any_seed = plan.settings.seed is None
    with open_ledger(plan.location, plan.header, accept_recorded_seed=any_seed) as ledger, ExitStack() as stack:
        plan = replace(plan, header=ledger.header).with_recorded_layers(study_arithmetic(ledger.read()).layers)
        interrupt = interrupt or stack.enter_context(InterruptHandler())
        interrupt_orphans(ledger)
        if (images := describe_test_images(plan.task.dataset)) is not None:
            ledger.record_test_images(*images)
        require_same_arithmetic(ledger.read(), plan.arithmetic)

        def verification_seconds() -> float:  # called once the search has begun
            return timetable.verification_seconds()

        budget = TimeBudget(
            ledger,
            timeout=plan.settings.timeout,
            estimate_verification=verification_seconds if plan.has_verification else None,
            interrupt=interrupt,
            # The measurement counts as the study's time, except where a shared ledger keeps the time.
            session_seconds=stopwatch(None if ledger.is_shared else started_at),
        )
        if executor is None:
            plan, executor = _open_executor(plan, ledger, budget, callback, stack)
        timetable = Timetable(plan, ledger, elapsed_seconds=budget.elapsed_seconds, notify=callback.on_message)
        session = Session(
            plan=plan,
            ledger=ledger,
            executor=executor,
            budget=budget,
            interrupt=interrupt,
            timetable=timetable,
            callback=callback,
        )
        stack.enter_context(closing(callback))
        callback.on_session_start(plan, ledger.read(), budget)
        yield session
        ledger.record_spent_seconds(budget.elapsed_seconds())


def _open_executor(
    plan: Plan, ledger: Ledger, budget: TimeBudget, callback: Callback, stack: ExitStack
) -> tuple[Plan, Executor]:
    """Chooses the parallelism and makes the executor, which the stack closes; returns the plan with its workers."""
    parallelism = choose_parallelism(
        plan,
        ledger.read(),
        on_probe_start=callback.on_probe_start,
        should_stop=lambda: budget.is_interrupted or budget.is_exhausted,
    )
    parallelism = agree_with_coordinators(plan, parallelism, ledger)
    plan = plan.with_recorded_layers(study_arithmetic(ledger.read()).layers)
    executor = make_executor(
        plan, parallelism, log_dir=ledger.log_dir, grace_seconds=budget.grace_seconds, notify=callback.on_message
    )
    stack.enter_context(closing(executor))
    return replace(plan, chosen_parallelism=parallelism.with_workers(executor.slots)), executor


def agree_with_coordinators(plan: Plan, parallelism: Parallelism, ledger: Ledger) -> Parallelism:
    """Returns the choice, or one that fits another coordinator's, if that was recorded first.

    Raises:
        UserError: The options differ from the other's choice.
    """
    if not ledger.is_shared:
        return parallelism
    arithmetic = replace(plan, chosen_parallelism=parallelism).arithmetic
    ledger.record_arithmetic(asdict(arithmetic))
    if not arithmetic.differences(study_arithmetic(record := ledger.read())):
        return parallelism
    require_same_arithmetic(record, plan.arithmetic)
    return choose_parallelism(plan, record)


def _fits(plan: Plan) -> Callable[[Config], bool]:
    """Returns which configurations can be trained in this machine's memory, as far as their counts tell.

    On a GPU and on other machines the workers alone decide.
    """
    runtime, dataset, settings = plan.task.runtime, plan.task.dataset, plan.settings
    if plan.workload is None or runtime.device is Device.GPU or settings.executor != ExecutorName.LOCAL:
        return lambda config: True
    available = total_memory()
    if settings.trial_memory is not None:
        available = min(available, int(settings.trial_memory * 2**20))
    bound = MemoryBound(
        workload=plan.workload,
        image_shape=dataset.image_shape,
        classes=dataset.classes,
        training_count=dataset.training_count,
        folds=plan.header.protocol.folds,
        value_bytes=2 if runtime.precision is Precision.BFLOAT16 else 4,
        available_bytes=available,
    )
    return bound.fits
