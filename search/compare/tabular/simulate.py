"""One game of the arena: a real engine searches a table through the real loop, on a virtual clock.

Engine, source, loop and ledger are those of a study; only the training is looked up. Called by the tournament, in
worker processes.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from search.compare.tabular import benchmarks
from search.compare.tabular.benchmarks import BenchmarkTable
from search.engines.base import Engine
from search.engines.registry import EngineChoice, make_engine
from search.errors import UserError
from search.execution.virtual import SimulatedEpoch, SimulatedTrial, VirtualExecutor
from search.protocol import EvaluationProtocol, Split
from search.records.record import StudyHeader, utc_now
from search.records.storage.file_ledger import FileLedger
from search.records.storage.locations import StudyLocation
from search.session.callbacks import Callback
from search.study.loop import LoopContext, run_loop
from search.study.search_source import SearchLimits, SearchSource
from search.trial import EpochReport, Outcome, Proposal, State, Trial

EPOCHS = 1
"""The tables hold the last epoch only, so a trial is one epoch."""
NO_PRUNER = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedRun:
    """One search of one engine on one table.

    Args:
        engine: Plays; its pruner must be "none".
        benchmark: A name in ``ARENAS``.
        table: One of its tables.
        seed: The study's seed, by which the table's training seeds are drawn as well.
        trials: Trials of the search, the baseline among them.
        workers: Trials at a time, on the virtual clock.
    """

    engine: EngineChoice
    benchmark: str
    table: str
    seed: int
    trials: int
    workers: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RegretTrace:
    """How a game went, trial by trial in the order in which they ended; shorter where an engine had nothing left.

    Args:
        observed: Error that the engine was told, of one training run, in the arena's unit.
        incumbent: Mean error, over the table's seeds, of the configuration with the lowest observed error so far.
        regrets: Normalised regret of the incumbent, in [0, 1]: how far its mean lies from the table's best towards the
            table's worst. It may rise, where a lucky run makes a worse configuration the incumbent.
        engine_seconds: Wall-clock seconds that the engine itself took, for asking, reporting and telling.
    """

    observed: tuple[float, ...]
    incumbent: tuple[float, ...]
    regrets: tuple[float, ...]
    engine_seconds: float


def simulate(run: SimulatedRun) -> RegretTrace:
    """Plays a game; the same game goes the same way at every run, but for the seconds.

    Raises:
        UserError: The engine cannot play, or the tables are not installed.
    """
    table = benchmarks.load_table(run.benchmark, run.table)
    engine = _TimedEngine(make_tabular_engine(run.engine, table, seed=run.seed))
    recorder = _OutcomeRecorder()
    with tempfile.TemporaryDirectory() as folder:
        location = StudyLocation(studies_dir=Path(folder))
        with FileLedger.in_memory(location, _header(run, table)) as ledger:
            executor = VirtualExecutor(lambda trial: _simulated_trial(table, trial, run.seed), slots=run.workers)
            source = SearchSource(engine, ledger, limits=SearchLimits(trials=run.trials), recipes=False)
            run_loop(source, LoopContext(executor=executor, ledger=ledger, callback=recorder, stop_cause=lambda: None))
    return _regret_trace(recorder.ended, table, engine.seconds)


def make_tabular_engine(choice: EngineChoice, table: BenchmarkTable, *, seed: int = 0) -> Engine:
    """Returns a fresh engine for a table.

    Raises:
        UserError: It cannot play: the tables know how a training ended and not how it went, or an extra is missing.
    """
    if choice.pruner != NO_PRUNER:
        raise UserError(
            "The arena's tables hold the last epoch only, so there is nothing to prune by. "
            f"Expected: pruner {NO_PRUNER!r}. Received: {choice.pruner!r} with {choice.name}.",
        )
    engine = make_engine(choice, table.space, seed=seed, epochs=EPOCHS)
    if engine.capabilities.pauses:
        raise UserError(
            "The arena's tables hold the last epoch only, and this engine asks for parts of trainings. "
            f"Received: {choice.name}.",
            hint="Compare it on real trainings.",
        )
    return engine


class _TimedEngine(Engine):
    """Measures the seconds that another engine takes."""

    def __init__(self, inner: Engine) -> None:
        self.capabilities = inner.capabilities
        self._inner = inner
        self.seconds = 0.0

    def ask(self, number: int, *, fixed: Proposal | None = None) -> Proposal:
        started = time.perf_counter()
        try:
            return self._inner.ask(number, fixed=fixed)
        finally:
            self.seconds += time.perf_counter() - started

    def report(self, number: int, report: EpochReport) -> bool:
        started = time.perf_counter()
        is_pruned = self._inner.report(number, report)
        self.seconds += time.perf_counter() - started
        return is_pruned

    def tell(self, number: int, outcome: Outcome) -> None:
        started = time.perf_counter()
        self._inner.tell(number, outcome)
        self.seconds += time.perf_counter() - started


class _OutcomeRecorder(Callback):
    """Keeps the trials in the order in which they ended."""

    def __init__(self) -> None:
        self.ended: list[tuple[Trial, Outcome]] = []

    def on_trial_end(self, trial: Trial, outcome: Outcome) -> None:
        assert outcome.state is State.COMPLETE
        self.ended.append((trial, outcome))


def _header(run: SimulatedRun, table: BenchmarkTable) -> StudyHeader:
    protocol = EvaluationProtocol(
        dataset=table.name,
        data_sha256=table.sha256,
        split=Split.STRATIFIED,  # a field that must be filled; how the tables' makers split is not ours to say
        epochs=EPOCHS,
    )
    return StudyHeader(
        name=f"{run.benchmark}-{table.name}",
        space=table.space,
        space_source=run.benchmark,
        protocol=protocol,
        engine=run.engine.engine,
        sampler=run.engine.sampler,
        pruner=run.engine.pruner,
        seed=run.seed,
        created=utc_now(),
    )


def _simulated_trial(table: BenchmarkTable, trial: Trial, seed: int) -> SimulatedTrial:
    evaluation = table.evaluate(trial.config, seed)
    return SimulatedTrial(epochs=(SimulatedEpoch(error_percent=evaluation.error, seconds=evaluation.seconds),))


def _regret_trace(ended: list[tuple[Trial, Outcome]], table: BenchmarkTable, engine_seconds: float) -> RegretTrace:
    observed: list[float] = []
    incumbent: list[float] = []
    lowest = float("inf")
    for trial, outcome in ended:
        assert outcome.error_percent is not None
        observed.append(outcome.error_percent)
        is_better = outcome.error_percent < lowest
        lowest = min(lowest, outcome.error_percent)
        incumbent.append(table.mean_error(trial.config) if is_better else incumbent[-1])
    return RegretTrace(
        observed=tuple(observed),
        incumbent=tuple(incumbent),
        regrets=tuple(table.normalized_regret(mean) for mean in incumbent),
        engine_seconds=engine_seconds,
    )
