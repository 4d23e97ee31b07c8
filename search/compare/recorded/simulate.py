"""Simulates one search on recorded trainings: a real engine through the real loop, on a virtual clock.

Engine, source, loop, ledger and the choice of the winner are those of a study; a training's course comes from
``model``. Nothing is begun that cannot end in the time that is left, by the predicted seconds. Verification is not
simulated: the time is that of the search. Called by ``run`` in worker processes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.compare.recorded.contenders import make_contender
from search.compare.recorded.model import TrainingModel, load_model
from search.compare.recorded.recordings import recording_name
from search.compare.spec import RunKey, study_seed
from search.compare.tabular.simulate import TimedEngine
from search.engines.registry import EngineChoice
from search.errors import UserError
from search.execution.virtual import SimulatedTrial, VirtualExecutor
from search.protocol import EvaluationProtocol, Split
from search.records.record import StudyHeader, StudyRecord, utc_now
from search.records.storage.file_ledger import FileLedger
from search.records.storage.locations import StudyLocation
from search.session.callbacks import Callback
from search.study.loop import run_loop
from search.study.search_source import SearchSource
from search.study.verification import finalists
from search.trial import BASELINE, Cause, Config, Phase, State, Trial

MARGIN = 1.06
"""Predicted seconds are multiplied by this much before they are compared with the time that is left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedSpec:
    """What the runs of a comparison on recorded trainings share.

    Args:
        recordings: Their files; the names without suffixes differ.
        engines: The engines and rivals, each name once.
        budgets: Seconds of a search, rising.
        repeats: Searches of each engine for each recording and budget.
        seed: The seed of each repeat is derived from it; at least 0.
        workers: Concurrent trials of a search.
        pruner: What engines that take a pruner were asked to take; None for each one's default.
    """

    recordings: tuple[Path, ...]
    engines: tuple[EngineChoice, ...]
    budgets: tuple[float, ...] = (300.0, 900.0, 3600.0, 14400.0)
    repeats: int = 20
    seed: int = 0
    workers: int = 2
    pruner: str | None = None

    def __post_init__(self) -> None:
        """Drops duplicates and sorts the budgets.

        Raises:
            UserError: A number is too low, or no engine is named.
        """
        object.__setattr__(self, "engines", tuple({choice.name: choice for choice in self.engines}.values()))
        object.__setattr__(self, "budgets", tuple(sorted(set(self.budgets))))
        counts = {"repeats": self.repeats, "workers": self.workers, "engines": len(self.engines)}
        for name, count in {**counts, "budgets": len(self.budgets)}.items():
            if count < 1:
                raise UserError(f"A comparison needs at least one. Received: {name}={count}.")
        if self.seed < 0 or self.budgets[0] <= 0:
            raise UserError(
                "--seed must be at least 0 and each --budget positive. "
                f"Received: --seed {self.seed}, --budget {self.budgets[0]:g} s."
            )

    @property
    def tables(self) -> Mapping[str, tuple[Path, float]]:
        """File and budget by the name that a ``RunKey`` holds."""
        return {table_name(path, budget): (path, budget) for path in self.recordings for budget in self.budgets}


def table_name(path: Path, budget: float) -> str:
    """Returns the name of a recording with a budget: "mlp 15 min"."""
    return f"{recording_name(path)} {budget / 60:g} min"


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """The result of a simulated search.

    Args:
        gain_points: Predicted error, without noise, of the configuration that the search chose, minus that of the best
            recipe, in percentage points; negative is better. The baseline is chosen if no trial ended.
        observed_gain_points: The same of the errors that the search saw, noise included: what the forest misses counts
            as real, and so does luck.
        full_trials: Trials that ended complete.
        short_trials: Short trials that ended.
        other_trials: Trials that were paused, pruned or interrupted.
        busy_share: Share of the workers' time in trials that ended.
        engine_seconds: Processor seconds that the engine took.
    """

    gain_points: float
    observed_gain_points: float
    full_trials: int
    short_trials: int
    other_trials: int
    busy_share: float
    engine_seconds: float

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> SearchResult:
        """Returns the result that ``dataclasses.asdict`` described."""
        return cls(**document)

    @property
    def trials(self) -> int:
        """All trials that began."""
        return self.full_trials + self.short_trials + self.other_trials


def simulate(spec: RecordedSpec, key: RunKey) -> SearchResult:
    """Returns the result of one search; reproducible but for the engine's seconds.

    Raises:
        UserError: The engine cannot search the space, or the recording cannot be used.
    """
    path, budget = spec.tables[key.table]
    model, seed = load_model(path), study_seed(spec.seed, key.repeat, recording_name(path))
    choice = next(choice for choice in spec.engines if choice.name == key.engine)
    inner, objective = make_contender(choice, model.space, seed=seed, epochs=model.epochs)
    engine = TimedEngine(inner)

    def simulated_trial(trial: Trial) -> SimulatedTrial:
        return model.simulated_trial(trial.config, is_short=trial.is_short, noise_seed=seed)

    executor = VirtualExecutor(simulated_trial, slots=spec.workers)

    def has_time(config: Config, epochs: int) -> bool:
        return executor.now + MARGIN * model.seconds(config, epochs) <= budget

    with tempfile.TemporaryDirectory() as folder:
        location = StudyLocation(studies_dir=Path(folder))
        with FileLedger.in_memory(location, _header(choice, model, seed, objective)) as ledger:
            run_loop(
                SearchSource(engine, ledger, has_time=has_time),
                executor=executor,
                ledger=ledger,
                callback=Callback(),
                stop_cause=lambda: Cause.TIMEOUT if executor.now >= budget else None,
            )
            return _result(ledger.read(), model, seed, budget * spec.workers, engine.seconds)


def best_recipe_error(model: TrainingModel, noise_seed: int | None = None) -> float:
    """Returns the lowest error, in percent, of the recipes; that of the baseline if there are none.

    Args:
        model: Predicts the errors.
        noise_seed: As ``TrainingModel.curves`` takes it.
    """
    space = model.space
    configs = [space.recipe(name) for name in space.recipes] or [space.baseline]
    return min(model.error_percent(config, noise_seed) for config in configs)


def _header(choice: EngineChoice, model: TrainingModel, seed: int, objective: str) -> StudyHeader:
    protocol = EvaluationProtocol(
        dataset=model.recording.dataset,
        data_sha256="0" * 64,  # no data are opened
        split=Split.BLOCK,
        epochs=model.epochs,
    )
    return StudyHeader(
        name=f"recorded-{model.space.name}",
        space=model.space,
        space_source=model.space.name,
        protocol=protocol,
        engine=choice.engine,
        sampler=choice.sampler,
        pruner=choice.pruner,
        seed=seed,
        objective=objective,
        created=utc_now(),
    )


def _result(
    record: StudyRecord, model: TrainingModel, seed: int, worker_seconds: float, engine_seconds: float
) -> SearchResult:
    chosen = _chosen(record)
    entries = [entry for entry in record.trials_in_phase(Phase.SEARCH) if entry.outcome is not None]
    states = [entry.state for entry in entries]
    full, short = states.count(State.COMPLETE), states.count(State.SCREENED)
    spent = sum(entry.outcome.seconds_trained for entry in entries if entry.outcome and entry.outcome.is_final)
    return SearchResult(
        gain_points=model.error_percent(chosen) - best_recipe_error(model),
        observed_gain_points=model.error_percent(chosen, seed) - best_recipe_error(model, seed),
        full_trials=full,
        short_trials=short,
        other_trials=len(states) - full - short,
        busy_share=spent / worker_seconds,
        engine_seconds=engine_seconds,
    )


def _chosen(record: StudyRecord) -> Config:
    """Returns the configuration that the study would hand over."""
    others = [entry.trial for entry in finalists(record, 1) if entry.trial.origin != BASELINE]
    return others[-1].config if others else record.header.space.baseline
