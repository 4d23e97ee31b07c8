"""Simulates one search: a real engine searches a table through the real loop, on a virtual clock.

Engine, source, loop and ledger are those of a study; a training is looked up in the table. Called by ``run`` in worker
processes.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.compare.spec import RunKey, study_seed
from search.compare.tabular import benchmarks
from search.compare.tabular.benchmarks import BenchmarkTable
from search.engines.base import CanEnd, Engine, always
from search.engines.registry import EngineChoice, make_engine
from search.errors import UserError
from search.execution.virtual import SimulatedEpoch, SimulatedTrial, VirtualExecutor
from search.protocol import EvaluationProtocol, Split
from search.records.record import StudyHeader, utc_now
from search.records.storage.file_ledger import FileLedger
from search.records.storage.locations import StudyLocation
from search.session.callbacks import Callback
from search.study.loop import run_loop
from search.study.search_source import SearchSource
from search.trial import EpochReport, Outcome, Proposal, State, Trial

EPOCHS = 1
"""The tables hold the last epoch only, so a trial is one epoch."""
NO_PRUNER = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class TabularSpec:
    """What the runs of a comparison on tables share.

    Args:
        benchmark: A name in ``benchmarks.BENCHMARKS``.
        engines: The engines, each once; their pruner must be "none".
        trials: Trials of a search, the baseline among them.
        repeats: Searches of each engine on each table.
        seed: The seed of each repeat on a table is derived from it; at least 0.
        workers: Concurrent trials of a search, on its virtual clock.
    """

    benchmark: str
    engines: tuple[EngineChoice, ...]
    trials: int = 100
    repeats: int = 10
    seed: int
    workers: int = 1

    def __post_init__(self) -> None:
        """Drops duplicate engines.

        Raises:
            UserError: A number is too low, or no engine is named.
        """
        object.__setattr__(self, "engines", tuple({choice.name: choice for choice in self.engines}.values()))
        counts = {"trials": self.trials, "repeats": self.repeats, "workers": self.workers, "engines": len(self.engines)}
        for name, count in counts.items():
            if count < 1:
                raise UserError(f"A comparison needs at least one. Received: {name}={count}.")
        if self.seed < 0:
            raise UserError(f"--seed must be at least 0. Received: --seed {self.seed}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class RegretTrace:
    """The course of a search, by trial in the order in which they ended; shorter where the space was exhausted.

    Args:
        observed: Error reported to the engine: that of one training run, in the benchmark's unit.
        incumbent: Mean error of the configuration with the lowest observed error so far, over the table's seeds but
            the observed one.
        regrets: Normalised regret of the incumbent: its mean's distance from the table's best as a share of that of the
            table's worst. It may rise, where a lucky run makes a worse configuration the incumbent, and lie slightly
            outside [0, 1], since the best and the worst are means over all seeds.
        engine_seconds: Processor seconds that the engine took for asking, reporting and telling.
    """

    observed: tuple[float, ...]
    incumbent: tuple[float, ...]
    regrets: tuple[float, ...]
    engine_seconds: float

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> RegretTrace:
        """Returns the trace that ``dataclasses.asdict`` described."""
        series = {name: tuple(document[name]) for name in ("observed", "incumbent", "regrets")}
        return cls(**series, engine_seconds=document["engine_seconds"])


def simulate(spec: TabularSpec, key: RunKey) -> RegretTrace:
    """Returns the trace of one search; reproducible but for the seconds.

    Raises:
        UserError: The engine cannot search a table, or the tables are not installed.
    """
    table = benchmarks.load_table(spec.benchmark, key.table)
    choice = next(choice for choice in spec.engines if choice.name == key.engine)
    seed = study_seed(spec.seed, key.repeat, key.table)
    engine = TimedEngine(make_tabular_engine(choice, table, seed=seed))
    recorder = _OutcomeRecorder()

    def simulated_trial(trial: Trial) -> SimulatedTrial:
        error, seconds = table.evaluate(trial.config, seed)
        return SimulatedTrial(epochs=(SimulatedEpoch(error_percent=error, seconds=seconds),))

    with tempfile.TemporaryDirectory() as folder:
        location = StudyLocation(studies_dir=Path(folder))
        with FileLedger.in_memory(location, _header(spec.benchmark, choice, table, seed)) as ledger:
            executor = VirtualExecutor(simulated_trial, slots=spec.workers)
            source = SearchSource(engine, ledger, trials=spec.trials, recipes=())
            run_loop(source, executor=executor, ledger=ledger, callback=recorder)
    return _regret_trace(recorder.ended, table, seed, engine.seconds)


def make_tabular_engine(choice: EngineChoice, table: BenchmarkTable, *, seed: int = 0) -> Engine:
    """Returns a fresh engine for a table.

    Raises:
        UserError: The engine needs learning curves, which the tables lack, or an extra is missing.
    """
    if choice.pruner != NO_PRUNER:
        raise UserError(
            "The arena's tables hold the last epoch only, so pruning is impossible. "
            f"Expected: pruner {NO_PRUNER!r}. Received: {choice.pruner!r} with {choice.name}.",
        )
    engine = make_engine(choice, table.space, seed=seed, epochs=EPOCHS)
    if engine.capabilities.pauses:
        raise UserError(
            f"The arena's tables hold the last epoch only, and this engine pauses trials. Received: {choice.name}.",
            hint="Compare it on real training.",
        )
    return engine


class TimedEngine(Engine):
    """Measures the processor seconds that another engine takes, which do not depend on what else the machine runs."""

    def __init__(self, inner: Engine) -> None:
        self.capabilities = inner.capabilities
        self.rungs = inner.rungs
        self._inner = inner
        self.seconds = 0.0

    def ask(self, number: int, *, fixed: Proposal | None = None, can_end: CanEnd = always) -> Proposal:
        """Returns the other engine's proposal; see ``Engine.ask``."""
        with self._timed():
            return self._inner.ask(number, fixed=fixed, can_end=can_end)

    def report(self, number: int, report: EpochReport) -> bool:
        """Returns the other engine's decision; see ``Engine.report``."""
        with self._timed():
            return self._inner.report(number, report)

    def tell(self, number: int, outcome: Outcome) -> None:
        """Tells the other engine; see ``Engine.tell``."""
        with self._timed():
            self._inner.tell(number, outcome)

    def may_resume(self, number: int) -> bool:
        """Returns what the other engine returns; see ``Engine.may_resume``."""
        return self._inner.may_resume(number)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        started = time.process_time()
        try:
            yield
        finally:
            self.seconds += time.process_time() - started


class _OutcomeRecorder(Callback):
    """Keeps the trials in the order in which they ended."""

    def __init__(self) -> None:
        self.ended: list[tuple[Trial, Outcome]] = []

    def on_trial_end(self, trial: Trial, outcome: Outcome) -> None:
        assert outcome.state is State.COMPLETE
        self.ended.append((trial, outcome))


def _header(benchmark: str, choice: EngineChoice, table: BenchmarkTable, seed: int) -> StudyHeader:
    protocol = EvaluationProtocol(
        dataset=table.name,
        data_sha256=table.sha256,
        split=Split.STRATIFIED,  # the field is required; the tables do not tell their split
        epochs=EPOCHS,
    )
    return StudyHeader(
        name=f"{benchmark}-{table.name}",
        space=table.space,
        space_source=benchmark,
        protocol=protocol,
        engine=choice.engine,
        sampler=choice.sampler,
        pruner=choice.pruner,
        seed=seed,
        created=utc_now(),
    )


def _regret_trace(
    ended: list[tuple[Trial, Outcome]], table: BenchmarkTable, seed: int, engine_seconds: float
) -> RegretTrace:
    observed: list[float] = []
    incumbent: list[float] = []
    for trial, outcome in ended:
        assert outcome.error_percent is not None
        is_better = not observed or outcome.error_percent < min(observed)
        observed.append(outcome.error_percent)
        incumbent.append(table.error_of_others(trial.config, seed) if is_better else incumbent[-1])
    return RegretTrace(
        observed=tuple(observed),
        incumbent=tuple(incumbent),
        regrets=tuple(table.normalized_regret(error) for error in incumbent),
        engine_seconds=engine_seconds,
    )
