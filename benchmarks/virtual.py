"""How busy one coordinator keeps 1 to 1,000 virtual workers, and the load on the coordinator.

    python benchmarks/virtual.py [--workers 1 10 100 1000] [--samplers random tpe] [--ledgers memory journal]
    python benchmarks/virtual.py --workers 1000 --samplers random --ledgers journal --profile

Trials of the space cnn take ten virtual seconds, plus or minus a tenth, and report ten epochs. Engine, source, loop and
ledger are those of a study. The real time they take is charged to the virtual clock, so that a worker whose trial has
ended is idle until the coordinator submits another. The overhead of a real executor (reading pipes) is not included. On
a busy machine, ``--clock processor`` charges processor time instead, without waiting for the disk. A row ends after
``--rounds`` trials a worker, or after ``--patience`` real seconds. Busy is the share of all workers' time, from the
start to the last submission, in which they had a trial. Load is the coordinator's processor time over the same virtual
time.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import random
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from pathlib import Path

from common import table

from search.engines.registry import EngineChoice, make_engine, parse_engine
from search.execution.base import Event, Executor, TrialKey
from search.execution.virtual import SimulatedEpoch, SimulatedTrial, VirtualExecutor
from search.protocol import EvaluationProtocol, Split
from search.records.opening import open_ledger
from search.records.record import StudyHeader, utc_now
from search.records.storage.file_ledger import FileLedger
from search.records.storage.locations import StudyLocation
from search.session.callbacks import Callback
from search.study.loop import run_loop
from search.study.search_source import SearchSource
from search.trial import NO_FILES, Cause, Trial, TrialFiles
from spaces import registry

EPOCHS, EPOCH_SECONDS, SPREAD = 10, 1.0, 0.1
LEAST_TRIALS = 20
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}
LEDGERS = {"memory": FileLedger.in_memory, "journal": open_ledger}


def simulate_trial(trial: Trial) -> SimulatedTrial:
    """Returns ten epochs of about a second each."""
    draw = random.Random(trial.number)
    seconds = EPOCH_SECONDS * draw.uniform(1 - SPREAD, 1 + SPREAD)
    errors = (draw.uniform(0.5, 3.0) + 1 / epoch for epoch in range(1, EPOCHS + 1))
    return SimulatedTrial(epochs=tuple(SimulatedEpoch(error_percent=error, seconds=seconds) for error in errors))


def header(name: str, sampler: str) -> StudyHeader:
    """Returns a study of the space cnn, by one of Optuna's samplers, without pruning."""
    choice = parse_engine(f"optuna:{sampler}", pruner="none")
    protocol = EvaluationProtocol(dataset="none", data_sha256="0" * 64, split=Split.BLOCK, epochs=EPOCHS)
    return StudyHeader(
        name=name, space=registry.load("cnn"), space_source="cnn", protocol=protocol, engine=choice.engine,
        sampler=choice.sampler, pruner=choice.pruner, seed=1, created=utc_now(),
    )  # fmt: skip


class _Charging(Executor):
    """A virtual executor whose clock also moves by its caller's time between two calls.

    Args:
        slots: Trials at a time.
        clock: Measures the caller's time, in seconds.
    """

    def __init__(self, slots: int, clock: Callable[[], float]) -> None:
        self._inner, self._clock = VirtualExecutor(simulate_trial, slots=slots), clock
        self._left = (clock(), time.process_time())
        self._load = 0.0
        self.spans: list[tuple[float, float]] = []
        self.last = (0.0, 0.0)

    @property
    def slots(self) -> int:
        return self._inner.slots

    @property
    def running(self) -> Mapping[TrialKey, Trial]:
        return self._inner.running

    def submit(self, trial: Trial, files: TrialFiles = NO_FILES) -> None:
        self._charge()
        begun = self._inner.now
        self.spans.append((begun, begun + sum(step.seconds for step in simulate_trial(trial).epochs)))
        self.last = (begun, self._load)
        self._inner.submit(trial, files)
        self._leave()

    def collect(self, timeout: float) -> list[Event]:
        self._charge()
        events = self._inner.collect(timeout)
        self._leave()
        return events

    def cancel(self, key: TrialKey, cause: Cause) -> None:
        self._inner.cancel(key, cause)

    def close(self) -> None:
        self._inner.close()

    def _charge(self) -> None:
        self._inner.advance(self._clock() - self._left[0])
        self._load += time.process_time() - self._left[1]

    def _leave(self) -> None:
        self._left = (self._clock(), time.process_time())


def simulate(
    *, workers: int, sampler: str, ledger: str, clock: str, trials: int, patience: float
) -> tuple[object, ...]:
    """Returns submitted trials, virtual seconds, busy worker time in percent, and the load in cores."""
    study = header("virtual", sampler)
    choice = EngineChoice(engine=study.engine, sampler=study.sampler, pruner=study.pruner)
    with (
        tempfile.TemporaryDirectory() as folder,
        LEDGERS[ledger](StudyLocation(studies_dir=Path(folder)), study) as opened,
    ):
        engine = make_engine(choice, study.space, seed=1, epochs=EPOCHS)
        source = SearchSource(engine, opened, trials=trials)
        executor, began = _Charging(workers, CLOCKS[clock]), time.monotonic()

        def stop() -> Cause | None:
            return Cause.TIMEOUT if time.monotonic() - began > patience else None

        run_loop(source, executor=executor, ledger=opened, callback=Callback(), stop_cause=stop)
    until, load = executor.last
    busy = sum(max(0.0, min(end, until) - begun) for begun, end in executor.spans)
    return len(executor.spans), until, 100 * busy / (workers * until), load / until


def offenders(profile: cProfile.Profile, trials: int, count: int = 25) -> Iterable[tuple[object, ...]]:
    """Returns our and Optuna's functions by cumulative time: milliseconds a trial, calls a trial."""
    stats = pstats.Stats(profile)
    statistics = [
        (cumulative, own, calls, f"{Path(file).parent.name}/{Path(file).name}:{line} {name}")
        for (file, line, name), (_, calls, own, cumulative, _) in stats.stats.items()  # type: ignore[attr-defined]
    ]
    for cumulative, own, calls, where in sorted(statistics, reverse=True)[:count]:
        yield where, 1000 * cumulative / trials, 1000 * own / trials, calls / trials


def main() -> None:
    """Prints a row for each number of workers, sampler and ledger."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 10, 100, 1000])
    parser.add_argument("--samplers", nargs="+", default=["random", "qmc", "tpe"])
    parser.add_argument("--ledgers", nargs="+", default=list(LEDGERS), choices=list(LEDGERS))
    parser.add_argument("--clock", default="wall", choices=list(CLOCKS))
    parser.add_argument("--rounds", type=int, default=5, help="trials a worker")
    parser.add_argument("--patience", type=float, default=120.0, help="real seconds a row")
    parser.add_argument("--profile", action="store_true", help="also say where the time goes; slower by half")
    options = parser.parse_args()
    rows = []
    for sampler in options.samplers:
        for ledger in options.ledgers:
            for workers in options.workers:
                trials = max(LEAST_TRIALS, options.rounds * workers)
                profile = cProfile.Profile() if options.profile else None
                with profile or nullcontext():
                    figures = simulate(
                        workers=workers, sampler=sampler, ledger=ledger, clock=options.clock, trials=trials,
                        patience=options.patience,
                    )  # fmt: skip
                rows.append((sampler, ledger, workers, *figures))
                print(*rows[-1], flush=True)
                if profile is not None:
                    heads = ["where", "ms a trial", "of its own", "calls a trial"]
                    table(heads, offenders(profile, int(str(figures[0]))))
    table(["sampler", "ledger", "workers", "trials", "virtual s", "busy, %", "load, cores"], rows)


if __name__ == "__main__":
    main()
